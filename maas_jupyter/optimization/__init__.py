"""Optimised variants of a model, measured against the original."""

from maas_jupyter.optimization.comparison import Candidate, Comparison, Verdict
from maas_jupyter.optimization.goals import Goal, parse_goal
from maas_jupyter.optimization.kept import KeptCandidates
from maas_jupyter.optimization.measurement import Measurement, Quality, Speed
from maas_jupyter.optimization.optimizer import Optimizer, find_optimizers
from maas_jupyter.optimization.original import Original, Trained
from maas_jupyter.optimization.search import Search, limits_of

__all__ = [
    "Candidate",
    "Comparison",
    "Goal",
    "KeptCandidates",
    "Measurement",
    "Optimizer",
    "Original",
    "Quality",
    "Search",
    "Speed",
    "Trained",
    "Verdict",
    "find_optimizers",
    "limits_of",
    "parse_goal",
]
