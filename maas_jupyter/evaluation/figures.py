"""Figures of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maas_jupyter.evaluation.report import Evaluation


def confusion_figure(evaluation: Evaluation) -> Figure:
    """Draw the confusion matrix, true classes down, predicted classes across, coloured by the share of the true class.

    On a white ground of its own, so that it reads on light and dark pages.
    """
    from matplotlib.figure import Figure

    counts = evaluation.confusion
    assert counts is not None
    labels = [report.label for report in evaluation.classes]
    size = min(9.0, 2.2 + 0.36 * len(labels))
    figure = Figure(figsize=(size, size), layout="constrained", facecolor="white")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) > 3 else 0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{evaluation.subject}, {evaluation.rows} rows", fontsize=10)
    if len(labels) <= 30:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "#1f2933"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=8)
    return figure
