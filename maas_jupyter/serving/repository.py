"""What one worker has in memory, and its steps towards what the control plane asks for."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from maas_jupyter.errors import BundleError, MaasError, NotFound, Unavailable, nearest
from maas_jupyter.schema import Manifest, ModelStatus, ServedModel, ServedVersion, VersionStatus
from maas_jupyter.serving.batching import Batcher
from maas_jupyter.serving.control.base import LoadHangs
from maas_jupyter.serving.counts import Counts
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.router import Router
from maas_jupyter.serving.series import Series
from maas_jupyter.serving.servable import Servable
from maas_jupyter.serving.store import BundleStore
from maas_jupyter.signature import Validator

#: How long a stopping server waits for what is being computed.
DRAIN_SECONDS = 5.0
#: How many bundles are loaded at once.
LOADING = 2

T = TypeVar("T")

log = logging.getLogger(__name__)


class LoadedVersion:
    """One version in memory.

    Attributes
    ----------
    validate : Validator
        Compares inputs with the signature.
    in_flight : int
        Requests that were routed here and are not answered yet.
    """

    def __init__(self, served: ServedVersion, servable: Servable, batcher: Batcher) -> None:
        self.version = served.version
        self.digest = served.digest
        self.servable = servable
        self.batcher = batcher
        self.validate = Validator(servable.manifest.signature)
        self.in_flight = 0
        self._idle: asyncio.Event | None = None  # only while somebody waits for it

    @property
    def manifest(self) -> Manifest:
        """What the bundle says about itself."""
        return self.servable.manifest

    def enter(self) -> None:
        """Begin a request; until `leave` the version stays in memory, whatever replaces it."""
        self.in_flight += 1

    def leave(self) -> None:
        """End a request."""
        self.in_flight -= 1
        if self._idle is not None and not self.in_flight:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until no request is on its way and nothing is being computed, not even for those that were given up."""
        if self.in_flight:
            self._idle = asyncio.Event()
            await self._idle.wait()
        await self.batcher.drained()


