"""What should serve is brought into the replicas, and again into those that lack some of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from weakref import WeakValueDictionary

from maas_jupyter.errors import BundleError, MaasError, Unavailable
from maas_jupyter.schema import ServedModel, ServedVersion
from maas_jupyter.serving.control.base import LoadHangs, Replica
from maas_jupyter.serving.control.model import Key, Model, key
from maas_jupyter.serving.control.quarantine import Quarantine
from maas_jupyter.serving.store import BundleStore

#: How many models are loaded at once at a start.
RESTORING = 8
#: Seconds until what could not be loaded is tried again; each further time twice as long, up to the longest.
RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0

log = logging.getLogger(__name__)


class Loading:
    """The steps that load versions and tell the replicas what to serve.

    A version that loaded in a process of its own, but does not in a replica, may do so a moment later: the machine was
    short of memory, or of open files. It is tried again until it does, after longer and longer waits.

    Parameters
    ----------
    replicas : Replica
        What serves.
    store : BundleStore
        Where the bundles are.
    quarantine : Quarantine
        Says which of them may be loaded.

    Attributes
    ----------
    models : dict of str to Model
        Everything that is known, by name.
    """

    def __init__(self, replicas: Replica, store: BundleStore, quarantine: Quarantine) -> None:
        self.models: dict[str, Model] = {}
        self._replicas = replicas
        self._store = store
        self._quarantine = quarantine
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._retries: dict[str, asyncio.Task[None]] = {}

    def lock(self, name: str) -> asyncio.Lock:
        """Return what keeps operations on one model apart."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def reconcile(self) -> None:
        """Load what should serve. What does not load, or is quarantined, is reported as failed and hinders no other."""
        waiting = [name for name, model in self.models.items() if model.served and model.served.loaded]
        # Those that must be probed come last: one that hangs would hold up others.
        waiting.sort(key=lambda name: not self._vouched(name))
        names = iter(waiting)

        async def restore() -> None:
            for name in names:
                async with self.lock(name):
                    await self._restore(name)

        await asyncio.gather(*(restore() for _ in range(RESTORING)))

    def _vouched(self, name: str) -> bool:
        model = self.models[name].served
        return model is not None and all(self._quarantine.record(served.digest) for served in model.versions)

    async def _restore(self, name: str) -> None:
        model = self.models.get(name)
        if model is None or model.served is None or not model.served.loaded:
            return  # withdrawn or unloaded meanwhile
        for served in model.served.versions:
            if key(served) in model.found:
                continue
            try:
                if (record := self._quarantine.record(served.digest)) is None:
                    await self._quarantine.probe(served.digest)
                elif record.reason:
                    raise BundleError(f"It is quarantined: {record.reason}", record.hint)
                try:
                    await self._prepare(name, served)
                except Unavailable:
                    # No worker is there yet; the first one loads what it is told to serve.
                    await asyncio.to_thread(self._store.open, served.digest)
                model.found[key(served)] = ""
            except MaasError as error:
                log.warning("model %s version %s is not loaded: %s", name, served.version, error.message)
                model.found[key(served)] = error.message
            except Exception as error:
                log.exception("model %s version %s is not loaded", name, served.version)
                model.found[key(served)] = f"It is not loaded: {type(error).__name__}: {error}"
        await self.show(name)

    async def bring_up(self, name: str, missing: list[ServedVersion], needed: set[str], tried: dict[Key, str]) -> None:
        """Load versions beside what serves, after a probe where one is due; ``tried`` gets the reasons of failures.

        Raises
        ------
        MaasError
            If one of the ``needed`` versions does not load.
        """
        for served in sorted(missing, key=lambda served: served.version not in needed):
            try:
                record = self._quarantine.record(served.digest)
                if record is None or record.reason:
                    await self._quarantine.probe(served.digest)
                await self._prepare(name, served)
                tried[key(served)] = ""
            except MaasError as error:
                log.warning("model %s version %s does not load: %s", name, served.version, error.message)
                tried[key(served)] = error.message
                if served.version in needed:
                    raise

    async def _prepare(self, name: str, served: ServedVersion) -> None:
        try:
            await self._replicas.prepare(name, served)
        except LoadHangs as error:
            await asyncio.to_thread(self._quarantine.put, served.digest, error.message)
            raise

    async def show(self, name: str) -> None:
        """Tell the replicas what to serve of a model, and what is the matter with the rest."""
        model = self.models[name]
        others = [
            row
            for row in model.rows()
            if row.state in ("loading", "failed") and model.found.get((row.version, row.digest)) != ""
        ]
        lost = await self._replicas.apply(model.served or ServedModel(name, []), others)
        model.lost = {(row.version, row.digest): f"Not every worker has it: {row.reason}" for row in lost}
        if model.words != model.told:
            model.told = model.words
            log.info("model %s serves %s", name, model.words or "no version")
        if name not in self._retries and self._lacking(name):
            self._retries[name] = asyncio.create_task(self._retry(name))

    async def forget(self, name: str) -> None:
        """Have a model served no more."""
        del self.models[name]
        await self._replicas.forget(name)

    # -- again --------------------------------------------------------------------------------------------------------

    def _lacking(self, name: str) -> list[ServedVersion]:
        """Return the versions that should serve, are not quarantined, and that some replica could not load."""
        model = self.models.get(name)
        if model is None or model.served is None or not model.served.loaded:
            return []
        return [served for served in model.served.versions if self._lacks(model, served)]

    def _lacks(self, model: Model, served: ServedVersion) -> bool:
        reason = model.found.get(key(served))
        if not reason and (reason is None or key(served) not in model.lost):
            return False
        record = self._quarantine.record(served.digest)
        return not record.reason if record else not reason

    async def _retry(self, name: str) -> None:
        try:
            seconds = RETRY_SECONDS
            while True:
                await asyncio.sleep(seconds)
                async with self.lock(name):
                    # One whose bundle is gone has to be published again.
                    there = [served for served in self._lacking(name) if self._store.has(served.digest)]
                    for served in there:
                        await self._try_again(name, self.models[name], served)
                    if there:
                        await self.show(name)
                    if not self._lacking(name):
                        return
                seconds = min(2 * seconds, LONGEST_RETRY_SECONDS)
        except Exception:
            log.exception("model %s: what could not be loaded is not tried again", name)
        finally:
            del self._retries[name]

    async def _try_again(self, name: str, model: Model, served: ServedVersion) -> None:
        try:
            await self._prepare(name, served)
        except MaasError as error:
            log.warning("model %s version %s still does not load: %s", name, served.version, error.message)
            if model.found[key(served)]:
                model.found[key(served)] = error.message
        else:
            log.info("model %s version %s loads now", name, served.version)
            model.found[key(served)] = ""

    async def close(self) -> None:
        """Try nothing again."""
        retries: list[asyncio.Task[Any]] = list(self._retries.values())
        for retry in retries:
            retry.cancel()
        await asyncio.gather(*retries, return_exceptions=True)
