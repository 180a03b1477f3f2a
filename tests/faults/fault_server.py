"""A real model server as a process, and the clients that load it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import httpx

from maas_jupyter.serving.client import ServingClient
from maas_jupyter.serving.record import read_record

ROW = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


class Server:
    """A model server as a process of its own session."""

    def __init__(self, home, *arguments):
        self.home = home
        self.arguments = [sys.executable, "-m", "maas_jupyter.serving", "--home", str(home), *arguments]
        self.process = None

    def start(self):
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home.parent / f"{self.home.name}.log").open("ab") as log:
            self.process = subprocess.Popen(self.arguments, stdout=log, stderr=log, start_new_session=True)
        while True:
            record = read_record(self.home)
            if record is not None and record.pid == self.process.pid:
                self.record = record
                return self
            assert self.process.poll() is None, (self.home.parent / f"{self.home.name}.log").read_text()[-3000:]
            time.sleep(0.005)

    def client(self, timeout=30.0):
        return ServingClient(self.record.url, self.record.token, timeout)

    def http(self, **options):
        headers = {"Authorization": f"Bearer {self.record.token}"}
        return httpx.Client(base_url=self.record.url, headers=headers, timeout=30, **options)

    def kill(self):
        """Kill every process of the server at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)


class Load:
    """Clients that ask without a pause until the block ends; what went wrong is in ``failures``."""

    def __init__(self, server, path, clients=4):
        self.failures = []
        self.answered = 0
        self.versions = set()
        self._server, self._path = server, path
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self):
        with self._server.http() as http:
            while not self._stop.is_set():
                try:
                    answer = http.post(self._path, json=ROW)
                except httpx.TransportError as error:
                    with self._lock:
                        self.failures.append(repr(error))
                    continue
                with self._lock:
                    if answer.is_success:
                        self.answered += 1
                        self.versions.add(answer.json()["model_version"])
                    else:
                        self.failures.append(f"{answer.status_code} {answer.text}")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        while not self.answered and not self.failures:
            time.sleep(0.005)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
