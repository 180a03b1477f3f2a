from __future__ import annotations

import numpy as np
import pytest
import torch

from maas_jupyter.errors import InvalidInput
from maas_jupyter.evaluation import evaluate_tokens, score_tokens

LOGITS = torch.randn(6, 5, 11, generator=torch.Generator().manual_seed(0))
TARGETS = torch.randint(0, 11, (6, 5), generator=torch.Generator().manual_seed(1))


def test_perplexity_and_token_accuracy_over_the_tokens_that_count():
    targets = TARGETS.clone()
    targets[0, 2:] = -100
    targets[3] = -100
    evaluation = evaluate_tokens([score_tokens(LOGITS, targets)], subject="it")
    counted = targets != -100
    losses = -LOGITS.log_softmax(2)[counted].gather(1, targets[counted][:, None])
    assert evaluation.metrics["loss"] == pytest.approx(float(losses.mean()), rel=1e-5)
    assert evaluation.metrics["perplexity"] == pytest.approx(float(losses.mean().exp()), rel=1e-5)
    right = (LOGITS.argmax(2) == targets)[counted].float().mean()
    assert evaluation.metrics["token_accuracy"] == pytest.approx(float(right))
    assert evaluation.rows == 5
    assert "22 tokens of 5 sequences" in evaluation.notes[0]
    assert evaluation.intervals["perplexity"].low < evaluation.metrics["perplexity"]
    assert "perplexity" in repr(evaluation)
    assert "perplexity" in evaluation._repr_mimebundle_()["text/html"]


def test_log_probabilities_arrays_and_batches_give_the_same():
    whole = evaluate_tokens([score_tokens(LOGITS, TARGETS)], subject="it").metrics
    chances = LOGITS.log_softmax(2).numpy()
    parts = [score_tokens(chances[rows], TARGETS.numpy()[rows]) for rows in (slice(4), slice(4, None))]
    assert evaluate_tokens(parts, subject="it").metrics == pytest.approx(whole, rel=1e-5)


def test_half_precision_does_not_overflow():
    scores = score_tokens((LOGITS * 10).half(), TARGETS)
    expected = score_tokens(LOGITS * 10, TARGETS)
    np.testing.assert_allclose(scores.loss, expected.loss, rtol=1e-2)


@pytest.mark.parametrize(
    ("logits", "targets", "said"),
    [
        (LOGITS[:, :-1], TARGETS, "do not fit"),
        (LOGITS[0], TARGETS, "do not fit"),
        (LOGITS, TARGETS + 5, "not in the vocabulary of 11"),
        (LOGITS * torch.nan, TARGETS, "NaN"),
    ],
)
def test_logits_that_do_not_fit_are_refused(logits, targets, said):
    with pytest.raises(InvalidInput, match=said):
        score_tokens(logits, targets)


@pytest.mark.parametrize("batches", [[], [score_tokens(LOGITS, torch.full_like(TARGETS, -100))]])
def test_nothing_that_counts_is_refused(batches):
    with pytest.raises(InvalidInput, match="No target token counts"):
        evaluate_tokens(batches, subject="it")


def test_one_sequence_has_no_interval():
    assert not evaluate_tokens([score_tokens(LOGITS[:1], TARGETS[:1])], subject="it").intervals
