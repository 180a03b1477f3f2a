"""Publishing, withdrawing and counting, over the whole application."""

from __future__ import annotations

import re
import threading

import pytest
from bundles import Bundles, labelled, linear_softmax

from maas_jupyter import schema
from maas_jupyter.schema import Manifest, ServedModel

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


def states(client, name):
    models = {model["name"]: model for model in client.get("/maas/v1/status").json()["models"]}
    return {row["version"]: row["state"] for row in models[name]["versions"]}


def answers(client, name="digits"):
    answer = client.post(f"/v2/models/{name}/infer", json=BODY)
    assert answer.status_code == 200, answer.text
    return answer.json()["model_version"]


def counted(client, **labels):
    """Sum the request counter over the series that have all of these labels."""
    total = 0.0
    for line in client.get("/metrics").text.splitlines():
        if line.startswith("maas_requests_total{"):
            found = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if labels.items() <= found.items():
                total += float(line.rsplit(" ", 1)[1])
    return total


@pytest.fixture
def restarted(server_home, open_client):
    """Return a function that gives another application on the same home, as after a restart."""

    def restart():
        fresh = open_client(server_home)
        while fresh.get("/v2/health/ready").status_code != 200:
            pass
        return fresh

    return restart


# -- publishing -------------------------------------------------------------------------------------------------------


def test_publish_replaces_the_version_and_keeps_the_old_bundle(client, publish, bundles, digits, server_home):
    old = next((server_home / "bundles").glob("[0-9a-f]*"))
    status = publish("digits", "2", bundles.make(linear_softmax(2))).json()
    assert [(row["version"], row["weight"], row["state"]) for row in status["versions"]] == [("2", 100, "ready")]
    assert answers(client) == "2"
    assert client.post("/v2/models/digits/versions/1/infer", json=BODY).status_code == 404
    assert old.exists()  # a rollback needs it
    desired = schema.decode((server_home / "models/digits.json").read_bytes(), ServedModel, where="")
    assert [served.version for served in desired.versions] == ["2"]


def test_publish_the_same_again_changes_nothing(client, publish, bundles):
    folder = bundles.make(linear_softmax())
    assert publish("digits", "1", folder).json() == publish("digits", "1", folder).json()


def test_two_models_may_share_a_bundle(client, publish, bundles):
    folder = bundles.make(linear_softmax())
    publish("a", "1", folder)
    publish("b", "1", folder)
    assert client.delete("/maas/v1/models/a").status_code == 200
    assert answers(client, "b") == "1"
    assert client.get(f"/maas/v1/bundles/{Bundles.digest(folder)}").status_code == 200


def test_withdraw(client, digits, server_home):
    assert client.delete("/maas/v1/models/digits").status_code == 200
    assert client.post("/v2/models/digits/infer", json=BODY).status_code == 404
    assert client.get("/maas/v1/status").json()["models"] == []
    assert not list((server_home / "models").iterdir())
    assert client.delete("/maas/v1/models/digits").status_code == 404


def test_a_restart_serves_the_same(client, digits, restarted):
    assert answers(restarted()) == "1"


@pytest.mark.parametrize("name", [".hidden", "a b", "a" * 129, "ä"])
def test_names_that_cannot_be_served(client, publish, bundles, name):
    answer = publish(name, "1", bundles.make(linear_softmax()))
    assert answer.status_code == 400
    assert "cannot be the name" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"version": 1, "digest": "x"}'])
def test_a_malformed_publish(client, body):
    answer = client.post("/maas/v1/models/digits/publish", content=body)
    assert answer.status_code == 400
    assert '"digest"' in answer.json()["error"]


def test_publish_a_bundle_that_was_not_sent(client):
    answer = client.post("/maas/v1/models/digits/publish", json={"version": "1", "digest": "0" * 64})
    assert answer.status_code == 404
    assert client.get("/maas/v1/status").json()["models"] == []
    assert client.post("/maas/v1/models/digits/publish", json={"version": "1", "digest": "../x"}).status_code == 400


def test_a_graph_that_does_not_load_leaves_what_serves(client, publish, bundles, digits):
    answer = publish("digits", "2", bundles.write(b"no graph at all", linear_softmax()[1]))
    assert answer.status_code == 422
    assert "cannot be loaded" in answer.json()["error"]
    assert answers(client) == "1"
    assert states(client, "digits") == {"1": "ready", "2": "failed"}
    assert publish("digits", "3", bundles.make(linear_softmax(3))).status_code == 200
    assert states(client, "digits") == {"3": "ready"}


def test_a_new_model_that_does_not_load_leaves_nothing(client, publish, bundles, server_home):
    assert publish("digits", "1", bundles.write(b"", linear_softmax()[1])).status_code == 422
    assert client.get("/maas/v1/status").json()["models"] == []
    assert not list((server_home / "bundles").glob("[0-9a-f]*"))


def test_a_graph_with_another_signature(client, publish, bundles):
    answer = publish("digits", "1", bundles.make((linear_softmax()[0], labelled()[1])))
    assert answer.status_code == 422
    assert "has the inputs ['x'], but the manifest says ['n', 'text']" in answer.json()["error"]


