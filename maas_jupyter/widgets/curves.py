"""Loss and metric curves as one small SVG: cheap enough to redraw while a training runs, and to keep afterwards.

Pictures have no ground of their own, and colours of a middle tone that read on a light and on a dark page: a page's
theme is known neither to a picture that travels inside a notebook nor to a code host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING

from maas_jupyter.widgets import html

if TYPE_CHECKING:
    from maas_jupyter.runs import Best, Curve

Points = Sequence[tuple[float, float]]

#: Contrasts of at least 3 on white and on black.
TRAIN, VAL, BEST = "#3b82f6", "#d9690f", "#2f9e44"
SERIES = (TRAIN, VAL, BEST, "#b356d9", "#d6336c", "#1298a8", "#9a7d0a", "#7a7f87")
_INK, _GRID = "#7a7f87", "#7f7f7f"

_WIDTH, _HEIGHT, _GAP = 330, 180, 16
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 24
_COLUMNS = 2
#: A picture's size has a bound whatever was logged: so many panels, and so many points over all of their lines.
MOST_PANELS = 12
_MOST_POINTS, _FEWEST_POINTS = 2400, 24
_LONGEST = 28


@dataclass(frozen=True)
class Line:
    """One line of a panel; a faint one lies behind the others. Without a label it is explained beside the picture."""

    label: str
    points: Points
    colour: str
    faint: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One metric; ``best`` is the epoch and the value to be marked."""

    title: str
    lines: list[Line]
    best: tuple[float, float] | None = None


def run_panels(
    curves: Mapping[str, Curve], history: Sequence[dict[str, float]] = (), best: Best | None = None
) -> list[Panel]:
    """Return a panel for each metric of one run, with training and validation values.

    Parameters
    ----------
    curves : dict of str to Curve
        By metric; the loss by step, the others by epoch, those of the validation prefixed by ``val_``.
    history : sequence of dict
        The metrics of epochs; where it reaches back to the first, the loss by step stands thin behind the epochs'.
    best : Best or None
        The epoch to be marked.
    """
    series: dict[str, Points] = {name: curve.points() for name, curve in list(curves.items())} or dict(by_name(history))
    by_step = series.get("loss", ())
    by_epoch = [(entry["epoch"], entry["loss"]) for entry in history if "loss" in entry]
    whole = bool(by_epoch) and by_epoch[0][0] == 1
    if whole:
        series["loss"] = by_epoch
    names = dict.fromkeys(name.removeprefix("val_") for name in series)
    panels = []
    for name in sorted(names, key=lambda each: each != "loss"):
        lines = []
        if name == "loss" and whole and len(by_step) > len(by_epoch):
            lines.append(Line("by step", by_step, TRAIN, faint=True))
        if series.get(name):
            lines.append(Line("train", series[name], TRAIN))
        if series.get(f"val_{name}"):
            lines.append(Line("val", series[f"val_{name}"], VAL))
        watched = best is not None and best.metric.removeprefix("val_") == name
        if lines:
            panels.append(Panel(name, lines, (best.epoch, best.value) if best is not None and watched else None))
    return panels


def by_name(history: Sequence[dict[str, float]]) -> dict[str, list[tuple[float, float]]]:
    """Turn the metrics of epochs into points by metric."""
    found: dict[str, list[tuple[float, float]]] = {}
    for entry in history:
        for name, value in entry.items():
            if name != "epoch":
                found.setdefault(name, []).append((entry["epoch"], value))
    return found


def curves_image(panels: Sequence[Panel], end: float, alt: str) -> str:
    """Return panels as an image that travels inside the notebook; what does not fit is named.

    Parameters
    ----------
    panels : sequence of Panel
        What to draw; nothing gives an empty text.
    end : float
        The epoch at which the time axis ends.
    alt : str
        What the image shows, for those who cannot see it.
    """
    if not panels:
        return ""
    rest = [panel.title[:_LONGEST] for panel in panels[MOST_PANELS:]]
    more = f" {', '.join(rest[:MOST_PANELS])}{' …' if len(rest) > MOST_PANELS else ''}"
    note = f'<div style="color:{_INK}">{len(rest)} more metrics are not drawn:{html.text(more)}</div>' if rest else ""
    svg = curves_svg(panels[:MOST_PANELS], end)
    return f"<div>{html.image(svg.encode(), 'image/svg+xml', alt)}</div>{note}"


