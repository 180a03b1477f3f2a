import json

import pytest
from test_extension import look_until, snapshot_of
from tornado.httpclient import HTTPClientError

from maas_jupyter.runs import RunFolder, RunState


@pytest.fixture
def running(maas_home):
    folder = RunFolder(maas_home, "abc123")
    folder.write(RunState(run_id="abc123", name="digits", epochs=10, epoch=3))
    return folder


def stop(jp_fetch, run_id, **options):
    return jp_fetch("maas-jupyter", "runs", run_id, "stop", method="POST", body="", **options)


async def refused(request):
    with pytest.raises(HTTPClientError) as caught:
        await request
    return caught.value


async def test_a_run_shows_up_and_is_asked_to_stop(jp_fetch, running):
    (row,) = (await snapshot_of(jp_fetch))["runs"]
    assert (row["run_id"], row["name"], row["status"], row["fraction"], row["stopping"]) == (
        "abc123",
        "digits",
        "training",
        0.3,
        False,
    )
    response = await stop(jp_fetch, "abc123")
    assert response.code == 202
    assert running.stop_requested()
    await look_until(jp_fetch, lambda snapshot: snapshot["runs"][0]["stopping"])


async def test_one_that_has_ended_is_not_asked(jp_fetch, running):
    running.write(RunState(run_id="abc123", name="digits", status="finished"))
    error = await refused(stop(jp_fetch, "abc123"))
    assert error.code == 409
    assert "has ended already" in json.loads(error.response.body)["message"]
    assert not running.stop_requested()


@pytest.mark.parametrize(
    "run_id", ["unknown", "..", "%2e%2e", "..%2f..%2fother", "%2fetc", "abc123%00", "-abc", "a%2Fb", "x" * 500]
)
async def test_unknown_and_impossible_runs_are_not_found(jp_fetch, running, maas_home, run_id):
    # What would be there if a name could lead out of the folder.
    for place in (maas_home, maas_home.parent / "other"):
        place.mkdir(exist_ok=True)
        (place / "state.json").write_bytes((running.path / "state.json").read_bytes())
    before = set(maas_home.parent.rglob("stop"))
    error = await refused(stop(jp_fetch, run_id))
    assert error.code == 404
    assert set(maas_home.parent.rglob("stop")) == before


@pytest.mark.parametrize("authorization", ["", "token wrong"])
async def test_the_anonymous_stop_nothing(jp_fetch, running, authorization):
    error = await refused(stop(jp_fetch, "abc123", headers={"Authorization": authorization}))
    assert error.code == 403
    assert not running.stop_requested()


async def test_looking_does_not_stop(jp_fetch, running):
    error = await refused(jp_fetch("maas-jupyter", "runs", "abc123", "stop"))
    assert error.code == 405
    assert not running.stop_requested()
