from __future__ import annotations

import warnings

import numpy as np
import pytest

from maas_jupyter.evaluation import Evaluation, Predictions
from maas_jupyter.evaluation.figures import ranking_figure


def evaluated(labels: list[str], rows: int = 300) -> Evaluation:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, len(labels), rows)
    truth[: len(labels)] = np.arange(len(labels))
    scores = generator.dirichlet(np.ones(len(labels)), rows).astype(np.float32)
    return Evaluation.of(Predictions.of_classes(truth, scores, labels, subject="it"), subject="it")


def test_names_of_any_script_and_length_are_drawn_without_a_warning():
    labels = ["\u732b", "\u062c\u0645\u0644", "_under", "a$b$c", "two\nlines", "a name " * 30]
    evaluation = evaluated(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = evaluation._repr_mimebundle_()
    assert "\u732b" in shown["text/html"]
    assert "<script" not in shown["text/html"]
    legend = ranking_figure(evaluation).axes[0].get_legend().get_texts()
    assert len(legend) == len(labels)
    assert any("_under" in text.get_text() for text in legend)


@pytest.mark.parametrize("classes", [100, 1000])
def test_of_many_classes_those_with_the_lowest_f1_are_shown(classes):
    evaluation = evaluated([f"class {number}" for number in range(classes)], rows=3000)
    shown = evaluation._repr_mimebundle_()
    left = f"{classes - 50:,} classes with a higher F1 are not shown"
    for twin in shown.values():
        assert left in twin
    assert len(shown["text/html"]) < 500_000
    table = shown["text/plain"].split("rows\n", 2)[-1]
    worst = min(evaluation.classes, key=lambda report: report.f1)
    assert worst.label in table
    assert len(evaluation.classes) == classes
