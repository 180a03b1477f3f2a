"""The real server as a process: started, found again, killed, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from bundles import Bundles, linear_softmax, two_inputs

import maas_jupyter
from maas_jupyter.errors import BundleError, InvalidInput, MaasError, NotFound, Unauthorized, Unavailable
from maas_jupyter.serving.client import ServingClient
from maas_jupyter.serving.record import ALREADY_RUNS, log_path, read_record, record_path
from maas_jupyter.targets.connections import Connection, Connections
from maas_jupyter.targets.endpoint import Endpoint, moment
from maas_jupyter.targets.local import LocalTarget

X = np.array([[1, 0, 0, 0], [0, 0, 0, 1]])
ROOT = Path(maas_jupyter.__file__).parent.parent


def python(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def servers(home):
    """Return the ids of the server processes of a home."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"maas_jupyter.serving" in arguments and str(home).encode() in arguments:
            found.append(int(path.parent.name))
    return found


def workers(supervisor):
    """Return the ids of the worker processes of a server."""
    return [int(pid) for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()]


def collected(pid):
    """Wait until a process that has ended is not even a zombie of ours."""
    while (path := Path(f"/proc/{pid}/stat")).exists():
        with contextlib.suppress(OSError):
            assert path.read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_publish_starts_a_server_that_answers(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    assert (endpoint.name, endpoint.target, endpoint.state) == ("digits", "local", "ready")
    assert [(row.version, row.weight, row.state) for row in endpoint.traffic] == [("1", 100, "ready")]
    prediction = endpoint.predict(X)
    assert (prediction.endpoint, prediction.version) == ("digits", "1")
    assert prediction.labels.tolist() == prediction.scores.argmax(-1).tolist()
    assert prediction.scores.dtype == np.float32
    assert prediction.scores.shape == (2, 3)
    assert 'maas_requests_total{code="200",model="digits"' in endpoint.metrics_text()
    assert any("digits" in line for line in endpoint.logs())


def test_the_record_tells_the_port_and_is_ours_alone(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    record = read_record(target.home)
    assert stat.S_IMODE(record_path(target.home).stat().st_mode) == 0o600
    assert record.url.startswith("http://127.0.0.1:")
    assert endpoint.url == f"{record.url}/v2/models/digits/infer"
    assert servers(target.home) == [record.pid]
    with pytest.raises(Unauthorized):
        ServingClient(record.url, "wrong").status()


def test_the_token_shows_nowhere(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    endpoint.predict(X)
    record = read_record(target.home)
    places = [
        Path(f"/proc/{record.pid}/cmdline").read_text(),
        Path(f"/proc/{record.pid}/environ").read_text(),
        log_path(target.home).read_text(),
        repr(target),
        repr(target.client()),
        repr(endpoint),
        repr(target.endpoints()),
        str(record),
        endpoint.curl,
        endpoint.python_client,
    ]
    assert not any(record.token in place for place in places)


def test_the_server_imports_no_framework(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    program = """
import sys
from pathlib import Path
import maas_jupyter.serving.__main__, maas_jupyter.serving.app, maas_jupyter.serving.client, uvicorn
from maas_jupyter import plugins
plugins.load("runtime", "onnx")
heavy = {"torch", "transformers", "mlflow", "onnx", "matplotlib", "pandas", "sklearn", "IPython", "scipy"}
print(sorted(heavy & set(sys.modules)))
"""
    process = python("-c", program)
    assert process.communicate() == ("[]\n", "")
    supervisor = read_record(target.home).pid
    (worker,) = workers(supervisor)
    loaded = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in (supervisor, worker)}
    assert "onnxruntime" in loaded[worker]
    assert "/torch/" not in loaded[worker]
    assert not any(package in loaded[supervisor] for package in ("numpy", "onnxruntime", "uvloop"))


def test_another_process_finds_the_running_server(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    program = """
import sys
from pathlib import Path
from maas_jupyter.targets.local import LocalTarget
target = LocalTarget(Path(sys.argv[1]))
target.prepare()
print(target.endpoint("digits").predict([[1, 0, 0, 0]]).version, target.client().status().pid)
"""
    out, err = python("-c", program, target.home).communicate()
    assert out.split() == ["1", str(read_record(target.home).pid)], err
    assert len(servers(target.home)) == 1


def test_two_processes_that_publish_at_once_both_succeed(target, bundles):
    program = """
import sys
from pathlib import Path
from maas_jupyter.targets.local import LocalTarget
sys.stdin.readline()
target = LocalTarget(Path(sys.argv[1]))
target.prepare()
for version, folder in enumerate(sys.argv[3:], 1):
    print(target.publish(sys.argv[2], str(version), Path(folder)).predict([[1, 0, 0, 0]]).version)
"""
    shared = bundles.make(linear_softmax(7))
    publishing = [
        python("-c", program, target.home, name, shared, bundles.make(linear_softmax(scale)), stdin=subprocess.PIPE)
        for scale, name in enumerate(("a", "b", "c"), 1)
    ]
    for process in publishing:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in publishing:
        out, err = process.communicate()
        assert out.split() == ["1", "2"], err
    assert [(each.name, each.state) for each in target.endpoints()] == [(name, "ready") for name in "abc"]
    assert servers(target.home) == [read_record(target.home).pid]


def test_two_threads_that_publish_the_same_model_at_once(target, bundles):
    folders = [bundles.make(linear_softmax(scale)) for scale in (1, 2)]
    failed = []

    def publish(version, folder):
        try:
            LocalTarget(target.home).publish("digits", version, folder)
        except Exception as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=publish, args=each) for each in zip("12", folders, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(target.endpoint("digits").traffic) == 1


def test_clients_that_send_the_same_new_bundle_at_once_all_succeed(target, bundles):
    base = bundles.make(linear_softmax())
    target.publish("base", "1", base)
    record = read_record(target.home)
    clients = [ServingClient(record.url, record.token) for _ in range(6)]
    together = threading.Barrier(len(clients))
    folders = [bundles.make(linear_softmax(scale)) for scale in range(2, 22)]
    failed = []

    def publish(number, client):
        for version, folder in enumerate(folders):
            together.wait(60)
            try:
                client.publish(f"m{number % 2}", str(version), folder)
            except MaasError as error:
                failed.append(error)

    threads = [threading.Thread(target=publish, args=each) for each in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    assert not failed
    # What serves, and what a rollback may need: the last five entries of each history.
    kept = {
        served["digest"]
        for path in (target.home / "history").iterdir()
        for line in path.read_text().splitlines()[-5:]
        for served in json.loads(line)["model"]["versions"]
    }
    assert {Bundles.digest(base), Bundles.digest(folders[-1])} <= kept
    assert len(kept) <= 11
    left = {str(path.relative_to(target.home / "bundles")) for path in (target.home / "bundles").rglob("*")}
    assert left == {".staging", *kept, *(f"{digest}/{name}" for digest in kept for name in ("maas.json", "model.onnx"))}


def test_a_second_server_on_the_home_says_so(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    second = python("-m", "maas_jupyter.serving", "--home", target.home)
    assert "already runs" in second.communicate()[1]
    assert second.returncode == ALREADY_RUNS
    assert target.endpoint("digits").state == "ready"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_only_loopback_is_listened_on(tmp_path, host):
    process = python("-m", "maas_jupyter.serving", "--home", tmp_path / "home", "--host", host)
    assert "127.0.0.1" in process.communicate()[1]
    assert process.returncode == 2


def test_a_killed_server_is_unavailable_until_the_next_publish_brings_all_back(target, bundles, kill):
    held = target.publish("digits", "1", bundles.make(linear_softmax()))
    target.publish("pair", "3", bundles.make(two_inputs()))
    kill()
    for endpoint in target.endpoints():
        assert endpoint.state == "unavailable"
        assert endpoint.reason.endswith("is gone. Start it with all that it serves: %maas start")
    with pytest.raises(Unavailable, match="does not run"):
        held.predict(X)

    target.publish("other", "1", bundles.make(linear_softmax(2)))
    assert {each.name: each.state for each in target.endpoints()} == dict.fromkeys(["digits", "other", "pair"], "ready")
    assert held.predict(X).version == "1"


def test_a_bundle_that_was_cut_is_refused_while_the_old_version_serves(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    folder = bundles.make(linear_softmax(2))
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[:-1])
    with pytest.raises(BundleError, match=r"model\.onnx .*sha256"):
        target.publish("digits", "2", folder)
    assert endpoint.predict(X).version == "1"
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx cannot be read"):
        target.publish("digits", "2", folder)
    (folder / "model.onnx").write_bytes(whole)
    target.publish("digits", "2", folder)
    assert endpoint.predict(X).version == "2"


def test_a_bundle_cut_on_the_servers_disk_is_sent_again(target, bundles, kill):
    folder = bundles.make(linear_softmax())
    target.publish("pair", "1", bundles.make(two_inputs()))
    target.publish("digits", "1", folder)
    kill()
    stored = target.home / "bundles" / Bundles.digest(folder) / "model.onnx"
    stored.write_bytes(stored.read_bytes()[:-1])
    target.client()
    assert {each.name: each.state for each in target.endpoints()} == {"digits": "failed", "pair": "ready"}
    assert "sha256" in target.endpoint("digits").reason
    assert target.publish("digits", "1", folder).predict(X).version == "1"


def test_a_graph_that_does_not_load(target, bundles):
    with pytest.raises(BundleError, match="cannot be loaded"):
        target.publish("digits", "1", bundles.write(b"nothing", linear_softmax()[1]))
    assert target.endpoints() == []


def test_names_that_cannot_be_served(target, bundles):
    with pytest.raises(InvalidInput, match="cannot be the name"):
        target.publish("my model/ä", "1", bundles.make(linear_softmax()))


def test_stop_one_model_and_the_last(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    target.publish("pair", "1", bundles.make(two_inputs()))
    with pytest.raises(NotFound, match="no endpoint 'digit'") as raised:
        target.stop("digit")
    assert "'digits'" in raised.value.hint
    done = target.stop("digits")
    assert repr(done) == "digits is no longer published on local; its history stays: %maas history digits"
    assert [each.name for each in target.endpoints()] == ["pair"]
    pid = read_record(target.home).pid
    assert "the local server ended" in repr(target.stop("pair"))
    assert collected(pid)
    assert target.endpoints() == []
    with pytest.raises(NotFound):
        target.stop("pair")


def test_stop_keeps_what_was_published(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    pid = read_record(target.home).pid
    done = LocalTarget(target.home).stop()  # another object, as another cell has it
    assert repr(done) == "The local server was stopped; digits comes back with %maas start, or with the next publish."
    assert collected(pid)
    assert not record_path(target.home).exists()
    stopped = target.endpoint("digits")
    assert (stopped.state, stopped.url, stopped.curl, stopped.python_client) == ("stopped", "", "", "")
    assert "does not run; digits comes back" in repr(target.stop())
    target.publish("pair", "1", bundles.make(two_inputs()))
    assert target.endpoint("digits").state == "ready"


def test_start_brings_back_what_was_published_and_says_where(target, bundles, kill):
    nothing = repr(target.start())
    url = read_record(target.home).url
    assert nothing == f"The local server was started at {url}. Nothing is published yet: %maas publish MODEL."
    target.publish("digits", "1", bundles.make(linear_softmax()))
    target.publish("pair", "1", bundles.make(two_inputs()))
    for end in (target.stop, kill):
        end()
        other = LocalTarget(target.home)  # another cell's
        assert repr(other.start()) == f"The local server was started at {url}. It serves digits and pair."
        assert target.endpoint("digits").predict(X).version == "1"
    pid = read_record(target.home).pid
    assert repr(target.start()) == f"The local server runs already at {url}. It serves digits and pair."
    assert servers(target.home) == [pid]


def test_start_names_what_cannot_be_served(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    target.publish("pair", "1", bundles.make(two_inputs()))
    target.stop()
    (digest,) = {json.loads(path.read_text())["versions"][0]["digest"] for path in target.home.rglob("digits.json")}
    (target.home / "bundles" / digest / "model.onnx").write_bytes(b"")
    assert repr(target.start()).endswith(" It serves pair. digits cannot be served now: see %maas endpoints.")


def test_start_of_a_server_that_cannot_start(target, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(Unavailable, match="ended with status 1"):
        target.start()


def test_a_server_takes_the_port_that_it_had(target, bundles, kill):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    for end in (target.stop, kill):
        end()
        target.start()
        assert target.endpoint("digits").url == endpoint.url
        assert target.endpoint("digits").note == ""


def test_a_server_whose_port_is_taken_says_that_it_has_another(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    target.publish("pair", "1", bundles.make(two_inputs()))
    target.stop()
    port = httpx.URL(endpoint.url).port
    with socket.create_server(("127.0.0.1", port)):
        moved = f"It is at another address than before: port {port} was taken when the server started."
        assert repr(target.start()).endswith(moved)
    endpoint.refresh()
    assert httpx.URL(endpoint.url).port != port
    assert repr(endpoint).splitlines()[-1] == moved
    assert moved in endpoint._repr_mimebundle_()["text/html"]
    shown = target.endpoints()
    assert repr(shown).count(moved) == 1
    assert shown._repr_mimebundle_()["text/html"].count(moved) == 1
    target.stop()
    target.start()  # that one is the last one now
    assert (target.endpoint("digits").url, target.endpoint("digits").note) == (endpoint.url, "")


@pytest.mark.parametrize("text", ["", "many", "-1", "70000", "\N{SUPERSCRIPT TWO}"])
def test_a_port_that_cannot_be_is_not_taken(target, text):
    target.home.mkdir(parents=True)
    (target.home / "server.port").write_text(text)
    assert "was taken" not in repr(target.start())


def test_a_terminated_server_ends_cleanly(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    pid = read_record(target.home).pid
    os.kill(pid, signal.SIGTERM)
    while Path(f"/proc/{pid}").exists():
        pass
    assert target.endpoint("digits").state == "stopped"


def test_a_server_that_does_not_answer_is_neither_forgotten_nor_started_again(target, bundles, paused):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    folder = bundles.make(two_inputs())
    with paused() as pid:
        other = LocalTarget(target.home)  # another notebook
        for attempt in (
            target.stop,
            lambda: target.stop("digits"),
            other.stop,
            other.prepare,
            lambda: other.publish("pair", "1", folder),
        ):
            with pytest.raises(Unavailable, match=rf"process {pid}\) does not answer") as raised:
                attempt()
            assert raised.value.hint == f"End it with: kill {pid}"
        endpoint = target.endpoint("digits")
        assert endpoint.state == "unavailable"
        assert f"kill {pid}" in endpoint.reason
        assert read_record(target.home).pid == pid
        assert servers(target.home) == [pid]
    assert target.endpoint("digits").predict(X).version == "1"
    target.publish("pair", "1", folder)
    assert servers(target.home) == [pid]
    target.stop()
    assert collected(pid)


def test_a_server_killed_while_it_does_not_answer_is_replaced(target, bundles, paused):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    with paused() as pid:
        with pytest.raises(Unavailable):
            target.stop()
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():
            pass
    target.client()
    assert target.endpoint("digits").state == "ready"


def test_stop_while_the_server_starts(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    target.stop()
    target.prepare()
    target.stop()
    assert target.endpoint("digits").state == "stopped"
    assert servers(target.home) == []


def test_release_ends_the_server_that_was_prepared_in_vain(target):
    target.release()  # nothing was prepared
    target.prepare()
    target.release()
    assert servers(target.home) == []
    assert not record_path(target.home).exists()
    target.client()
    (pid,) = servers(target.home)
    target.release()
    assert collected(pid)
    target.release()


def test_release_leaves_a_server_that_serves(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    target.release()
    assert target.endpoint("digits").state == "ready"
    target.stop()
    target.prepare()  # and one that is about to
    target.release()
    target.client()
    assert target.endpoint("digits").state == "ready"


def test_release_leaves_a_server_of_others(target):
    target.client()
    other = LocalTarget(target.home)
    other.prepare()
    other.client()
    other.release()
    assert servers(target.home) == [read_record(target.home).pid]


def test_release_when_the_server_does_not_start(target, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    target.prepare()
    target.release()
    monkeypatch.undo()
    with pytest.raises(Unavailable, match="ended with status 1"):
        target.client()
    target.client()
    assert servers(target.home) == [read_record(target.home).pid]


def test_withdraw_a_model_while_the_server_is_gone(target, bundles, kill):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    kill()
    target.stop("digits")
    assert target.endpoints() == []


def test_a_record_of_something_else_is_not_believed(target, bundles, kill):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    kill()
    record = json.loads(record_path(target.home).read_text())
    record_path(target.home).write_text(json.dumps({**record, "pid": os.getpid()}))
    assert target.endpoint("digits").state == "unavailable"
    record_path(target.home).write_text('{"pid": 1')
    assert target.endpoint("digits").state == "stopped"
    assert target.publish("digits", "1", bundles.make(linear_softmax())).state == "ready"


def test_a_server_that_cannot_start_shows_its_log(tmp_path):
    home = tmp_path / "server"
    home.mkdir()
    (home / "models").write_text("a file where a folder should be")
    (home / "bundles").write_text("the same")
    target = LocalTarget(home)
    (home / "server.lock").mkdir()
    with pytest.raises(Unavailable, match="ended with status 1") as raised:
        target.client()
    assert "server.log" in raised.value.hint
    assert f"{home} cannot be used: its lock server.lock" in raised.value.message


def test_a_home_in_the_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="would be in the place of a file") as raised:
        LocalTarget(tmp_path / "file" / "server").client()
    assert "file" in raised.value.message


# -- the endpoint -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, 5)), r"\(rows, 4\), given is \(2, 5\)"),
        (np.zeros(4), r"\(rows, 4\), given is \(4,\)"),
        ([[1, 2, 3], [1]], "cannot be made"),
        ([["a", "b", "c", "d"]], "values that do not fit"),
        ([[1, 2, 3, 1e300]], "values that do not fit"),
        ({"y": X}, r"takes the inputs 'x'; missing: 'x'; unknown: 'y'"),
    ],
)
def test_data_that_does_not_fit(target, bundles, rows, message):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    with pytest.raises(InvalidInput, match=message):
        endpoint.predict(rows)


def test_an_answer_that_is_no_number_is_said_to_be_none(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    rows = np.ones((4, 4), dtype=np.float32)
    assert endpoint.predict(rows).notes == []
    rows[2, 1] = np.nan
    found = endpoint.predict(rows)
    (note,) = found.notes
    assert note.startswith("row 2 got scores of NaN or infinity, and so a label that means nothing")
    assert repr(found).splitlines()[-1] == f"note: {note}"
    rows[3, 0] = np.nan
    assert endpoint.predict(rows).notes[0].startswith("2 rows, the first of them row 2, got scores")


def test_several_inputs_are_a_dict(target, bundles):
    endpoint = target.publish("pair", "1", bundles.make(two_inputs()))
    assert endpoint.predict({"a": [1, 2], "i": [0, 2]}).outputs["prediction"].tolist() == [11, 32]
    assert endpoint.predict({"a": [1, 2], "i": [0, 2.0]}, version="1").labels is None
    for wrong, message in [
        ([1, 2], "takes 2 inputs"),
        ({"a": [1, 2], "i": [0, 1.5]}, "values that do not fit"),
        ({"a": [1, 2], "i": [0, 9]}, "refuses"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            endpoint.predict(wrong)
    with pytest.raises(NotFound, match="no version '2'"):
        endpoint.predict({"a": [1], "i": [0]}, version="2")


def test_the_curl_line_and_the_python_client_work(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    shell = subprocess.run(["bash", "-c", endpoint.curl], capture_output=True, text=True, check=True)
    program = subprocess.run([sys.executable, "-c", endpoint.python_client], capture_output=True, text=True, check=True)
    answer = json.loads(shell.stdout)
    assert answer["outputs"][0] == {"name": "label", "shape": [1], "datatype": "INT64", "data": [0]}
    assert str(answer["outputs"][0]["data"]) in program.stdout


def test_what_several_endpoints_rest_for_is_said_once(target, bundles):
    folder = bundles.make(linear_softmax())
    for name in ("digits", "wine", "iris"):
        target.publish(name, "1", folder)
    target.stop()
    found = target.endpoints()
    for shown in (repr(found), *found._repr_mimebundle_().values()):
        assert shown.count("server was stopped") == 1
        assert all(name in shown for name in ("digits", "wine", "iris"))
    assert "server was stopped" in repr(found[1])
    assert "server was stopped" in repr(type(found)(found[:1]))


def test_a_display_says_when_it_was_so(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    assert f"as of {moment(endpoint.seen)}" in endpoint._repr_mimebundle_()["text/html"]


def test_a_display_does_not_wait_for_a_server_that_does_not_answer(target, bundles, paused, monkeypatch):
    monkeypatch.setattr(sys.modules[Endpoint.__module__], "SHOWN_SECONDS", 0.05)
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    endpoint.seen -= 60
    seen = endpoint.seen
    with paused():
        shown = endpoint._repr_mimebundle_()
        assert "local does not say within 0.05 s" in shown["text/plain"]
        assert f"as of {moment(seen)}" in shown["text/html"]
    assert endpoint.refresh().reason == ""


def test_the_token_variables_of_connections_are_not_the_local_servers(target, bundles, tmp_path, monkeypatch):
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "home"))
    for name in ("GPU_TOKEN", "SOMETHING_ELSE"):
        monkeypatch.setenv(name, "seen-by-the-server")
    Connections(tmp_path / "home").add(Connection(name="gpu", url="https://gpu-box", token_env="GPU_TOKEN"))
    target.publish("digits", "1", bundles.make(linear_softmax()))
    supervisor = read_record(target.home).pid
    for pid in (supervisor, *workers(supervisor)):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert b"SOMETHING_ELSE=seen-by-the-server" in environment
        assert not any(each.startswith(b"GPU_TOKEN=") for each in environment)


def test_the_home_is_the_owners_alone(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    assert {stat.S_IMODE(path.stat().st_mode) for path in (target.home.parent, target.home)} == {0o700}


def test_the_log_of_an_endpoint_is_shown_readable_and_without_the_others(target, bundles):
    folder = bundles.make(linear_softmax())
    endpoint = target.publish("digits", "1", folder)
    target.publish("wine", "1", folder)
    lines = endpoint.logs(100)
    assert "wine" not in repr(lines)
    assert re.search(r"^[-\d]{10} [:\d]{8} info    worker \d+ +model digits version 1 loaded in", repr(lines), re.M)
    loading = {entry.source for entry in lines.entries if "loaded in" in entry.message}
    assert loading and all(re.fullmatch(r"worker \d+", source) for source in loading)
    assert all(json.loads(line)["message"] for line in lines)
    assert len(endpoint.logs(1)) == 1
    shown = lines._repr_mimebundle_()
    assert shown["text/plain"] == repr(lines)
    assert "model digits version 1 loaded in" in shown["text/html"]
    assert all(source in shown["text/html"] for source in loading)
    assert "<script" not in shown["text/html"]
