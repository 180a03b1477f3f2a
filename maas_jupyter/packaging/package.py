"""Package a torch model: export, validate, add the head, seal the bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from maas_jupyter import plugins
from maas_jupyter._version import __version__
from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.data import Batch
from maas_jupyter.errors import ExportError, InvalidInput, MaasError
from maas_jupyter.modules import run_module
from maas_jupyter.packaging import export, head
from maas_jupyter.packaging.validate import Agreement, require_agreement
from maas_jupyter.schema import DATATYPES, Manifest, Signature, TensorSpec


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

    Raises
    ------
    ExportError
        If the model cannot be exported, or its export computes something else.
    InvalidInput
        If the number of labels is not the number of classes, or a classifier does not give (rows, classes).
    """
    graph = export.export_onnx(model, inputs)
    names = export.input_names(model, len(inputs))
    arrays = {name: tensor.cpu().numpy() for name, tensor in zip(names, inputs, strict=True)}
    reference = run_module(model, Batch(inputs, None)).cpu()
    if reference.dtype == torch.bfloat16:
        raise ExportError("A model in bfloat16 cannot be served.", hint="Register model.float() instead.")
    agreement = require_agreement(graph, arrays, reference.numpy())
    reference = reference.float()
    if task == "classification":
        if reference.ndim != 2:
            raise InvalidInput(
                f"The model gives {list(reference.shape)}; a classifier that is served gives [rows, classes].",
                hint="Flatten or pool the other axes in forward.",
            )
        classes = reference.shape[1]
        labels = labels if labels is not None else list(range(classes))
        if len(labels) != classes:
            raise InvalidInput(
                f"There are {len(labels)} labels for {classes} classes.",
                hint="Give one label for each output of the model.",
            )
        head.add_classification_head(graph, labels, head.normalization_for(reference))
        outputs = [
            TensorSpec("label", "BYTES" if isinstance(labels[0], str) else "INT64", [-1]),
            TensorSpec("scores", "FP32", [-1, classes]),
        ]
    else:
        head.add_regression_head(graph)
        outputs = [TensorSpec("prediction", "FP32", [-1, *reference.shape[1:]])]
    export.save(graph, folder / MODEL_FILE)
    manifest = Manifest(
        task=task,
        runtime="onnx",
        precision="fp32",
        signature=Signature(inputs=[_spec(name, array) for name, array in arrays.items()], outputs=outputs),
        labels=labels,
        created_by=f"maas-jupyter {__version__}",
    )
    bundle = Bundle.seal(folder, manifest, [MODEL_FILE])
    _require_that_it_serves(bundle, arrays)
    return Packaged(bundle, agreement)


def _require_that_it_serves(bundle: Bundle, arrays: dict[str, np.ndarray]) -> None:
    """Load what was sealed with the runtime that will serve it, and run it on the rows that it was exported with."""
    runtime = plugins.load("runtime", bundle.manifest.runtime)()
    try:
        runtime.load(bundle.folder, bundle.manifest)
        runtime.run(arrays)
    except MaasError as error:
        raise ExportError(
            f"The packaged model does not run: {error.message}",
            hint="Rename parameters and arguments of the module that are called label, scores or prediction.",
        ) from error
    runtime.unload()


def _spec(name: str, array: np.ndarray) -> TensorSpec:
    return TensorSpec(name, DATATYPES[array.dtype.name], [-1, *array.shape[1:]])
