from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

import httpx
import numpy as np
import pandas
import pytest
import torch
from mlflow import MlflowClient
from models import diabetes, mlp, wine

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.errors import BundleError, InvalidInput, NotFound, Unavailable, UsageError
from maas_jupyter.registry import Registry


@pytest.fixture(scope="module")
def grapes(shared_home):
    """A model with three versions; the second is called 'best'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for _ in range(3):
            maas_jupyter.register(mlp(13, 3), name="grapes", data=wine())
        maas_jupyter.alias("grapes/2", "best")
    return "grapes"


def test_versions_are_listed_newest_first_with_their_aliases(home, grapes):
    (model,) = maas_jupyter.models(grapes)
    assert [version.version for version in model.versions] == ["3", "2", "1"]
    assert [version.aliases for version in model.versions] == [[], ["best"], ["champion"]]
    newest = model.versions[0]
    assert newest.task == "classification"
    assert newest.precision == "fp32"
    assert newest.size > 1000
    assert 0 <= newest.metrics["accuracy"] <= 1


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("grapes", "3"),
        ("grapes/1", "1"),
        ("grapes@champion", "1"),
        ("grapes@best", "2"),
        ("models:/grapes/2", "2"),
        ("models:/grapes/latest", "3"),
        ("models:/grapes@best", "2"),
    ],
)
def test_references_resolve_as_in_mlflow(home, grapes, reference, version):
    assert Registry(config.current()).resolve(reference).version == version


def test_the_first_version_becomes_champion_and_an_alias_moves(home):
    first = maas_jupyter.register(mlp(13, 3), name="moving", data=wine())
    maas_jupyter.register(mlp(13, 3), name="moving", data=wine())
    assert first.aliases == ["champion"]
    assert maas_jupyter.alias("moving/2", "champion").aliases == ["champion"]
    (model,) = maas_jupyter.models("moving")
    assert [version.aliases for version in model.versions] == [["champion"], []]


@pytest.mark.parametrize(
    ("reference", "said", "offered"),
    [
        ("grape", "no model called 'grape'", "'grapes'"),
        ("grapes@bset", "no alias 'bset'", "'grapes@best'"),
        ("grapes/9", "no version 9", "grapes/3, grapes/2, grapes/1"),
    ],
)
def test_an_unknown_name_offers_the_nearest(home, grapes, reference, said, offered):
    with pytest.raises(NotFound, match=said) as caught:
        maas_jupyter.publish(reference)
    assert offered in caught.value.hint


def test_a_reserved_alias_is_refused(home, grapes):
    with pytest.raises(InvalidInput, match="cannot be an alias"):
        maas_jupyter.alias("grapes/1", "latest")


def test_a_registered_version_is_an_ordinary_mlflow_model(home, grapes, child_environment):
    """In a process that never imports this package, with MLflow's own calls only."""
    code = """
import json, sys
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/grapes@champion")
answer = model.predict(np.array(json.loads(sys.argv[2]), dtype="float32"))
assert not [name for name in sys.modules if name.startswith("maas_jupyter")]
print(json.dumps({name: value.tolist() for name, value in answer.items()}))
"""
    X, _ = wine()
    uri = config.current().resolved_registry_uri
    done = subprocess.run(
        [sys.executable, "-c", code, uri, json.dumps(X[:4].tolist())],
        capture_output=True,
        text=True,
        env=child_environment,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    with torch.no_grad():
        expected = mlp(13, 3)(torch.tensor(X[:4])).softmax(1).numpy()
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    assert answer["label"] == expected.argmax(1).tolist()


def test_a_registered_table_answers_data_frames_of_any_index(home, tmp_path, child_environment):
    """In a process that never imports this package, with MLflow's own calls only."""
    code = """
import sys
import mlflow, numpy as np, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/smokers@champion")
frame = pandas.DataFrame({"age": [30, 61, 47], "smoker": [True, False, True]}, index=[5, 9, 12])
expected = model.predict(frame)["scores"]
assert expected.shape == (3, 2)
for rows in (frame.astype({"age": float}), frame.to_dict("records"), {name: frame[name].to_numpy() for name in frame}):
    np.testing.assert_array_equal(model.predict(rows)["scores"], expected)
assert not [name for name in sys.modules if name.startswith("maas_jupyter")]
"""
    rows = [{"age": 20 + index, "smoker": index % 3 == 0, "ill": "yes" if index % 2 else "no"} for index in range(40)]
    frame = pandas.DataFrame(rows)
    maas_jupyter.train(mlp(3, 2), data=frame, target="ill", epochs=1, name="smokers")
    uri = config.current().resolved_registry_uri
    done = subprocess.run(
        [sys.executable, "-c", code, uri], capture_output=True, text=True, env=child_environment, cwd="/"
    )
    assert done.returncode == 0, done.stderr


def _artifact(version):
    return Path(urlparse(version.source).path) / "model.onnx"


def test_a_bundle_cut_in_the_registry_is_refused_by_its_digest(home):
    # Weights of its own: a bundle that is on this machine already is not fetched again.
    version = maas_jupyter.register(mlp(13, 3, hidden=31), name="cut", data=wine())
    path = _artifact(version)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(
        BundleError, match=r"model\.onnx is not the one that its manifest names: it has \d+ bytes"
    ) as caught:
        maas_jupyter.publish("cut")
    assert caught.value.hint


def test_a_damaged_copy_on_this_machine_is_fetched_again(home):
    version = maas_jupyter.register(mlp(13, 3), name="healed", data=wine())
    registry = Registry(config.current())
    copy = registry.fetch(version).folder / "model.onnx"
    whole = copy.read_bytes()
    copy.write_bytes(b"not a model")
    assert (registry.fetch(version).folder / "model.onnx").read_bytes() == whole


def test_a_copy_that_cannot_be_read_for_a_moment_is_kept(home, monkeypatch):
    version = maas_jupyter.register(mlp(13, 3, hidden=33), name="unread", data=wine())
    registry = Registry(config.current())
    copy = registry.fetch(version).folder

    def fail(path):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("maas_jupyter.bundle.sha256_of", fail)
        with pytest.raises(BundleError, match="cannot be read"):
            registry.fetch(version)
    assert registry.fetch(version).folder == copy


@pytest.mark.timeout(60)
def test_a_registry_that_never_answers_is_reported_in_seconds(own_home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted = []
        threading.Thread(target=lambda: accepted.append(listener.accept()), daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setattr(config.current(), "registry_timeout", 0.5)
        with pytest.raises(Unavailable, match="does not answer") as caught:
            maas_jupyter.models()
    assert "MLFLOW_TRACKING_URI" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_registry_that_answers_its_health_only_is_reported_in_seconds(own_home, monkeypatch):
    released = threading.Event()

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/health":
                released.wait()
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://bob:secret@127.0.0.1:{server.server_port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        try:
            with pytest.raises(Unavailable, match="does not answer: API request to") as caught:
                maas_jupyter.models()
            assert "secret" not in str(caught.value)
        finally:
            released.set()
            server.shutdown()


def test_a_registry_that_refuses_the_connection_is_reported(own_home, monkeypatch):
    with socket.socket() as bound:
        # Bound, so that nobody else gets the port; not listening, so that it refuses.
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{bound.getsockname()[1]}")
        with pytest.raises(Unavailable, match="does not answer"):
            maas_jupyter.models()


def test_a_model_whose_registration_was_cut_off_gets_its_champion_later(home):
    MlflowClient(config.current().resolved_registry_uri).create_registered_model("orphan")
    with pytest.raises(NotFound, match="no version") as caught:
        maas_jupyter.publish("orphan")
    assert "--name orphan" in caught.value.hint
    assert maas_jupyter.register(mlp(13, 3), name="orphan", data=wine()).aliases == ["champion"]


def test_a_metric_that_is_not_a_number_is_left_out(home):
    X, y = diabetes()
    # The R2 of one row is not a number.
    version = maas_jupyter.register(mlp(10, 1), name="one-row", data=(X[:1], y[:1]))
    assert "r2" not in version.metrics
    assert version.metrics["mae"] >= 0
    assert "one-row" in {model.name for model in maas_jupyter.models()}


@pytest.mark.parametrize("character", ["%20", "?", "#"])
def test_a_home_that_no_database_uri_can_name_is_refused(tmp_path, monkeypatch, character):
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / f"a{character}b"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UsageError, match="characters %, ") as caught:
        maas_jupyter.models()
    assert "MAAS_HOME" in caught.value.hint


def test_a_real_mlflow_server_keeps_models_and_runs(tmp_path, own_home, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/remote.db",
        "--artifacts-destination",
        str(tmp_path / "art"),
    ]
    log = (tmp_path / "mlflow.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *command], stdout=log, stderr=log, start_new_session=True
    )
    try:
        _wait_until_healthy(server, port, tmp_path / "mlflow.log")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=2, name="remote")
        assert run.version is not None
        assert [version.reference for version in maas_jupyter.models()[0].versions] == ["remote/1"]
        assert Registry(config.current()).fetch(run.version).digest == run.version.digest
        assert not (own_home / "mlflow.db").exists()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_until_healthy(server, port, log):
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"MLflow did not start:\n{log.read_text()}")


def test_the_registry_is_not_created_by_looking_at_the_settings(own_home):
    assert config.current().home_path == own_home
    assert not own_home.exists()
