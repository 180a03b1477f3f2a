"""The methods by name: each explains one output for one row. Imported on use, for it needs captum."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from maas_jupyter.data import TablePreprocessing, TextPreprocessing
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.explanation import gradients, perturbation
from maas_jupyter.explanation.parts import Held, Values
from maas_jupyter.explanation.row import Row
from maas_jupyter.explanation.subject import ModuleSubject, Subject
from maas_jupyter.explanation.tokens import tokens_of

#: More features than this are too many for a regression on samples.
_MOST_FEATURES = 2000
#: Steps of the integral where nothing is said: more are taken until the attributions add up.
_STEPS = (50, 200, 800)
#: Adding up: the share of the difference that the attributions may miss for that.
_ADDS_UP = 0.01


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a method found for one row; the fields of `RowExplanation`, and the samples that it took."""

    attributions: np.ndarray
    baseline_output: float
    baseline: str
    samples: int
    error: float | None = None
    r2: float | None = None
    sampling_error: float | None = None
    warnings: list[str] = field(default_factory=list)


def integrated_gradients(subject: Subject, row: Row, target: int, samples: int | None, seed: int) -> Found:
    """Integrate gradients from the baseline to the row.

    Raises
    ------
    UsageError
        If the subject has no gradients.
    InvalidInput
        If no gradient reaches the row's features.
    """
    if not isinstance(subject, ModuleSubject):
        raise UsageError(
            f"integrated_gradients needs gradients, and {subject.name}, as it is served, has none.",
            hint="Use --method kernel_shap or --method lime, or explain the run or the module that it was made of.",
        )
    tensors = subject.tensors(row.raw)
    words, picture, described = row.words, row.picture, row.described
    if words is not None and isinstance(subject.preprocessing, TextPreprocessing):
        tokens = tokens_of(words, subject.preprocessing, tensors)
        path, steps = _integrated(subject, tensors, tokens.baseline, target, samples)
        attributions = tokens.by_word(path.attributions[tokens.place], len(words.names))
        described = tokens.described
    else:
        path, steps = _integrated(subject, tensors, subject.tensors(row.absent), target, samples)
        if picture is not None:
            attributions = picture.flattened(path.attributions[0])
        else:
            attributions = _by_feature(subject, row, tensors, path.attributions)
    return Found(
        attributions=attributions,
        baseline_output=path.start,
        baseline=described,
        samples=steps,
        error=path.error,
        warnings=path.warnings,
    )


def _integrated(
    subject: ModuleSubject,
    tensors: tuple[Tensor, ...],
    baseline: tuple[Tensor, ...],
    target: int,
    samples: int | None,
) -> tuple[gradients.Path, int]:
    """Integrate with the steps that are asked for, else with as many as are needed; return the path and its steps."""
    for steps in (samples,) if samples else _STEPS:
        path = gradients.integrate(subject, tensors, baseline, target, steps)
        if path.error <= _ADDS_UP * abs(path.end - path.start):
            break
    return path, steps


def lime(subject: Subject, row: Row, target: int, samples: int | None, seed: int) -> Found:
    """Fit a linear model near the row."""
    return _perturbed(subject, row, target, samples, seed, "lime")


def kernel_shap(subject: Subject, row: Row, target: int, samples: int | None, seed: int) -> Found:
    """Estimate Shapley values."""
    return _perturbed(subject, row, target, samples, seed, "kernel_shap")


def _perturbed(subject: Subject, row: Row, target: int, samples: int | None, seed: int, method: str) -> Found:
    if len(row.names) > _MOST_FEATURES:
        raise InvalidInput(
            f"{len(row.names):,} features are too many for {method}: at most {_MOST_FEATURES:,}.",
            hint="Use --method integrated_gradients on the run or module; pictures as (channels, height, width) are "
            "few patches.",
        )
    # A feature that is the same at the baseline adds nothing, and samples of it would only be noise.
    active = row.active
    features = int(active.sum())

    def value(present: np.ndarray) -> np.ndarray:
        there = np.ones((len(present), len(active)), dtype=bool)
        there[:, active] = present
        return subject.outputs(row.perturbed(there))[:, target]

    start, end = value(np.repeat([[False], [True]], features, axis=1))
    weights = np.zeros(len(active))
    if not features:
        found = perturbation.Weights(weights[active], 0, ["the row is the baseline, so there is nothing to explain"])
    else:
        explain = perturbation.lime if method == "lime" else perturbation.kernel_shap
        found = explain(value, features, samples, seed)
    weights[active] = found.weights
    picture = row.picture
    return Found(
        attributions=weights if picture is None else picture.spread(weights),
        baseline_output=float(start),
        baseline=row.described,
        samples=found.samples,
        error=None if method == "lime" else abs(float(weights.sum() - (end - start))),
        r2=found.r2,
        sampling_error=found.sampling_error,
        warnings=found.warnings,
    )


def _by_feature(
    subject: ModuleSubject, row: Row, tensors: tuple[Tensor, ...], attributions: list[np.ndarray]
) -> np.ndarray:
    """Sum the attributions of tensors by the feature that they were made of.

    Which that is shows where a tensor changes when the feature alone is absent. What does not change with any is the
    same at the baseline, so its attribution is zero.
    """
    parts = list(row.parts.values())
    if not isinstance(subject.preprocessing, TablePreprocessing) and all(
        isinstance(part, Values | Held) for part in parts
    ):
        return np.concatenate([found.ravel() for part, found in zip(parts, attributions, strict=True) if part.names])
    without = subject.tensors(row.perturbed(~np.eye(len(row.names), dtype=bool)))
    summed = np.zeros(len(row.names))
    for tensor, other, found in zip(tensors, without, attributions, strict=True):
        same = (
            (tensor == other) | (torch.isnan(tensor) & torch.isnan(other))
            if tensor.is_floating_point()
            else tensor == other
        )
        made_of = (~same).reshape(len(other), -1).double().numpy()
        made_of /= np.maximum(made_of.sum(axis=0), 1)
        summed += made_of @ found.ravel()
    return summed
