"""Pictures of an evaluation and of a comparison.

They have no ground of their own, and colours of a middle tone that read on a light and on a dark page.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maas_jupyter.evaluation.paired import PairedComparison
    from maas_jupyter.evaluation.report import Evaluation

#: Contrasts of at least 3 on white and on black.
_INK, _FIRST, _SECOND, _THIRD = "#7a7f87", "#3b82f6", "#d9690f", "#2f9e44"
_SERIES = (_FIRST, _SECOND, _THIRD, "#b356d9", "#d6336c", "#1298a8", "#9a7d0a", "#8a6d5b", "#5f7fa8", _INK)
#: Tiles of the confusion matrix: white numbers read on these, grey ones where they are nearly transparent.
_RIGHT, _WRONG = (0.11, 0.39, 0.85), (0.76, 0.25, 0.05)
#: From this share of a class on a tile is strong.
_STRONG = 0.1
_DPI = 110
_MOST_BARS = 30
_MOST_CURVES = 10
#: Fonts with many scripts, as systems bring them.
_WIDE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Noto Sans",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)

Draw = Callable[[], "Figure"]


def pictures(evaluation: Evaluation) -> dict[str, Draw]:
    """Return what can be drawn of an evaluation by name; nothing is drawn yet."""
    found: dict[str, Draw] = {}
    if evaluation.confusion is not None:
        found["confusion_matrix"] = lambda: confusion_figure(evaluation)
    if evaluation.curves:
        found["curves"] = lambda: ranking_figure(evaluation)
    if evaluation.reliability is not None:
        found["reliability"] = lambda: reliability_figure(evaluation)
    if evaluation.classes:
        found["classes"] = lambda: classes_figure(evaluation)
    if evaluation.residuals is not None:
        found["residuals"] = lambda: residuals_figure(evaluation)
    return found


def as_png(figure: Figure) -> tuple[bytes, int]:
    """Return a figure as a PNG without a ground, and its width on a page in pixels.

    Names in scripts that matplotlib's own font lacks are drawn with a font of this machine that has them; where there
    is none they are boxes.
    """
    from matplotlib.text import Text

    buffer = io.BytesIO()
    families = ["DejaVu Sans", *_fonts()]
    for text in figure.findobj(Text):
        if not text.get_text().isascii():
            text.set_fontfamily(families)
    with warnings.catch_warnings():
        # The tables beside the picture hold the names; a warning for each character helps nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=_DPI, transparent=True)
    return buffer.getvalue(), int(figure.get_size_inches()[0] * _DPI * 0.8)


def confusion_figure(evaluation: Evaluation) -> Figure:
    """Draw the confusion matrix: true classes down, predicted classes across.

    The diagonal is blue by the share of the class that was found; confusions are orange by theirs.
    """
    counts = evaluation.confusion
    assert counts is not None
    labels = [report.label for report in evaluation.classes]
    size = min(9.0, 1.6 + 0.3 * len(labels))
    figure, (axes,) = _figure(size, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    tiles = np.zeros((*counts.shape, 4))
    tiles[..., :3] = np.where(np.eye(len(labels), dtype=bool)[..., None], _RIGHT, _WRONG)
    strong = shares >= _STRONG
    # The root lets a rare confusion be seen at all.
    tiles[..., 3] = np.where(strong, 0.7 + 0.3 * shares, 0.2 * np.sqrt(shares / _STRONG))
    axes.imshow(tiles)
    # Beyond thirty classes there is room for every second label, or third, ...
    named = range(0, len(labels), -(-len(labels) // 30))
    shown = [_short(labels[index]) for index in named]
    upright = max(map(len, shown)) > 2 or len(shown) > 12
    axes.set_xticks(named, shown, rotation=90 if upright else 0)
    axes.set_yticks(named, shown)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("confusion matrix")
    if len(labels) <= 30:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if strong[row, column] else _INK
            axes.text(column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=8)
    return figure


def ranking_figure(evaluation: Evaluation) -> Figure:
    """Draw ROC and precision-recall curves; of more than ten classes the ten with the smallest areas."""
    figure, (roc, pr) = _figure(6.6, 3.2, columns=2)
    curves = sorted(evaluation.curves, key=lambda curve: curve.roc_auc)[:_MOST_CURVES]
    for curve, colour in zip(curves, _SERIES, strict=False):
        # A legend leaves out what begins with an underscore.
        label = f" {_short(curve.label)}"
        roc.plot(*curve.roc.T, color=colour, linewidth=1.4, label=f"{label} {curve.roc_auc:.3f}")
        pr.plot(*curve.pr.T, color=colour, linewidth=1.4, label=f"{label} {curve.pr_auc:.3f}")
    roc.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
    roc.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    pr.set(xlabel="recall", ylabel="precision", title="precision and recall")
    for axes, place in ((roc, "lower right"), (pr, "lower left")):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
        axes.legend(loc=place, fontsize=7, frameon=False, labelcolor=_INK, handlelength=1.2, labelspacing=0.25)
    return figure


def reliability_figure(evaluation: Evaluation) -> Figure:
    """Draw how often the predicted class is right by its score; a point's area grows with its rows."""
    curve = evaluation.reliability
    assert curve is not None
    figure, (axes,) = _figure(3.3, 3.2)
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
    axes.plot(curve.confidence, curve.accuracy, color=_FIRST, linewidth=1.2)
    axes.scatter(curve.confidence, curve.accuracy, s=12 + 120 * curve.rows / curve.rows.sum(), color=_FIRST, alpha=0.8)
    axes.set(xlabel="score of the predicted class", ylabel="share that is right", title="reliability")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    return figure


