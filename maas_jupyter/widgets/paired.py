"""How a comparison of models on the same rows looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.evaluation.figures import differences_figure
from maas_jupyter.evaluation.metrics import shown_name
from maas_jupyter.widgets import html
from maas_jupyter.widgets.evaluation import beside, number, picture

if TYPE_CHECKING:
    from maas_jupyter.evaluation import PairedComparison
    from maas_jupyter.evaluation.paired import Difference, Pair

_TONES = {"better": "good", "worse": "bad", "no evidence": "plain"}
_MOST_CLASSES = 12


def render(comparison: PairedComparison) -> dict[str, Any]:
    """Draw the sentence for each model, its numbers beside the first's, and the rows that they disagree on."""
    others = ", ".join(pair.other for pair in comparison.pairs)
    parts = [html.heading(f"{others} against {comparison.first}", f"on the same {comparison.rows:,} rows")]
    parts += [
        f'<div style="margin:2px 0">{html.badge(pair.outcome, _TONES[pair.outcome])} '
        f"{html.text(comparison.sentence(pair))}</div>"
        for pair in comparison.pairs
    ]
    parts.append(picture(differences_figure(comparison), f"differences from {comparison.first}"))
    for pair in comparison.pairs:
        parts.append(beside([_numbers(comparison, pair), _counts(pair), *_by_class(comparison, pair)]))
    return html.bundle("".join(parts), repr(comparison))


def _numbers(comparison: PairedComparison, pair: Pair) -> str:
    rows = [
        [
            html.text(shown_name(item.metric).replace("_", " ")),
            number(item.first, None),
            number(item.other, None),
            _change(item),
        ]
        for item in pair.differences
    ]
    return html.table(["", comparison.first, pair.other, "change"], rows, numbers=(1, 2, 3))


def _change(item: Difference) -> str:
    span = f" [{item.interval.low:+.4f}, {item.interval.high:+.4f}]" if item.interval else ""
    return f"{item.change:+.4f}{span}"


def _counts(pair: Pair) -> str:
    return html.table(
        ["answers", "rows"], [[html.text(name), f"{rows:,}"] for name, rows in pair.counts.items()], numbers=(1,)
    )


def _by_class(comparison: PairedComparison, pair: Pair) -> list[str]:
    """Return a table of the classes that the models disagree on most, where they classify."""
    if not pair.by_class:
        return []
    found = sorted(pair.by_class, key=lambda item: -(item[1] + item[2]))[:_MOST_CLASSES]
    rows = [[html.text(label), f"{first:,}", f"{other:,}"] for label, first, other in found]
    headers = ["class", f"only {comparison.first} right", f"only {pair.other} right"]
    return [html.table(headers, rows, numbers=(1, 2))]