def curves_svg(panels: Sequence[Panel], end: float) -> str:
    """Draw panels, two in a row; the time axis counts epochs."""
    # A run that was stopped within an epoch ends before the mark.
    end = float(ceil(end))
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = columns * (_WIDTH + _GAP) - _GAP
    height = rows * (_HEIGHT + _GAP) - _GAP
    most = max(_MOST_POINTS // max(sum(len(panel.lines) for panel in panels), 1), _FEWEST_POINTS)
    # Steps of the first epoch lie before its end.
    start = 0.0 if any(line.points and line.points[0][0] < 1 for panel in panels for line in panel.lines) else 1.0
    drawn = "".join(
        f'<g transform="translate({index % columns * (_WIDTH + _GAP)} {index // columns * (_HEIGHT + _GAP)})">'
        f"{_panel(panel, start, max(end, start), most)}</g>"
        for index, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="system-ui, sans-serif" font-size="11" role="img">{drawn}</svg>'
    )


def _panel(panel: Panel, start: float, end: float, most: int) -> str:
    lines = [(line, _thinned(line.points, most)) for line in panel.lines]
    values = [value for _, points in lines for _, value in points]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low < 1e-9 * max(abs(high), 1.0):
        margin = max(abs(low) * 0.1, 1e-3)
        low, high = low - margin, high + margin
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(epoch: float, value: float) -> tuple[float, float]:
        across = min(max((epoch - start) / ((end - start) or 1), 0), 1)
        return _LEFT + across * inner_width, _TOP + (high - value) / (high - low) * inner_height

    parts = [
        f'<rect x=".5" y=".5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" rx="6" fill="none" stroke="{_GRID}" '
        'stroke-opacity=".35"/>'
    ]
    for share in (0.0, 0.5, 1.0):
        value = low + (high - low) * share
        y = place(start, value)[1]
        parts.append(f'<path d="M{_LEFT} {y:.1f}h{inner_width}" stroke="{_GRID}" stroke-opacity=".25"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end" fill="{_INK}">{_tick(value)}</text>')
    for epoch, anchor in ((start, "start"), (end, "end"))[: 2 if end > start else 1]:
        parts.append(
            f'<text x="{place(epoch, low)[0]:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}" fill="{_INK}">'
            f"{'epoch ' if epoch == start else ''}{round(epoch, 1):g}</text>"
        )
    for line, points in lines:
        parts += _drawn(line, [place(*point) for point in points])
    if panel.best is not None and isfinite(panel.best[1]):
        parts.append(_best(panel.best[0], *place(*panel.best)))
    return "".join([*parts, _legend(panel)])


def _tick(value: float) -> str:
    shown = f"{value:.3g}"
    return shown if len(shown) <= 8 else f"{value:.1e}"


def _drawn(line: Line, places: list[tuple[float, float]]) -> list[str]:
    if not places:
        return []
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
    style = 'stroke-width="1" stroke-opacity=".4"' if line.faint else 'stroke-width="1.8"'
    dashes = ' stroke-dasharray="5 3"' if line.dashed else ""
    parts = [f'<polyline points="{path}" fill="none" stroke="{line.colour}" {style}{dashes}/>']
    if not line.faint:
        parts.append(f'<circle cx="{places[-1][0]:.1f}" cy="{places[-1][1]:.1f}" r="2.6" fill="{line.colour}"/>')
    return parts


def _best(epoch: float, x: float, y: float) -> str:
    right = x > (_LEFT + _WIDTH - _RIGHT) / 2
    anchor, aside = ("end", x - 5) if right else ("start", x + 5)
    # Above or below the middle, wherever the marked point is not.
    down = _HEIGHT - _BOTTOM - 6 if y < (_HEIGHT - _BOTTOM + _TOP) / 2 else _TOP + 12
    return (
        f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{BEST}" stroke-dasharray="2 3"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="none" stroke="{BEST}" stroke-width="1.8"/>'
        f'<text x="{aside:.1f}" y="{down}" text-anchor="{anchor}" fill="{BEST}">best: epoch {epoch:g}</text>'
    )


def _legend(panel: Panel) -> str:
    title = panel.title[:_LONGEST]
    spans = [f'<tspan font-weight="600" fill="{_INK}">{html.text(title)}</tspan>']
    spans += [
        f'<tspan dx="10" fill="{line.colour}">{html.text(line.label)} {line.points[-1][1]:.4g}</tspan>'
        for line in panel.lines
        if line.label and not line.faint and line.points
    ]
    return f'<text x="10" y="17">{"".join(spans)}</text>'


def _thinned(points: Points, most: int) -> list[tuple[float, float]]:
    shown = [(x, y) for x, y in points if isfinite(y)]
    step = -(-len(shown) // most) or 1
    # The last point is the result; it is drawn whatever the step.
    return shown[:-1:step] + shown[-1:]
