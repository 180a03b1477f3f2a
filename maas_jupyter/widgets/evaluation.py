"""How an evaluation looks."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from maas_jupyter.evaluation.figures import confusion_figure
from maas_jupyter.widgets import html

if TYPE_CHECKING:
    from maas_jupyter.evaluation import Evaluation


def render(evaluation: Evaluation) -> dict[str, Any]:
    """Draw metrics, the table of classes, and the confusion matrix."""
    title = html.heading(evaluation.subject, f"on {evaluation.rows:,} rows")
    metrics = html.table(
        list(evaluation.metrics),
        [[f"{value:.4f}" for value in evaluation.metrics.values()]],
        numbers=range(len(evaluation.metrics)),
    )
    if evaluation.confusion is None:
        return html.bundle(title + metrics, repr(evaluation))
    classes = html.table(
        ["class", "precision", "recall", "f1", "rows"],
        [
            [
                html.text(item.label),
                f"{item.precision:.3f}",
                f"{item.recall:.3f}",
                f"{item.f1:.3f}",
                f"{item.support:,}",
            ]
            for item in evaluation.classes
        ],
        numbers=(1, 2, 3, 4),
    )
    buffer = io.BytesIO()
    figure = confusion_figure(evaluation)
    figure.savefig(buffer, format="png", dpi=110)
    width = int(figure.get_size_inches()[0] * 88)
    picture = html.image(buffer.getvalue(), "image/png", f"Confusion matrix of {evaluation.subject}", width)
    both = f'<div style="display:flex;flex-wrap:wrap;gap:24px"><div>{classes}</div><div>{picture}</div></div>'
    return html.bundle(title + metrics + both, repr(evaluation))
