"""What a place for published models has to offer."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from maas_jupyter.serving.client import ServingClient
from maas_jupyter.targets.endpoint import Endpoint, EndpointList
from maas_jupyter.targets.nouns import History, Notice, TargetStatus


class Target(Protocol):
    """A place where bundles can be published.

    What changes is written into the history, with the name of the user and the ``reason`` given.
    """

    name: str

    def prepare(self) -> None:
        """Begin what a publish will need, without waiting for it, so that other slow work runs meanwhile.

        Raises
        ------
        Unavailable
            If the target is known not to answer.
        """

    def release(self) -> None:
        """Take back what `prepare` began, unless something is published: for a publish that failed before it sent.

        Raises
        ------
        Unavailable
            If the target does not answer.
        """

    def publish(
        self,
        name: str,
        version: str,
        bundle_folder: Path,
        *,
        canary: int | None = None,
        shadow: bool = False,
        reason: str = "",
    ) -> Endpoint:
        """Make a bundle serve as `ServingClient.publish` does."""

    def promote(self, name: str, *, reason: str = "") -> Endpoint:
        """Move traffic as `ServingClient.promote` does."""

    def rollback(self, name: str, *, reason: str = "") -> Endpoint:
        """Move traffic as `ServingClient.rollback` does."""

    def load(self, name: str, *, reason: str = "") -> Endpoint:
        """Bring a model back into memory as `ServingClient.load` does."""

    def unload(self, name: str, *, reason: str = "") -> Endpoint:
        """Take a model out of memory as `ServingClient.unload` does."""

    def unpublish(self, name: str, *, reason: str = "") -> Notice:
        """Withdraw a model as `ServingClient.unpublish` does, and say so."""

    def history(self, name: str) -> History:
        """Return what served when, also of a model that was withdrawn.

        Raises
        ------
        NotFound
            If the model never was published here.
        """

    def endpoints(self) -> EndpointList:
        """Return every model that is published here, serving or not.

        Those of a target that does not answer are ``unavailable``, with the reason; where it is not known what they
        are, one called ``*`` stands for all.
        """

    def endpoint(self, name: str) -> Endpoint:
        """Return one of them.

        Raises
        ------
        NotFound
            If the model is not published here.
        """

    def start(self) -> Notice:
        """Serve what was published before; say what that is, and where.

        Raises
        ------
        UsageError
            If to start the target is not for its clients to do.
        """

    def stop(self, name: str | None = None) -> Notice:
        """Withdraw one model, or stop serving altogether and keep what was published for the next start; say which.

        Raises
        ------
        NotFound
            If the model is not published here.
        UsageError
            If to stop the target is not for its clients to do.
        """

    def status(self) -> TargetStatus:
        """Return how the target is; one that does not answer is ``unavailable``."""

    def logs(self, lines: int = 20) -> list[str]:
        """Return the last lines of the target's log."""

    def connection(self, *, checked: bool = False, name: str = "") -> ServingClient:
        """Return a client of what serves here; starts nothing, and asks only if ``checked``.

        Raises
        ------
        Unavailable
            If nothing is known to serve here, or, where that is ``checked``, does not answer; the hint brings back the
            model ``name``.
        """
