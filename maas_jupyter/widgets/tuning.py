"""How a search looks, while it goes on and afterwards: a table, what matters, and every trial as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.tuning.report import shown, shown_params, shown_value
from maas_jupyter.tuning.space import Choice, Dimension, magnitude
from maas_jupyter.widgets import html
from maas_jupyter.widgets.curves import BEST, TRAIN
from maas_jupyter.widgets.registry import badges
from maas_jupyter.widgets.stop import StopButton
from maas_jupyter.widgets.surface import Surface, cell_number

if TYPE_CHECKING:
    from maas_jupyter.tuning import Tuning
    from maas_jupyter.tuning.report import TrialRow

_TONES = {"complete": "good", "pruned": "plain", "failed": "bad", "running": "info"}
_ROWS = 10
#: Lines of the parallel coordinates; the best ones are drawn.
_LINES = 100
_INK, _GRID = "#7a7f87", "#7f7f7f"
_AXIS, _HEIGHT, _TOP = 120, 170, 34


#: In which cell each search's view stands, so that its result does not draw the same there again.
_drawn_in: dict[str, int | None] = {}


class TuningView:
    """Shows the table while a search goes on, and leaves it with its pictures in the notebook."""

    def __init__(self) -> None:
        self._cell = cell_number()
        self._surface = Surface()
        self._stop: StopButton | None = None

    def update(self, tuning: Tuning, *, final: bool = False) -> None:
        """Draw what was found so far."""
        if self._stop is None and tuning.run_id and tuning.status == "searching" and self._surface.rich:
            self._stop = StopButton(tuning.run_id)
            self._stop.show()
        if self._stop is not None and tuning.status != "searching":
            again = f"%maas attach {tuning.run_id[:8]}"
            self._stop.close(f'<span style="opacity:.75">See it again: <code>{again}</code></span>', again)
            self._stop = None
        _drawn_in[tuning.name] = self._cell
        self._surface.show(lambda: html.bundle(_markup(tuning), repr(tuning)), tuning.summary(), final=final)


def render(tuning: Tuning) -> dict[str, Any]:
    """Draw a search; where this cell holds its view already, what came of it in a line."""
    if tuning.name not in _drawn_in or _drawn_in[tuning.name] != cell_number() or cell_number() is None:
        return html.bundle(_markup(tuning), repr(tuning))
    what = tuning.summary()
    if tuning.version is not None:
        what += f"; registered as {tuning.version.reference}"
    return html.bundle(f'<div style="margin:4px 0">{html.text(what)}</div>', repr(tuning))


def _markup(tuning: Tuning) -> str:
    parts = [f'<div style="margin:4px 0">{html.text(tuning.summary())}</div>']
    parts += [f'<div style="margin:4px 0">⚠ {html.text(warning)}</div>' for warning in tuning.warnings]
    if tuning.status == "interrupted" and tuning.line:
        parts.append(f'<div style="margin:4px 0">go on: <code>{html.text(tuning.line)}</code></div>')
    if tuning.version is not None:
        reference = f"<b>{html.text(tuning.version.reference)}</b> {badges(tuning.version)}"
        how = f" for {tuning.run.epochs} epochs" if tuning.folds > 1 else ""
        parts.append(
            f'<div style="margin:4px 0">trained again on all training rows{how} and registered as {reference}</div>'
        )
    if tuning.trials:
        parts.append(_table(tuning))
    if tuning.importances:
        parts.append(_importances(tuning))
    lines = parallel_coordinates(tuning)
    if lines:
        picture = html.image(lines.encode(), "image/svg+xml", f"Trials of {tuning.name}: {tuning.summary()}")
        parts.append(f'<div style="margin:8px 0 2px">{picture}</div>')
    return "".join(parts)


def _table(tuning: Tuning) -> str:
    names = [dimension.name for dimension in tuning.space]
    value = f"{tuning.metric} ({tuning.folds} folds)" if tuning.folds > 1 else tuning.metric
    ranked = tuning.ranked()
    rows = [
        [
            str(trial.number),
            html.badge(trial.status, _TONES[trial.status]),
            html.text(shown_value(trial)),
            *(html.text(shown(trial.params[name]) if name in trial.params else "") for name in names),
            f"{trial.seconds:.1f} s",
            html.text(trial.error),
        ]
        for trial in ranked[:_ROWS]
    ]
    rest = len(ranked) - _ROWS
    more = f'<div style="margin:2px 0">and {rest} more: <code>.trials</code></div>' if rest > 0 else ""
    numbers = range(2, 4 + len(names))
    return html.table(["trial", "", value, *names, "time", ""], rows, numbers=list(numbers)) + more


def _importances(tuning: Tuning) -> str:
    rows = [[html.text(name), html.bar(share), f"{share * 100:.0f} %"] for name, share in tuning.importances.items()]
    return html.heading("What mattered", f"share of the variance of {tuning.metric}") + html.table(
        ["hyper-parameter", "", "share"], rows, numbers=[2]
    )


def parallel_coordinates(tuning: Tuning) -> str:
    """Return an SVG: an axis for each hyper-parameter and the metric, a line for each trial; empty for too few."""
    ranked = [trial for trial in tuning.ranked() if trial.status == "complete" and trial.value is not None][:_LINES]
    if len(ranked) < 3:
        return ""
    axes = len(tuning.space) + 1
    width = _AXIS * axes
    values = [trial.value for trial in ranked if trial.value is not None]
    low, high = min(values), max(values)

    def across(index: int) -> float:
        return _AXIS * (index + 0.5)

    def down(share: float) -> float:
        return _TOP + (1 - share) * _HEIGHT

    parts = []
    for index, dimension in enumerate(tuning.space):
        parts.append(_axis(across(index), dimension.name, *_ends(dimension)))
    parts.append(_axis(across(axes - 1), tuning.metric, f"{low:.4g}", f"{high:.4g}"))
    # The best is drawn last, above the others.
    for place, trial in reversed(list(enumerate(ranked))):
        shares = [_share(dimension, trial) for dimension in tuning.space]
        shares.append(((trial.value or 0.0) - low) / (high - low) if high > low else 0.5)
        points = " ".join(f"{across(index):.0f},{down(share):.1f}" for index, share in enumerate(shares))
        colour, opacity, thick = (BEST, 1.0, 2.4) if place == 0 else (TRAIN, 0.55 - 0.4 * place / len(ranked), 1.1)
        title = f"trial {trial.number}: {tuning.metric} {shown_value(trial)}, {shown_params(trial.params)}"
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{thick}" '
            f'stroke-opacity="{opacity:.2f}"><title>{html.text(title)}</title></polyline>'
        )
    height = _TOP + _HEIGHT + 22
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="system-ui, sans-serif" font-size="11" role="img">{"".join(parts)}</svg>'
    )


def _axis(x: float, name: str, low: str, high: str) -> str:
    shown_name = name if len(name) <= 18 else f"{name[:17]}…"
    bottom = _TOP + _HEIGHT
    return (
        f'<path d="M{x:.0f} {_TOP}V{bottom}" stroke="{_GRID}" stroke-opacity=".5"/>'
        f'<text x="{x:.0f}" y="12" text-anchor="middle" font-weight="600" fill="{_INK}">{html.text(shown_name)}</text>'
        f'<text x="{x:.0f}" y="{_TOP - 6}" text-anchor="middle" fill="{_INK}">{html.text(high)}</text>'
        f'<text x="{x:.0f}" y="{bottom + 14}" text-anchor="middle" fill="{_INK}">{html.text(low)}</text>'
    )


def _ends(dimension: Dimension) -> tuple[str, str]:
    if isinstance(dimension, Choice):
        return shown(dimension.options[0]), shown(dimension.options[-1])
    return shown(dimension.low), shown(dimension.high)


def _share(dimension: Dimension, trial: TrialRow) -> float:
    value = trial.params[dimension.name]
    if isinstance(dimension, Choice):
        if len(dimension.options) == 1:
            return 0.5
        return [str(option) for option in dimension.options].index(str(value)) / (len(dimension.options) - 1)
    return magnitude(dimension, float(value))  # type: ignore[arg-type]  # a range gives numbers
