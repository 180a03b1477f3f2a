"""The control plane: the operations that change what serves, each of them whole or not at all."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from maas_jupyter._version import __version__
from maas_jupyter.errors import BundleError, Conflict, MaasError, NotFound, Unavailable, nearest
from maas_jupyter.schema import (
    Action,
    ChangeRequest,
    HistoryEntry,
    ModelStatus,
    PublishRequest,
    ServedModel,
    ServerStatus,
    VersionStatus,
    check_name,
)
from maas_jupyter.serving.control import traffic
from maas_jupyter.serving.control.base import Replica
from maas_jupyter.serving.control.desired import DesiredState
from maas_jupyter.serving.control.loading import Loading
from maas_jupyter.serving.control.model import Key, Model, key
from maas_jupyter.serving.control.quarantine import Quarantine
from maas_jupyter.serving.control.retention import Retention
from maas_jupyter.serving.control.tail import tail
from maas_jupyter.serving.counts import Counts
from maas_jupyter.serving.record import log_path
from maas_jupyter.serving.store import BundleStore

T = TypeVar("T")

log = logging.getLogger(__name__)


class ControlPlane:
    """The operations on the models of one home; see `Control`. Lives on one event loop, and alone on its home.

    Operations on one model come one after the other, those on different models side by side. One whose caller goes away
    is carried through all the same.

    Parameters
    ----------
    home : Path
        The server's folder.
    replicas : Replica
        What serves: one repository, or all workers as one.
    load_seconds : float
        How long a bundle may take to load before it counts as one that hangs.
    stop : callable, optional
        Begins to end the server.
    """

    def __init__(
        self, home: Path, replicas: Replica, *, load_seconds: float = 300.0, stop: Callable[[], None] | None = None
    ) -> None:
        self._home = home
        self._replicas = replicas
        self._stop = stop
        self._started = time.time()
        self._store = BundleStore(home)
        self._desired = DesiredState(home)
        self._quarantine = Quarantine(home, self._store, load_seconds)
        self._loading = Loading(replicas, self._store, self._quarantine)
        self._models = self._loading.models
        self._retention = Retention(self._store, self._quarantine)
        self._operations: set[asyncio.Task[Any]] = set()

    # -- the start and the end ----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read the desired state, finish what the last process left unfinished, and make every model known.

        Nothing is loaded yet. Bundles that nothing needs are deleted, so this comes before the first upload.
        """
        models, broken, kept = await asyncio.to_thread(self._desired.recover)
        self._models.update({name: Model(model) for name, model in models.items()})
        for name, reason in broken.items():
            log.error("the desired state of %s is broken: %s", name, reason)
            self._models[name] = Model(None, VersionStatus("", "", 0, "failed", reason))
        await self._retention.open(kept)
        for name in self._models:
            await self._loading.show(name)

    async def reconcile(self) -> None:
        """Load what should serve. What does not load, or is quarantined, is reported as failed and hinders no other."""
        await self._loading.reconcile()

    async def close(self) -> None:
        """Give up the operations that have not changed anything yet; for the end of the process."""
        for operation in self._operations:
            operation.cancel()
        await asyncio.gather(*self._operations, return_exceptions=True)
        await self._loading.close()

    # -- operations ---------------------------------------------------------------------------------------------------

    async def publish(self, name: str, request: PublishRequest, by: str) -> ModelStatus:
        """Load one version beside what serves, then move traffic in one step; see `Control`."""
        check_name(name)
        check_name(request.version, what="version")
        self._store.path(request.digest)
        action: Action = "shadow" if request.shadow else "publish" if request.canary is None else "canary"

        async def operation() -> None:
            async with self._retention.hold(request.digest):
                known = self._models.get(name)
                after = traffic.publish(
                    known.served if known else None,
                    name,
                    request.version,
                    request.digest,
                    canary=request.canary,
                    shadow=request.shadow,
                )
                if not self._store.has(request.digest):
                    raise NotFound(
                        f"The server has no bundle {request.digest[:12]}.", hint="Publish it again to send it again."
                    )
                await self._change(name, action, after, {request.version}, by, request.user, request.reason)

        return await self._operate(name, operation)

    async def promote(self, name: str, request: ChangeRequest, by: str) -> ModelStatus:
        """Give all traffic to the canary, or to the shadow where there is no canary; see `Control`."""

        async def operation() -> None:
            after = traffic.promote(self._served(name))
            await self._change(name, "promote", after, {after.versions[0].version}, by, request.user, request.reason)

        return await self._operate(name, operation)

    async def rollback(self, name: str, request: ChangeRequest, by: str) -> ModelStatus:
        """Go back to what served before; see `traffic.rollback`."""

        async def operation() -> None:
            present = self._served(name)
            after = traffic.rollback(present, await asyncio.to_thread(self._desired.history.read, name))
            wanted = {served.version for served in after.versions if served.weight}
            for served in after.versions:
                if served.version in wanted and not self._store.has(served.digest):
                    raise Conflict(
                        f"The bundle of version '{served.version}' of '{name}', which served before, is gone.",
                        hint=f"Publish it again: %maas publish {name}/{served.version}",
                    )
            await self._change(name, "rollback", after, wanted, by, request.user, request.reason)

        return await self._operate(name, operation)

    async def unpublish(self, name: str, request: ChangeRequest, by: str) -> None:
        """Stop serving a model and forget it; its history stays."""

        async def operation() -> None:
            if name not in self._models:
                raise self._not_found(name)
            await self._commit(name, "unpublish", None, by, request.user, request.reason)
            await self._loading.forget(name)
            await self._keep(name)
            log.info("model %s withdrawn", name)

        await self._run(name, operation)

    async def load(self, name: str, request: ChangeRequest, by: str) -> ModelStatus:
        """Bring a known model back into memory; see `Control`."""

        async def operation() -> None:
            after = traffic.load(self._served(name))
            await self._change(name, "load", after, set(), by, request.user, request.reason)

        return await self._operate(name, operation)

    async def unload(self, name: str, request: ChangeRequest, by: str) -> ModelStatus:
        """Take a model out of memory, after its last request, and keep it known."""

        async def operation() -> None:
            present = self._served(name)
            if present.loaded:
                model = self._models[name]
                after = traffic.unload(present)
                model.served = await self._commit(name, "unload", after, by, request.user, request.reason)
                model.found, model.beside = {}, None
                await self._loading.show(name)
                await self._keep(name)

        return await self._operate(name, operation)

    async def quarantine(self, digest: str, reason: str) -> None:
        """Load a bundle no more: it passed its probe, but a worker died of it. Publishing it again tries it again."""
        await asyncio.to_thread(self._quarantine.put, digest, reason)

        def affected(model: Model | None) -> list[Key]:
            return [
                key(each) for each in (model.served.versions if model and model.served else ()) if each.digest == digest
            ]

        for name in [name for name, model in self._models.items() if affected(model)]:
            async with self._loading.lock(name):
                if keys := affected(self._models.get(name)):
                    found = self._models[name].found
                    serving = f"{reason} It goes on serving where it is loaded."
                    found.update({each: serving if found.get(each) == "" else reason for each in keys})
                    await self._loading.show(name)

    async def refresh(self, name: str) -> None:
        """Find out whether every worker has what should serve of a model, now that there are other workers."""
        async with self._loading.lock(name):
            if name in self._models:
                await self._loading.show(name)

    async def commit(self, digest: str) -> None:
        """Verify an uploaded bundle and take it in."""
        await asyncio.to_thread(self._store.commit, digest)

    async def shutdown(self) -> None:
        """Begin to end the server.

        Raises
        ------
        Conflict
            If it is part of another program.
        """
        if self._stop is None:
            raise Conflict("This server is part of another program.", hint="End that program.")
        self._stop()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def history(self, name: str) -> list[HistoryEntry]:
        """Return what served when, oldest first; see `Control`."""
        entries = await asyncio.to_thread(self._desired.history.read, name)
        if not entries and name not in self._models:
            raise self._not_found(name)
        return entries

    async def status(self) -> ServerStatus:
        """Return the state of every model."""
        models = [ModelStatus(name, self._models[name].rows()) for name in sorted(self._models)]
        return ServerStatus(__version__, os.getpid(), self._started, models)

    async def model_status(self, name: str) -> ModelStatus:
        """Return the state of one model; see `Control`."""
        if name not in self._models:
            raise self._not_found(name)
        return ModelStatus(name, self._models[name].rows())

    async def counts(self) -> Counts:
        """Return what all workers counted."""
        return await self._replicas.counts()

    async def logs(self, lines: int) -> list[str]:
        """Return the last lines of the server's log."""
        return await asyncio.to_thread(tail, log_path(self._home), lines)

    def _not_found(self, name: str) -> NotFound:
        return NotFound(
            f"There is no model '{name[:128]}' here.",
            hint=nearest(name[:128], self._models, what="models", otherwise="Nothing is published here yet."),
        )

    def _served(self, name: str) -> ServedModel:
        model = self._models.get(name)
        if model is None:
            raise self._not_found(name)
        if model.served is None:
            reason = model.beside.reason if model.beside else ""
            raise Conflict(f"What '{name}' should serve is not known: {reason}", hint="Publish it again.")
        return model.served

    # -- steps --------------------------------------------------------------------------------------------------------

    async def _operate(self, name: str, operation: Callable[[], Coroutine[Any, Any, None]]) -> ModelStatus:
        async def and_look() -> ModelStatus:
            await operation()
            return await self.model_status(name)

        return await self._run(name, and_look)

    async def _run(self, name: str, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry an operation through, alone on its model, also when the caller is cancelled."""

        async def alone() -> T:
            async with self._loading.lock(name):
                return await operation()

        task = asyncio.create_task(alone())
        self._operations.add(task)
        task.add_done_callback(self._operations.discard)
        return await asyncio.shield(task)

    async def _change(
        self, name: str, action: Action, after: ServedModel, needed: set[str], by: str, user: str = "", reason: str = ""
    ) -> None:
        """Load what a state needs, make it the desired one, and move traffic; a state that serves already stays.

        A version among the ``needed`` ones that does not load ends the change, another one is reported as failed; but
        one must load.
        """
        model = self._models.setdefault(name, Model(None))
        before, beside, found = model.served, model.beside, model.found
        present = {key(served) for served in before.versions} if before and before.loaded else set()
        missing = [served for served in after.versions if found.get(key(served)) != "" or key(served) in model.lost]
        unchanged = before is not None and before.loaded and traffic.same(before, after)
        if unchanged and not missing:
            return
        newcomer = next((served for served in missing if key(served) not in present), None)
        tried: dict[Key, str] = {}
        try:
            if missing:
                model.found = {each: reason for each, reason in found.items() if each not in map(key, missing)}
                if newcomer:
                    model.beside = VersionStatus(newcomer.version, newcomer.digest, 0, "loading")
                await self._loading.show(name)
                await self._loading.bring_up(name, missing, needed, tried)
                if len(missing) == len(after.versions) and all(tried.values()):
                    raise BundleError(f"No version of '{name}' loads: {'; '.join(tried.values())}")
                # What only some workers lack goes on serving in the others.
                tried = {each: reason for each, reason in tried.items() if found.get(each) != ""}
            if not unchanged:
                after = await self._commit(name, action, after, by, user, reason) or after
        except Exception as error:
            failed = {each: reason for each, reason in tried.items() if each in present and found.get(each) != ""}
            model.found = {**found, **failed}
            model.beside = beside
            if before is None and beside is None:
                await self._loading.forget(name)
                raise
            if newcomer and before and isinstance(error, MaasError):
                model.beside = VersionStatus(newcomer.version, newcomer.digest, 0, "failed", error.message)
            await self._loading.show(name)
            raise
        model.served, model.beside = before if unchanged else after, None
        model.found = {key(served): tried.get(key(served), "") for served in after.versions}
        await self._loading.show(name)
        await self._keep(name)

    async def _commit(
        self, name: str, action: Action, after: ServedModel | None, by: str, user: str = "", reason: str = ""
    ) -> ServedModel | None:
        try:
            return await asyncio.to_thread(
                lambda: self._desired.commit(name, action, after, by=by, user=user, reason=reason)
            )
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise Unavailable(
                f"The server {'has no room on its disk' if full else 'cannot write its state'}, so '{name}' stays as "
                f"it was: {error.strerror}.",
                hint="Free space where the server keeps its home, then try again." if full else "Look at that disk.",
            ) from error

    async def _keep(self, name: str) -> None:
        """Delete the bundles that a model needed before its last change and that nothing needs any more."""
        model = self._models.get(name)
        kept, all_known = await asyncio.to_thread(self._desired.kept, name, model.served if model else None)
        await self._retention.keep(name, kept, all_known=all_known)
