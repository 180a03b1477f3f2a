"""A comparison to sort, to look at and to pick from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from maas_jupyter import api
from maas_jupyter.errors import InvalidInput, MaasError, NotFound, nearest
from maas_jupyter.widgets import html
from maas_jupyter.widgets.comparison import TONES, conditions, render
from maas_jupyter.widgets.live import Errand, LiveWidget, error_html, front, style, told

if TYPE_CHECKING:
    from maas_jupyter.optimization import Candidate, Comparison

_CHAMPION = "champion"


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
        front_methods = {each.method for each in comparison.front}
        super().__init__(
            title=f"{comparison.subject} and its candidates",
            conditions=conditions(comparison),
            conclusion=comparison.conclusion,
            metric_name=comparison.metric_name,
            rows=[
                {**_row(each), "front": each.method in front_methods, **self._use(each)}
                for each in comparison.candidates
            ],
            selected=comparison.winner.method if comparison.winner else "",
        )
        self.observe(self._asked, "request")

    @property
    def picked(self) -> Candidate | None:
        """The candidate that was picked; None before."""
        return next((each for each in self.comparison.candidates if each.method == self.selected), None)

    @property
    def reference(self) -> str:
        """The registered version that the picked candidate is; empty where it was not registered."""
        return "" if self.picked is None else self._reference(self.picked)

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
        methods = [each.method for each in self.comparison.candidates]
        if proposal["value"] and proposal["value"] not in methods:
            hint = nearest(proposal["value"], methods, what="candidates", otherwise="")
            raise NotFound(f"There is no candidate '{proposal['value']}'.", hint=hint)
        return str(proposal["value"])

    def _asked(self, change: dict[str, Any]) -> None:
        if request := change["new"]:
            self._errand.do(lambda: self._do(request))

    def _do(self, request: dict[str, Any]) -> None:
        try:
            method = request.get("method")
            candidate = next((each for each in self.comparison.candidates if each.method == method), None)
            reference = "" if candidate is None else self._reference(candidate)
            if not reference:
                raise InvalidInput(f"'{method}' is not registered.", hint="Only the winner and the original are.")
            version = api.alias(reference, _CHAMPION)
            self.result = {"id": request.get("id"), "line": f"{version.reference} is the {_CHAMPION} now."}
        except MaasError as error:
            self.result = {"id": request.get("id"), "error": told(error)}
        except Exception as error:  # noqa: BLE001  # this is a thread: the cell shows what went wrong
            self.result = {"id": request.get("id"), "error": told(InvalidInput(f"{type(error).__name__}: {error}"))}
        self.refresh_twin()

    def _reference(self, candidate: Candidate) -> str:
        if candidate.verdict == "original":
            return self.comparison.subject
        if candidate.verdict == "winner" and self.comparison.version is not None:
            return self.comparison.version.reference
        return ""

    def _use(self, candidate: Candidate) -> dict[str, str]:
        """Return what can be done with a candidate: its version, and the code to type."""
        reference = self._reference(candidate)
        if reference:
            return {"reference": reference, "code": f"%maas publish {reference}"}
        command = self.comparison.command
        single = "+" not in candidate.method and "\n" not in command and "--method" not in command
        return {"reference": "", "code": f"{command} --method {candidate.method}" if command and single else ""}

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
    return row
