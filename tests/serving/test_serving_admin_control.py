"""The control plane over HTTP."""

from __future__ import annotations

import pytest
from bundles import linear_softmax

from maas_jupyter.serving.protocols.admin import MOST_LINES

MODEL = "/maas/v1/models/digits"


@pytest.fixture
def versions(client, upload, bundles):
    """Two uploaded bundles, of which the first serves as digits/1."""
    digests = {str(scale): upload(bundles.make(linear_softmax(scale))) for scale in (1, 2)}
    assert client.post(f"{MODEL}/publish", json={"version": "1", "digest": digests["1"]}).status_code == 200
    return digests


def weights(answer):
    assert answer.status_code == 200, answer.text
    return {row["version"]: row["weight"] for row in answer.json()["versions"] if row["weight"]}


def test_a_canary_is_promoted_and_rolled_back(client, versions):
    canary = {"version": "2", "digest": versions["2"], "canary": 10, "user": "ann", "reason": "try"}
    assert weights(client.post(f"{MODEL}/publish", json=canary)) == {"1": 90, "2": 10}
    assert weights(client.get(MODEL)) == {"1": 90, "2": 10}
    assert weights(client.post(f"{MODEL}/promote", json={"user": "ann", "reason": "good"})) == {"2": 100}
    assert weights(client.post(f"{MODEL}/rollback")) == {"1": 90, "2": 10}
    history = client.get(f"{MODEL}/history").json()
    assert [(entry["action"], entry["user"], entry["reason"], entry["by"]) for entry in history] == [
        ("publish", "", "", "local"),
        ("canary", "ann", "try", "local"),
        ("promote", "ann", "good", "local"),
        ("rollback", "", "", "local"),
    ]


def test_a_shadow(client, versions):
    answer = client.post(f"{MODEL}/publish", json={"version": "2", "digest": versions["2"], "shadow": True})
    assert weights(answer) == {"1": 100}
    assert [row["version"] for row in answer.json()["versions"] if row["shadow"]] == ["2"]


def test_what_does_not_fit_the_state(client, versions, upload, bundles):
    assert client.post(f"{MODEL}/promote").status_code == 409
    assert client.post(f"{MODEL}/rollback").status_code == 409
    other = {"version": "1", "digest": versions["1"], "canary": 10}
    assert client.post("/maas/v1/models/other/publish", json=other).status_code == 409
    for share in (0, 100, -5):
        wrong = {"version": "2", "digest": versions["2"], "canary": share}
        assert client.post(f"{MODEL}/publish", json=wrong).status_code == 400


@pytest.mark.parametrize("what", ["promote", "rollback", "unpublish", "load", "unload"])
def test_changes_of_a_model_that_is_not_there(client, what):
    answer = client.post(f"/maas/v1/models/nothing/{what}")
    assert answer.status_code == 404
    assert "nothing" in answer.json()["error"]


def test_looks_at_a_model_that_is_not_there(client):
    assert client.get("/maas/v1/models/nothing").status_code == 404
    assert client.get("/maas/v1/models/nothing/history").status_code == 404


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"reason": 1}'])
def test_a_malformed_change(client, versions, body):
    answer = client.post(f"{MODEL}/promote", content=body)
    assert answer.status_code == 400
    assert '"reason"' in answer.json()["error"]


def test_a_change_that_is_too_large(client, versions):
    assert client.post(f"{MODEL}/promote", content=b" " * (2 << 20)).status_code == 413


def test_unload_and_load(client, versions):
    assert [row["state"] for row in client.post(f"{MODEL}/unload").json()["versions"]] == ["unloaded"]
    assert client.post("/v2/models/digits/infer", json={}).status_code == 503
    assert [row["state"] for row in client.post(f"{MODEL}/load").json()["versions"]] == ["ready"]


@pytest.mark.parametrize("how", ["post", "delete"])
def test_unpublish(client, versions, how):
    answer = client.delete(MODEL) if how == "delete" else client.post(f"{MODEL}/unpublish", json={"reason": "old"})
    assert (answer.status_code, answer.json()) == (200, {"name": "digits", "versions": []})
    assert client.get(MODEL).status_code == 404
    assert client.get(f"{MODEL}/history").json()[-1]["model"] is None


def test_logs(client, versions, server_home):
    (server_home / "server.log").write_text("".join(f"line {number}\n" for number in range(50)))
    assert client.get("/maas/v1/logs?lines=2").json() == {"lines": ["line 48", "line 49"]}
    assert len(client.get("/maas/v1/logs").json()["lines"]) == 20
    for lines in ("0", "-1", "x", "", "1e3", str(MOST_LINES + 1), "9" * 5000):
        assert client.get("/maas/v1/logs", params={"lines": lines}).status_code == 400


def test_a_bundle_that_nobody_sent(client):
    assert client.post(f"/maas/v1/bundles/{'0' * 64}/commit").status_code == 400
    assert client.post("/maas/v1/bundles/x/commit").status_code == 400


def test_an_application_without_a_way_to_stop_has_no_such_route(client):
    assert client.post("/maas/v1/shutdown").status_code == 404
