"""A published model as a notebook holds it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from maas_jupyter.errors import MaasError, NotFound, Unauthorized
from maas_jupyter.plugins import Displayed, load
from maas_jupyter.schema import EndpointState, ModelStatus, Signature, VersionStatus
from maas_jupyter.serving.client import Inference, NoAnswer, ServingClient
from maas_jupyter.targets.access import Access, Request, example
from maas_jupyter.targets.logs import SEARCHED_LINES, LogLines
from maas_jupyter.targets.unseen import unseen

if TYPE_CHECKING:
    from maas_jupyter.targets.base import Target
    from maas_jupyter.targets.nouns import History

#: Stands for all endpoints of a target that does not answer and whose endpoints are not known.
UNKNOWN = "*"
#: Seconds for which a state that was just read counts as the present one.
FRESH_SECONDS = 1.0
#: Seconds that showing an endpoint may wait for its present state.
SHOWN_SECONDS = 2.0

_SHOWN_ROWS = 10

T = TypeVar("T")


@dataclass(repr=False)
class Prediction(Displayed):
    """What an endpoint answered.

    Attributes
    ----------
    endpoint, version : str
        Which model, and which of its versions.
    outputs : dict of str to ndarray
        The model's outputs.
    request_id : str
        Under which the server's log has the request.
    notes : list of str
        What in the rows no training row had, where this machine has the bundle that answered; and which answers are no
        numbers.
    """

    endpoint: str
    version: str
    outputs: dict[str, np.ndarray]
    request_id: str = field(default="", compare=False)
    notes: list[str] = field(default_factory=list, compare=False)

    @property
    def labels(self) -> np.ndarray | None:
        """Predicted class per row, shape ``(rows,)``; None for a model that does not classify."""
        return self.outputs.get("label")

    @property
    def scores(self) -> np.ndarray | None:
        """Score per row and class, shape ``(rows, classes)``; None for a model that does not classify."""
        return self.outputs.get("scores")

    def __repr__(self) -> str:
        title = f"{self.endpoint} version {self.version}"
        notes = [f"note: {note}" for note in self.notes]
        if self.labels is None or self.scores is None:
            return "\n".join([title, *(f"{name}: {value}" for name, value in self.outputs.items()), *notes])
        rows = zip(self.labels[:_SHOWN_ROWS], self.scores[:_SHOWN_ROWS], strict=True)
        lines = [f"{row:>5}  {label}  {scores.max():.4f}" for row, (label, scores) in enumerate(rows)]
        more = [f"  and {len(self.labels) - _SHOWN_ROWS:,} more rows"] if len(self.labels) > _SHOWN_ROWS else []
        return "\n".join([f"{title}: row, label, score", *lines, *more, *notes])


def _not_numbers(outputs: dict[str, np.ndarray]) -> list[str]:
    """Say which rows got scores or predictions that are no numbers, and so a label that means nothing."""
    for name, what in (("scores", "scores"), ("prediction", "a prediction")):
        answers = outputs.get(name)
        if answers is None or np.isfinite(answers).all():
            continue
        wrong = np.flatnonzero(~np.isfinite(answers.reshape(len(answers), -1)).all(1))
        rows = f"{len(wrong):,} rows, the first of them row {wrong[0]}," if len(wrong) > 1 else f"row {wrong[0]}"
        so = ", and so a label that means nothing" if name == "scores" else ""
        return [f"{rows} got {what} of NaN or infinity{so}: look for such values, and very large ones, in the rows"]
    return []


@dataclass(repr=False)
class Endpoint(Displayed):
    """A published model.

    Its state is as it was last read: by `refresh`, by a change through this object, or by showing it in a cell.

    Attributes
    ----------
    name, target : str
        The model, and where it is published.
    url : str
        Where predictions are posted (Open Inference Protocol V2); empty while nothing serves.
    state : str
        One of `EndpointState`; ``reason`` says why it is not ready.
    traffic : list of VersionStatus
        The versions, their states and their weights.
    signature : Signature or None
        What goes in and comes out, where it is known.
    note : str
        What its clients have to know.
    seen : float
        When this was so, in epoch seconds.
    """

    name: str
    target: str
    url: str
    state: EndpointState
    reason: str = ""
    traffic: list[VersionStatus] = field(default_factory=list)
    signature: Signature | None = None
    note: str = ""
    seen: float = field(default_factory=time.time, compare=False)
    _access: Access | None = field(default=None, compare=False)
    _target: Target | None = field(default=None, compare=False)

    @classmethod
    def serving(
        cls,
        status: ModelStatus,
        target: Target,
        url: str,
        access: Access,
        signature: Signature | None,
        *,
        note: str = "",
    ) -> Endpoint:
        """Make the endpoint of a model whose server answers at ``url``."""
        rows = status.versions
        states: set[str] = {row.state for row in rows}
        elsewhere = "" if target.name == "local" else f" --on {target.name}"
        back = f"To bring it back: %maas load {status.name}{elsewhere}"
        resting = f"The model is not in memory. {back}" if states == {"unloaded"} else ""
        reasons = [f"version {row.version}: {row.reason}" if row.version else row.reason for row in rows if row.reason]
        failed = [row.version for row in rows if row.state == "failed" and row.version]
        to = "" if target.name == "local" else f" --to {target.name}"
        again = f"To try it again: %maas publish {status.name}/{failed[0]}{to}" if failed else ""
        return cls(
            name=status.name,
            target=target.name,
            url=f"{url}/v2/models/{status.name}/infer",
            state="ready" if "ready" in states else "loading" if "loading" in states else _rest(states),
            reason=" ".join(filter(None, ["; ".join([*reasons, *filter(None, [resting])]), again])),
            traffic=rows,
            signature=signature,
            note=note,
            _access=access,
            _target=target,
        )

    # -- asking -------------------------------------------------------------------------------------------------------

    def predict(self, X: Any, version: str | None = None) -> Prediction:
        """Ask it, as `maas_jupyter.predict` does; one request, but for the first, which asks for the signature too.

        Parameters
        ----------
        X : array-like, DataFrame, dict, list of dict, str, bytes or Path
            The rows.
        version : str, optional
            One version; default by the endpoint's traffic.
        """
        return self._prediction(self._ask(lambda client: client.predict(self.name, X, version)), X)

    async def apredict(self, X: Any, version: str | None = None) -> Prediction:
        """Await what `predict` returns; any number may be on their way at once."""
        client = self._place.connection(name=self.name)
        try:
            found = await client.asynchronous().predict(self.name, X, version)
        except (Unauthorized, NoAnswer):
            again = await asyncio.to_thread(self._place.connection, checked=True, name=self.name)
            if again is client:
                raise
            found = await again.asynchronous().predict(self.name, X, version)
        # What is known of a bundle is read at its first answer.
        return await asyncio.to_thread(self._prediction, found, X)

    def _prediction(self, found: Inference, X: Any) -> Prediction:
        digest = next((row.digest for row in self.traffic if row.version == found.version), "")
        notes = [*unseen(digest, X), *_not_numbers(found.outputs)]
        return Prediction(self.name, found.version, found.outputs, found.request_id, notes)

    def described(self) -> Signature | None:
        """Return its signature, asked for where one of many in a list was told none; None while nothing serves."""
        if self.signature is None and self.state == "ready":
            self.signature = self._ask(lambda client: client.metadata(self.name).signature)
        return self.signature

    def metrics_text(self) -> str:
        """Return the server's metrics in Prometheus' text format."""
        return self._ask(lambda client: client.metrics_text())

    def logs(self, lines: int = 20) -> LogLines:
        """Return the last lines of the server's log that tell of this model."""
        return LogLines.about(self.name, self._place.logs(max(lines, SEARCHED_LINES)), lines)

    def history(self) -> History:
        """Return what served when, with which weights, by whom and why."""
        return self._place.history(self.name)

    def _ask(self, work: Callable[[ServingClient], T]) -> T:
        client = self._place.connection(name=self.name)
        try:
            return work(client)
        except (Unauthorized, NoAnswer):
            # The server may have been started anew since, at another port and with another token.
            again = self._place.connection(checked=True, name=self.name)
            if again is client:
                raise
            return work(again)

    @property
    def _place(self) -> Target:
        assert self._target is not None
        return self._target

    # -- changing -----------------------------------------------------------------------------------------------------

    def promote(self, *, reason: str = "") -> Endpoint:
        """Change it as `maas_jupyter.promote` does; returns this endpoint."""
        return self._become(self._place.promote(self.name, reason=reason))

    def rollback(self, *, reason: str = "") -> Endpoint:
        """Change it as `maas_jupyter.rollback` does; returns this endpoint."""
        return self._become(self._place.rollback(self.name, reason=reason))

    def refresh(self) -> Endpoint:
        """Read the present state; returns this endpoint.

        A target that does not answer makes it ``unavailable``, with what was last known of its traffic.
        """
        try:
            return self._become(self._place.endpoint(self.name))
        except NotFound:
            self.state, self.reason, self.url, self.traffic = "stopped", "It is not published any more.", "", []
        except MaasError as error:
            self.state, self.reason = "unavailable", f"{error.message} Last seen {moment(self.seen)}."
        return self

    def _become(self, found: Endpoint) -> Endpoint:
        for each in fields(self):
            setattr(self, each.name, getattr(found, each.name))
        return self

    # -- showing ------------------------------------------------------------------------------------------------------

    def view(self) -> Any:
        """Return a live view of its traffic for a cell: an `EndpointView`."""
        return load("widget", "endpoint")(self)

    def playground(self, **options: Any) -> Any:
        """Return a form that asks it, as `maas_jupyter.play` does: a `Playground`, which takes the options."""
        return load("widget", "playground")(self, **options)

    @property
    def labels(self) -> dict[str, str]:
        """What each version is: ``stable``, ``canary`` or ``shadow``; those that are neither are left out."""
        weighted = [row.version for row in self.traffic if row.weight > 0]
        found = dict(zip(weighted, ("stable", "canary"), strict=False))
        return {**found, **{row.version: "shadow" for row in self.traffic if row.shadow}}

    @property
    def line(self) -> str:
        """How it is, without the reason."""
        shares = ", ".join(self._share(row) for row in self.traffic if row.version)
        if self.name == UNKNOWN:
            return f"{self.target} is {self.state}"
        return f"{self.name} is {self.state} on {self.target}" + (f": {shares}" if shares else "")

    def __repr__(self) -> str:
        return "\n".join(filter(None, [self.line, self.reason, self.url, self.note]))

    def _share(self, row: VersionStatus) -> str:
        total = sum(row.weight for row in self.traffic)
        label = self.labels.get(row.version, "")
        words = [label] if label and (len(self.labels) > 1 or label == "shadow") else []
        words += [f"version {row.version}"]
        words += [f"{row.weight / total:.0%}"] if row.weight else []
        words += [row.state] if row.state != "ready" else []
        return " ".join(words)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if self._target is not None and time.time() - self.seen > FRESH_SECONDS:
            self._refresh_within(SHOWN_SECONDS)
        return super()._repr_mimebundle_(include, exclude)

    def _refresh_within(self, seconds: float) -> None:
        """Read the present state, or say that it was not to be had so soon."""
        # On a copy: what comes later must not change what was shown.
        latest = replace(self)
        asking = threading.Thread(target=latest.refresh, name="maas-endpoint", daemon=True)
        asking.start()
        asking.join(seconds)
        if asking.is_alive():
            self.reason = f"{self.target} does not say within {seconds:g} s how it is now."
        else:
            self._become(latest)

    @property
    def curl(self) -> str:
        """A line for a shell that sends one row of zeros; empty while nothing serves."""
        return self._shown(lambda access, request: access.curl(self.url, request))

    @property
    def python_client(self) -> str:
        """A program that sends one row of zeros, with the standard library alone; empty while nothing serves."""
        return self._shown(lambda access, request: access.program(self.url, request))

    def _shown(self, make: Callable[[Access, Request], str]) -> str:
        if not self.url or self._access is None:
            return ""
        with contextlib.suppress(MaasError):  # it stopped serving in this moment
            self.described()
        return make(self._access, example(self.signature)) if self.signature else ""


