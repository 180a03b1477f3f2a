"""The workers, as the one replica that the control plane speaks to."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from typing import Any, NamedTuple

from maas_jupyter.errors import BundleError, MaasError, Unavailable
from maas_jupyter.schema import ModelStatus, ServedModel, ServedVersion, VersionStatus
from maas_jupyter.serving.control.base import Control
from maas_jupyter.serving.counts import Counts, ProcessFigures
from maas_jupyter.serving.series import Series
from maas_jupyter.serving.supervisor.base import Applied, Setup, SupervisorSide, WorkerSide
from maas_jupyter.serving.supervisor.channel import Channel, PeerEnded, frame
from maas_jupyter.serving.supervisor.launch import Launched, Process

#: How long a worker may take to say what it counted; after that its last report counts.
COUNT_SECONDS = 1.0
#: How long a worker's process may take to be gone once its channel is.
EXIT_SECONDS = 1.0
#: A worker that somebody else ended while it loaded a bundle says little about the bundle; so many in a row do.
OUTSIDE_DEATHS = 3

_FROM_OUTSIDE = {0, *(-number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))}


class Ending(NamedTuple):
    """How a worker ended: its exit status, negative the signal; the bundles, by digest, that it was loading."""

    status: int
    suspects: list[str]

    @property
    def words(self) -> str:
        """The status in words."""
        if self.status >= 0:
            return f"status {self.status}"
        try:
            return signal.Signals(-self.status).name
        except ValueError:
            return f"signal {-self.status}"


class Worker:
    """One worker process, as the supervisor sees it.

    Attributes
    ----------
    channel : Channel
        What it offers; see `WorkerSide`.
    loading : Counter
        Digests of the bundles that it is loading.
    counts : Counts
        What it counted, as it last said.
    heard : float
        When it last said something of its own, on the clock of `time.monotonic`.
    hanging : dict of str to str
        Bundles, by their digest, that it began to load and does not finish to, and why they count as such.
    unwanted : asyncio.Event
        It is to be replaced: somebody asked it to end, or a load in it does not end.
    end : asyncio.Task
        Done when the process is gone; returns its `Ending`.
    """

    def __init__(self, process: Process, fleet: Fleet, control: Control) -> None:
        self.process = process
        answers = _Answers(self, fleet, control)
        self.channel = Channel(asks=WorkerSide, offers=SupervisorSide, by=answers, peer="A worker")
        self.loading: Counter[str] = Counter()
        self.counts = Counts()
        self.heard = time.monotonic()
        self.hanging: dict[str, str] = {}
        self.unwanted = asyncio.Event()
        self.end = asyncio.create_task(self._end())

    async def _end(self) -> Ending:
        await self.channel.closed
        deadline = time.monotonic() + EXIT_SECONDS
        while (status := self.process.poll()) is None:
            if time.monotonic() > deadline:
                self.process.kill()
            await asyncio.sleep(0.002)
        return Ending(status, [digest for digest, number in self.loading.items() if number > 0])


class _Answers:
    """What one worker asks: about itself here, about the server from the control plane."""

    def __init__(self, worker: Worker, fleet: Fleet, control: Control) -> None:
        self._worker = worker
        self._fleet = fleet
        self._control = control

    async def loading(self, digest: str) -> None:
        self._worker.loading[digest] += 1

    async def loaded(self, digest: str) -> None:
        self._worker.loading[digest] -= 1
        self._fleet.deaths.pop(digest, None)

    async def report(self, counts: Counts) -> None:
        self._worker.counts = counts
        self._worker.heard = time.monotonic()

    async def hangs(self, digest: str, reason: str) -> None:
        self._worker.hanging[digest] = reason
        self._worker.unwanted.set()

    async def leave(self) -> None:
        self._worker.unwanted.set()

    def __getattr__(self, method: str) -> Any:
        return getattr(self._control, method)


class Fleet:
    """All workers as one `Replica`: what it is asked, it asks of every worker.

    A worker that ends in the middle does not fail an operation; its successor gets everything when it starts.

    Attributes
    ----------
    workers : list of Worker
        Those that are kept up to date.
    known : set of Worker
        Beside them those that start and those that drain.
    crashed : dict of str to str
        Why bundles, by their digest, must not be loaded: a worker died of them.
    deaths : Counter
        How many workers in a row were ended, by whomever, while they loaded a bundle.
    incomplete : set of str
        Names of the models of which some worker lacks what it should serve, as far as that was looked at: `apply` again
        after workers came or went.
    """

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.crashed: dict[str, str] = {}
        self.deaths: Counter[str] = Counter()
        self.incomplete: set[str] = set()
        self._applied: dict[str, Applied] = {}
        self.known: set[Worker] = set()
        self._ended = Counts()
        self._series = Series()

    async def connect(self, launched: Launched, setup: Setup, control: Control) -> Worker:
        """Begin to speak with a worker that was started."""
        worker = Worker(launched.process, self, control)
        with contextlib.suppress(BrokenPipeError):  # it has ended already, which the channel tells too
            launched.channel.sendall(frame(setup))
        await worker.channel.open(launched.channel)
        self.known.add(worker)
        worker.end.add_done_callback(lambda _: self._bury(worker))
        return worker

    async def join(self, worker: Worker, *, carefully: bool = False) -> None:
        """Bring a worker to the present state, and keep it there from now on.

        Raises
        ------
        PeerEnded
            If it ends meanwhile.
        """
        sent = dict(self._applied)
        self._note(await worker.channel.restore(list(sent.values()), carefully))
        while sent != self._applied:  # something was changed meanwhile
            changed = [state for name, state in self._applied.items() if sent.get(name) != state]
            gone = sent.keys() - self._applied.keys()
            sent = dict(self._applied)
            for name in gone:
                await worker.channel.forget(name)
            self._note(await worker.channel.restore(changed, carefully))
        # Nothing waited since the last look, so no change is missed.
        self.workers.append(worker)

    def _note(self, failed: list[ModelStatus]) -> None:
        self.incomplete.update(model.name for model in failed)

    def leave(self, worker: Worker) -> None:
        """Keep a worker up to date no longer; what it counts still counts."""
        if worker in self.workers:
            self.workers.remove(worker)

    def _bury(self, worker: Worker) -> None:
        self.leave(worker)
        self.known.discard(worker)
        self._ended = Counts.summed([self._ended, worker.counts.without_gauges()])
        self._ended.keep(self._series.has, self._series.knows)
        if worker.end.cancelled():
            return
        ending = worker.end.result()
        if len(ending.suspects) == 1:
            (digest,) = ending.suspects
            self.deaths[digest] += 1
            if ending.status not in _FROM_OUTSIDE or self.deaths[digest] >= OUTSIDE_DEATHS:
                self.crashed[digest] = f"The server's process ended ({ending.words}) while it loaded this bundle."

    # -- Replica ------------------------------------------------------------------------------------------------------

    async def prepare(self, name: str, served: ServedVersion) -> None:
        """Load one version in every worker; see `Replica`.

        Raises
        ------
        BundleError
            If it does not load in one, or ends it.
        Unavailable
            If no worker is left.
        """
        self.crashed.pop(served.digest, None)
        done = await self._broadcast("prepare", name, served)
        if served.digest in self.crashed:
            raise BundleError(self.crashed[served.digest])
        if not done:
            raise Unavailable("Every worker ended while it loaded the bundle.", hint="Try again.", retry_after=1.0)

    async def apply(self, model: ServedModel, others: list[VersionStatus]) -> list[VersionStatus]:
        """Serve this state in every worker; see `Replica`."""
        self._applied[model.name] = Applied(model, others)
        self._series.change(model.name, (served.version for served in model.versions))
        answers: list[list[VersionStatus]] = await self._broadcast("apply", model, others)
        failed = {(row.version, row.digest): row for rows in answers for row in rows}
        if failed:
            self.incomplete.add(model.name)
        else:
            self.incomplete.discard(model.name)
        return list(failed.values())

    async def forget(self, name: str) -> None:
        """Stop serving a model in every worker; see `Replica`."""
        self._applied.pop(name, None)
        self._series.change(name, ())
        self.incomplete.discard(name)
        await self._broadcast("forget", name)

    async def counts(self) -> Counts:
        """Return what all workers counted, those that ended included."""

        async def ask(worker: Worker) -> None:
            with contextlib.suppress(MaasError, asyncio.TimeoutError):
                worker.counts = await asyncio.wait_for(worker.channel.counts(), COUNT_SECONDS)

        await asyncio.gather(*map(ask, self.known))
        own = Counts(processes=[ProcessFigures.of_this("supervisor")])
        whole = Counts.summed([self._ended, *(worker.counts for worker in self.known), own])
        whole.keep(self._series.has, self._series.knows)  # workers that drain are told of no change
        return whole

    async def _broadcast(self, method: str, *arguments: Any) -> list[Any]:
        """Return the answers of the workers that did it; raise what the first one raised that refused to."""

        async def ask(worker: Worker) -> Any:
            try:
                return await worker.channel.call(method, *arguments)
            except PeerEnded:
                await asyncio.wait({worker.end})  # what it died of is known then
                raise

        results = await asyncio.gather(*map(ask, self.workers), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, PeerEnded):
                raise result
        return [result for result in results if not isinstance(result, PeerEnded)]
