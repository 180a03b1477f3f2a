"""How a comparison looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html

if TYPE_CHECKING:
    from maas_jupyter.optimization import Candidate, Comparison

_TONES = {"winner": "good", "good": "good", "original": "plain", "no gain": "plain", "slower": "warn"}


def render(comparison: Comparison) -> dict[str, Any]:
    """Draw one row for each candidate, the original first."""
    headers = [
        "candidate",
        "size",
        "p50",
        f"rows/s at {comparison.batch_size}",
        comparison.metric_name,
        "change",
        "max diff",
        "agreement",
        "verdict",
        "",
    ]
    rows = [_row(comparison, candidate) for candidate in comparison.candidates]
    note = f"on {comparison.rows:,} rows; {comparison.metric_name} may fall by {comparison.max_drop:g}"
    markup = html.heading(f"{comparison.subject} and its candidates", note)
    markup += html.table(headers, rows, numbers=range(1, 8))
    return html.bundle(f"{markup}<div><b>{html.text(comparison.conclusion)}</b></div>", repr(comparison))


def _row(comparison: Comparison, candidate: Candidate) -> list[str]:
    name = f'<span title="{html.text(candidate.description)}">{html.text(candidate.method)}</span>'
    verdict = html.badge(candidate.verdict, _TONES.get(candidate.verdict, "bad"))
    measured = candidate.measured
    if measured is None:
        return [name, *[""] * 7, verdict, html.text(candidate.reason)]
    original = candidate.verdict == "original"
    return [
        name,
        html.kilobytes(measured.size),
        f"{measured.p50_ms:.3f} ms",
        f"{measured.rows_per_second:,.0f}",
        f"{measured.metric:.4f}",
        "" if original else f"{comparison.change(candidate):+.4f}",
        "" if original else f"{measured.max_difference:.2g}",
        "" if original else f"{measured.agreement:.1%}",
        verdict,
        html.text(candidate.reason),
    ]
