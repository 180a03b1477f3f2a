from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_evaluation_metrics import classified, scores_of

from maas_jupyter.errors import GateError, UsageError
from maas_jupyter.evaluation import Evaluation, Gate, judge, parse_gate
from maas_jupyter.evaluation.metrics import METRICS
from maas_jupyter.evaluation.slices import slice_table

names = st.sampled_from(sorted({name for known in METRICS.values() for name in known}))
spaces = st.sampled_from(["", " ", "  "])
bounds = st.floats(allow_nan=False, allow_infinity=False)


@given(
    names,
    st.text(alphabet=st.characters(exclude_characters="<>", exclude_categories=["C", "Z"]), max_size=12),
    st.sampled_from([">=", "<=", ">", "<"]),
    bounds,
    spaces,
)
def test_what_is_written_is_read(metric, key, comparison, bound, space):
    shown = f"{metric}{space}[{key}]" if key else metric
    text = f"{space}{shown}{space}{comparison}{space}{bound!r}{space}"
    assert parse_gate(text) == Gate(metric, key, comparison, bound)


@given(st.text(max_size=30))
def test_whatever_is_written_is_read_or_refused_with_its_place(text):
    try:
        parse_gate(text)
    except UsageError as error:
        assert "cannot be read at character" in error.message or "no metric" in error.message


@pytest.mark.parametrize(
    ("text", "character", "expected"),
    [
        ("", 1, "name of a metric"),
        ("accuracy", 9, "one of >=, <=, >, <"),
        ("accuracy=>0.97", 9, "one of >="),
        ("accuracy==1", 9, "one of >="),
        ("accuracy > = 1", 10, "one of >="),
        ("accuracy>=high", 11, "a number"),
        ("accuracy>=0.97%", 15, "the end"),
        ("accuracy>=0.9.7", 14, "the end"),
        ("accuracy>=1e999", 11, "not infinite"),
        ("recall[malignant>=0.9", 7, "a class or COLUMN=GROUP, and ]"),
        ("recall[ ]>=0.9", 8, "a class"),
        (">=0.9", 1, "name of a metric"),
        ("roc-auc>=0.9", 4, "one of >="),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text, character, expected):
    with pytest.raises(UsageError) as caught:
        parse_gate(text)
    assert f"at character {character}: expected" in caught.value.message
    assert expected in caught.value.message
    shown, pointer = caught.value.message.splitlines()[-2:]
    assert pointer.index("^") == 2 + character - 1
    assert shown == f"  {text}"


def test_an_unknown_metric_offers_the_nearest():
    with pytest.raises(UsageError, match="no metric 'acuracy'") as caught:
        parse_gate("acuracy>=0.9")
    assert caught.value.hint == "Did you mean 'accuracy'?"
    with pytest.raises(UsageError) as caught:
        parse_gate("perplexty<=20")
    assert "'perplexity'" in caught.value.hint


@pytest.fixture
def evaluation():
    truth, chances = scores_of(200, 2, seed=3)
    predictions = classified(truth, chances, ["benign", "malignant [1]"])
    table = slice_table(predictions, "sex", np.where(np.arange(200) % 2, "f", "m"))
    return replace(Evaluation.of(predictions, subject="it"), slices=[table])


def judged(evaluation, *texts):
    return judge(evaluation, [parse_gate(text) for text in texts])


def test_gates_hold_numbers_of_all_rows_of_a_class_and_of_a_slice(evaluation):
    verdict = judged(
        evaluation, "accuracy>=0.5", "recall[malignant [1]]>=0.99", "accuracy[sex=f]>0.1", "log_loss<=0.01"
    )
    assert [gate.passed for gate in verdict.gates] == [True, False, True, False]
    assert not verdict.passed
    recall = evaluation.classes[1].recall
    assert verdict.gates[1].value == recall
    assert verdict.gates[1].interval.low < recall < verdict.gates[1].interval.high
    shown = repr(verdict)
    assert "✓ accuracy>=0.5" in shown
    assert f"✗ recall[malignant [1]]>=0.99: {recall:.4g} [" in shown


def test_a_gate_that_is_passed_by_luck_says_so(evaluation):
    accuracy = evaluation.metrics["accuracy"]
    (gate,) = judged(evaluation, f"accuracy>={accuracy - 0.001}").gates
    assert gate.passed
    assert "reaches beyond" in gate.note


def test_a_number_that_was_left_out_is_not_passed():
    _, chances = scores_of(40, 2)
    evaluation = Evaluation.of(classified(np.zeros(40, int), chances), subject="it")
    verdict = judged(evaluation, "roc_auc>=0.1", "recall[1]>=0.1")
    assert [gate.value for gate in verdict.gates] == [None, None]
    assert not verdict.passed
    assert "no row belongs to '1'" in verdict.gates[0].note
    assert "not measured" in repr(verdict)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("rmse<=1", "evaluated as classification", "accuracy"),
        ("recall[malignant]>=0.9", "no recall of 'malignant'", "'malignant [1]'"),
        ("accuracy[sex=x]>=0.9", "no accuracy of 'sex=x'", "sex="),
        ("log_loss[benign]<=1", "no log_loss of 'benign'", "sex="),
    ],
)
def test_gates_that_do_not_fit_the_evaluation_are_refused(evaluation, text, said, hint):
    with pytest.raises(UsageError, match=said) as caught:
        judged(evaluation, text)
    assert hint in caught.value.hint


def test_a_verdict_that_is_required_names_what_was_not_passed(evaluation):
    judged(evaluation, "accuracy>=0.1").require("it/1")
    with pytest.raises(GateError, match=r"it/1 does not meet accuracy>=0.99: 0\.\d+ \[.*\]; f1>0.99") as caught:
        judged(evaluation, "accuracy>=0.99", "recall>=0.1", "f1>0.99").require("it/1")
    assert "--report-only" in caught.value.hint
