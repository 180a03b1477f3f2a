"""Evaluate a torch module, or the bundle that will be served."""

from __future__ import annotations

import numpy as np
from torch import nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Data, Source
from maas_jupyter.evaluation.metrics import score
from maas_jupyter.evaluation.predict import predict_bundle, predict_module
from maas_jupyter.evaluation.predictions import Predictions
from maas_jupyter.evaluation.report import Evaluation, ModuleDifference
from maas_jupyter.packaging.validate import ATOL, RTOL


def evaluate_module(model: nn.Module, data: Data, *, subject: str) -> Evaluation:
    """Evaluate a module; see `predict_module`."""
    return Evaluation.of(predict_module(model, data, subject=subject), subject=subject)


def evaluate_bundle(bundle: Bundle, rows: Data | Source, *, subject: str) -> Evaluation:
    """Evaluate a bundle; see `predict_bundle`."""
    return Evaluation.of(predict_bundle(bundle, rows, subject=subject), subject=subject)


def score_bundle(bundle: Bundle, rows: Data | Source, *, subject: str) -> dict[str, float]:
    """Compute a bundle's headline numbers alone, without intervals."""
    return score(predict_bundle(bundle, rows, subject=subject))


def difference(served: Predictions, module: Predictions) -> ModuleDifference:
    """Say how far a torch module's answers are from the served ones on the same rows."""
    if served.task == "classification":
        changed = served.predicted != module.predicted
    else:
        changed = ~np.isclose(module.output, served.output, rtol=RTOL, atol=ATOL).all(axis=1)
    return ModuleDifference(
        len(served), int(np.count_nonzero(changed)), float(np.abs(module.output - served.output).max())
    )
