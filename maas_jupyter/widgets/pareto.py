"""A comparison's candidates by speed and quality, with their Pareto front, as one small SVG."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10, sqrt
from typing import TYPE_CHECKING

from maas_jupyter.widgets import html
from maas_jupyter.widgets.curves import BEST, TRAIN, VAL

if TYPE_CHECKING:
    from maas_jupyter.optimization import Candidate, Comparison

_INK, _GRID = "#7a7f87", "#7f7f7f"
_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 18, 30, 40
_LARGEST = 14.0
_LINE = 13.0
_CHARACTER = 6.0


@dataclass(frozen=True)
class _Dot:
    """A candidate on the picture."""

    candidate: Candidate
    x: float
    y: float
    radius: float


def pareto_image(comparison: Comparison) -> str:
    """Return the picture with a tooltip on each candidate; empty where fewer than two were timed."""
    dots, ticks = _placed(comparison)
    if len(dots) < 2:
        return ""
    alt = "; ".join(_words(comparison, dot.candidate) for dot in dots)
    picture = html.image(_svg(comparison, dots, ticks).encode(), "image/svg+xml", alt, "100%")
    # A picture inside a notebook takes no pointer: what is to be read off it lies above it, invisible.
    over = "".join(
        f'<span title="{html.text(_words(comparison, dot.candidate))}" style="position:absolute;'
        f"left:{(dot.x - dot.radius) / _WIDTH:.2%};top:{(dot.y - dot.radius) / _HEIGHT:.2%};"
        f'width:{2 * dot.radius / _WIDTH:.2%};height:{2 * dot.radius / _HEIGHT:.2%};border-radius:50%"></span>'
        for dot in dots
    )
    # Shares of the width: in a narrow cell the picture is smaller.
    return f'<div style="position:relative;width:{_WIDTH}px;max-width:100%;line-height:0">{picture}{over}</div>'


def _words(comparison: Comparison, candidate: Candidate) -> str:
    measured = candidate.measured
    assert measured is not None
    assert measured.speed is not None
    return (
        f"{candidate.method}: {measured.speed.p50_ms:.3g} ms, {comparison.metric_name} {measured.quality.metric:.4f}, "
        f"{html.kilobytes(measured.size)}, {candidate.verdict}"
    )


def _placed(comparison: Comparison) -> tuple[list[_Dot], tuple[list[float], list[float]]]:
    timed = comparison.drawn
    if not timed:
        return [], ([], [])
    points = []
    for candidate in timed:
        assert candidate.measured is not None
        assert candidate.measured.speed is not None
        points.append((candidate, candidate.measured.speed.p50_ms, candidate.measured.quality.metric))
    # Times differ by factors; shares of them are equal steps.
    times = [log10(time) for _, time, _ in points]
    metrics = [metric for *_, metric in points]
    low, high = min(times) - 0.05, max(times) + 0.12
    least, most = min(metrics), max(metrics)
    margin = max((most - least) * 0.15, 2e-3)
    least, most = least - margin, most + margin
    largest = max(each.measured.size for each in timed if each.measured is not None)
    dots = []
    for candidate, time, metric in points:
        assert candidate.measured is not None
        x = _LEFT + (log10(time) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)
        y = _TOP + (most - metric) / (most - least) * (_HEIGHT - _TOP - _BOTTOM)
        # The area stands for the size.
        dots.append(_Dot(candidate, x, y, max(_LARGEST * sqrt(candidate.measured.size / largest), 3.0)))
    across = [10 ** (low + (high - low) * share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return dots, (across, [least + (most - least) * share for share in (0.0, 0.5, 1.0)])


def _svg(comparison: Comparison, dots: list[_Dot], ticks: tuple[list[float], list[float]]) -> str:
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = [
        f'<rect x=".5" y=".5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" rx="6" fill="none" stroke="{_GRID}" '
        'stroke-opacity=".35"/>',
        f'<text x="10" y="18" fill="{_INK}" font-weight="600">{html.text(comparison.metric_name)}</text>',
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 8}" text-anchor="end" fill="{_INK}">'
        "milliseconds for one row (p50); area: size</text>",
    ]
    across, down = ticks
    for index, time in enumerate(across):
        x = _LEFT + width * index / (len(across) - 1)
        parts.append(f'<path d="M{x:.1f} {_TOP}v{height}" stroke="{_GRID}" stroke-opacity=".2"/>')
        anchor = "end" if index == len(across) - 1 else "middle"
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="{anchor}" fill="{_INK}">{time:.2g}</text>'
        )
    for index, metric in enumerate(down):
        y = _TOP + height - height * index / (len(down) - 1)
        parts.append(f'<path d="M{_LEFT} {y:.1f}h{width}" stroke="{_GRID}" stroke-opacity=".2"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{_INK}">{_short(metric)}</text>')
    places = {dot.candidate.method: dot for dot in dots}
    front = [places[each.method] for each in comparison.front]
    corners = " ".join(f"{dot.x:.1f},{dot.y:.1f}" for dot in front)
    if len(front) > 1:
        parts.append(
            f'<polyline points="{corners}" fill="none" stroke="{BEST}" stroke-width="1.5" stroke-dasharray="5 3"/>'
        )
    parts += [_dot(dot) for dot in dots]
    parts += _labels(dots)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="system-ui, sans-serif" font-size="11" role="img">'
        f"{''.join(parts)}</svg>"
    )


def _short(metric: float) -> str:
    """Write a metric for the axis; R2 has no lower bound."""
    return f"{metric:.3f}" if abs(metric) < 10 else f"{metric:.2g}"


def _colour(candidate: Candidate) -> str:
    return {"winner": BEST, "original": VAL}.get(candidate.verdict, TRAIN)


def _dot(dot: _Dot) -> str:
    colour = _colour(dot.candidate)
    return (
        f'<circle cx="{dot.x:.1f}" cy="{dot.y:.1f}" r="{dot.radius:.1f}" fill="{colour}" fill-opacity=".35" '
        f'stroke="{colour}" stroke-width="1.5"/>'
    )


def _labels(dots: list[_Dot]) -> list[str]:
    """Write the names beside their dots, each where none before it stands."""
    taken = [(dot.x - dot.radius, dot.x + dot.radius, dot.y + 4) for dot in dots]
    parts = []
    for dot in sorted(dots, key=lambda each: each.y):
        name = dot.candidate.method
        length = _CHARACTER * len(name)
        left = dot.x + dot.radius + 4 + length > _WIDTH - _RIGHT
        start = dot.x - dot.radius - 4 - length if left else dot.x + dot.radius + 4
        y = dot.y + 4
        while any(abs(y - other) < _LINE and start < end and start + length > begin for begin, end, other in taken):
            y += _LINE
        taken.append((start, start + length, y))
        anchor, x = ("end", start + length) if left else ("start", start)
        parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_colour(dot.candidate)}">'
            f"{html.text(name)}</text>"
        )
    return parts
