"""A worker: answers requests with what the supervisor tells it to serve."""

from __future__ import annotations

import gc

if __name__ == "__main__":
    # What is imported stays: looking for garbage among it meanwhile would make each start a tenth longer.
    gc.disable()

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import uvicorn
import uvloop

from maas_jupyter.schema import ModelStatus
from maas_jupyter.serving import logs
from maas_jupyter.serving.app import worker_app
from maas_jupyter.serving.auth import Authenticator, Principal
from maas_jupyter.serving.connections import protocol_class
from maas_jupyter.serving.control.base import Control, LoadHangs
from maas_jupyter.serving.counts import Counts, ProcessFigures
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.record import log_path
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.supervisor.accept import Acceptor, Shares
from maas_jupyter.serving.supervisor.base import CLOSE_SECONDS, END_SECONDS, Applied, Setup, SupervisorSide, WorkerSide
from maas_jupyter.serving.supervisor.channel import Channel, PeerEnded, receive
from maas_jupyter.serving.supervisor.memory import Reclaimer

#: Seconds between two reports of what was counted.
REPORT_SECONDS = 1.0
#: After how long a thread may ask another one for the interpreter. With Python's own 5 ms a batch waits that long for
#: the event loop that answers the batch before, and an encoder loses a tenth of its rate.
SWITCH_SECONDS = 0.0002
#: How long a worker may live without its supervisor.
ORPHAN_SECONDS = 0.5

log = logging.getLogger(__name__)


class HttpServer(uvicorn.Server):
    """Shares its socket with other workers, leaves signals to its process, and can end without failing a request.

    Parameters
    ----------
    config : uvicorn.Config
        Settings.
    shares : Shares
        How many connections each worker has.
    place : int
        This worker's place in them.
    """

    def __init__(self, config: uvicorn.Config, shares: Shares, place: int) -> None:
        super().__init__(config)
        self._shares = shares
        self._place = place
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        config = self.config

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        connections = self.server_state.connections
        self._acceptors = [
            Acceptor(
                listening,
                protocol,
                config.ssl,
                shares=self._shares,
                place=self._place,
                count=lambda: len(connections),
            )
            for listening in sockets or ()
        ]
        self.servers = cast(Any, self._acceptors)
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    @property
    def busy(self) -> bool:
        """Whether connections are open."""
        return bool(self.server_state.connections) or any(acceptor.opening for acceptor in self._acceptors)

    def refuse(self) -> None:
        """Accept no connection any more, and ask for an end of those that are open with every further answer."""
        for acceptor in self._acceptors:
            acceptor.close()
        # What a client may already have sent on an idle connection would be lost if that was closed instead.
        self.config.encoded_headers.append((b"connection", b"close"))
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]


