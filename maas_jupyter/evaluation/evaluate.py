"""Evaluate a torch module, or the bundle that will be served."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Data
from maas_jupyter.errors import InvalidInput
from maas_jupyter.evaluation import metrics
from maas_jupyter.evaluation.predict import Predictor, loaded
from maas_jupyter.evaluation.report import Evaluation
from maas_jupyter.modules import check_labels, check_shapes, run_module

_BATCH = 256


def evaluate_module(model: nn.Module, data: Data, *, subject: str) -> Evaluation:
    """Evaluate a module, on the device that it is on; classification where the targets are integers.

    Raises
    ------
    InvalidInput
        If the data does not fit the model, has no targets, or holds labels that are not classes of the model.
    """
    floating = data.head(1).required_targets().is_floating_point()
    task = "regression" if floating else "classification"
    return _evaluate(lambda batch: run_module(model, batch).float().cpu().numpy(), data, task, None, subject)


def evaluate_bundle(bundle: Bundle, data: Data, *, subject: str) -> Evaluation:
    """Evaluate a bundle with the runtime that will serve it.

    Raises
    ------
    InvalidInput
        As `evaluate_module`.
    """
    labels = [str(label) for label in bundle.manifest.labels or []]
    with loaded(bundle) as predict:
        return _evaluate(predict, data, bundle.manifest.task, labels or None, subject)


def _evaluate(predict: Predictor, data: Data, task: str, labels: list[str] | None, subject: str) -> Evaluation:
    truth: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    for batch in data.batches(_BATCH):
        output = predict(batch)
        targets = batch.required_targets()
        check_shapes(torch.from_numpy(output), targets if task == "classification" else targets.float(), name="data")
        if task == "classification":
            labels = labels or [str(index) for index in range(output.shape[1])]
            check_labels(targets, len(labels), name="data")
            output = output.argmax(axis=1)
        truth.append(targets.cpu().numpy())
        predicted.append(output)
    whole, guesses = np.concatenate(truth), np.concatenate(predicted)
    if task == "classification":
        return metrics.classification(subject, whole, guesses, labels or [])
    if not (np.isfinite(whole).all() and np.isfinite(guesses).all()):
        raise InvalidInput(
            f"{subject} predicts NaN or infinity, or the targets hold it.",
            hint="Train with a smaller --lr, and look for NaN in the data.",
        )
    return metrics.regression(subject, whole, guesses)
