"""Weights of linear layers in 8 or 4 bits, activations in float.

``MatMulNBits`` keeps the weights small in memory and multiplies by blocks, each with a scale of its own. Its accuracy
level 4 (activations in 8 bits, a scale for each block) was the fastest on a CPU with avx512_vnni. Measured with an
encoder of 22 M parameters, one thread, against torch eager fp32: 8 x 78 tokens, int8 2.3 times (level 0: 1.6) and int4
1.8 times, where onnxruntime fp32 has 2.1; 1 x 29 tokens, int8 3.2 times and int4 2.7 times (level 0: 2.1), onnxruntime
fp32 2.1. So it pays for few rows at a time and for large models; dynamic int8 is faster, where its error is small.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.optimization.optimizer import Family
from maas_jupyter.optimization.original import Original
from maas_jupyter.optimization.quantize.graph import contents, require_float, seal_variant, toolkit
from maas_jupyter.optimization.quantize.preprocess import prepare, turn_weights
from maas_jupyter.optimization.quantize.tables import quantize_tables
from maas_jupyter.packaging.export import save

if TYPE_CHECKING:
    from onnx import ModelProto

#: Numbers in linear layers below which the weights are in the CPU's cache anyway.
_LEAST_NUMBERS = 1_000_000
#: Activations in 8 bits while they are multiplied.
_ACCURACY_LEVEL = 4


class WeightInt8:
    """Weights of the linear layers in 8 bits, by blocks of 128."""

    name = "weight-int8"
    description = "weights of the linear layers in 8 bits, activations in float"
    family: Family = "quantize"
    seconds = 4.0
    seconds_per_megabyte = 0.05
    bits: Literal[4, 8] = 8
    block = 128

    def applies_to(self, original: Original) -> bool:
        """Say whether the linear layers are large."""
        found = contents(original.bundle)
        linear = found.weights.get("MatMul", 0) + found.weights.get("Gemm", 0)
        return not found.quantized and linear >= _LEAST_NUMBERS

    def run(self, original: Original, folder: Path) -> Bundle:
        """Write the quantized bundle into an empty folder.

        Raises
        ------
        Conflict
            If the model is quantized already.
        ExportError
            If onnxruntime cannot quantize the graph, or there is no linear layer in it.
        """
        require_float(original, self.name)
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
        from onnxruntime.quantization.onnx_model import ONNXModel

        with toolkit(self.name), prepare(original.bundle) as graph:
            turn_weights(graph)
            quantize_tables(graph)
            model = ONNXModel(graph)
            model.replace_gemm_with_matmul()
            quantizer = MatMulNBitsQuantizer(
                model.model,
                bits=self.bits,
                block_size=self.block,
                is_symmetric=True,
                accuracy_level=_ACCURACY_LEVEL,
                op_types_to_quantize=("MatMul",),
            )
            quantizer.process()
            made: ModelProto = quantizer.model.model
            if not any(node.op_type == "MatMulNBits" for node in made.graph.node):
                raise ValueError("The graph holds no linear layer that it could quantize")
            files = save(made, folder / MODEL_FILE)
        return seal_variant(original, folder, "int8" if self.bits == 8 else "int4", files)


class WeightInt4(WeightInt8):
    """Weights of the linear layers in 4 bits, by blocks of 32."""

    name = "weight-int4"
    description = "weights of the linear layers in 4 bits, activations in float"
    bits = 4
    block = 32
