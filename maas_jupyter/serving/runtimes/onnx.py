"""ONNX graphs under onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from maas_jupyter.bundle import MODEL_FILE
from maas_jupyter.errors import BundleError, InvalidInput
from maas_jupyter.schema import Manifest
from maas_jupyter.serving.inputs.base import minimal, runtime_inputs


class OnnxRuntime:
    """Runs a bundle's ``model.onnx``."""

    def load(self, folder: Path, manifest: Manifest, threads: int = 1) -> None:
        """Open the graph and compare its inputs and outputs with the manifest's signature.

        Parameters
        ----------
        folder : Path
            Holds ``model.onnx``.
        manifest : Manifest
            Its signature and its preprocessing.
        threads : int
            How many threads one run may use.

        Raises
        ------
        BundleError
            If the graph cannot be loaded or does not have the signature's inputs and outputs.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin between the steps of a run make it much faster; without this they go on when it has ended,
        # and a server of several threads keeps its cores busy for long after each request.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The arena keeps the largest batch's memory for ever; without it a small server stays small.
        options.enable_cpu_mem_arena = False
        try:
            session = ort.InferenceSession(str(folder / MODEL_FILE), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base class
            raise BundleError(
                f"{MODEL_FILE} cannot be loaded: {_first_line(error)}",
                hint="Export the model again with this version of onnxruntime or an older one.",
            ) from error
        inputs = runtime_inputs(manifest)
        for kind, graph, spec in (
            ("inputs", [node.name for node in session.get_inputs()], inputs),
            ("outputs", [node.name for node in session.get_outputs()], manifest.signature.outputs),
        ):
            expected = [tensor.name for tensor in spec]
            if not set(expected) <= set(graph) or (kind == "inputs" and set(expected) != set(graph)):
                raise BundleError(
                    f"{MODEL_FILE} has the {kind} {graph}, but the manifest says {expected}.",
                    hint="Package the model again.",
                )
        self._session = session
        self._inputs = inputs
        self._outputs = [tensor.name for tensor in manifest.signature.outputs]

    def warm_up(self) -> None:
        """Run one row of zeros (empty strings for BYTES)."""
        self.run({spec.name: minimal(spec) for spec in self._inputs})

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute the signature's outputs.

        Raises
        ------
        InvalidInput
            If the graph refuses the values, for example an index beyond its table.
        """
        try:
            outputs = self._session.run(self._outputs, inputs)
        except (Fail, InvalidArgument, RuntimeException) as error:
            raise InvalidInput(
                f"The model refuses this input: {_first_line(error)}",
                hint="The shapes fit the signature, so look at the values and at sizes that must agree.",
            ) from error
        return dict(zip(self._outputs, outputs, strict=True))

    def unload(self) -> None:
        """Free the session."""
        del self._session


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
