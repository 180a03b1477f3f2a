"""Package a torch model: export, validate, add the head, seal the bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor, nn

from maas_jupyter._version import __version__
from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Batch
from maas_jupyter.errors import UsageError
from maas_jupyter.modules import run_module
from maas_jupyter.packaging import export, head
from maas_jupyter.packaging.validate import Agreement, require_agreement
from maas_jupyter.schema import DATATYPES, Manifest, Signature, TensorSpec

MODEL_FILE = "model.onnx"


@dataclass(frozen=True)
class Packaged:
    """A fresh bundle and how near its numbers are to the torch model's."""

    bundle: Bundle
    agreement: Agreement


def package(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    folder: Path,
    *,
    task: Literal["classification", "regression"],
    labels: list[str | int] | None,
    measurements: dict[str, float],
) -> Packaged:
    """Make a bundle in an empty folder.

    Parameters
    ----------
    model : torch.nn.Module
        Gives one tensor: ``(rows, classes)`` for classification.
    inputs : tuple of Tensor
        Real rows for the export and its validation.
    folder : Path
        Existing and empty; holds the bundle afterwards.
    task : {'classification', 'regression'}
        Decides the outputs: ``label`` and ``scores``, or ``prediction``.
    labels : list of str or int, optional
        A name for each class; ``0 .. classes - 1`` where not given.
    measurements : dict of str to float
        Kept in the manifest.

    Raises
    ------
    ExportError
        If the model cannot be exported, or its export computes something else.
    UsageError
        If the number of labels is not the number of classes.
    """
    graph = export.export_onnx(model, inputs)
    names = export.input_names(model, len(inputs))
    arrays = {name: tensor.cpu().numpy() for name, tensor in zip(names, inputs, strict=True)}
    reference = run_module(model, Batch(inputs, None)).float().cpu()
    agreement = require_agreement(graph, arrays, reference.numpy())
    if task == "classification":
        classes = reference.shape[1]
        labels = labels if labels is not None else list(range(classes))
        if len(labels) != classes:
            raise UsageError(
                f"There are {len(labels)} labels for {classes} classes.",
                hint="Give one label for each output of the model.",
            )
        head.add_classification_head(graph, labels, head.normalization_for(reference))
        outputs = [
            TensorSpec("label", "BYTES" if isinstance(labels[0], str) else "INT64", [-1]),
            TensorSpec("scores", "FP32", [-1, classes]),
        ]
    else:
        head.rename_output(graph, "prediction")
        outputs = [TensorSpec("prediction", "FP32", [-1, *reference.shape[1:]])]
    export.save(graph, folder / MODEL_FILE)
    manifest = Manifest(
        task=task,
        runtime="onnx",
        precision="fp32",
        signature=Signature(inputs=[_spec(name, array) for name, array in arrays.items()], outputs=outputs),
        labels=labels,
        measurements=measurements,
        created_by=f"maas-jupyter {__version__}",
    )
    return Packaged(Bundle.seal(folder, manifest, [MODEL_FILE]), agreement)


def _spec(name: str, array: np.ndarray) -> TensorSpec:
    return TensorSpec(name, DATATYPES[array.dtype.name], [-1, *array.shape[1:]])
