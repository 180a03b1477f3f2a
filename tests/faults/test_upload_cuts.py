"""Uploads whose connection is cut at random bytes: resumed or refused, never half a bundle."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading

import pytest
from supervised import ROW, Caller

from maas_jupyter.errors import MaasError
from maas_jupyter.serving.client import ServingClient


class CuttingProxy:
    """Passes connections on to a server until a number of bytes has gone in, then cuts them all."""

    def __init__(self, port):
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.left = None
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source, sink, counted):
        try:
            while data := source.recv(4096):
                if counted:
                    with self._lock:
                        if self.left is not None:
                            data = data[: self.left]
                            self.left -= len(data)
                    if not data:
                        break
                sink.sendall(data)
        except OSError:
            pass  # the other half was cut
        for end in (source, sink):
            with contextlib.suppress(OSError):  # already down
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()


@pytest.mark.parametrize("cuts", [2, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_an_upload_that_is_cut_is_resumed_or_refused(make_server, scaled, cuts):
    server = make_server("--workers", "2", "--threads", "1")
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    proxy = CuttingProxy(int(server.record.url.rpartition(":")[2]))
    failed = 0

    def answers():
        with Caller(server.record) as caller:
            return json.loads(caller.ask("POST", "/v2/models/digits/infer", ROW)[1])["model_version"]

    try:
        with server.client() as direct:
            direct.publish("digits", "0", scaled(1.0))
            for turn in range(cuts):
                folder = scaled(2.0 + turn, padding=400_000)
                size = sum(path.stat().st_size for path in folder.iterdir())
                proxy.left = chance.randrange(size)
                try:
                    with ServingClient(proxy.url, server.record.token, timeout=2) as client:
                        client.publish("digits", f"cut-{turn}", folder)
                except MaasError:
                    failed += 1
                assert answers() in (f"{turn}", f"cut-{turn}"), f"seed {seed}"
                proxy.left = None
                with ServingClient(proxy.url, server.record.token) as client:
                    client.publish("digits", f"{turn + 1}", folder)
                assert answers() == f"{turn + 1}"
    finally:
        proxy.close()
    assert failed, "no cut reached a client"
    staged = list((server.home / "bundles" / ".staging").glob("*"))
    assert staged == [], f"seed {seed}"
    print(f"{cuts} cuts (seed {seed}), {failed} of them ended a publish; every one was completed by the next")
