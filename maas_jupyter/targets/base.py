"""What a place for published models has to offer."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from maas_jupyter.targets.endpoint import Endpoint, EndpointList


class Target(Protocol):
    """A place where bundles can be published."""

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

    def publish(self, name: str, version: str, bundle_folder: Path) -> Endpoint:
        """Make a bundle serve as this version of the model, with all of its traffic.

        Raises
        ------
        BundleError
            If the bundle is altered or does not load; what served before goes on serving.
        Unavailable
            If the target does not answer.
        """

    def endpoints(self) -> EndpointList:
        """Return every model that is published here, serving or not."""

    def endpoint(self, name: str) -> Endpoint:
        """Return one of them.

        Raises
        ------
        NotFound
            If the model is not published here.
        """

    def stop(self, name: str | None = None) -> None:
        """Withdraw one model, or stop serving altogether and keep what was published for the next start.

        Raises
        ------
        NotFound
            If the model is not published here.
        """

    def logs(self, lines: int = 20) -> list[str]:
        """Return the last lines of the target's log."""
