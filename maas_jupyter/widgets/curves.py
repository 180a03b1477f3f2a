"""Loss and metric curves as one small SVG: cheap enough to redraw while a training runs, and to keep afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

_WIDTH, _HEIGHT, _GAP = 330, 180, 16
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 26, 24
_COLOURS = {"train": "#0969da", "val": "#bc4c00"}
_MOST_POINTS = 200


def curves_svg(history: Sequence[dict[str, float]], epochs: int) -> str:
    """Draw one panel for each metric, with training and validation values over the epochs.

    Parameters
    ----------
    history : sequence of dict
        One entry an epoch: ``epoch`` and metrics, validation ones prefixed by ``val_``.
    epochs : int
        Where the time axis ends.
    """
    names = [name for name in (history[0] if history else {}) if name != "epoch" and not name.startswith("val_")]
    width = len(names) * _WIDTH + (len(names) - 1) * _GAP
    panels = "".join(_panel(name, history, epochs, index * (_WIDTH + _GAP)) for index, name in enumerate(names))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" viewBox="0 0 {width} {_HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="11" role="img">{panels}</svg>'
    )


def _panel(name: str, history: Sequence[dict[str, float]], epochs: int, x: float) -> str:
    series = {"train": _points(history, name), "val": _points(history, f"val_{name}")}
    values = [value for points in series.values() for _, value in points]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low < 1e-9:
        margin = max(abs(low) * 0.1, 1e-3)
        low, high = low - margin, high + margin
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def place(epoch: float, value: float) -> tuple[float, float]:
        across = (epoch - 1) / max(epochs - 1, 1)
        return x + _LEFT + across * inner_width, _TOP + (high - value) / (high - low) * inner_height

    parts = [f'<rect x="{x}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#fff" stroke="#d0d7de"/>']
    for share in (0.0, 0.5, 1.0):
        value = low + (high - low) * share
        _, y = place(1, value)
        parts.append(f'<path d="M{x + _LEFT} {y:.1f}h{inner_width}" stroke="#eaeef2"/>')
        parts.append(f'<text x="{x + _LEFT - 5}" y="{y + 4:.1f}" text-anchor="end" fill="#57606a">{value:.3g}</text>')
    for epoch, anchor in ((1, "start"), (epochs, "end"))[: min(epochs, 2)]:
        parts.append(
            f'<text x="{place(epoch, low)[0]:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}" fill="#57606a">'
            f"{'epoch ' if epoch == 1 else ''}{epoch}</text>"
        )
    legend = x + _LEFT
    parts.append(f'<text x="{legend}" y="17" font-weight="600" fill="#1f2328">{name}</text>')
    legend += 12 + 7 * len(name)
    for label, points in series.items():
        if not points:
            continue
        colour = _COLOURS[label]
        drawn = [place(epoch, value) for epoch, value in points]
        line = " ".join(f"{across:.1f},{down:.1f}" for across, down in drawn)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        parts.append(f'<circle cx="{drawn[-1][0]:.1f}" cy="{drawn[-1][1]:.1f}" r="2.6" fill="{colour}"/>')
        parts.append(f'<text x="{legend}" y="17" fill="{colour}">{label} {points[-1][1]:.4f}</text>')
        legend += 20 + 6.5 * (len(label) + 7)
    return "".join(parts)


def _points(history: Sequence[dict[str, float]], name: str) -> list[tuple[float, float]]:
    points = [(entry["epoch"], entry[name]) for entry in history if name in entry and isfinite(entry[name])]
    step = -(-len(points) // _MOST_POINTS) or 1
    # The last point is the result; it is drawn whatever the step.
    return points[:-1:step] + points[-1:]
