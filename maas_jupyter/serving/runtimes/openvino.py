"""ONNX graphs and OpenVINO's own files under OpenVINO on the CPU."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from maas_jupyter.bundle import MODEL_FILE
from maas_jupyter.errors import BundleError, InvalidInput
from maas_jupyter.schema import Manifest
from maas_jupyter.serving.inputs.base import minimal, runtime_inputs
from maas_jupyter.serving.runtimes.unreported import unreported

with unreported():
    import openvino as ov

#: OpenVINO's own files: the graph, and beside it its weights.
IR_FILES = ("model.xml", "model.bin")

#: In which numbers a bundle of a precision is computed. What is not said to OpenVINO it decides by the CPU, so that the
#: same bundle would answer otherwise on another one.
_PRECISIONS = {"bf16": "bf16"}


@functools.cache
def core() -> ov.Core:
    """Return this process's only ``openvino.Core``, which is never freed.

    The CPU plug-in gives the thread that loads it a stack for signals, and unmaps it when its core is freed: where
    another thread does that, as unloading and the garbage collector may, the next signal ends the process
    (openvino 2026.4).
    """
    return ov.Core()


class OpenVinoRuntime:
    """Runs a bundle's ``model.xml`` with ``model.bin``, or its ``model.onnx`` where it has none."""

    def load(self, folder: Path, manifest: Manifest, threads: int = 1) -> None:
        """Compile the graph and compare its inputs and outputs with the manifest's signature.

        Parameters
        ----------
        folder : Path
            Holds the files that the manifest lists.
        manifest : Manifest
            Its signature, its preprocessing and its precision: ``bf16`` is computed in bfloat16, all else in float32
            where it is not in integers.
        threads : int
            How many threads one run may use.

        Raises
        ------
        BundleError
            If the graph cannot be loaded or does not have the signature's inputs and outputs.
        """
        graph, weights = IR_FILES
        # Only files that the manifest vouches for are opened.
        name = graph if graph in manifest.files else MODEL_FILE
        missing = [file for file in ((graph, weights) if name == graph else (name,)) if file not in manifest.files]
        if missing:
            raise BundleError(f"The bundle holds no {missing[0]} for OpenVINO.", hint="Package the model again.")
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _PRECISIONS.get(manifest.precision, "f32"),
        }
        try:
            if name == graph:
                model = core().read_model(str(folder / graph), str(folder / weights))
            else:
                model = core().read_model(str(folder / name))
            compiled = core().compile_model(model, "CPU", options)
        except Exception as error:  # OpenVINO raises RuntimeError and what its front ends raise
            raise BundleError(
                f"{name} cannot be loaded by OpenVINO: {_first_line(error)}",
                hint="Export the model again with this version of openvino or an older one, or use the runtime onnx.",
            ) from error
        inputs = runtime_inputs(manifest)
        outputs = manifest.signature.outputs
        expected_inputs, expected = {spec.name for spec in inputs}, [spec.name for spec in outputs]
        found_inputs = {each for port in compiled.inputs for each in port.names}
        found = {each: index for index, port in enumerate(compiled.outputs) for each in port.names}
        if len(compiled.inputs) != len(inputs) or not expected_inputs <= found_inputs:
            raise BundleError(
                f"{name} has the inputs {sorted(found_inputs)}, but the manifest says {sorted(expected_inputs)}.",
                hint="Package the model again.",
            )
        if not set(expected) <= found.keys():
            raise BundleError(
                f"{name} has the outputs {sorted(found)}, but the manifest says {expected}.",
                hint="Package the model again.",
            )
        self._compiled = compiled
        self._inputs = inputs
        self._outputs = {each: found[each] for each in expected}
        self._texts = {spec.name for spec in outputs if spec.datatype == "BYTES"}

    def warm_up(self) -> None:
        """Run one row of zeros."""
        self.run({spec.name: minimal(spec) for spec in self._inputs})

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute the signature's outputs.

        Raises
        ------
        InvalidInput
            If the graph refuses the values, for example an index beyond its table.
        """
        try:
            # One for each run: several threads may run at once, and an answer lives as long as its request.
            request = self._compiled.create_infer_request()
            # Waited for, not run in this thread: there, with one thread, a shape that does not fit raises nothing, and
            # the run after it ends the process (openvino 2026.4).
            request.start_async(inputs, share_inputs=True)
            request.wait()
            answers = {name: request.get_output_tensor(index) for name, index in self._outputs.items()}
        except RuntimeError as error:
            raise InvalidInput(
                f"The model refuses this input: {_first_line(error)}",
                hint="The shapes fit the signature, so look at the values and at sizes that must agree.",
            ) from error
        return {
            name: tensor.str_data.astype(object) if name in self._texts else tensor.data.copy()
            for name, tensor in answers.items()
        }

    def unload(self) -> None:
        """Free the compiled graph."""
        del self._compiled


def _first_line(error: Exception) -> str:
    """Return what OpenVINO says after the places in its own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (told or lines or [type(error).__name__])[0]
