"""Distillation: a smaller student learns from the answers of a trained model."""

from maas_jupyter.optimization.distil.distillation import Distillation

__all__ = ["Distillation"]
