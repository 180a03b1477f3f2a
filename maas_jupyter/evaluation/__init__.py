"""How good a model is, measured on data."""

from maas_jupyter.evaluation.evaluate import evaluate_bundle, evaluate_module
from maas_jupyter.evaluation.report import Evaluation

__all__ = ["Evaluation", "evaluate_bundle", "evaluate_module"]
