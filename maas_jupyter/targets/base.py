"""What a place for published models has to offer."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from maas_jupyter.serving.client import ServingClient
from maas_jupyter.targets.endpoint import Endpoint, EndpointList
from maas_jupyter.targets.nouns import History, TargetStatus


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
        """Make a bundle serve as this version of the model: with all of its traffic, a share of it, or as its shadow.

        Parameters
        ----------
        name, version : str
            Under which it serves.
        bundle_folder : Path
            The bundle.
        canary : int, optional
            Its share of the traffic in percent, 1 to 99, beside what serves.
        shadow : bool
            It gets a copy of the traffic, and its answers are only compared.
        reason : str
            Why, for the history.

        Raises
        ------
        BundleError
            If the bundle is altered or does not load; what served before goes on serving.
        Conflict
            If a canary or a shadow is asked for and nothing serves beside it.
        Unavailable
            If the target does not answer.
        """

    def promote(self, name: str, *, reason: str = "") -> Endpoint:
        """Give all traffic to the canary, or to the shadow where there is no canary.

        Raises
        ------
        NotFound
            If the model is not published here.
        Conflict
            If it has neither.
        """

    def rollback(self, name: str, *, reason: str = "") -> Endpoint:
        """Go back to what served before.

        Raises
        ------
        NotFound
            If the model is not published here.
        Conflict
            If nothing else served before.
        """

    def unpublish(self, name: str, *, reason: str = "") -> None:
        """Withdraw one model; its history stays.

        Raises
        ------
        NotFound
            If the model is not published here.
        """

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

    def stop(self, name: str | None = None) -> None:
        """Withdraw one model, or stop serving altogether and keep what was published for the next start.

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

    def connection(self, *, checked: bool = False) -> ServingClient:
        """Return a client of what serves here; starts nothing, and asks only if ``checked``.

        Raises
        ------
        Unavailable
            If nothing is known to serve here, or, where that is ``checked``, does not answer.
        """
