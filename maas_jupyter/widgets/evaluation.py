"""How an evaluation and a verdict look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from maas_jupyter.evaluation.figures import as_png, pictures
from maas_jupyter.evaluation.metrics import shown_name
from maas_jupyter.widgets import html

if TYPE_CHECKING:
    from maas_jupyter.evaluation import Evaluation, Interval, Verdict
    from maas_jupyter.evaluation.slices import SliceTable

#: What a slice is shown by; everything that was measured stands in the object.
_SLICED = {"classification": ("accuracy", "f1"), "regression": ("rmse", "mae"), "language": ()}
_FAINT = "opacity:.65;font-size:85%"


def render(evaluation: Evaluation) -> dict[str, Any]:
    """Draw metrics with their intervals, the verdict, tables of classes and slices, and the pictures."""
    parts = [html.heading(evaluation.subject, f"on {evaluation.rows:,} rows, 95 % intervals in brackets")]
    if evaluation.verdict is not None:
        parts.append(verdict_markup(evaluation.verdict))
    notes = [*([str(evaluation.module_difference)] if evaluation.module_difference else []), *evaluation.notes]
    said = [f'<div style="{_FAINT}">{html.text(note)}</div>' for note in notes]
    tables = [_metrics(evaluation), *([_classes(evaluation)] if evaluation.classes else [])]
    tables += [_slices(table, evaluation) for table in evaluation.slices]
    images = [
        picture(draw(), f"{name.replace('_', ' ')} of {evaluation.subject}")
        for name, draw in pictures(evaluation).items()
    ]
    return html.bundle("".join([*parts, beside(tables), *said, beside(images)]), repr(evaluation))


def render_verdict(verdict: Verdict) -> dict[str, Any]:
    """Draw a verdict: each gate with a tick or a cross, and what was measured."""
    return html.bundle(verdict_markup(verdict), repr(verdict))


def verdict_markup(verdict: Verdict) -> str:
    """Return a verdict as HTML."""
    badge = html.badge("passed", "good") if verdict.passed else html.badge("not passed", "bad")
    rows = [
        [
            html.badge("✓" if gate.passed else "✗", "good" if gate.passed else "bad"),
            html.text(gate.text),
            "not measured" if gate.value is None else number(gate.value, gate.interval),
            html.text(gate.note),
        ]
        for gate in verdict.gates
    ]
    return f'<div style="margin:4px 0">verdict {badge}</div>' + html.table(["", "gate", "measured", ""], rows)


def number(value: float, interval: Interval | None) -> str:
    """Return a number and, faint beside it, its interval."""
    span = f' <span style="{_FAINT}">{interval}</span>' if interval is not None else ""
    return f"{value:.4g}{span}" if abs(value) >= 10 else f"{value:.4f}{span}"


def picture(figure: Any, alt: str) -> str:
    """Return a figure as an image that travels inside the notebook."""
    data, width = as_png(figure)
    return html.image(data, "image/png", alt, width)


def beside(parts: list[str]) -> str:
    """Put parts side by side, as many as there is room for."""
    cells = "".join(f"<div>{part}</div>" for part in parts)
    return f'<div style="display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start">{cells}</div>'


def _metrics(evaluation: Evaluation) -> str:
    rows = [
        [html.text(shown_name(name).replace("_", " ")), number(value, evaluation.intervals.get(name))]
        for name, value in evaluation.metrics.items()
    ]
    return html.table(["metric", "value"], rows)


def _classes(evaluation: Evaluation) -> str:
    shown, others = evaluation.shown_classes
    table = html.table(
        ["class", "precision", "recall", "f1", "rows"],
        [
            [
                html.text(item.label),
                *(number(getattr(item, name), item.intervals.get(name)) for name in ("precision", "recall", "f1")),
                f"{item.support:,}",
            ]
            for item in shown
        ],
        numbers=(1, 2, 3, 4),
    )
    return f'{table}<div style="{_FAINT}">{html.text(others)}</div>' if others else table


def _slices(table: SliceTable, evaluation: Evaluation) -> str:
    shown = _SLICED[evaluation.task]
    rows = [
        [
            html.text(group.name),
            f"{group.rows:,}",
            *(number(group.metrics[name], group.intervals.get(name)) for name in shown),
            _standing(group.intervals, evaluation, shown[0]),
        ]
        for group in table.groups
    ]
    return html.table([table.column, "rows", *map(shown_name, shown), ""], rows, numbers=range(1, len(shown) + 2))


def _standing(intervals: Mapping[str, Interval], evaluation: Evaluation, name: str) -> str:
    """Mark a slice whose interval lies wholly on the bad side of what was measured on all rows."""
    from maas_jupyter.evaluation.metrics import LOWER_IS_BETTER

    interval, whole = intervals.get(name), evaluation.metrics[name]
    if interval is None:
        return ""
    behind = interval.low > whole if name in LOWER_IS_BETTER else interval.high < whole
    return html.badge("worse than the whole", "warn") if behind else ""
