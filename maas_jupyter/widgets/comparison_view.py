"""A comparison to sort, to look at and to pick from."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import traitlets

from maas_jupyter import api
from maas_jupyter.errors import InvalidInput, MaasError
from maas_jupyter.widgets import html
from maas_jupyter.widgets.comparison import TONES, conditions, render
from maas_jupyter.widgets.live import Errand, LiveWidget, error_html, front, style, told

if TYPE_CHECKING:
    from maas_jupyter.optimization import Candidate, Comparison

_CHAMPION, _REGISTER = "champion", "register"


class ComparisonView(LiveWidget):
    """The candidates of a comparison as a table to sort and a picture of speed against quality.

    Parameters
    ----------
    comparison : Comparison

    Attributes
    ----------
    selected : str
        The method that was picked; may be set from Python too.
    comparison : Comparison
    """

    _esm = front("comparison")
    _css = style()

    title = traitlets.Unicode().tag(sync=True)
    conditions = traitlets.Unicode().tag(sync=True)
    conclusion = traitlets.Unicode().tag(sync=True)
    metric_name = traitlets.Unicode().tag(sync=True)
    rows = traitlets.List().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)
    request = traitlets.Dict().tag(sync=True)
    result = traitlets.Dict().tag(sync=True)

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self._errand = Errand()
        super().__init__(
            title=f"{comparison.subject} and its candidates",
            conditions=conditions(comparison),
            conclusion=comparison.conclusion,
            metric_name=comparison.metric_name,
            rows=self._rows(),
            selected=comparison.winner.method if comparison.winner else "",
        )
        self.observe(self._asked, "request")

    @property
    def picked(self) -> Candidate | None:
        """The candidate that was picked; None before."""
        return self.comparison.candidate(self.selected) if self.selected else None

    @property
    def reference(self) -> str:
        """The registered version that the picked candidate is; empty where it was not registered."""
        return "" if self.picked is None else self.comparison.reference_of(self.selected)

    def register(self) -> dict[str, Any]:
        """Register the picked candidate, as the button does.

        Returns
        -------
        dict
            ``{"line": ...}`` or ``{"error": {"message": ..., "hint": ...}}``.
        """
        self._do({"do": _REGISTER, "method": self.selected})
        return dict(self.result)

    def make_champion(self) -> dict[str, Any]:
        """Point the alias ``champion`` at the picked candidate's version, as the button does.

        Returns
        -------
        dict
            ``{"line": ...}`` or ``{"error": {"message": ..., "hint": ...}}``.
        """
        self._do({"do": _CHAMPION, "method": self.selected})
        return dict(self.result)

    def wait(self, seconds: float = 60.0) -> None:
        """Return when what was asked for in the browser is done."""
        self._errand.wait(seconds)

    @traitlets.validate("selected")
    def _known(self, proposal: Any) -> str:
        return self.comparison.candidate(proposal["value"]).method if proposal["value"] else ""

    def _asked(self, change: dict[str, Any]) -> None:
        if request := change["new"]:
            self._errand.do(lambda: self._do(request))

    def _do(self, request: dict[str, Any]) -> None:
        try:
            self.result = {"id": request.get("id"), "line": self._done(request.get("do"), str(request.get("method")))}
        except MaasError as error:
            self.result = {"id": request.get("id"), "error": told(error)}
        except Exception as error:  # noqa: BLE001  # this is a thread: the cell shows what went wrong
            self.result = {"id": request.get("id"), "error": told(InvalidInput(f"{type(error).__name__}: {error}"))}
        self.refresh_twin()

    def _done(self, what: Any, method: str) -> str:
        """Do what is asked for with a candidate, and say it."""
        if what == _REGISTER:
            version = api.pick(self.comparison, method)
            self.rows = self._rows()
            return f"{method} is registered as {version.reference}."
        reference = self.comparison.reference_of(method)
        if not reference:
            raise InvalidInput(f"'{method}' is not registered.", hint="Register it first: view.register()")
        return f"{api.alias(reference, _CHAMPION).reference} is the {_CHAMPION} now."

    def _rows(self) -> list[dict[str, Any]]:
        front = {each.method for each in self.comparison.front}
        return [{**_row(each), "front": each.method in front, **self._use(each)} for each in self.comparison.candidates]

    def _use(self, candidate: Candidate) -> dict[str, Any]:
        """Return what can be done with a candidate: its version or whether it may become one, and the code to type."""
        reference = self.comparison.reference_of(candidate.method)
        if reference:
            return {"reference": reference, "free": False, "code": f"%maas publish {reference}"}
        if self.comparison.can_pick(candidate.method):
            return {"reference": "", "free": True, "code": f"comparison.pick({candidate.method!r})"}
        command = self.comparison.command
        single = "+" not in candidate.method and "\n" not in command and "--method" not in command
        return {
            "reference": "",
            "free": False,
            "code": f"{command} --method {candidate.method}" if command and single else "",
        }

    def static(self) -> dict[str, Any]:
        """Return the comparison's own display, and what was picked."""
        bundle = render(self.comparison)
        more, words = "", []
        if self.picked is not None:
            words = [f"picked: {self.selected}" + (f", {self.reference}" if self.reference else "")]
            more = f"<div>{html.text(words[0])}</div>"
        if error := self.result.get("error"):
            more += error_html(error)
        elif self.result:
            words.append(self.result["line"])
            more += f"<div>{html.text(self.result['line'])}</div>"
        return {"text/html": bundle["text/html"] + more, "text/plain": "\n".join([bundle["text/plain"], *words])}


def _row(candidate: Candidate) -> dict[str, Any]:
    row: dict[str, Any] = {
        "method": candidate.method,
        "description": candidate.description,
        "precision": candidate.precision,
        "verdict": candidate.verdict,
        "tone": TONES.get(candidate.verdict, "bad"),
        "reason": candidate.reason,
    }
    names = ("size", "memory", "p50", "p95", "spread", "throughput", "batch", "metric", "change", "low", "high")
    row.update(dict.fromkeys([*names, "difference", "agreement"]))
    if (measured := candidate.measured) is None:
        return row
    quality, speed = measured.quality, measured.speed
    row.update(size=measured.size, memory=measured.memory, metric=quality.metric)
    if candidate.verdict != "original":
        row.update(change=quality.change, difference=quality.max_difference, agreement=quality.agreement)
        if span := quality.change_interval:
            row.update(low=span.low, high=span.high)
    if speed is not None:
        row.update(p50=speed.p50_ms, p95=speed.p95_ms, spread=speed.spread)
        row.update(throughput=speed.rows_per_second, batch=speed.batch_size)
    # JSON has no other numbers.
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in row.items()}
