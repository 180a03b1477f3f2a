"""The two contracts of the control plane: what the admin routes ask of it, and what it asks of each worker."""

from __future__ import annotations

from typing import Protocol

from maas_jupyter.errors import BundleError
from maas_jupyter.schema import (
    ChangeRequest,
    HistoryEntry,
    ModelStatus,
    PublishRequest,
    ServedModel,
    ServedVersion,
    ServerStatus,
    VersionStatus,
)
from maas_jupyter.serving.counts import Counts


class LoadHangs(BundleError):
    """A bundle does not load within its time; the thread that loads it cannot be ended."""


class Control(Protocol):
    """What the routes of every protocol ask for when something changes, or when the whole server is meant.

    In a worker this is the supervisor at the other end of a channel; in an application that another host mounts, the
    control plane itself. ``by`` is always the name of the principal that asks. Every method can raise `Unavailable`
    when the supervisor does not answer.
    """

    async def publish(self, name: str, request: PublishRequest, by: str) -> ModelStatus:
        """Load one version beside what serves, then move traffic in one step.

        Raises
        ------
        InvalidInput
            If the name, the version or the share cannot be.
        NotFound
            If the bundle was not sent.
        Conflict
            If a canary or shadow is asked for and nothing serves beside it.
        BundleError
            If the bundle is altered, does not load, crashes or hangs; what served before goes on serving.
        """

    async def promote(self, name: str, request: ChangeRequest, by: str) -> ModelStatus:
        """Give all traffic to the canary, or to the shadow where there is no canary.

        Raises
        ------
        NotFound
            If there is no such model.
        Conflict
            If it has neither.
        """

    async def rollback(self, name: str, request: ChangeRequest, by: str) -> ModelStatus:
        """Go back to what served before.

        Raises
        ------
        NotFound
            If there is no such model.
        Conflict
            If nothing else served before, or its bundle is gone.
        """

    async def unpublish(self, name: str, request: ChangeRequest, by: str) -> None:
        """Stop serving a model and forget it; its history stays.

        Raises
        ------
        NotFound
            If there is no such model.
        """

    async def load(self, name: str, request: ChangeRequest, by: str) -> ModelStatus:
        """Bring a known model back into memory.

        Raises
        ------
        NotFound
            If there is no such model.
        BundleError
            If none of its versions loads.
        """

    async def unload(self, name: str, request: ChangeRequest, by: str) -> ModelStatus:
        """Take a model out of memory, after its last request, and keep it known.

        Raises
        ------
        NotFound
            If there is no such model.
        """

    async def history(self, name: str) -> list[HistoryEntry]:
        """Return what served when, oldest first; also of a model that was withdrawn.

        Raises
        ------
        NotFound
            If there never was such a model.
        """

    async def commit(self, digest: str) -> None:
        """Verify an uploaded bundle and take it in.

        Raises
        ------
        InvalidInput
            If nothing was uploaded.
        BundleError
            If a file is missing or altered.
        """

    async def status(self) -> ServerStatus:
        """Return the state of every model, known ones that are not in memory included."""

    async def model_status(self, name: str) -> ModelStatus:
        """Return the state of one model.

        Raises
        ------
        NotFound
            If there is no such model.
        """

    async def counts(self) -> Counts:
        """Return what all workers counted, those that ended included."""

    async def logs(self, lines: int) -> list[str]:
        """Return the last lines of the server's log."""

    async def shutdown(self) -> None:
        """Begin to end the server; returns before it has."""


class Replica(Protocol):
    """What the control plane asks of a worker's model repository; every worker holds the same."""

    async def prepare(self, name: str, served: ServedVersion) -> None:
        """Load and warm one version beside what serves, without giving it traffic.

        Raises
        ------
        BundleError
            If it does not load.
        LoadHangs
            If it does not within its time, where the control plane has to learn of that by this error alone.
        """

    async def apply(self, model: ServedModel, others: list[VersionStatus]) -> list[VersionStatus]:
        """Serve this state from now on: load what is not prepared yet, move traffic in one step, let the rest drain.

        Versions that do not load, and ``others`` (versions that are loading or quarantined), are reported by the status
        routes and hinder no other. Of ``others`` none is loaded; where one is already, it serves on. Prepared versions
        that the state does not name are unloaded.

        Returns
        -------
        list of VersionStatus
            The versions that should serve and do not load; only `prepare` tries them again.
        """

    async def forget(self, name: str) -> None:
        """Stop serving a model and drop what was prepared of it; what is being computed is still answered."""

    async def counts(self) -> Counts:
        """Return what this worker counted."""
