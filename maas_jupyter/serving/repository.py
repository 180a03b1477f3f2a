"""The actual state: what is loaded, and the way from there to the desired state."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from maas_jupyter import plugins
from maas_jupyter.errors import BundleError, MaasError, NotFound, Unavailable, nearest
from maas_jupyter.schema import (
    Manifest,
    ModelStatus,
    PublishRequest,
    ServedModel,
    ServedVersion,
    VersionStatus,
    check_name,
)
from maas_jupyter.serving.desired import DesiredState
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.router import Router
from maas_jupyter.serving.runtimes.base import Runtime
from maas_jupyter.serving.store import BundleStore

#: How long a stopping server waits for what is being computed.
DRAIN_SECONDS = 5.0

log = logging.getLogger(__name__)


class LoadedVersion:
    """One version in memory.

    Attributes
    ----------
    seconds : float
        How long the warm-up's single row took, the second time.
    in_flight : int
        Requests that are being computed.
    """

    def __init__(self, version: str, digest: str, manifest: Manifest, runtime: Runtime, seconds: float) -> None:
        self.version = version
        self.digest = digest
        self.manifest = manifest
        self.runtime = runtime
        self.seconds = seconds
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> LoadedVersion:
        self.in_flight += 1
        self._idle.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until no request is being computed."""
        await self._idle.wait()


