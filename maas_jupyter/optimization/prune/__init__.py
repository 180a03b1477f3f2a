"""Pruning: weights set to 0, or whole channels, heads and neurons removed, with fine-tuning in between."""

from maas_jupyter.optimization.prune.magnitude import MagnitudePruning
from maas_jupyter.optimization.prune.structured import StructuredPruning

__all__ = ["MagnitudePruning", "StructuredPruning"]