class ModelRepository:
    """Loads, switches and unloads versions: a `Replica`. Lives on one event loop; loading happens in threads beside it.

    Parameters
    ----------
    home : Path
        The server's folder.
    metrics : Metrics
        Where runs are counted.
    limits : Limits
        How much may wait for one version.
    threads : int
        Threads of one run.
    load_seconds : float
        How long a bundle may take to load before it counts as one that hangs.
    loading : callable
        Given a bundle's digest, returns a context that is held while it loads: who watches from outside then knows
        what this process died of. It is left with `LoadHangs` where the load does not end.

    Attributes
    ----------
    settled : bool
        Everything that should serve at the start does, or failed; set by who applies that state.
    """

    def __init__(
        self,
        home: Path,
        metrics: Metrics,
        *,
        limits: Limits | None = None,
        threads: int = 1,
        load_seconds: float = 300.0,
        loading: Callable[[str], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.store = BundleStore(home)
        self.settled = False
        self.metrics = metrics
        self._limits = limits or Limits()
        self._threads = threads
        self._load_seconds = load_seconds
        self._loading = loading
        self._routers: dict[str, Router[LoadedVersion]] = {}
        self._models: dict[str, ServedModel] = {}
        self._others: dict[str, dict[str, VersionStatus]] = {}  # versions that do not serve, with the reason
        self._series = Series()
        self._failed: dict[str, dict[tuple[str, str], str]] = {}  # of those the ones that do not load in this process
        self._prepared: defaultdict[str, dict[tuple[str, str], LoadedVersion]] = defaultdict(dict)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._retiring: set[asyncio.Task[None]] = set()
        self._loads = asyncio.Semaphore(LOADING)
        self._runs = ThreadPoolExecutor(thread_name_prefix="maas-run")

    # -- looking ------------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of all models, in memory or not."""
        return sorted(self._models)

    def model(self, name: str) -> ServedModel:
        """Return the desired state of one model.

        Raises
        ------
        NotFound
            If there is no such model.
        """
        try:
            return self._models[name]
        except KeyError:
            raise self._not_found(name) from None

    def status(self, name: str) -> ModelStatus:
        """Return the state of one model in this process.

        Raises
        ------
        NotFound
            If there is no such model.
        """
        model, router, others = self.model(name), self._routers.get(name), self._others.get(name, {})
        ready = {}
        for version, loaded in router.versions.items() if router else ():
            weight = router.weights[version] if router else 0
            ready[version] = VersionStatus(version, loaded.digest, weight, "ready", shadow=version == model.shadow)
        return ModelStatus(name, [*ready.values(), *(row for row in others.values() if row.version not in ready)])

    def router(self, name: str) -> Router[LoadedVersion]:
        """Return what chooses among the loaded versions of a model.

        Raises
        ------
        NotFound
            If there is no such model.
        Unavailable
            If the model exists, but none of its versions is loaded; says why.
        """
        router = self._routers.get(name)
        if router is None:
            if not self.model(name).loaded:
                raise Unavailable(
                    f"Model '{name}' is not in memory.", hint=f"Load it: POST /v2/repository/models/{name}/load"
                )
            row = next(iter(self._others.get(name, {}).values()), None)
            why = (row.reason or row.state) if row else "loading"
            raise Unavailable(f"Model '{name}' is not ready: {why}", hint="Publish a version that loads, or wait.")
        return router

    def _not_found(self, name: str) -> NotFound:
        return NotFound(
            f"There is no model '{name[:128]}' here.",
            hint=nearest(name[:128], self._models, what="models", otherwise="Nothing is published here yet."),
        )

    async def counts(self) -> Counts:
        """Return what this worker counted."""
        counts = self.metrics.counts
        counts.keep(self._series.has, self._series.knows)
        counts.loaded = {name: len(router.versions) for name, router in self._routers.items()}
        counts.queue_depth = {
            (name, version): loaded.batcher.depth
            for name, router in self._routers.items()
            for version, loaded in router.versions.items()
        }
        return counts

    # -- changing -----------------------------------------------------------------------------------------------------

    async def prepare(self, name: str, served: ServedVersion) -> None:
        """Load and warm one version beside what serves; see `Replica`."""
        async with self._locks[name]:
            if self._find(name, served) is None:
                self._prepared[name][served.version, served.digest] = await self._load(name, served)

    async def apply(self, model: ServedModel, others: list[VersionStatus]) -> list[VersionStatus]:
        """Serve this state from now on; see `Replica`."""
        name = model.name
        async with self._locks[name]:
            failed: list[VersionStatus] = []
            ready: list[tuple[LoadedVersion, int]] = []
            withheld = {(row.version, row.digest) for row in others}
            known = self._failed.pop(name, {})
            reasons = self._failed[name] = {}
            for served in model.versions if model.loaded else ():
                key = served.version, served.digest
                loaded = self._find(name, served)
                reason = known.get(key, "")
                if loaded is None and key not in withheld and not reason:
                    try:
                        loaded = await self._load(name, served)
                    except MaasError as error:
                        reason = error.message
                if loaded is not None:
                    ready.append((loaded, served.weight))
                elif reason:
                    reasons[key] = reason
                    if key not in withheld:
                        failed.append(VersionStatus(served.version, served.digest, served.weight, "failed", reason))
            # No step from here on waits, so no request sees half of the change.
            before = self._routers.pop(name, None)
            old = {*(before.versions.values() if before else ()), *self._prepared.pop(name, {}).values()}
            self._models[name] = model
            self._series.change(name, (served.version for served in model.versions))
            self._others[name] = {row.version: row for row in (*others, *failed)}
            if not model.loaded:
                rows = [VersionStatus(row.version, row.digest, row.weight, "unloaded") for row in model.versions]
                self._others[name] = {row.version: row for row in rows}
            if ready:
                self._routers[name] = Router(name, ready, shadow=model.shadow)
            self._retire(name, old - {loaded for loaded, _ in ready})
            return failed

    async def forget(self, name: str) -> None:
        """Stop serving a model; see `Replica`."""
        async with self._locks[name]:
            router = self._routers.pop(name, None)
            self._models.pop(name, None)
            self._series.change(name, ())
            self._others.pop(name, None)
            self._failed.pop(name, None)
            prepared = self._prepared.pop(name, {}).values()
            self._retire(name, {*(router.versions.values() if router else ()), *prepared})
        self._locks.pop(name, None)

    async def close(self, seconds: float = DRAIN_SECONDS) -> None:
        """Unload everything, after what is being computed if that takes no longer than ``seconds``."""
        for name, router in self._routers.items():
            self._retire(name, router.versions.values())
        for name, prepared in self._prepared.items():
            self._retire(name, prepared.values())
        self._routers.clear()
        self._prepared.clear()
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=seconds)
        self._runs.shutdown(wait=False, cancel_futures=True)

    # -- steps --------------------------------------------------------------------------------------------------------

    def _find(self, name: str, served: ServedVersion) -> LoadedVersion | None:
        router = self._routers.get(name)
        loaded = router.versions.get(served.version) if router else None
        if loaded is not None and loaded.digest == served.digest:
            return loaded
        return self._prepared[name].get((served.version, served.digest))

    async def _load(self, name: str, served: ServedVersion) -> LoadedVersion:
        try:
            async with self._loads:
                started = time.perf_counter()
                with self._loading(served.digest):
                    servable = await self._load_in_time(served.digest)
        except MaasError as error:
            log.warning("model %s version %s does not load: %s", name, served.version, error.message)
            raise
        except Exception as error:
            log.exception("model %s version %s does not load", name, served.version)
            raise BundleError(f"The bundle does not load: {type(error).__name__}: {error}") from error
        log.info("model %s version %s loaded in %.3f s", name, served.version, time.perf_counter() - started)
        batcher = Batcher(name, served.version, servable, self.metrics, self._runs, self._limits)
        return LoadedVersion(served, servable, batcher)

    async def _load_in_time(self, digest: str) -> Servable:
        bundle = await _in_thread(lambda: self.store.open(digest))
        loading = _in_thread(lambda: Servable.load(bundle, self._threads))
        done, _ = await asyncio.wait({loading}, timeout=self._load_seconds)
        if not done:
            loading.add_done_callback(_unload)
            raise LoadHangs(
                f"The bundle does not load within {self._load_seconds:g} s.",
                "If that is too short for it, start the server with more --load-seconds.",
            )
        return loading.result()

    def _retire(self, name: str, versions: Iterable[LoadedVersion]) -> None:
        async def retire(loaded: LoadedVersion) -> None:
            await loaded.drained()
            loaded.servable.unload()
            log.info("model %s version %s unloaded", name, loaded.version)

        for loaded in versions:
            task = asyncio.create_task(retire(loaded))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run something in a thread of its own: one that never ends takes the place of no other, and no process waits."""
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001  whatever it is, it is for who waits
            result.set_exception(error)

    threading.Thread(target=run, name="maas-load", daemon=True).start()
    return asyncio.wrap_future(result)


def _unload(loading: asyncio.Future[Servable]) -> None:
    """Free what was loaded too late."""
    if not loading.cancelled() and loading.exception() is None:
        loading.result().unload()