class Worker:
    """What the supervisor asks of this process; see `WorkerSide`.

    Parameters
    ----------
    setup : Setup
        What the supervisor said first.
    listening : socket
        Shared with the other workers.
    shares : Shares
        How many connections each worker has.
    """

    def __init__(self, setup: Setup, listening: socket.socket, shares: Shares) -> None:
        options = setup.options
        self._setup = setup
        self._listening = listening
        self._accept = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None
        self.channel = Channel(asks=SupervisorSide, offers=WorkerSide, by=self, peer="The supervisor")
        self._control = cast(Control, self.channel)
        self._repository = ModelRepository(
            options.folder,
            Metrics(),
            limits=options.limits,
            threads=options.inference_threads,
            load_seconds=options.load_seconds,
            loading=self._loading,
        )
        self._loop = asyncio.get_running_loop()
        self._app = worker_app(
            self._repository,
            self._control,
            setup.tokens,
            limits=options.limits,
            stop=self._stop,
        )
        self._http = HttpServer(
            uvicorn.Config(
                self._app,
                http=protocol_class(options.limits, self._app.state.direct),
                ws="none",
                lifespan="off",
                proxy_headers=False,
                access_log=False,
                log_config=None,
                ssl_certfile=options.tls_cert,
                ssl_keyfile=options.tls_key,
                timeout_graceful_shutdown=END_SECONDS,
            ),
            shares,
            setup.place,
        )
        self._grpc: Any = None

    def _stop(self) -> None:
        # Called in a thread, after the answer was sent.
        self._loop.call_soon_threadsafe(self.channel.tell, "shutdown")

    @contextmanager
    def _loading(self, digest: str) -> Iterator[None]:
        self.channel.tell("loading", digest)
        try:
            yield
        except LoadHangs as error:
            self.channel.tell("hangs", digest, error.message)
            raise
        finally:
            self.channel.tell("loaded", digest)

    # -- WorkerSide ---------------------------------------------------------------------------------------------------

    def __getattr__(self, method: str) -> Any:
        return getattr(self._repository, method)

    async def restore(self, models: list[Applied], carefully: bool) -> list[ModelStatus]:
        """Serve these states."""

        async def apply(state: Applied) -> ModelStatus:
            return ModelStatus(state.model.name, await self._repository.apply(state.model, state.others))

        if carefully:
            statuses = [await apply(state) for state in models]
        else:
            statuses = await asyncio.gather(*map(apply, models))
        if self._setup.at_once:
            self._accept.set()
        return [status for status in statuses if status.versions]

    async def settle(self) -> None:
        """Be ready, and accept connections."""
        self._repository.settled = True
        # What is loaded now stays: the garbage collector need not look at it again while requests wait.
        gc.collect()
        gc.freeze()
        self._accept.set()
        while not self._http.started:
            await asyncio.sleep(0.001)

    async def counts(self) -> Counts:
        """Return what this worker counted."""
        counts = await self._repository.counts()
        counts.processes = [ProcessFigures.of_this("worker")]
        return counts

    async def drain(self, seconds: float) -> None:
        """Accept no connection any more, answer what comes on the open ones for at most so long, and end."""
        self._leave(seconds)

    def _leave(self, seconds: float) -> None:
        if self._draining is None:
            if self._http.started:
                self._http.refuse()
            self._listening.close()
            self._draining = asyncio.create_task(self._drain(seconds))

    async def _drain(self, seconds: float) -> None:
        grpc_ends = asyncio.create_task(self._grpc.stop(seconds + END_SECONDS)) if self._grpc else None
        deadline = time.monotonic() + seconds
        while self._http.busy and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self._http.should_exit = True  # which lets it answer for `END_SECONDS` more
        self._accept.set()
        if grpc_ends:
            await grpc_ends

    # -- the process --------------------------------------------------------------------------------------------------

    async def run(self, channel: socket.socket) -> None:
        """Serve until the supervisor asks for the end, or is gone."""
        await self.channel.open(channel)
        self.channel.closed.add_done_callback(lambda _: self._orphaned())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.channel.tell, "leave")
        reporting = asyncio.create_task(self._report())
        await self._accept.wait()
        if self._draining is None:
            if self._setup.grpc_address:
                await self._listen_grpc(self._setup.grpc_address)
            await self._http.serve(sockets=[self._listening])
        if self._draining is not None:
            await self._draining
        reporting.cancel()
        await self._repository.close(CLOSE_SECONDS)
        with contextlib.suppress(PeerEnded):
            await self.channel.report(await self.counts())

    async def _listen_grpc(self, address: str) -> None:
        from maas_jupyter.serving.protocols.grpc.service import start

        options = self._setup.options
        self._grpc = await start(
            self._app.state.plane,
            self._control,
            Authenticator({each.token: Principal(each.name, each.role) for each in self._setup.tokens}),
            address,
            repository=self._repository,
            limits=options.limits,
            tls=(Path(options.tls_cert), Path(options.tls_key)) if options.tls_cert and options.tls_key else None,
        )

    async def _report(self) -> None:
        memory = Reclaimer()
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            memory.look()
            try:
                await self.channel.report(await self.counts())
            except PeerEnded:
                return
            except Exception:  # a worker that stayed silent for this would be taken for one that hangs
                log.exception("what was counted cannot be reported")

    def _orphaned(self) -> None:
        """End soon: a supervisor that comes after this one needs the port."""
        if self._draining is None:
            log.error("the supervisor is gone")
        asyncio.get_running_loop().call_later(ORPHAN_SECONDS, os._exit, 1)
        self._leave(0)


def main(channel_descriptor: int, listening_descriptor: int, shares_descriptor: int) -> NoReturn:
    """Run a worker, given the descriptors of its channel, of the listening socket and of `Shares`."""
    gc.freeze()
    gc.enable()
    sys.setswitchinterval(SWITCH_SECONDS)
    channel, listening = socket.socket(fileno=channel_descriptor), socket.socket(fileno=listening_descriptor)
    shares = Shares(shares_descriptor)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        setup = receive(channel, Setup)
    except EOFError:
        os._exit(0)
    logs.configure("worker", log_path(setup.options.folder))
    listening.setblocking(False)

    async def serve() -> None:
        await Worker(setup, listening, shares).run(channel)

    uvloop.run(serve())
    # Threads that still compute for nobody are not waited for.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