def test_a_runtime_that_nobody_knows(client, upload, bundles):
    folder = bundles.make(linear_softmax())
    manifest = schema.decode((folder / "maas.json").read_bytes(), Manifest, where="")
    (folder / "maas.json").write_bytes(
        schema.encode(
            Manifest(
                task="tensor", runtime="onyx", precision="fp32", signature=manifest.signature, files=manifest.files
            )
        )
    )
    answer = client.post("/maas/v1/models/m/publish", json={"version": "1", "digest": upload(folder)})
    assert answer.status_code == 422
    assert "onyx" in answer.json()["error"]
    assert "'onnx'" in answer.json()["error"]


def test_publishes_at_once_all_succeed(client, upload, bundles):
    digests = {name: upload(bundles.make(linear_softmax(scale))) for scale, name in enumerate("abcd", 1)}
    codes = []

    def publish(name, version, digest):
        body = {"version": version, "digest": digest}
        codes.append(client.post(f"/maas/v1/models/{name}/publish", json=body).status_code)

    wanted = [(name, "1", digest) for name, digest in digests.items()]
    wanted += [("same", str(version), digest) for version, digest in enumerate(digests.values())]
    threads = [threading.Thread(target=publish, args=each) for each in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 8
    assert sorted(states(client, "same").values()) == ["ready"]
    assert [answers(client, name) for name in digests] == ["1"] * 4


# -- bundles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "altered", "gone", "manifest"])
def test_a_bundle_damaged_on_the_servers_disk(client, publish, upload, bundles, words, server_home, restarted, damage):
    folder = bundles.make(linear_softmax())
    assert publish("digits", "1", folder).status_code == 200
    stored = server_home / "bundles" / Bundles.digest(folder)
    graph = stored / "model.onnx"
    if damage == "cut":
        graph.write_bytes(graph.read_bytes()[:-1])
    elif damage == "altered":
        graph.write_bytes(b"X" + graph.read_bytes()[1:])
    elif damage == "gone":
        graph.unlink()
    else:
        (stored / "maas.json").write_bytes(b"{}")
    assert answers(client) == "1"  # what is in memory goes on serving

    after = restarted()
    assert states(after, "words") == {"7": "ready"}
    assert states(after, "digits") == {"1": "failed"}
    answer = after.post("/v2/models/digits/infer", json=BODY)
    assert answer.status_code == 503
    assert "maas.json" in answer.json()["error"] or "model.onnx" in answer.json()["error"]
    assert after.get("/v2/models/digits/ready").status_code == 503
    assert after.get("/v1/models/digits").json()["model_version_status"][0]["state"] == "END"
    # It was deleted, so publishing sends it again.
    assert after.get(f"/maas/v1/bundles/{Bundles.digest(folder)}").status_code == 404


def test_a_damaged_bundle_is_refused_while_the_old_version_serves(client, upload, bundles, digits, server_home):
    digest = upload(bundles.make(linear_softmax(2)))
    graph = server_home / "bundles" / digest / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    answer = client.post("/maas/v1/models/digits/publish", json={"version": "2", "digest": digest})
    assert answer.status_code == 422
    assert "sha256" in answer.json()["error"]
    assert answer.json()["error"].endswith("\nPublish it again to send it again.")
    assert answers(client) == "1"


@pytest.mark.parametrize("text", ['{"name": "bad"', "{}", '{"name": "other", "versions": []}'])
def test_one_broken_state_file_does_not_hide_the_others(client, digits, server_home, restarted, bundles, text):
    (server_home / "models" / "bad.json").write_text(text)
    after = restarted()
    assert answers(after) == "1"
    bad = next(model for model in after.get("/maas/v1/status").json()["models"] if model["name"] == "bad")
    assert bad["versions"][0]["state"] == "failed"
    assert "bad.json" in bad["versions"][0]["reason"]
    assert after.delete("/maas/v1/models/bad").status_code == 200


# -- counting ---------------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_model_version_protocol_and_code(client, digits):
    for _ in range(3):
        answers(client)
    client.post("/v1/models/digits:predict", json={"instances": [[1, 2, 3, 4]]})
    client.post("/v2/models/digits/infer", content=b"{")
    assert counted(client, model="digits", version="1", protocol="v2-rest", code="200") == 3
    assert counted(client, model="digits", version="1", protocol="v1-rest", code="200") == 1
    assert counted(client, model="digits", version="1", protocol="v2-rest", code="400") == 1
    text = client.get("/metrics").text
    assert 'maas_request_duration_seconds_count{model="digits",version="1"} 5.0' in text
    assert 'maas_inference_duration_seconds_count{model="digits",version="1"} 4.0' in text
    assert 'maas_loaded_versions{model="digits"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_names_from_outside_make_no_label_values(client, digits):
    for number in range(5):
        client.post(f"/v2/models/nothing-{number}/infer", json=BODY)
        client.post(f"/v2/models/digits/versions/{number + 10}/infer", json=BODY)
    assert counted(client, model="", version="", code="404") == 10
    assert "nothing-" not in client.get("/metrics").text


def test_two_applications_in_a_process_count_apart(client, digits, open_client, tmp_path):
    answers(client)
    assert counted(open_client(tmp_path / "other")) == 0
    assert counted(client) == 1


def test_an_application_that_cannot_stop_its_host_has_no_such_route(client):
    assert client.post("/maas/v1/shutdown").status_code == 404