def classes_figure(evaluation: Evaluation) -> Figure:
    """Draw precision and recall of each class with their intervals; of more than thirty those with the lowest F1."""
    reports = sorted((item for item in evaluation.classes if item.support), key=lambda item: item.f1)[:_MOST_BARS]
    order = {item.label: place for place, item in enumerate(evaluation.classes)}
    reports.sort(key=lambda item: -order[item.label])
    figure, (axes,) = _figure(3.6, 0.9 + 0.3 * max(len(reports), 1))
    places = np.arange(len(reports))
    for name, colour, offset in (("recall", _SECOND, -0.19), ("precision", _FIRST, 0.19)):
        values = np.array([getattr(item, name) for item in reports])
        axes.barh(places + offset, values, height=0.34, color=colour, alpha=0.85, label=name)
        spans = [item.intervals.get(name, (value, value)) for item, value in zip(reports, values, strict=True)]
        axes.hlines(places + offset, *np.reshape(spans, (-1, 2)).T, color=_INK, linewidth=1.2)
    axes.set_yticks(places, [_short(item.label) for item in reports])
    axes.set_xlim(0, 1.02)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles[::-1], names[::-1], loc="outside upper center", ncols=2, fontsize=8, frameon=False, labelcolor=_INK
    )
    return figure


def residuals_figure(evaluation: Evaluation) -> Figure:
    """Draw what the truth lies above each prediction, and how such residuals are spread."""
    points = evaluation.residuals
    assert points is not None
    figure, (axes, spread) = _figure(5.6, 3.0, columns=2, widths=[3, 1])
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.scatter(*points.T, s=9, color=_FIRST, alpha=0.55, linewidths=0)
    axes.set(xlabel="predicted", ylabel="true less predicted", title="residuals")
    spread.hist(points[:, 1], bins=24, orientation="horizontal", color=_FIRST, alpha=0.75)
    spread.axhline(0, color=_INK, linewidth=0.8)
    spread.set(xlabel="rows", ylim=axes.get_ylim())
    spread.set_yticklabels([])
    return figure


def differences_figure(comparison: PairedComparison) -> Figure:
    """Draw the difference of the deciding number for each model, with its interval; zero is no difference."""
    pairs = comparison.pairs[::-1]
    figure, (axes,) = _figure(4.6, 0.9 + 0.35 * len(pairs))
    tones = {"better": _THIRD, "worse": _SECOND, "no evidence": _INK}
    axes.axvline(0, color=_INK, linewidth=0.8, linestyle=":")
    for place, pair in enumerate(pairs):
        shown = pair.differences[0]
        axes.plot(shown.interval or [shown.change] * 2, [place, place], color=tones[pair.outcome], linewidth=2.2)
        axes.plot(shown.change, place, "o", color=tones[pair.outcome], markersize=6)
    axes.set_yticks(range(len(pairs)), [_short(pair.other) for pair in pairs])
    axes.set_ylim(-0.6, len(pairs) - 0.4)
    axes.set_xlabel(f"{comparison.metric} less that of {comparison.first}")
    return figure


def _figure(width: float, height: float, *, columns: int = 1, widths: list[float] | None = None) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    drawn = figure.subplots(1, columns, squeeze=False, width_ratios=widths)[0]
    for axes in drawn:
        axes.set_facecolor("none")
        axes.tick_params(colors=_INK, labelsize=8)
        for spine in axes.spines.values():
            spine.set_color(_INK)
            spine.set_linewidth(0.6)
        for label in (axes.title, axes.xaxis.label, axes.yaxis.label):
            label.set_color(_INK)
            label.set_fontsize(9)
    return figure, drawn


def _fonts() -> list[str]:
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in _WIDE_FONTS if name in installed]


def _short(label: str) -> str:
    line = " ".join(label.split())
    text = line if len(line) <= 22 else f"{line[:21]}…"
    # A dollar would start a formula.
    return text.replace("$", r"\$")
