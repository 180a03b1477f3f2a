"""A server that is not ours, as a source for the watcher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from maas_jupyter.errors import MaasError, Unavailable
from maas_jupyter.monitoring.feed import in_words
from maas_jupyter.monitoring.foreign.asker import PATIENCE, Asker, origin, refusal
from maas_jupyter.monitoring.foreign.attached import AttachedServer
from maas_jupyter.monitoring.foreign.kind import ForeignModel, Kind
from maas_jupyter.monitoring.foreign.kinds import KINDS
from maas_jupyter.monitoring.scrape import Scrape
from maas_jupyter.monitoring.snapshot import WatchedEndpoint

#: Stands for what a server has while its models are not known.
UNKNOWN = "*"

_NOTHING = Scrape(models={}, memory=None, cpu_seconds=None, started=None)


class ForeignSource:
    """Watches one attached server.

    Parameters
    ----------
    server : AttachedServer
        The server.
    how_to_set : callable
        Given a variable, returns how it is set where errors are shown.
    patience : float
        Seconds that each of its answers may take.
    """

    def __init__(self, server: AttachedServer, how_to_set: Callable[[str], str], *, patience: float = PATIENCE) -> None:
        self.name = server.name
        self._server = server
        self._how_to_set = how_to_set
        self._patience = patience
        self._ask: Asker | None = None
        self._known: list[WatchedEndpoint] = []
        self._scrape: Scrape | MaasError = _NOTHING

    def endpoints(self) -> list[WatchedEndpoint]:
        """Return its models; as they were last seen, with the reason, while it does not answer."""
        try:
            self._known = self._look()
        except MaasError as error:
            known = self._known or [self._endpoint(ForeignModel(UNKNOWN))]
            return [replace(each, state="unavailable", reason=in_words(error)) for each in known]
        return self._known

    def scrape(self) -> Scrape:
        """Return what its metrics said when its models were listed.

        Raises
        ------
        Unavailable
            If they cannot be had.
        """
        if isinstance(self._scrape, MaasError):
            raise self._scrape
        return self._scrape

    def _look(self) -> list[WatchedEndpoint]:
        kind = KINDS.get(self._server.kind)
        if kind is None:
            raise Unavailable(f"'{self._server.kind[:64]}' is no kind of server that is known.")
        if self._ask is None:
            self._ask = Asker(
                self._server.url,
                self._server.token(self._how_to_set),
                ca_file=self._server.ca_file,
                patience=self._patience,
            )
        self._scrape = self._read(kind, self._ask)
        scrape = _NOTHING if isinstance(self._scrape, MaasError) else self._scrape
        models = kind.models(self._ask, scrape)
        if not models and isinstance(self._scrape, MaasError):
            raise self._scrape
        return [
            self._endpoint(model)
            for model in models or [ForeignModel(UNKNOWN, reason="It serves no model, or has had no request yet.")]
        ]

    def _read(self, kind: Kind, ask: Asker) -> Scrape | MaasError:
        where = self._server.metrics
        try:
            answer = ask.get(where)
        except Unavailable as error:
            if origin(where) == origin(self._server.url):
                raise  # nothing else would come from there either, and each try takes its time
            return error
        if not answer.ok:
            return refusal(answer)
        try:
            return kind.read(answer.text)
        except (ValueError, KeyError, OverflowError) as error:
            return Unavailable(f"The metrics at {where} cannot be read: {error}")

    def _endpoint(self, model: ForeignModel) -> WatchedEndpoint:
        kind = KINDS.get(self._server.kind)
        path = kind.model_path.format(name=quote(model.name, safe="")) if kind and model.name != UNKNOWN else ""
        return WatchedEndpoint(
            name=model.name,
            url=f"{self._server.url}{path}",
            state=model.state,
            reason=model.reason,
            traffic=model.versions,
            kind=self._server.kind,
            metrics=self._server.metrics,
            untold=kind.untold if kind else (),
        )
