"""Language models: perplexity and token accuracy, from logits and target tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from maas_jupyter.data import Data
from maas_jupyter.errors import InvalidInput
from maas_jupyter.evaluation.intervals import intervals_of, resampled, resampled_weights
from maas_jupyter.evaluation.report import Evaluation
from maas_jupyter.modules import run_module

_BATCH = 16

#: Targets that do not count: padding, and in a chat everything but the answers.
IGNORED = -100


@dataclass(frozen=True)
class TokenScores:
    """What a language model scored on some sequences.

    Attributes
    ----------
    loss : ndarray of float64, shape (rows,)
        Sum of the negative log probabilities of each row's target tokens, in nats.
    correct, tokens : ndarray of int64, shape (rows,)
        Target tokens that had the highest probability, and all that count.
    """

    loss: np.ndarray
    correct: np.ndarray
    tokens: np.ndarray


def score_tokens(logits: Any, targets: Any) -> TokenScores:
    """Score one batch of sequences.

    Parameters
    ----------
    logits : Tensor or ndarray of float, shape (rows, tokens, vocabulary)
        Logits or log probabilities, for the same places as ``targets``: of a causal model, which predicts the token
        after each place, pass ``logits[:, :-1]`` and ``ids[:, 1:]``.
    targets : Tensor or ndarray of int, shape (rows, tokens)
        Token ids; -100 does not count.

    Raises
    ------
    InvalidInput
        If the shapes do not fit, a target is not in the vocabulary, or a logit of a place that counts is NaN.
    """
    scores, wanted = torch.as_tensor(logits), torch.as_tensor(targets).long()
    if scores.ndim != 3 or scores.shape[:2] != wanted.shape:
        raise InvalidInput(
            f"Logits of shape {list(scores.shape)} do not fit targets of shape {list(wanted.shape)}.",
            hint="Pass logits of shape (rows, tokens, vocabulary) and targets of shape (rows, tokens).",
        )
    wanted = wanted.to(scores.device)
    counted = wanted != IGNORED
    if (outside := counted & ((wanted < 0) | (wanted >= scores.shape[2]))).any():
        raise InvalidInput(
            f"The target token {int(wanted[outside][0])} is not in the vocabulary of {scores.shape[2]:,} tokens.",
            hint="Tokenize with the model's own tokenizer.",
        )
    # Half precision is too coarse for the sum over a vocabulary.
    losses = functional.cross_entropy(scores.float().transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none")
    if not torch.isfinite(losses[counted]).all():
        raise InvalidInput("The model gives NaN or no probability at all to a target token.", hint="Check its logits.")
    correct = (scores.argmax(dim=2) == wanted) & counted
    return TokenScores(
        torch.where(counted, losses, 0.0).double().sum(dim=1).cpu().numpy(),
        correct.sum(dim=1).cpu().numpy(),
        counted.sum(dim=1).cpu().numpy(),
    )


def evaluate_language(module: nn.Module, rows: Data, *, subject: str, seed: int = 0) -> Evaluation:
    """Evaluate a causal language model in evaluation mode, on the device that it is on.

    Parameters
    ----------
    module : torch.nn.Module
        Gives logits ``(rows, tokens, vocabulary)`` for ids and mask.
    rows : Data
        Token ids with labels, as `language.language_rows` makes them.
    subject, seed
        As for `evaluate_tokens`.
    """

    def scored() -> Iterator[TokenScores]:
        for batch in rows.batches(_BATCH):
            logits = run_module(module, batch)
            yield score_tokens(logits[:, :-1], batch.required_targets()[:, 1:])

    return evaluate_tokens(scored(), subject=subject, seed=seed)


def evaluate_tokens(batches: Iterable[TokenScores], *, subject: str, seed: int = 0) -> Evaluation:
    """Put the scores of all batches together; whole sequences are resampled, as their tokens are not independent.

    Parameters
    ----------
    batches : iterable of TokenScores
    subject : str
        What was evaluated.
    seed : int
        Of the resamples.

    Raises
    ------
    InvalidInput
        If no target token counts.
    """
    found = list(batches)
    columns = (
        [np.concatenate([getattr(item, name) for item in found]) for name in ("loss", "correct", "tokens")]
        if found
        else []
    )
    if not columns or not columns[2].sum():
        raise InvalidInput("No target token counts.", hint="Check the data, and which targets are -100.")
    # A row in which nothing counts says nothing.
    sums = np.stack(columns)[:, columns[2] > 0].astype(np.float64)

    def numbers(totals: np.ndarray) -> dict[str, np.ndarray]:
        loss = totals[0] / totals[2]
        return {"perplexity": np.exp(loss), "token_accuracy": totals[1] / totals[2], "loss": loss}

    rows = sums.shape[1]
    metrics = {name: float(value) for name, value in numbers(sums.sum(axis=1)).items()}
    draws = resampled_weights(rows, np.random.default_rng(seed))
    samples = resampled(lambda weights: numbers(sums @ weights.astype(np.float64)), draws)
    notes = [f"{int(sums[2].sum()):,} tokens of {rows:,} sequences count."]
    return Evaluation(subject, "language", rows, metrics, intervals=intervals_of(samples, rows), notes=notes)
