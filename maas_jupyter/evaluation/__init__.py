"""How good a model is, measured on data; which of several is better; and whether it may go on."""

from maas_jupyter.evaluation.evaluate import difference, evaluate_bundle, evaluate_module, score_bundle
from maas_jupyter.evaluation.gates import Gate, GateResult, Verdict, judge, parse_gate
from maas_jupyter.evaluation.intervals import Interval
from maas_jupyter.evaluation.language import evaluate_tokens, score_tokens
from maas_jupyter.evaluation.paired import PairedComparison, compare
from maas_jupyter.evaluation.predictions import Predictions
from maas_jupyter.evaluation.report import Evaluation

__all__ = [
    "Evaluation",
    "Gate",
    "GateResult",
    "Interval",
    "PairedComparison",
    "Predictions",
    "Verdict",
    "compare",
    "difference",
    "evaluate_bundle",
    "evaluate_module",
    "evaluate_tokens",
    "judge",
    "parse_gate",
    "score_bundle",
    "score_tokens",
]