class ModelRepository:
    """Loads, switches and unloads versions. Lives on one event loop; loading happens in threads beside it.

    Parameters
    ----------
    home : Path
        The server's folder.
    metrics : Metrics
        Where the number of loaded versions is shown.
    runtime : callable
        Returns the class for a manifest's ``runtime``.
    """

    def __init__(self, home: Path, metrics: Metrics, runtime: Callable[[str], Any] | None = None) -> None:
        self.store = BundleStore(home)
        self.settled = False
        self._desired = DesiredState(home)
        self._metrics = metrics
        self._runtime = runtime or (lambda name: plugins.load("runtime", name))
        self._routers: dict[str, Router[LoadedVersion]] = {}
        self._others: dict[str, dict[str, VersionStatus]] = {}  # versions that are loading or failed
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._wanted: dict[str, set[str]] = defaultdict(set)  # digest -> models that use it or are about to
        self._to_restore: list[ServedModel] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="maas-load")
        self._runs = ThreadPoolExecutor(thread_name_prefix="maas-run")

    # -- looking ------------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of all models, serving or not."""
        return sorted({*self._routers, *self._others})

    def status(self, name: str) -> ModelStatus:
        """Return the state of one model.

        Raises
        ------
        NotFound
            If there is no such model.
        """
        router, others = self._routers.get(name), self._others.get(name, {})
        if router is None and not others:
            raise self._not_found(name)
        ready = {}
        if router is not None:
            for loaded in router.versions.values():
                weight = router.weights[loaded.version]
                ready[loaded.version] = VersionStatus(loaded.version, loaded.digest, weight, "ready")
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
            rows = self._others.get(name)
            if not rows:
                raise self._not_found(name)
            row = next(iter(rows.values()))
            raise Unavailable(
                f"Model '{name}' is not ready: {row.reason or row.state}", hint="Publish a version that loads, or wait."
            )
        return router

    def _not_found(self, name: str) -> NotFound:
        return NotFound(
            f"There is no model '{name[:128]}' here.",
            hint=nearest(name[:128], self.names(), what="models", otherwise="Nothing is published here yet."),
        )

    # -- changing -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read the desired state and delete the bundles that it does not name; before the first upload."""
        models, broken = await self._in_thread(self._desired.read)
        for name, reason in broken.items():
            log.error("desired state of %s is broken: %s", name, reason)
            self._others[name] = {"": VersionStatus("", "", 0, "failed", reason)}
        for model in models.values():
            self._others[model.name] = {
                served.version: VersionStatus(served.version, served.digest, served.weight, "loading")
                for served in model.versions
            }
            for served in model.versions:
                self._wanted[served.digest].add(model.name)
        await self._in_thread(self.store.sweep, list(self._wanted))
        self._to_restore = list(models.values())

    async def reconcile(self) -> None:
        """Load what the desired state asks for; what cannot be loaded is reported as failed and hinders no other."""
        await asyncio.gather(*(self._restore(model) for model in self._to_restore))
        self.settled = True

    async def _restore(self, model: ServedModel) -> None:
        async with self._locks[model.name]:
            ready: list[tuple[LoadedVersion, int]] = []
            for served in model.versions:
                try:
                    ready.append((await self._load(model.name, served.version, served.digest), served.weight))
                    self._others[model.name].pop(served.version, None)
                except MaasError as error:
                    self._failed(model.name, served, error)
            if ready:
                self._switch(model.name, Router(model.name, ready))

    async def publish(self, name: str, request: PublishRequest) -> ModelStatus:
        """Make one version take all of a model's traffic.

        The version is loaded and warmed beside what serves, then the desired state is written, then traffic moves in
        one step; what served before is unloaded when its last request is answered.

        Raises
        ------
        InvalidInput
            If the name or version cannot be served.
        NotFound
            If the bundle was not sent.
        BundleError
            If the bundle is altered or does not load; what served before goes on serving.
        """
        check_name(name)
        check_name(request.version, what="version")
        async with self._locks[name]:
            before = self._routers.get(name)
            if before and [(loaded.version, loaded.digest) for loaded in before.versions.values()] == [
                (request.version, request.digest)
            ]:
                return self.status(name)
            served = ServedVersion(request.version, request.digest)
            waiting = self._others.get(name, {})
            self._others[name] = {
                **waiting,
                request.version: VersionStatus(request.version, request.digest, 0, "loading"),
            }
            self._wanted[request.digest].add(name)
            try:
                loaded = await self._load(name, request.version, request.digest)
                await self._in_thread(self._desired.write, ServedModel(name, [served]))
            except BaseException as error:
                self._others[name] = waiting
                if before and isinstance(error, MaasError):
                    self._failed(name, ServedVersion(request.version, request.digest, 0), error)
                elif not waiting:
                    del self._others[name]
                self._settle_digests(
                    name, {row.digest for row in (*waiting.values(), *(before.versions.values() if before else ()))}
                )
                raise
            del self._others[name]
            self._switch(name, Router(name, [(loaded, served.weight)]))
            if before:
                self._retire(name, before.versions.values())
            self._settle_digests(name, {request.digest})
            return self.status(name)

    async def withdraw(self, name: str) -> None:
        """Stop serving a model and forget it; requests that are being computed are still answered.

        Raises
        ------
        NotFound
            If there is no such model.
        """
        check_name(name)
        async with self._locks[name]:
            self.status(name)
            await self._in_thread(self._desired.delete, name)
            router = self._routers.pop(name, None)
            self._others.pop(name, None)
            if router:
                self._metrics.loaded.remove(name)
                self._retire(name, router.versions.values())
            self._settle_digests(name, set())
            log.info("model %s withdrawn", name)

    async def close(self) -> None:
        """Drain and unload everything; the desired state stays."""
        for name, router in self._routers.items():
            self._retire(name, router.versions.values())
        self._routers.clear()
        if self._retiring:
            await asyncio.wait(self._retiring, timeout=DRAIN_SECONDS)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._runs.shutdown(wait=False, cancel_futures=True)

    async def run(self, loaded: LoadedVersion, inputs: dict[str, Any], *, inline: bool) -> dict[str, Any]:
        """Compute one request on a loaded version, on the event loop or in a thread beside it."""
        with loaded:
            if inline:
                return loaded.runtime.run(inputs)
            return await asyncio.get_running_loop().run_in_executor(self._runs, loaded.runtime.run, inputs)

    # -- steps --------------------------------------------------------------------------------------------------------

    async def _load(self, name: str, version: str, digest: str) -> LoadedVersion:
        started = time.perf_counter()
        try:
            manifest, runtime, seconds = await self._in_thread(self._load_blocking, digest)
        except MaasError as error:
            log.warning("model %s version %s does not load: %s", name, version, error.message)
            raise
        except Exception as error:
            log.exception("model %s version %s does not load", name, version)
            raise BundleError(f"The bundle does not load: {type(error).__name__}: {error}") from error
        log.info("model %s version %s loaded in %.3f s", name, version, time.perf_counter() - started)
        return LoadedVersion(version, digest, manifest, runtime, seconds)

    def _load_blocking(self, digest: str) -> tuple[Manifest, Runtime, float]:
        bundle = self.store.open(digest)
        try:
            runtime: Runtime = self._runtime(bundle.manifest.runtime)()
        except NotFound as error:
            raise BundleError(error.message, error.hint) from error
        runtime.load(bundle.folder, bundle.manifest)
        runtime.warm_up()
        started = time.perf_counter()
        runtime.warm_up()
        return bundle.manifest, runtime, time.perf_counter() - started

    def _failed(self, name: str, served: ServedVersion, error: MaasError) -> None:
        row = VersionStatus(served.version, served.digest, served.weight, "failed", error.message)
        self._others.setdefault(name, {})[served.version] = row

    def _switch(self, name: str, router: Router[LoadedVersion]) -> None:
        self._routers[name] = router
        self._metrics.loaded.labels(name).set(len(router.versions))
        log.info("model %s serves %s", name, router.weights)

    def _retire(self, name: str, versions: Iterable[LoadedVersion]) -> None:
        async def retire(loaded: LoadedVersion) -> None:
            await loaded.drained()
            loaded.runtime.unload()
            log.info("model %s version %s unloaded", name, loaded.version)

        for loaded in versions:
            task = asyncio.create_task(retire(loaded))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _settle_digests(self, name: str, kept: set[str]) -> None:
        """Delete the bundles that only this model used and that it uses no longer."""
        for digest in [digest for digest, names in self._wanted.items() if name in names and digest not in kept]:
            self._wanted[digest].discard(name)
            if not self._wanted[digest]:
                del self._wanted[digest]
                self.store.delete(digest)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
