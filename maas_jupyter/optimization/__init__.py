"""Optimised variants of a model, measured against the original."""

from maas_jupyter.optimization.compare import compare
from maas_jupyter.optimization.comparison import Candidate, Comparison, Verdict

__all__ = ["Candidate", "Comparison", "Verdict", "compare"]
