"""Quantization with onnxruntime: what each method does to the graph, and what was measured."""

from maas_jupyter.optimization.quantize.dynamic import DynamicInt8, DynamicInt8WithConvolutions
from maas_jupyter.optimization.quantize.preprocess import Fused
from maas_jupyter.optimization.quantize.static import StaticInt8, StaticInt8Entropy, StaticInt8Percentile
from maas_jupyter.optimization.quantize.weights import WeightInt4, WeightInt8

__all__ = [
    "DynamicInt8",
    "DynamicInt8WithConvolutions",
    "Fused",
    "StaticInt8",
    "StaticInt8Entropy",
    "StaticInt8Percentile",
    "WeightInt4",
    "WeightInt8",
]
