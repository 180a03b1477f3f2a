"""Dynamic int8 quantization with onnxruntime.

Weights become int8 in the file; activations are quantized as they come, so no calibration data is needed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.errors import ExportError

_LINEAR = ["MatMul", "Gemm"]
_CONVOLUTIONS = ["Conv"]


class DynamicInt8:
    """Linear layers in int8, everything else as it was."""

    name = "dynamic-int8"
    description = "int8 weights in the linear layers"
    operators = _LINEAR

    def applies_to(self, bundle: Bundle) -> bool:
        """Say whether the graph has an operator to quantize."""
        return bool(_operators_of(bundle) & set(_LINEAR))

    def run(self, bundle: Bundle, folder: Path) -> Bundle:
        """Write the quantized bundle into an empty folder.

        Raises
        ------
        ExportError
            If onnxruntime cannot quantize the graph.
        """
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process

        source, prepared = bundle.folder / MODEL_FILE, folder / "prepared.onnx"
        with _quiet():
            try:
                # Without this pass a quantized graph was measured slower than the original.
                quant_pre_process(source, prepared, skip_symbolic_shape=True)
                quantize_dynamic(
                    prepared, folder / MODEL_FILE, weight_type=QuantType.QInt8, op_types_to_quantize=self.operators
                )
            except Exception as error:
                # onnxruntime's tools raise whatever the graph makes them trip over.
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise ExportError(f"{self.name} failed: {reason}", hint="The original is unchanged.") from error
        prepared.unlink()
        manifest = msgspec.structs.replace(bundle.manifest, precision="int8", parent=bundle.digest, measurements={})
        # What the server does before the graph, such as a tokenizer, stays as it is.
        others = [name for name in bundle.manifest.files if name != MODEL_FILE]
        for name in others:
            shutil.copyfile(bundle.folder / name, folder / name)
        return Bundle.seal(folder, manifest, [MODEL_FILE, *others])


class DynamicInt8WithConvolutions(DynamicInt8):
    """Linear layers and convolutions in int8."""

    name = "dynamic-int8-conv"
    description = "int8 weights in the linear layers and convolutions"
    operators = _LINEAR + _CONVOLUTIONS

    def applies_to(self, bundle: Bundle) -> bool:
        """Say whether the graph has convolutions; without them this is the same as ``dynamic-int8``."""
        return bool(_operators_of(bundle) & set(_CONVOLUTIONS))


def _operators_of(bundle: Bundle) -> set[str]:
    import onnx

    graph = onnx.load(str(bundle.folder / MODEL_FILE), load_external_data=False).graph
    return {node.op_type for node in graph.node}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's advice on preprocessing, which is followed here, out of the notebook."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
