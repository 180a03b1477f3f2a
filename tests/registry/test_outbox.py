"""What a run tells MLflow arrives, also where MLflow goes away in between."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
import pytest
from mlflow import MlflowClient
from models import mlp, wine

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.errors import Unavailable
from maas_jupyter.registry import Registry, send_unsent
from maas_jupyter.registry.outbox import POINTS, Outbox


@pytest.fixture
def registry(home):
    return Registry(config.current())


def _history(registry, run_id, name):
    return registry.metric_history(run_id, name)


def _points(name, values):
    return [(name, float(value), 1_700_000_000_000 + step, step) for step, value in enumerate(values)]


def test_points_are_kept_and_sent(registry, tmp_path):
    run_id = registry.start_run("kept", {}, {})
    outbox = Outbox(registry, run_id, tmp_path / run_id)
    outbox.add(_points("loss", [3, 2, 1]))
    outbox.add(_points("accuracy", range(1200)))
    while outbox.send():
        pass
    assert _history(registry, run_id, "loss") == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert len(_history(registry, run_id, "accuracy")) == 1200
    lines = (tmp_path / run_id / POINTS).read_bytes().splitlines()
    assert [msgspec.json.decode(line)[:2] for line in lines[:2]] == [["loss", 3.0], ["loss", 2.0]]
    assert (tmp_path / run_id / "unsent.json").exists()
    source = tmp_path / "source.py"
    source.write_text("print(1)")
    outbox.close("FINISHED", [(source, "training")])
    assert not (tmp_path / run_id / "unsent.json").exists()
    assert outbox.warning == ""
    assert registry.run(run_id).status == "finished"
    client = MlflowClient(registry.uri)
    assert [file.path for file in client.list_artifacts(run_id, "training")] == ["training/source.py"]


def test_what_could_not_be_sent_is_sent_later_by_whoever_comes(registry, tmp_path, monkeypatch):
    home = tmp_path
    run_id = registry.start_run("late", {}, {})
    folder = home / "runs" / run_id
    outbox = Outbox(registry, run_id, folder)
    outbox.add(_points("loss", [5]))
    assert outbox.send()
    source = tmp_path / "source.py"
    source.write_text("print(1)")

    def gone(*_):
        raise Unavailable("The registry is gone.")

    with monkeypatch.context() as patch:
        for name in ("log_metrics", "log_file", "end_run"):
            patch.setattr(Registry, name, gone)
        outbox.add(_points("loss", [5, 4, 3]))
        assert not outbox.send()
        outbox.close("KILLED", [(source, "training")])
        assert "The registry is gone." in outbox.warning
        assert str(folder) in outbox.warning
        assert send_unsent(home, registry) == []
    # Another MLflow is told nothing.
    other = object.__new__(Registry)
    other.uri = "sqlite:///elsewhere.db"
    assert send_unsent(home, other) == []
    assert send_unsent(home, registry) == [run_id]
    assert [value for _, value in _history(registry, run_id, "loss")] == [5.0, 4.0, 3.0]
    assert registry.run(run_id).status == "interrupted"
    assert MlflowClient(registry.uri).list_artifacts(run_id, "training")
    assert send_unsent(home, registry) == []


def test_a_run_that_goes_on_is_left_to_itself_and_one_whose_process_is_gone_is_ended(registry, tmp_path):
    run_id = registry.start_run("dead", {}, {})
    folder = tmp_path / "runs" / run_id
    outbox = Outbox(registry, run_id, folder)
    outbox.add(_points("loss", [2, 1]))
    assert send_unsent(tmp_path, registry) == []
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    path = folder / "unsent.json"
    record = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**record, "pid": child.pid}))
    # A line that the crash cut off.
    with (folder / POINTS).open("ab") as file:
        file.write(b'["loss", 0.5')
    assert send_unsent(tmp_path, registry) == [run_id]
    assert len(_history(registry, run_id, "loss")) == 2
    assert registry.run(run_id).status == "failed"


def test_a_run_that_was_deleted_in_mlflow_is_forgotten(registry, tmp_path):
    run_id = registry.start_run("deleted", {}, {})
    outbox = Outbox(registry, run_id, tmp_path / "runs" / run_id)
    outbox.add(_points("loss", [1]))
    MlflowClient(registry.uri).delete_run(run_id)
    outbox.close("FINISHED", [])
    assert outbox.warning
    assert send_unsent(tmp_path, registry) == []
    assert not (tmp_path / "runs" / run_id / "unsent.json").exists()


def test_every_epoch_of_a_short_run_and_a_part_of_a_long_one_become_points(home):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1234, batch_size=178)
    steps = [step for step, _ in Registry(config.current()).metric_history(run.run_id, "loss")]
    assert steps == [*range(1, 1000), *range(1000, 1231, 10), 1234]
    assert len(run.history) == 1000
    assert run.history[-1]["epoch"] == 1234


def test_what_a_run_is_remembered_with(home):
    run = maas_jupyter.train(
        mlp(13, 3), data=wine(), epochs=2, schedule="cosine", clip=1.0, seed=7, source="model = mlp(13, 3)\n"
    )
    client = MlflowClient(config.current().resolved_registry_uri)
    kept = client.get_run(run.run_id)
    params = kept.data.params
    assert {name: params[name] for name in ("epochs", "schedule", "clip", "seed", "optimizer", "loss", "lr")} == {
        "epochs": "2",
        "schedule": "cosine",
        "clip": "1.0",
        "seed": "7",
        "optimizer": "Adam",
        "loss": "CrossEntropyLoss",
        "lr": "0.001",
    }
    assert len(params["data"]) == 16
    assert params["device"]
    assert params["python"]
    assert params["torch"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert kept.data.tags.get("mlflow.source.git.commit", "") == commit
    folder = Path(client.download_artifacts(run.run_id, "training"))
    assert sorted(path.name for path in folder.iterdir()) == ["environment.json", "model.safetensors", "source.py"]
    environment = msgspec.json.decode((folder / "environment.json").read_bytes())
    assert environment["packages"]["torch"]
    assert environment["python"] == params["python"]


class Server:
    """A real MLflow server that can be killed and started again on the same port."""

    def __init__(self, folder):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self):
        command = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/remote.db"]
        command += ["--artifacts-destination", str(self.folder / "art")]
        log = (self.folder / "mlflow.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command], stdout=log, stderr=log, start_new_session=True
        )
        for _ in range(900):
            assert self.process.poll() is None, (self.folder / "mlflow.log").read_text()
            try:
                if httpx.get(f"{self.uri}/health", timeout=1).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError("MLflow did not start")

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def test_an_mlflow_server_that_dies_in_the_middle_loses_nothing(tmp_path, own_home, monkeypatch):
    server = Server(tmp_path)
    server.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        net = mlp(13, 3)
        passes = []

        def kill_once(module, inputs):
            passes.append(module.training)
            if len(passes) == 100:
                server.kill()

        net.register_forward_pre_hook(kill_once)
        run = maas_jupyter.train(net, data=wine(), val=wine(), epochs=40, batch_size=32)
        assert run.status == "finished"
        assert len(run.history) == 40
        assert "not everything was written to the registry" in repr(run)
        assert "MLFLOW" not in repr(run)
        with pytest.raises(Unavailable):
            maas_jupyter.runs()
        server.start()
        registry = Registry(config.current())
        send_unsent(own_home, registry)
        for name, value in run.metrics.items():
            history = registry.metric_history(run.run_id, name)
            assert [step for step, _ in history] == list(range(1, 41))
            assert history[-1][1] == value
        assert registry.run(run.run_id).status == "finished"
        files = {file.path for file in MlflowClient(server.uri).list_artifacts(run.run_id, "training")}
        assert files == {"training/environment.json", "training/best.safetensors"}
    finally:
        server.kill()


def test_a_line_that_a_crash_cut_off_harms_no_later_one(registry, tmp_path):
    run_id = registry.start_run("cut", {}, {})
    folder = tmp_path / "runs" / run_id
    outbox = Outbox(registry, run_id, folder)
    outbox.add(_points("loss", [3, 2]))
    with (folder / POINTS).open("ab") as file:
        file.write(b'["loss",1.')
    resumed = Outbox(registry, run_id, folder)
    resumed.add(_points("after", [7]))
    while resumed.send():
        pass
    resumed.close("FINISHED", [])
    for line in (folder / POINTS).read_bytes().splitlines():
        msgspec.json.decode(line)
    assert _history(registry, run_id, "after") == [(0, 7.0)]
    assert len(_history(registry, run_id, "loss")) == 2


def test_an_interrupt_while_the_rest_is_sent_loses_neither_points_nor_the_end(registry, tmp_path, monkeypatch):
    run_id = registry.start_run("torn", {}, {})
    outbox = Outbox(registry, run_id, tmp_path / "runs" / run_id)
    outbox.add(_points("loss", [3, 2]))

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "log_metrics", interrupted)
        with pytest.raises(KeyboardInterrupt):
            outbox.close("FINISHED", [])
    assert send_unsent(tmp_path, registry) == [run_id]
    assert registry.run(run_id).status == "finished"
    assert len(_history(registry, run_id, "loss")) == 2
