"""A whole server as processes, and load on it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from maas_jupyter.serving.client import ServingClient
from maas_jupyter.serving.record import log_path, read_record

ROW = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 0, 0, 0]}]})


def until(condition):
    """Wait for something to become true; return it. The test's own timeout ends what never does."""
    while not (found := condition()):
        time.sleep(0.01)
    return found


def exists(pid):
    """Say whether a process, or a thread of it that may still hold its sockets, is there."""
    try:
        ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        return not ended or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def children(pid):
    """Return the ids of a process's children; none of one that is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command(pid):
    """Return the command line of a process; empty of one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def open_files(pid):
    """Return what a process has open beyond the standard streams, without what it closes meanwhile."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if int(path.name) > 2:
                found.append(str(path.readlink()))
    return found


class Server:
    """A server that is started with a command line."""

    def __init__(self, home, *arguments, environment=None):
        self.home = home
        self.arguments = arguments
        self._environment = {**os.environ, **(environment or {})}
        self._processes = []

    def start(self):
        home = self.home
        home.mkdir(exist_ok=True)
        with (home / "stderr").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "maas_jupyter.serving", "--home", str(home), *self.arguments],
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        self._processes.append(self.process)
        until(lambda: self.process.poll() is not None or self._announced())
        assert self._announced(), self.log()
        return self

    def _announced(self):
        record = read_record(self.home)
        return record is not None and record.pid == self.process.pid

    @property
    def record(self):
        return read_record(self.home)

    def workers(self):
        """Return the ids of the worker processes."""
        found = children(self.process.pid)
        return [*(pid for pid in found if pid != self.forkserver()), *children(self.forkserver())]

    def forkserver(self):
        """Return the id of the process that forks workers; None where there is none."""
        found = (pid for pid in children(self.process.pid) if "forkserver" in command(pid))
        return next(found, None)

    def client(self):
        return ServingClient(self.record.url, self.record.token)

    def publish(self, *arguments, **options):
        with self.client() as client:  # an idle connection would keep a worker from ending
            return client.publish(*arguments, **options)

    def get(self, path):
        """Return status and body, over a connection of its own."""
        with Caller(self.record) as caller:
            return caller.ask("GET", path)

    def metrics(self):
        return self.get("/metrics")[1].decode()

    def log(self):
        return (self.home / "stderr").read_text() + log_path(self.home).read_text()

    def ready(self, count):
        """Return the workers once so many of them were ready, by the log."""

        def found():
            lines = [json.loads(line) for line in log_path(self.home).read_text().splitlines() if line[:1] == "{"]
            said = {line["message"].split()[1] for line in lines if line["message"].endswith("is ready")}
            ready = [pid for pid in self.workers() if str(pid) in said and exists(pid)]
            return ready if len(ready) == count else None

        return until(found)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()

    def close(self):
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


class Caller:
    """One HTTP connection, with the record's token or another."""

    def __init__(self, record, token=None, context=None):
        address = urlsplit(record.url)
        if address.scheme == "https":
            context = context or ssl._create_unverified_context()
            self._http = http.client.HTTPSConnection(address.hostname, address.port, timeout=60, context=context)
        else:
            self._http = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token or record.token}", "Content-Type": "application/json"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._http.close()

    def ask(self, method, path, body=None):
        try:
            self._http.request(method, path, body, self._headers)
            answer = self._http.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self._http.close()  # the next request opens another
            raise


class Load:
    """Threads that ask a model all the time, each over a connection of its own.

    Parameters
    ----------
    kept : bool
        Keep connections as long as the server does; else open one for each request.

    Attributes
    ----------
    answers : Counter-like dict
        Number of answers by status.
    cut : list of Exception
        Requests whose connection ended before their answer.
    """

    def __init__(self, record, model="digits", *, threads=4, kept=True):
        self.answers = {}
        self.cut = []
        self.broken = []
        self._record = record
        self._path = f"/v2/models/{model}/infer"
        self._kept = kept
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, number):
        """Wait until so many further answers came."""
        wanted = self.total + number
        until(lambda: self.total >= wanted)

    @property
    def total(self):
        return sum(self.answers.values())

    def _run(self):
        with Caller(self._record) as caller:
            while not self._stop.is_set():
                try:
                    status, body = caller.ask("POST", self._path, ROW)
                except (ConnectionError, http.client.HTTPException) as error:
                    with self._lock:
                        self.cut.append(error)
                    continue
                except Exception as error:
                    self.broken.append(error)
                    raise
                with self._lock:
                    self.answers[status] = self.answers.get(status, 0) + 1
                if status != 200:
                    self.broken.append(body)
                if not self._kept:
                    caller._http.close()
