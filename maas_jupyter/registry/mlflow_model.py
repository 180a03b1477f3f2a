"""Makes a bundle's folder an ordinary MLflow model too, which ``mlflow.pyfunc.load_model`` reads without us."""

from __future__ import annotations

from pathlib import Path

from maas_jupyter.bundle import MODEL_FILE
from maas_jupyter.schema import NUMPY_DTYPES, Manifest, Signature, TensorSpec


def write_mlmodel(folder: Path, manifest: Manifest) -> None:
    """Write ``MLmodel`` and its requirements beside the bundle's files, with MLflow's own ``onnx`` flavor."""
    import mlflow.pyfunc
    import onnx
    import onnxruntime
    from mlflow.models import Model

    model = Model(signature=_mlflow_signature(manifest.signature))
    mlflow.pyfunc.add_to_model(model, loader_module="mlflow.onnx", data=MODEL_FILE)
    model.add_flavor(
        "onnx", onnx_version=onnx.__version__, data=MODEL_FILE, providers=["CPUExecutionProvider"], code=None
    )
    model.model_size_bytes = manifest.size
    model.save(str(folder / "MLmodel"))
    (folder / "requirements.txt").write_text(
        f"mlflow=={mlflow.__version__}\nonnx=={onnx.__version__}\nonnxruntime=={onnxruntime.__version__}\n",
        encoding="utf-8",
    )


def _mlflow_signature(signature: Signature):  # type: ignore[no-untyped-def]  # an mlflow type, not imported here
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    return ModelSignature(
        inputs=Schema([_tensor(spec, single=len(signature.inputs) == 1) for spec in signature.inputs]),
        outputs=Schema([_tensor(spec, single=False) for spec in signature.outputs]),
    )


def _tensor(spec: TensorSpec, *, single: bool):  # type: ignore[no-untyped-def]  # an mlflow type, not imported here
    import numpy as np
    from mlflow.types import TensorSpec as MlflowTensorSpec

    # An unnamed tensor lets a bare array be passed for a model with one input.
    # MLflow compares dtypes to the letter, and texts are arrays of objects here and in onnxruntime.
    dtype = np.dtype(NUMPY_DTYPES[spec.datatype])
    return MlflowTensorSpec(dtype, tuple(spec.shape), None if single else spec.name)
