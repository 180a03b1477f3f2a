"""LIME and KernelSHAP: what a model answers when features are absent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import KernelShap, Lime
from torch import Tensor

from maas_jupyter.errors import UsageError

#: Perturbed rows that the model is asked about at once.
_BATCH = 64
#: Below this share a linear fit says little about the model.
_FAIR_R2 = 0.5
#: A sampling error above this share of the largest attribution can change the order of the features.
_FAIR_ERROR = 0.05
_LIME_SAMPLES = 1000
_SHAP_SAMPLES = 2048  # and two for each feature
#: Weight of what the regression has to meet: no features give the baseline, all give the row.
_CERTAIN = 1e6

#: Gives the explained output, float64 ``(rows,)``, for features that are there, bool ``(rows, features)``.
Value = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Weights:
    """What a method found for one row, of float64 ``(features,)``, from how many samples, and how far to rely on it."""

    weights: np.ndarray
    samples: int
    warnings: list[str]
    r2: float | None = None
    sampling_error: float | None = None


class Game:
    """Asks a model with features absent; remembers what it was asked and what it answered.

    Parameters
    ----------
    value : Value
    features : int
    """

    def __init__(self, value: Value, features: int) -> None:
        self._value = value
        self._known: dict[bytes, float] = {}
        self.features = features
        self.asked: list[np.ndarray] = []

    def __call__(self, there: Tensor) -> Tensor:
        """Return float64 ``(rows,)`` for ones and zeros ``(rows, features)``."""
        present = there.numpy().astype(bool)
        self.asked.append(present)
        return torch.from_numpy(self.answers(present))

    def answers(self, present: np.ndarray) -> np.ndarray:
        """Return the outputs; the same question is asked once."""
        keys = [row.tobytes() for row in present]
        new = {key: row for key, row in zip(keys, present, strict=True) if key not in self._known}
        if new:
            answers = self._value(np.stack(list(new.values())))
            self._known.update(zip(new, answers.tolist(), strict=True))
        return np.array([self._known[key] for key in keys])

    def recorded(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all questions, in their order, and their answers."""
        present = np.concatenate(self.asked)
        return present, self.answers(present)


def lime(value: Value, features: int, samples: int | None, seed: int) -> Weights:
    """Fit a linear model to the answers near a row.

    Ridge regression on which features are there, weighted by an exponential kernel of the share that is absent, as in
    Ribeiro, Singh, Guestrin: "Why Should I Trust You?", KDD 2016.

    Parameters
    ----------
    value : Value
    features, seed : int
    samples : int or None

    Raises
    ------
    UsageError
        If there are too few samples for the features.
    """
    samples = samples or _LIME_SAMPLES
    _require(samples, features + 2, features)
    game = Game(value, features)
    explainer = Lime(game, interpretable_model=SkLearnRidge(alpha=1.0), similarity_func=_similarity)
    weights = _attribute(explainer, features, samples, seed)
    present, answers = game.recorded()
    fitted = explainer.interpretable_model(torch.from_numpy(present).float()).detach().double().numpy().ravel()
    near = np.exp(-(~present).sum(axis=1) / _width(features))
    mean = np.average(answers, weights=near)
    spread = float((near * (answers - mean) ** 2).sum())
    r2 = 1 - float((near * (answers - fitted) ** 2).sum()) / spread if spread > 0 else 1.0
    warnings = []
    if r2 < _FAIR_R2:
        warnings.append(
            f"the local fit explains {max(r2, 0):.0%} of the answers nearby, so single weights say little; kernel_shap "
            "needs no such fit"
        )
    return Weights(weights, samples, warnings, r2=r2)


