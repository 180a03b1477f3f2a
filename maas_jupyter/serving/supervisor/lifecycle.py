"""The supervisor at work: starts workers, replaces them, and ends them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from maas_jupyter import schema
from maas_jupyter._version import __version__
from maas_jupyter.errors import MaasError, Unavailable
from maas_jupyter.schema import ServerRecord
from maas_jupyter.serving import logs
from maas_jupyter.serving.auth import Token, new_token, read_tokens
from maas_jupyter.serving.control.plane import ControlPlane
from maas_jupyter.serving.options import ServerOptions
from maas_jupyter.serving.record import keep_port, log_path, record_path
from maas_jupyter.serving.supervisor.accept import Shares
from maas_jupyter.serving.supervisor.base import CLOSE_SECONDS, DRAIN_SECONDS, END_SECONDS, Setup
from maas_jupyter.serving.supervisor.channel import PeerEnded
from maas_jupyter.serving.supervisor.fleet import Fleet, Worker
from maas_jupyter.serving.supervisor.launch import Launched, authority, reachable
from maas_jupyter.serving.supervisor.words import started

#: A worker that ends sooner after it was ready, or was never ready, counts as one that cannot live.
YOUNG_SECONDS = 1.0
#: So many of those in a row are replaced at once; each further one waits twice as long, up to `LONGEST_DELAY`.
AT_ONCE = 3
LONGEST_DELAY = 5.0
#: How long a worker may take to be gone beyond what it may wait for.
GRACE_SECONDS = 2.0
#: A worker reports every second; one that is silent for so long hangs.
SILENT_SECONDS = 30.0

log = logging.getLogger(__name__)


class Slot:
    """A place for one worker.

    Attributes
    ----------
    joined : asyncio.Event
        Its first worker takes part in what the control plane does, or ended before.
    up : asyncio.Event
        Its worker is ready.
    tried : asyncio.Event
        Its first worker was ready, or ended before.
    renew : asyncio.Event
        Its worker is to be replaced by one with the present settings.
    """

    def __init__(self) -> None:
        self.joined = asyncio.Event()
        self.up = asyncio.Event()
        self.tried = asyncio.Event()
        self.renew = asyncio.Event()


class Supervisor:
    """Runs the control plane and keeps the workers.

    Parameters
    ----------
    options : ServerOptions
        Settings, with absolute paths.
    tokens : list of Token
        Of the token file; empty without one.
    listening : socket
        Of HTTP; the workers inherit it.
    grpc : socket, optional
        Keeps the port of gRPC.
    shares : int
        As of `share_memory`; the workers inherit it.
    launch : callable
        Starts a worker.
    moved_from : int, optional
        The port that the server before had, and that is taken.
    """

    def __init__(
        self,
        options: ServerOptions,
        tokens: list[Token],
        listening: socket.socket,
        grpc: socket.socket | None,
        shares: int,
        launch: Callable[[], Launched],
        moved_from: int | None = None,
    ) -> None:
        self._options = options
        self._tokens = tokens
        self._own = Token("local", "admin", new_token())
        self._listening = listening
        self._grpc = grpc
        self._launch = launch
        self._moved_from = moved_from
        self._shares = Shares(shares)
        self._fleet = Fleet()
        self._plane = ControlPlane(options.folder, self._fleet, load_seconds=options.load_seconds, stop=self.stop)
        self._slots = [Slot() for _ in range(options.workers)]
        self._reconciled = asyncio.Event()
        self._stopping = asyncio.Event()
        self._reload = asyncio.Event()
        self._failure: MaasError | None = None
        self._log = log_path(options.folder)
        self._lived = asyncio.Event()  # some worker was ready once
        self._stillborn = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Begin to end."""
        self._stopping.set()

    async def run(self, first: list[Launched]) -> None:
        """Serve with the workers that were started already, until a signal or a request to stop.

        Raises
        ------
        Unavailable
            If no worker can be started.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        workers = [await self._connect(each, at_once=True) for each in first]
        self._begin(self._watch())
        self._begin(self._serve(workers))
        await self._stopping.wait()
        record_path(self._options.folder).unlink(missing_ok=True)
        log.info("stopping")
        for task in self._tasks:
            task.cancel()
        self._listening.close()
        await self._plane.close()
        await asyncio.gather(*(self._retire(worker, 0) for worker in list(self._fleet.known)))
        if self._failure:
            raise self._failure

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            if not isinstance(error, MaasError):
                log.error("the supervisor cannot go on", exc_info=error)
                error = Unavailable(f"The server failed: {error}", hint=f"Look at {self._log}.")
            self._failure = self._failure or error
            self.stop()

    async def _serve(self, workers: list[Worker]) -> None:
        await self._plane.open()
        for slot, worker in zip(self._slots, workers, strict=True):
            self._begin(self._keep(slot, worker))
            await slot.joined.wait()
        await self._plane.reconcile()
        self._reconciled.set()
        for slot in self._slots:
            await slot.tried.wait()
        await self._lived.wait()
        self._announce()
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._renew()

    def _announce(self) -> None:
        scheme = "https" if self._options.tls_cert else "http"
        record = ServerRecord(
            os.getpid(),
            f"{scheme}://{reachable(self._listening)}",
            self._own.token,
            time.time(),
            __version__,
            reachable(self._grpc) if self._grpc else None,
            self._moved_from,
        )
        keep_port(self._options.folder, self._listening.getsockname()[1])
        schema.write_atomic(record_path(self._options.folder), schema.encode(record), mode=0o600)
        log.info("listening on %s://%s", scheme, authority(self._listening))
        if self._moved_from:
            log.warning("port %d, which the server had before, is in use", self._moved_from)
        if self._grpc:
            log.info("listening for gRPC on %s", authority(self._grpc))
        if sys.stderr.isatty():
            sys.stderr.write(started(self._options, record))

    # -- workers ------------------------------------------------------------------------------------------------------

    async def _keep(self, slot: Slot, worker: Worker) -> None:
        """Keep a slot filled: replace a worker that ended, and one that is to be renewed."""
        predecessor: Worker | None = None
        carefully = False
        failures = 0
        while True:
            up = await self._bring_up(slot, worker, carefully)
            slot.tried.set()
            since = time.monotonic()
            if up:
                slot.up.set()
                if predecessor:
                    self._begin(self._retire(predecessor, DRAIN_SECONDS))
                    predecessor = None
                await _first(worker.channel.closed, slot.renew.wait(), worker.unwanted.wait())
            slot.up.clear()
            if not worker.channel.closed.done():
                predecessor, carefully = worker, False
                for digest, reason in list(worker.hanging.items()):
                    await self._quarantine(digest, reason)
            else:
                carefully = await self._examine(worker, up)
                failures = failures + 1 if not up or time.monotonic() - since < YOUNG_SECONDS else 0
                if failures > AT_ONCE:
                    await asyncio.sleep(min(0.1 * 2 ** (failures - AT_ONCE), LONGEST_DELAY))
            slot.renew.clear()
            worker = await self._successor()

    async def _watch(self) -> None:
        """Kill workers that hang; who keeps their places replaces them."""
        while True:
            asked = time.monotonic()
            await asyncio.sleep(SILENT_SECONDS / 10)
            # A machine that slept, or is overloaded, is no fault of its workers.
            late = time.monotonic() - asked > SILENT_SECONDS / 5
            for worker in self._fleet.known:
                if late:
                    worker.heard = time.monotonic()
                elif time.monotonic() - worker.heard > SILENT_SECONDS:
                    log.error("worker %d hangs and is killed", worker.process.pid)
                    worker.process.kill()

    async def _successor(self) -> Worker:
        while True:
            try:
                return await self._connect(self._launch(), at_once=False)
            except OSError as error:  # out of processes, memory or descriptors
                log.error("no worker can be started for now: %s", error)
                await asyncio.sleep(LONGEST_DELAY)

    async def _connect(self, launched: Launched, *, at_once: bool) -> Worker:
        address = authority(self._grpc) if self._grpc else None
        place = self._shares.take()
        setup = Setup(self._options, [self._own, *self._tokens], address, place, at_once)
        worker = await self._fleet.connect(launched, setup, self._plane)
        worker.end.add_done_callback(lambda _: self._shares.give_back(place))
        return worker

    async def _bring_up(self, slot: Slot, worker: Worker, carefully: bool) -> bool:
        """Say whether a worker became ready, or ended."""
        try:
            await self._fleet.join(worker, carefully=carefully)
            slot.joined.set()
            for name in self._fleet.incomplete:
                self._begin(self._refresh(name))
            await _first(worker.channel.closed, self._reconciled.wait())
            await worker.channel.settle()
        except PeerEnded:
            slot.joined.set()
            return False
        self._lived.set()
        log.info("worker %d is ready", worker.process.pid)
        return True

    async def _examine(self, worker: Worker, up: bool) -> bool:
        """Find out what a worker died of; return whether its successor has to load carefully to tell more."""
        ending = await worker.end
        log.error("worker %d ended (%s)", worker.process.pid, ending.words)
        if not up and not ending.suspects and not self._lived.is_set():
            self._stillborn += 1
            if self._stillborn > AT_ONCE * len(self._slots):  # that all of them do once may have one cause that is gone
                raise Unavailable(f"Workers end while they start ({ending.words}).", hint=f"Look at {self._log}.")
        if len(ending.suspects) == 1 and (reason := self._fleet.crashed.get(ending.suspects[0])):
            await self._quarantine(ending.suspects[0], reason)
        return len(ending.suspects) > 1

    async def _quarantine(self, digest: str, reason: str) -> None:
        try:
            await self._plane.quarantine(digest, reason)
        except (OSError, MaasError) as error:
            log.error("bundle %s cannot be quarantined: %s", digest[:12], error)

    async def _refresh(self, name: str) -> None:
        try:
            await self._plane.refresh(name)
        except MaasError as error:
            log.error("whether every worker has model %s cannot be found out: %s", name, error)

    async def _retire(self, worker: Worker, seconds: float) -> None:
        """End a worker: let its clients go for so long, and what is being answered be answered."""
        self._fleet.leave(worker)
        worker.channel.tell("drain", seconds)
        patience = seconds + END_SECONDS + CLOSE_SECONDS + GRACE_SECONDS
        done, _ = await asyncio.wait({worker.channel.closed}, timeout=patience)
        if not done:
            log.error("worker %d does not end and is killed", worker.process.pid)
            worker.process.kill()
        await worker.end

    async def _renew(self) -> None:
        """Read the tokens again, and replace the workers one by one; each serves until its successor does."""
        logs.configure("supervisor", self._log)
        if self._options.token_file:
            try:
                self._tokens = read_tokens(Path(self._options.token_file))
            except MaasError as error:
                log.error("the tokens stay as they are: %s", error)
                return
        for slot in self._slots:
            slot.up.clear()
            slot.renew.set()
            await slot.up.wait()
        log.info("all workers were replaced")


async def _first(closed: asyncio.Future[None], *others: Coroutine[Any, Any, Any]) -> None:
    """Wait until a channel is closed or one of the others is done."""
    tasks = [asyncio.ensure_future(each) for each in others]
    try:
        await asyncio.wait({closed, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
