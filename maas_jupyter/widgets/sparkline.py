"""A small curve without axes, as a picture inside a notebook."""

from __future__ import annotations

from collections.abc import Sequence

from maas_jupyter.widgets import html

_WIDTH, _HEIGHT = 240, 32
#: Read on a light and on a dark page.
_COLOURS = ("#1f77d0", "#c2710c")


def sparkline(courses: Sequence[Sequence[float | None]], alt: str) -> str:
    """Return courses over the same points, from zero to the largest of all; empty for fewer than two points."""
    if not courses or len(courses[0]) < 2:
        return ""
    largest = max((value for course in courses for value in course if value is not None), default=0.0) or 1.0
    lines = "".join(
        f'<path d="{_path(course, largest)}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-linecap="round"/>'
        for course, colour in zip(courses, _COLOURS, strict=False)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{lines}</svg>'
    )
    return html.image(svg.encode(), "image/svg+xml", alt, _WIDTH)


def _path(course: Sequence[float | None], largest: float) -> str:
    """Return the course as a path; where there is no value it is broken."""
    parts, begun = [], False
    for index, value in enumerate(course):
        if value is None:
            begun = False
            continue
        x = index / (len(course) - 1) * _WIDTH
        y = 2 + (1 - value / largest) * (_HEIGHT - 4)
        # A point with none beside it is a dot.
        parts.append(f"L{x:.1f} {y:.1f}" if begun else f"M{x:.1f} {y:.1f}h.01")
        begun = True
    return "".join(parts)
