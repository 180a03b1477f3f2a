"""Figures of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maas_jupyter.evaluation.report import Evaluation


def confusion_figure(evaluation: Evaluation) -> Figure:
    """Draw the confusion matrix: true classes down, predicted classes across.

    The diagonal is blue by the share of the class that was found; confusions are orange, the most frequent one the
    darkest, so that few of them are seen beside many right answers. The ground is white, to read on every page.
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
    axes.imshow(np.ma.masked_where(confused == 0, confused), cmap="Oranges", vmin=0, vmax=2 * max(confused.max(), 1e-9))
    axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) > 3 else 0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{evaluation.subject}, {evaluation.rows} rows", fontsize=10)
    if len(labels) <= 30:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if row == column and shares[row, column] > 0.5 else "#1f2933"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=8)
    return figure
