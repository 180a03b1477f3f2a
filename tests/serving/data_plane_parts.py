"""A worker's data plane: versions are put into its repository by the test, in place of a control plane."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import uvicorn
from bundles import Bundles
from fake_runtimes import ROWS

from maas_jupyter.bundle import Bundle
from maas_jupyter.schema import ServedModel, ServedVersion
from maas_jupyter.serving.app import worker_app
from maas_jupyter.serving.auth import Principal, Token
from maas_jupyter.serving.batching import Batcher
from maas_jupyter.serving.connections import protocol_class
from maas_jupyter.serving.control.plane import ControlPlane
from maas_jupyter.serving.exchange import RequestContext
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.servable import Servable

TOKENS = [Token("ann", "admin", "the-token-of-ann"), Token("rob", "predict", "the-token-of-rob")]


def context(**fields):
    return RequestContext(Principal("p"), **fields)


def rows(*values):
    """Return an input with one row for each value."""
    return {"x": np.array([[value, value] for value in values], dtype=np.float32)}


async def until(condition):
    """Wait for a condition."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def batcher(folder, *, limits=None, signature=ROWS, executor=None, length=None, **fields):
    """Load a bundle with the runtime of the test; return its batcher, its runtime and the metrics."""
    made = Bundles(folder).write(b"", signature, **{"runtime": "fake", **fields})
    servable = Servable.load(Bundle.open(made))
    if length is not None:
        servable.length = length
    metrics = Metrics()
    made = Batcher("m", "1", servable, metrics, executor or ThreadPoolExecutor(2), limits or Limits())
    return made, servable.runtime, metrics


class DataPlaneServer:
    """Serves over real HTTP, in a thread beside the test."""

    def __init__(self, folder, *, limits=None, protocol=True):
        self._bundles = Bundles(folder / "made")
        self._folder = folder / "home"
        self.limits = limits or Limits()
        self._bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._bound.bind(("127.0.0.1", 0))
        self.address = self._bound.getsockname()
        self._protocol = protocol
        self._loop = None
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)))
        self._thread.start()
        assert started.wait(30)
        self.http = self.client()

    async def _run(self, started):
        self._loop = asyncio.get_running_loop()
        self.repository = ModelRepository(self._folder, Metrics(), limits=self.limits)
        self.repository.settled = True
        self.app = worker_app(self.repository, ControlPlane(self._folder, self.repository), TOKENS, limits=self.limits)
        self.plane = self.app.state.plane
        http = protocol_class(self.limits, self.app.state.direct) if self._protocol else "auto"
        config = uvicorn.Config(self.app, http=http, lifespan="off", log_config=None, access_log=False, ws="none")
        self._server = uvicorn.Server(config)

        async def announce():
            await until(lambda: self._server.started)
            started.set()

        announcing = asyncio.create_task(announce())
        await self._server.serve([self._bound])
        await announcing
        await self.repository.close()

    def client(self, token=TOKENS[0].token):
        host, port = self.address
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=f"http://{host}:{port}", headers=headers, timeout=60)

    def call(self, coroutine):
        """Run a coroutine on the server's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def bundle(self, signature=ROWS, graph=b"", **fields):
        """Write a bundle with the runtime of the test into the repository; return its digest."""
        made = self._bundles.write(graph, signature, **{"runtime": "fake", **fields})
        digest = Bundles.digest(made)
        target = self._folder / "bundles" / digest
        target.parent.mkdir(parents=True, exist_ok=True)
        made.rename(target)
        return digest

    def serve(self, name, *versions, shadow=None):
        """Serve these versions."""
        self.call(self.repository.apply(ServedModel(name, list(versions), shadow), []))

    def serve_one(self, name="m", signature=ROWS, graph=b"", **fields):
        """Serve one new bundle as version 1."""
        self.serve(name, ServedVersion("1", self.bundle(signature, graph, **fields)))

    def infer(self, *values, model="m", client=None, **options):
        """Ask for rows of these values."""
        body = {
            "inputs": [{"name": "x", "shape": [len(values), 2], "datatype": "FP32", "data": [[v, v] for v in values]}]
        }
        return (client or self.http).post(f"/v2/models/{model}/infer", json=body, **options)

    def counts(self):
        """Return what was counted."""

        async def counts():
            return await self.repository.counts()

        return self.call(counts())

    def close(self):
        self.http.close()
        self._server.should_exit = True
        self._thread.join()
