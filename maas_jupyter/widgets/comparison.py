"""How a comparison looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html
from maas_jupyter.widgets.pareto import pareto_image

if TYPE_CHECKING:
    from maas_jupyter.optimization import Candidate, Comparison

TONES = {
    "winner": "good",
    "good": "good",
    "original": "plain",
    "no gain": "plain",
    "skipped": "plain",
    "slower": "warn",
    "misses": "warn",
}
#: Columns of numbers, after the candidate and its verdict.
_NUMBERS = 6
_REASON = "white-space:normal;overflow-wrap:anywhere;min-width:14em;max-width:22em;opacity:.75;font-size:85%"


def render(comparison: Comparison) -> dict[str, Any]:
    """Draw one row for each candidate, the original first, and the Pareto front."""
    name = comparison.metric_name
    headers = ["candidate", "verdict", "size", "one row", "rows/s", name, "change", "difference"]
    rows = [_row(candidate) for candidate in comparison.candidates]
    markup = html.heading(f"{comparison.subject} and its candidates", conditions(comparison))
    table = html.table(headers, rows, numbers=range(2, _NUMBERS + 2))
    markup += f'<div style="overflow-x:auto">{table}</div>'
    markup += f"<div><b>{html.text(comparison.conclusion)}</b></div>"
    markup += "".join(f"<div>{html.text(note)}</div>" for note in comparison.notes)
    markup += pareto_image(comparison)
    if comparison.command:
        command = f'<pre style="background:none">{html.text(comparison.command)}</pre>'
        markup += f"<details><summary>what repeats it</summary>{command}</details>"
    return html.bundle(markup, repr(comparison))


def conditions(comparison: Comparison) -> str:
    """Say what was measured on, and what was asked for."""
    threads = "1 thread" if comparison.threads == 1 else f"{comparison.threads} threads"
    parts = [
        f"on {comparison.rows:,} rows, {threads}; {comparison.metric_name} may fall by {comparison.max_drop:g}",
        *comparison.targets,
        *comparison.gates,
    ]
    return "; ".join(parts)


def _row(candidate: Candidate) -> list[str]:
    name = f'<span title="{html.text(candidate.description)}">{html.text(candidate.method)}</span>'
    # Below the name: in a narrow cell what comes last is out of sight.
    if candidate.reason:
        name += f'<div style="{_REASON}">{html.text(candidate.reason)}</div>'
    verdict = html.badge(candidate.verdict, TONES.get(candidate.verdict, "bad"))
    measured = candidate.measured
    if measured is None:
        return [name, verdict, *[""] * _NUMBERS]
    quality, speed = measured.quality, measured.speed
    timed = ["", ""]
    if speed is not None:
        timed = [
            _two(f"{speed.p50_ms:.3f} ms ± {speed.spread:.0%}", f"p95 {speed.p95_ms:.3f} ms"),
            _two(f"{speed.rows_per_second:,.0f}", f"in batches of {speed.batch_size}"),
        ]
    compared = ["", ""]
    if candidate.verdict != "original":
        span = quality.change_interval
        compared = [
            _two(f"{quality.change:+.4f}", f"[{span.low:+.3f}, {span.high:+.3f}]" if span else ""),
            _two(f"≤ {quality.max_difference:.2g}", f"{quality.agreement:.1%} agree"),
        ]
    return [
        name,
        verdict,
        _two(html.kilobytes(measured.size), f"{html.kilobytes(measured.memory)} in memory"),
        *timed,
        _two(f"{quality.metric:.4f}", str(quality.interval or "")),
        *compared,
    ]


def _two(number: str, more: str) -> str:
    """Return a number with what belongs to it below, so that a row fits into a cell's width."""
    return f'{html.text(number)}<br><span style="opacity:.75;font-size:85%">{html.text(more)}</span>'
