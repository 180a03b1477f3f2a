"""Package a torch model: export, validate, add the head, seal the bundle, and run what was sealed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from maas_jupyter._version import __version__
from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.data import Batch
from maas_jupyter.errors import Conflict, ExportError, InvalidInput, MaasError
from maas_jupyter.modules import run_module
from maas_jupyter.packaging import export, head
from maas_jupyter.packaging.formats import checked_graph
from maas_jupyter.packaging.validate import Agreement, require_close, require_independent
from maas_jupyter.schema import DATATYPES, MANIFEST_NAME, ImageInput, Manifest, Signature, Task, TensorSpec, TextInput
from maas_jupyter.serving.servable import Servable

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True)
class Packaged:
    """A fresh bundle and how near its numbers are to the torch model's."""

    bundle: Bundle
    agreement: Agreement


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Real rows in two forms: as clients send them, and as the module takes them.

    Attributes
    ----------
    sent : dict of str to ndarray
        What the signature's inputs are, by name.
    signature : list of TensorSpec
        Of what is sent.
    tensors : tuple of Tensor
        The module's arguments for the same rows.
    names : list of str
        Names of the exported graph's inputs, one for each tensor.
    axes : tuple of dict
        The free axes of each tensor: their ``torch.export.Dim`` by index.
    preprocessing : dict
        What the server makes of inputs before the graph.
    files : dict of str to str
        Text files that the bundle needs beside the graph, by name.
    front : callable
        Puts in front of the exported graph what makes its inputs of the signature's.
    """

    sent: dict[str, np.ndarray]
    signature: list[TensorSpec]
    tensors: tuple[Tensor, ...]
    names: list[str]
    axes: tuple[export.Axes, ...]
    preprocessing: Mapping[str, TextInput | ImageInput] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    front: Callable[[ModelProto], None] | None = None


def package(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    folder: Path | str,
    *,
    task: Task,
    labels: list[str | int] | None = None,
) -> Packaged:
    """Make a bundle, in a folder of its own, that takes the tensors that the module takes.

    Parameters
    ----------
    model : torch.nn.Module
        Gives one tensor: ``(rows, classes)`` for classification.
    inputs : tuple of Tensor
        Real rows for the export and its validation.
    folder : Path or str
        Empty, or made where it is missing; holds the bundle afterwards, and nothing if there is none.
    task : {'classification', 'regression', 'tensor'}
        Decides the outputs: ``label`` and ``scores``, ``prediction``, or ``output`` as the module gives it.
    labels : list of str or int, optional
        A name for each class; ``0 .. classes - 1`` where not given.

    Returns
    -------
    Packaged

    Raises
    ------
    ExportError
        If the model cannot be exported, or its export computes something else.
    InvalidInput
        If the number of labels is not the number of classes, or a classifier does not give (rows, classes).
    Conflict
        If the folder is not empty.
    """
    target = empty_folder(folder)
    names = export.input_names(model, len(inputs))
    sent = {name: tensor.cpu().numpy() for name, tensor in zip(names, inputs, strict=True)}
    rows = Rows(
        sent=sent,
        signature=[
            TensorSpec(name, DATATYPES[array.dtype.name], [-1, *array.shape[1:]]) for name, array in sent.items()
        ],
        tensors=inputs,
        names=names,
        axes=export.only_rows(len(inputs)),
    )
    return package_rows(model, rows, target, task=task, labels=labels)


def empty_folder(folder: Path | str) -> Path:
    """Return a folder's path after checking that nothing is in the way of a bundle there.

    Raises
    ------
    Conflict
        If it is a file, or holds something.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise Conflict(f"{path} is a file; a bundle is a folder.", hint="Choose another path.")
    if path.is_dir() and any(path.iterdir()):
        raise Conflict(
            f"The folder {path} is not empty: it holds {sorted(each.name for each in path.iterdir())[0]}.",
            hint="Choose another one, or empty it: a bundle is alone in its folder.",
        )
    return path


def package_rows(model: nn.Module, rows: Rows, folder: Path, *, task: Task, labels: list[str | int] | None) -> Packaged:
    """Make a bundle, in a folder that `empty_folder` has checked, of a module and of rows in both forms."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MODEL_FILE
    try:
        return _packaged(model, rows, path, task, labels)
    except BaseException:
        for name in (MODEL_FILE, export.weights_name(path), MANIFEST_NAME, *rows.files):
            (folder / name).unlink(missing_ok=True)
        for each in made:
            each.rmdir()
        raise


def _packaged(model: nn.Module, rows: Rows, path: Path, task: Task, labels: list[str | int] | None) -> Packaged:
    reference = run_module(model, Batch(rows.tensors, None)).cpu()
    graph, agreement = checked_graph(model, rows.tensors, rows.names, rows.axes, path, task=task)
    if rows.front is not None:
        rows.front(graph)
    if task == "classification":
        expected, labels, outputs = _classify(graph, reference.float(), labels)
    elif task == "regression":
        expected = reference.float()
        outputs = [head.add_regression_head(graph)]
    else:
        expected = reference
        outputs = [head.name_output(graph, DATATYPES[reference.numpy().dtype.name])]
    manifest = Manifest(
        task=task,
        runtime="onnx",
        precision="fp32",
        signature=Signature(inputs=rows.signature, outputs=outputs),
        labels=labels,
        preprocessing=dict(rows.preprocessing),
        created_by=f"maas-jupyter {__version__}",
    )
    written = export.save(graph, path)
    for name, content in rows.files.items():
        (path.parent / name).write_text(content, encoding="utf-8")
    bundle = Bundle.seal(path.parent, manifest, [*written, *rows.files])
    _require_that_it_serves(bundle, rows.sent, expected.numpy())
    return Packaged(bundle, agreement)


def _classify(
    graph: ModelProto, reference: Tensor, labels: list[str | int] | None
) -> tuple[Tensor, list[str | int], list[TensorSpec]]:
    """Add the head of a classifier; returns the scores that it must give, the labels and the outputs."""
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
    normalization = head.normalization_for(reference)
    outputs = head.add_classification_head(graph, labels, normalization)
    return reference.softmax(1) if normalization == "softmax" else reference, labels, outputs


def _require_that_it_serves(bundle: Bundle, sent: dict[str, np.ndarray], expected: np.ndarray) -> None:
    """Load what was sealed as the server will, and run it on the rows as clients will send them.

    All rows at once, and the first and the last one alone: an answer may not hang on a row's neighbours. Where it is as
    long as the row itself, rows that are padded together cannot be compared with single ones.
    """
    output = bundle.manifest.signature.outputs[-1]
    parts = [slice(None)]
    if -1 not in output.shape[1:]:
        parts += [slice(1), slice(len(expected) - 1, None)]
    try:
        servable = Servable.load(bundle)
        try:
            answers = [servable.run({name: array[part] for name, array in sent.items()})[output.name] for part in parts]
        finally:
            servable.unload()
        require_close(answers[0], expected)
        padded = any(isinstance(each, TextInput) for each in bundle.manifest.preprocessing.values())
        for part, answer in zip(parts[1:], answers[1:], strict=True):
            require_independent(answer, expected[part], row=range(len(expected))[part][0], padded=padded)
    except ExportError:
        raise
    except MaasError as error:
        raise ExportError(
            f"The packaged model does not run: {error.message}",
            hint="Rename parameters and arguments of the module that are called label, scores, prediction or output.",
        ) from error