class EndpointList(list[Endpoint], Displayed):
    """Endpoints, in the order of their targets and names."""

    def __repr__(self) -> str:
        last = {id(same[-1]): same[0].reason for same in self._resting().values() if len(same) > 1}
        lines: list[str] = []
        for each in self:
            lines += [each.line] if self.in_common(each) else filter(None, [each.line, each.reason, each.url])
            lines += [last[id(each)]] if id(each) in last else []
        lines += self.notes
        return "\n".join(lines) or "No endpoints. Publish one: %maas publish NAME"

    def in_common(self, endpoint: Endpoint) -> bool:
        """Say whether others of its target rest for the same reason, the server's rather than their own."""
        return len(self._resting().get(_rests(endpoint), ())) > 1

    @property
    def notes(self) -> list[str]:
        """What the clients of some have to know, each once."""
        return list(dict.fromkeys(each.note for each in self if each.note))

    def said_once(self) -> list[str]:
        """Return the reasons that several endpoints have in common, as the first one of them has it."""
        return [same[0].reason for same in self._resting().values() if len(same) > 1]

    def _resting(self) -> dict[tuple[str, str, str], list[Endpoint]]:
        found: dict[tuple[str, str, str], list[Endpoint]] = {}
        for each in self:
            if each.reason and not each.url:
                found.setdefault(_rests(each), []).append(each)
        return found


def _rests(endpoint: Endpoint) -> tuple[str, str, str]:
    # What follows the first sentence says how to bring this one back.
    return endpoint.target, endpoint.state, endpoint.reason.partition(". ")[0]


def _rest(states: set[str]) -> EndpointState:
    return "stopped" if states == {"unloaded"} else "failed"


def moment(seconds: float) -> str:
    """Return a time as the user's clock shows it."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
