"""All that is known of a version, as the page of its model asks for it."""

from __future__ import annotations

import json

import pytest
from tornado.httpclient import HTTPClientError

from maas_jupyter.errors import Unavailable


def part(version, name="details", model="square"):
    return "maas-jupyter", "models", model, "versions", version, name


async def ask(jp_fetch, *words, **given):
    return json.loads((await jp_fetch(*words, **given)).body)


async def refused(jp_fetch, *words, **given):
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(*words, **given)
    return caught.value


async def test_details_of_a_version(jp_serverapp, jp_fetch, registered):
    found = await ask(jp_fetch, *part("1"))
    assert (found["name"], found["version"], found["aliases"]) == ("square", "1", ["champion"])
    assert found["metrics"] == {"accuracy": 0.9}
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    assert found["origin"]["run_id"] == registered.run_id
    assert (found["evaluation"], found["comparison"], found["troubles"]) == (None, "", [])


async def test_a_card_is_markdown(jp_serverapp, jp_fetch, registered):
    found = await ask(jp_fetch, *part("1", "card"))
    assert found["reference"] == "square/1"
    assert found["text"].startswith("# square/1\n")


@pytest.mark.parametrize("name", ["details", "card"])
@pytest.mark.parametrize(
    ("model", "version", "status", "words"),
    [
        ("square", "7", 404, "no version 7"),
        ("circle", "1", 404, "no model called 'circle'"),
        ("square", "champion", 400, "is no version of"),
        ("square", "²", 400, "is no version of"),
        ("sq%27are", "1", 400, "cannot be the name"),
    ],
)
async def test_what_is_not_there_is_said(jp_serverapp, jp_fetch, registered, name, model, version, status, words):
    answer = await refused(jp_fetch, *part(version, name, model))
    assert answer.code == status
    assert words in json.loads(answer.response.body)["message"]


async def test_looking_creates_no_registry(jp_serverapp, jp_fetch, maas_home):
    assert (await refused(jp_fetch, *part("1"))).code == 404
    assert not (maas_home / "mlflow.db").exists()


async def test_a_registry_that_does_not_answer_is_said(jp_serverapp, jp_fetch, registered, monkeypatch):
    def silent(*_):
        raise Unavailable("The registry does not answer.", hint="Look at its log.")

    monkeypatch.setattr("maas_jupyter.registry.Registry.details", silent)
    answer = await refused(jp_fetch, *part("1"))
    assert answer.code == 503
    assert json.loads(answer.response.body)["hint"] == "Look at its log."


@pytest.mark.parametrize("name", ["details", "card"])
async def test_the_anonymous_are_refused(jp_serverapp, jp_fetch, registered, name):
    answer = await refused(jp_fetch, *part("1", name), headers={"Authorization": ""})
    assert answer.code == 403
    assert b"square" not in answer.response.body


async def test_details_are_only_read(jp_serverapp, jp_fetch, registered):
    answer = await refused(jp_fetch, *part("1"), method="DELETE", allow_nonstandard_methods=True)
    assert answer.code == 405


async def test_looking_is_not_activity(jp_serverapp, jp_fetch, registered):
    await jp_fetch(*part("1"))
    assert "api_last_activity" not in jp_serverapp.web_app.settings