def kernel_shap(value: Value, features: int, samples: int | None, seed: int) -> Weights:
    """Estimate Shapley values by weighted regression (Lundberg, Lee: A Unified Approach..., NeurIPS 2017).

    Where the samples are enough for all subsets of the features, these are taken, and the values are exact. Else they
    come in pairs, each with its complement, for a lower variance (Covert, Lee: Improving KernelSHAP, AISTATS 2021).

    Parameters
    ----------
    value : Value
    features, seed : int
    samples : int or None

    Raises
    ------
    UsageError
        If there are too few samples for the features.
    """
    if features == 1:  # nothing to choose: the one feature makes the whole difference
        absent, there = value(np.array([[False], [True]]))
        return Weights(np.array([there - absent]), 2, [], sampling_error=0.0)
    samples = samples or _SHAP_SAMPLES + 2 * features
    game = Game(value, features)
    explainer = KernelShap(game)
    if features < 63 and 2**features <= samples:
        explainer.perturb_func, explainer.similarity_func = _subsets(features), _shapley_kernel
        return Weights(_attribute(explainer, features, 2**features, seed), 2**features, [], sampling_error=0.0)
    _require(samples, 2 * features + 4, features)
    explainer.perturb_func = _paired(explainer.perturb_func)
    weights = _attribute(explainer, features, samples, seed)
    present, answers = game.recorded()
    pair = np.arange(len(present)) // 2  # the first pair is the row and the baseline
    halves = [_shapley(present, answers, (pair > 0) & (pair % 2 == half)) for half in (0, 1)]
    error = float(np.abs(halves[0] - halves[1]).max() / 2)
    warnings = []
    if error > _FAIR_ERROR * np.abs(weights).max() and error > 1e-6:
        warnings.append(
            f"the sampling error is {error:.2g}, so features that differ by less may stand in another order; raise "
            f"--samples (now {samples:,})"
        )
    return Weights(weights, samples, warnings, sampling_error=error)


def _attribute(explainer: Any, features: int, samples: int, seed: int) -> np.ndarray:
    # The features are zeros and ones themselves: what an absent one looks like is the row's business. The seed is for
    # these samples only; the user's random state stays as it is.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = explainer.attribute(
            torch.ones(1, features),
            baselines=torch.zeros(1, features),
            n_samples=samples,
            perturbations_per_eval=_BATCH,
            return_input_shape=False,
        )
    weights: np.ndarray = found.detach().double().numpy().ravel()
    return weights


def _require(samples: int, least: int, features: int) -> None:
    if samples < least:
        raise UsageError(
            f"{samples} samples are too few for {features} features.", hint=f"Use --samples {least} or more."
        )


def _width(features: int) -> float:
    """Return the squared width of LIME's kernel, in numbers of absent features."""
    return 0.75**2 * features


def _similarity(original: Tensor, perturbed: Tensor, present: Tensor, **_: Any) -> Tensor:
    return torch.exp(-(1 - present.double()).sum() / _width(present.shape[1]))


def _subsets(features: int) -> Callable[..., Iterator[Tensor]]:
    def subsets(*given: Any, **named: Any) -> Iterator[Tensor]:
        for number in range(2**features):
            yield torch.tensor([[number >> place & 1 for place in range(features)]])

    return subsets


def _shapley_kernel(original: Tensor, perturbed: Tensor, present: Tensor, **named: Any) -> Tensor:
    features, there = present.shape[1], int(present.sum())
    if there in (0, features):
        return torch.tensor([_CERTAIN])
    return torch.tensor([(features - 1) / (math.comb(features, there) * there * (features - there))])


def _paired(sampler: Callable[..., Iterator[Tensor]]) -> Callable[..., Iterator[Tensor]]:
    """Follow every sample but the first two, all features and none, by its complement."""

    def pairs(*given: Any, **named: Any) -> Iterator[Tensor]:
        samples = sampler(*given, **named)
        yield next(samples)
        yield next(samples)
        for sample in samples:
            yield sample
            yield 1 - sample

    return pairs


def _shapley(present: np.ndarray, answers: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Solve the regression for some of the samples; that all features make the whole difference is certain."""
    root = math.sqrt(_CERTAIN)
    matrix = np.vstack([present[chosen].astype(np.float64), np.full((1, present.shape[1]), root)])
    right = np.append(answers[chosen] - answers[1], root * (answers[0] - answers[1]))
    solution: np.ndarray = np.linalg.lstsq(matrix, right, rcond=None)[0]
    return solution
