"""Makes a bundle's folder an ordinary MLflow model too, which ``mlflow.pyfunc.load_model`` reads.

What takes tensors is read by MLflow's own ``onnx`` flavor, and what takes the columns of a table by a module that is
copied beside it (`mlflow_table`): both without this package. Texts and images are made tensors before the graph, so
their bundles are run as they are served, by this package (`_load_pyfunc`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from maas_jupyter._version import __version__
from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.registry import mlflow_table
from maas_jupyter.schema import NUMPY_DTYPES, Manifest, Signature, TensorSpec
from maas_jupyter.signature import conform

#: What MLflow calls the folder of a model's own modules, and the module in it.
_CODE, _TABLE_MODULE = "code", "maas_table_model"


def write_mlmodel(folder: Path, manifest: Manifest) -> None:
    """Write ``MLmodel`` and its requirements beside the bundle's files."""
    import mlflow.pyfunc
    import onnx
    import onnxruntime
    from mlflow.models import Model

    model = Model(signature=_mlflow_signature(manifest.signature))
    raw = bool(manifest.preprocessing)
    if raw:
        mlflow.pyfunc.add_to_model(model, loader_module=__name__)
    elif _is_table(manifest.signature):
        (folder / _CODE).mkdir()
        shutil.copyfile(mlflow_table.__file__, folder / _CODE / f"{_TABLE_MODULE}.py")
        mlflow.pyfunc.add_to_model(model, loader_module=_TABLE_MODULE, data=MODEL_FILE, code=_CODE)
    else:
        mlflow.pyfunc.add_to_model(model, loader_module="mlflow.onnx", data=MODEL_FILE)
    model.add_flavor(
        "onnx", onnx_version=onnx.__version__, data=MODEL_FILE, providers=["CPUExecutionProvider"], code=None
    )
    model.model_size_bytes = manifest.size
    model.save(str(folder / "MLmodel"))
    needed = [f"mlflow=={mlflow.__version__}", f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"]
    if raw:
        needed.append(f"maas-jupyter[text]=={__version__}")
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in needed), encoding="utf-8")


class _Served:
    """A bundle as ``mlflow.pyfunc`` runs it."""

    def __init__(self, bundle: Bundle) -> None:
        from maas_jupyter.serving.servable import Servable

        self._signature = bundle.manifest.signature
        self._servable = Servable.load(bundle)

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Return the outputs by name; raises InvalidInput where the data does not fit."""
        return self._servable.run(conform(data, self._signature))


def _load_pyfunc(path: str) -> _Served:
    """Load a model for ``mlflow.pyfunc``, which asks for a function of this name."""
    return _Served(Bundle.open(Path(path)))


def _is_table(signature: Signature) -> bool:
    return len(signature.inputs) > 1 and all(spec.shape == [-1] for spec in signature.inputs)


def _mlflow_signature(signature: Signature):  # type: ignore[no-untyped-def]  # an mlflow type, not imported here
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    if _is_table(signature):
        # Any type: MLflow would refuse int64 where FP32 is declared, and truth values where texts are.
        inputs = [ColSpec(AnyType(), spec.name) for spec in signature.inputs]
    else:
        inputs = [_tensor(spec, single=len(signature.inputs) == 1) for spec in signature.inputs]
    return ModelSignature(
        inputs=Schema(inputs), outputs=Schema([_tensor(spec, single=False) for spec in signature.outputs])
    )


def _tensor(spec: TensorSpec, *, single: bool):  # type: ignore[no-untyped-def]  # an mlflow type, not imported here
    from mlflow.types import TensorSpec as MlflowTensorSpec

    # An unnamed tensor lets a bare array be passed for a model with one input.
    # MLflow compares dtypes to the letter, and texts are arrays of objects here and in onnxruntime.
    dtype = np.dtype(NUMPY_DTYPES[spec.datatype])
    return MlflowTensorSpec(dtype, tuple(spec.shape), None if single else spec.name)
