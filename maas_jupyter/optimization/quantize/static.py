"""Static int8 quantization with onnxruntime: ranges of activations from calibration rows, none measured while serving.

What was measured with a CNN of digits (one convolution of 8 channels, two linear layers; one thread; against
onnxruntime fp32 with 1, 8, 32 and 256 rows): everything in int8 is 6 to 25 % slower. Convolutions of few channels lose,
so those stay in float. onnxruntime pulls the quantization in front of pooling when it loads the graph, and pools
integers slowly: 0.7 times at 256 rows, until what is pooled was made an output too, which it may not change. Linear
layers that give floats spare a rounding. With that: 1.13, 1.25, 1.41 and 1.46 times, at 0.27 of the size. Weights with
a scale for each channel cost 20 % with one row, so they come only where the answers ask for it.
"""

from __future__ import annotations

import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.errors import ExportError
from maas_jupyter.optimization.optimizer import Family
from maas_jupyter.optimization.original import Original
from maas_jupyter.optimization.quantize.calibration import Reader, calibration_batches
from maas_jupyter.optimization.quantize.graph import (
    contents,
    require_float,
    saturates,
    seal_variant,
    toolkit,
    written,
)
from maas_jupyter.optimization.quantize.preprocess import prepare
from maas_jupyter.optimization.quantize.sensitivity import LEAST_RATIO, most_sensitive, output_ratio
from maas_jupyter.optimization.quantize.tables import quantize_tables
from maas_jupyter.packaging.export import save, weights_name

if TYPE_CHECKING:
    from onnx import ModelProto

_Batches = list[dict[str, np.ndarray]]

_LINEAR = ["MatMul", "Gemm"]
#: Convolutions of fewer input channels are faster in float.
_LEAST_CHANNELS = 16
#: Histograms are made of all activations at once, which of a model of this many bytes would not fit into memory.
_LARGE = 20_000_000
_FEW_BATCHES = 4
#: Times that operators are put back to float.
_ROUNDS = 3


class StaticInt8:
    """Linear layers and convolutions in int8, with the least and greatest activation of the calibration rows."""

    name = "static-int8"
    description = "int8 linear layers and convolutions, ranges from calibration rows"
    calibrates = True
    family: Family = "quantize"
    seconds = 6.0
    seconds_per_megabyte = 0.25
    calibration: Literal["MinMax", "Entropy", "Percentile"] = "MinMax"

    def applies_to(self, original: Original) -> bool:
        """Say whether the graph has a float linear layer or convolution."""
        found = contents(original.bundle)
        return not found.quantized and any(found.weights.get(name) for name in (*_LINEAR, "Conv"))

    def run(self, original: Original, folder: Path) -> Bundle:
        """Write the quantized bundle into an empty folder.

        Where the answers on the calibration rows change much, weights get a scale for each channel, and then the
        operators that lose most go back to float, a quarter of them at a time and at most three times.

        Raises
        ------
        Conflict
            If the model is quantized already.
        InvalidInput
            If there are too few calibration rows, or they do not fit.
        ExportError
            If onnxruntime cannot quantize the graph.
        """
        require_float(original, self.name)
        histograms = self.calibration != "MinMax"
        batches = calibration_batches(original, uniform=histograms)
        if histograms and original.bundle.manifest.size > _LARGE:
            batches = batches[:_FEW_BATCHES]
        with (
            toolkit(self.name),
            prepare(original.bundle) as graph,
            tempfile.TemporaryDirectory(prefix="maas-quantize-") as place,
        ):
            self._quantize(original, graph, batches, Path(place), folder / MODEL_FILE)
        return seal_variant(original, folder, "int8", written(folder / MODEL_FILE))

    def _quantize(self, original: Original, graph: ModelProto, batches: _Batches, place: Path, target: Path) -> None:
        import onnxruntime

        quantize_tables(graph)
        _keep_pooling_in_float(graph)
        wanted = _worth_it(graph)
        if not wanted:
            raise ExportError(
                f"{self.name} failed: every layer of the graph is faster in float.", hint="Try dynamic-int8."
            )
        prepared = place / "prepared.onnx"
        save(graph, prepared)
        output = original.bundle.manifest.signature.outputs[-1].name
        session = onnxruntime.InferenceSession(str(prepared), providers=["CPUExecutionProvider"])
        expected = [session.run([output], batch)[0] for batch in batches]
        per_channel = False
        for left in reversed(range(_ROUNDS + 2)):
            self._write(prepared, batches, wanted, target, per_channel=per_channel)
            if not left or output_ratio(target, output, batches, expected) >= LEAST_RATIO:
                return
            if not per_channel:
                per_channel = True
                continue
            ranked = most_sensitive(prepared, target, batches, place, [*_LINEAR, "Conv"])
            back = [name for name in ranked if name in wanted][: max(1, len(wanted) // 4)]
            if len(back) == len(wanted):
                return
            wanted = [name for name in wanted if name not in back]

    def _write(self, prepared: Path, batches: _Batches, wanted: list[str], target: Path, *, per_channel: bool) -> None:
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        # Weights that lie beside a graph are appended to the file that is there.
        target.with_name(weights_name(target)).unlink(missing_ok=True)
        # Histograms are printed as they are made.
        with redirect_stdout(StringIO()):
            quantize_static(
                prepared,
                target,
                Reader(batches),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[*_LINEAR, "Conv"],
                nodes_to_quantize=wanted,
                per_channel=per_channel,
                reduce_range=saturates(),
                use_external_data_format=len(written(prepared)) > 1,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod[self.calibration],
                extra_options={
                    # The outputs of fused operators have no inferred type.
                    "DefaultTensorType": onnx.TensorProto.FLOAT,
                    "OpTypesToExcludeOutputQuantization": _LINEAR,
                },
            )


class StaticInt8Entropy(StaticInt8):
    """As ``static-int8``, with the range that keeps most of the information of a histogram (Migacz, 2017)."""

    name = "static-int8-entropy"
    description = "int8, ranges by the entropy of calibration rows"
    seconds = 12.0
    seconds_per_megabyte = 0.15
    calibration = "Entropy"


class StaticInt8Percentile(StaticInt8):
    """As ``static-int8``, with the range that holds 99.999 % of the activations."""

    name = "static-int8-percentile"
    description = "int8, ranges by percentiles of calibration rows"
    seconds = 12.0
    seconds_per_megabyte = 0.15
    calibration = "Percentile"


def _keep_pooling_in_float(graph: ModelProto) -> None:
    """Give what is pooled as outputs too, which nobody asks for: so nothing is moved past it when it is loaded."""
    from onnx import TensorProto, helper

    known = {output.name for output in graph.graph.output}
    graph.graph.output.extend(
        helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
        for node in graph.graph.node
        if node.op_type == "MaxPool" and node.output[0] not in known
    )


def _worth_it(graph: ModelProto) -> list[str]:
    """Return the names of the nodes that are faster in int8: with weights, and no convolutions of few channels."""
    weights = {tensor.name: list(tensor.dims) for tensor in graph.graph.initializer}
    wanted = []
    for index, node in enumerate(graph.graph.node):
        shape = weights.get(node.input[1]) if node.op_type in (*_LINEAR, "Conv") else None
        if shape is None or (node.op_type == "Conv" and shape[1] < _LEAST_CHANNELS):
            continue
        node.name = node.name or f"{node.op_type}.{index}"
        wanted.append(node.name)
    return wanted
