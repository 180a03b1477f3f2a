"""Figures of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maas_jupyter.evaluation.report import Evaluation


def confusion_figure(evaluation: Evaluation) -> Figure:
    """Draw the confusion matrix: true classes down, predicted classes across.

    The diagonal is blue by the share of the class that was found; confusions are orange by theirs. The ground is white,
    to read on every page.
    """
    from matplotlib.figure import Figure

    counts = evaluation.confusion
    assert counts is not None
    labels = [report.label for report in evaluation.classes]
    size = min(9.0, 1.6 + 0.3 * len(labels))
    figure = Figure(figsize=(size, size), layout="constrained", facecolor="white")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(labels), dtype=bool)
    confused = np.where(right, 0, shares)
    axes.imshow(np.ma.masked_where(~right, shares), cmap="Blues", vmin=0, vmax=1.2)
    # The root lets a rare confusion be seen at all.
    axes.imshow(np.ma.masked_where(confused == 0, np.sqrt(confused)), cmap="Oranges", vmin=-0.1, vmax=1.3)
    # Beyond thirty classes there is room for every second label, or third, ...
    named = range(0, len(labels), -(-len(labels) // 30))
    shown = [labels[index] for index in named]
    upright = max(map(len, shown)) > 2 or len(shown) > 12
    axes.set_xticks(named, shown, rotation=90 if upright else 0)
    axes.set_yticks(named, shown)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{evaluation.subject}, {evaluation.rows:,} rows", fontsize=10)
    if len(labels) <= 30:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if row == column and shares[row, column] > 0.75 else "#1f2933"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=8)
    return figure
