"""The same graph under OpenVINO: in float32, in bfloat16, and in int8 by NNCF.

Measured with an encoder of 22 M parameters (8 x 78 tokens, avx512_vnni, one thread, against torch eager fp32):
onnxruntime's dynamic int8 4.1 times, NNCF's int8 5.6 times, in a quarter of the size. bfloat16 pays only where the CPU
multiplies it (avx512_bf16, AMX), as OpenVINO itself says of the device. In fp16 weights are only stored: asked to
compute in it on a CPU that does not list it among its capabilities, OpenVINO computes in bfloat16 without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.errors import MissingDependency
from maas_jupyter.optimization.optimizer import Family
from maas_jupyter.optimization.original import Original
from maas_jupyter.optimization.quantize.calibration import calibration_batches
from maas_jupyter.optimization.quantize.graph import contents, require_float, seal_variant, toolkit
from maas_jupyter.optimization.quantize.sensitivity import LEAST_RATIO, ratio
from maas_jupyter.schema import Precision
from maas_jupyter.serving.inputs.base import runtime_inputs
from maas_jupyter.serving.runtimes.openvino import IR_FILES, core
from maas_jupyter.serving.runtimes.unreported import unreported

with unreported():
    import openvino as ov

#: Batches of 8 rows that NNCF looks at: 20 s for an encoder of 22 M parameters.
_CALIBRATION_BATCHES = 20


class OpenVino:
    """The graph as it is, under OpenVINO."""

    name = "openvino"
    description = "fp32 under OpenVINO"
    family: Family = "other"
    seconds = 1.0
    precision: Precision = "fp32"

    def applies_to(self, original: Original) -> bool:
        """Say whether OpenVINO takes such a graph: one of floats, whose inputs are numbers after preprocessing."""
        found = contents(original.bundle)
        numbers = all(spec.datatype != "BYTES" for spec in runtime_inputs(original.bundle.manifest))
        return original.bundle.manifest.runtime == "onnx" and not found.quantized and numbers

    def run(self, original: Original, folder: Path) -> Bundle:
        """Write the bundle into an empty folder.

        Raises
        ------
        Conflict
            If the model is quantized already.
        ExportError
            If OpenVINO does not know an operator of the graph.
        """
        require_float(original, self.name)
        with toolkit(self.name):
            model = core().read_model(str(original.bundle.folder / MODEL_FILE))
            # Weights in half their size where the arithmetic is no finer.
            ov.save_model(model, folder / IR_FILES[0], compress_to_fp16=self.precision != "fp32")
        return seal_variant(original, folder, self.precision, list(IR_FILES), runtime="openvino")


class OpenVinoFp16(OpenVino):
    """The weights stored in fp16 and computed in fp32: half the size, nothing faster."""

    name = "openvino-fp16"
    description = "weights stored in fp16, computed in fp32 under OpenVINO: smaller, not faster"
    family: Family = "quantize"
    precision: Precision = "fp16"


class OpenVinoBf16(OpenVino):
    """The graph computed in bfloat16, its weights stored in 16 bits."""

    name = "openvino-bf16"
    description = "bfloat16 under OpenVINO"
    family: Family = "quantize"
    seconds = 1.0
    precision: Precision = "bf16"

    def applies_to(self, original: Original) -> bool:
        """Say whether this CPU multiplies bfloat16, too."""
        gains = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return gains and super().applies_to(original)


class OpenVinoInt8(OpenVino):
    """Weights and activations in int8, their ranges taken from calibration rows by NNCF.

    For transformers with SmoothQuant (Xiao et al., 2023), which moves outliers of activations into the weights; where
    the answers on the calibration rows change much that way, without it, if that is nearer.
    """

    name = "openvino-int8"
    description = "int8 under OpenVINO, ranges from calibration rows"
    calibrates = True
    family: Family = "quantize"
    seconds = 20.0
    seconds_per_megabyte = 0.4
    precision: Precision = "int8"

    def applies_to(self, original: Original) -> bool:
        """Say whether there are linear layers or convolutions, too."""
        weights = contents(original.bundle).weights
        return super().applies_to(original) and any(weights.get(name) for name in ("MatMul", "Gemm", "Conv"))

    def run(self, original: Original, folder: Path) -> Bundle:
        """Write the quantized bundle into an empty folder.

        Raises
        ------
        Conflict
            If the model is quantized already.
        InvalidInput
            If there are too few calibration rows, or they do not fit.
        ExportError
            If OpenVINO or NNCF cannot do it.
        """
        require_float(original, self.name)
        batches = calibration_batches(original)[:_CALIBRATION_BATCHES]
        with toolkit(self.name), _nncf() as nncf:
            model = core().read_model(str(original.bundle.folder / MODEL_FILE))
            weights = contents(original.bundle).weights
            transformer = {"Softmax", "LayerNormalization"} <= weights.keys()
            output = original.bundle.manifest.signature.outputs[-1].name
            expected = _answers(model, output, batches)

            def quantized(**options: Any) -> tuple[float, ov.Model]:
                made = nncf.quantize(
                    model,
                    nncf.Dataset(batches),
                    # Activations that are not symmetric around zero, as after GELU, get the whole range.
                    preset=nncf.QuantizationPreset.MIXED,
                    subset_size=len(batches),
                    **options,
                )
                return ratio(_answers(made, output, batches), expected), made

            best = quantized(model_type=nncf.ModelType.TRANSFORMER) if transformer else quantized()
            if transformer and best[0] < LEAST_RATIO:
                off = nncf.AdvancedSmoothQuantParameters(matmul=-1, convolution=-1)
                advanced = nncf.AdvancedQuantizationParameters(smooth_quant_alphas=off)
                plain = quantized(model_type=nncf.ModelType.TRANSFORMER, advanced_parameters=advanced)
                best = max(best, plain, key=lambda each: each[0])
            ov.save_model(best[1], folder / IR_FILES[0], compress_to_fp16=False)
        return seal_variant(original, folder, "int8", list(IR_FILES), runtime="openvino")


def _answers(model: ov.Model, output: str, batches: list[dict[str, np.ndarray]]) -> np.ndarray:
    """Return what a graph answers for batches, computed as the server does."""
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(batch)[output].copy() for batch in batches])


@contextmanager
def _nncf() -> Iterator[Any]:
    """Import NNCF, which takes seconds, and let it draw nothing."""
    try:
        with unreported():
            import nncf
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"openvino-int8 needs the package '{error.name}'.", hint="pip install 'maas-jupyter[openvino]'"
        ) from error
    import rich

    # In a notebook its bars are widgets, which no redirection reaches.
    console = rich.get_console()
    before = console.is_jupyter
    console.is_jupyter = False
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield nncf
    finally:
        console.is_jupyter = before
