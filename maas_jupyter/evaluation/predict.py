"""Turns a model and data into predictions: with the runtime that will serve it, or as a torch module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Batch, Data, Source
from maas_jupyter.errors import InvalidInput
from maas_jupyter.evaluation.predictions import EvaluatedTask, Predictions
from maas_jupyter.evaluation.raw import Run, answers, as_tensors, class_indices, named_inputs, numbers
from maas_jupyter.modules import check_labels, check_shapes, run_module
from maas_jupyter.packaging.head import normalization_for
from maas_jupyter.schema import Manifest, Signature, Task
from maas_jupyter.serving.servable import Servable
from maas_jupyter.signature import conform

#: The output that carries a task's numbers.
MAIN_OUTPUT: dict[Task, str] = {"classification": "scores", "regression": "prediction"}

#: Gives an array for a batch: ``(rows, classes)`` scores for classification, predictions for regression.
Predictor = Callable[[Batch], np.ndarray]

_BATCH = 256
_FORMS = {"table": "columns of a table", "text": "texts", "images": "images"}


def predict_module(model: nn.Module, data: Data, *, subject: str, labels: list[str] | None = None) -> Predictions:
    """Run a module on all rows, on the device that it is on; classification where the targets are integers.

    Parameters
    ----------
    subject : str
        How error messages call it.
    labels : list of str, optional
        A name for each class.

    Raises
    ------
    InvalidInput
        If the data does not fit the model, has no targets, or holds labels that are not classes of the model.
    """
    task: EvaluatedTask = "classification"
    if data.head(1).required_targets().is_floating_point():
        task = "regression"
    truth, output = _walk(lambda batch: run_module(model, batch).float().cpu().numpy(), data.batches(_BATCH), task)
    if task == "regression":
        return Predictions.of_numbers(truth, output, subject=subject)
    return Predictions.of_classes(truth, _probabilities(torch.from_numpy(output)).numpy(), labels, subject=subject)


def predict_bundle(bundle: Bundle, rows: Data | Source, *, subject: str) -> Predictions:
    """Run a bundle on all rows with the runtime that will serve it.

    Parameters
    ----------
    rows : Data or Source
        Tensors that the bundle takes as they are, or raw rows: columns, texts, images.

    Raises
    ------
    InvalidInput
        As `predict_module`.
    """
    with _serving(bundle) as run:
        return predict_served(run, bundle.manifest, rows, subject=subject)


def predict_served(run: Run, manifest: Manifest, rows: Data | Source, *, subject: str) -> Predictions:
    """Ask whatever serves a bundle about all rows; as `predict_bundle`.

    Parameters
    ----------
    run : callable
        Gives the scores or predicted numbers for the inputs of the signature.
    manifest : Manifest
        Of the bundle that is served.
    """
    task: EvaluatedTask = "regression" if manifest.task == "regression" else "classification"
    data = rows if isinstance(rows, Data) else as_tensors(rows)
    if data is not None:
        truth, output = _walk(lambda batch: run(_taken(manifest.signature, batch, subject)), data.batches(_BATCH), task)
    else:
        assert isinstance(rows, Source)
        output = answers(run, rows, manifest.signature)
        truth = _truth(rows, output, task, manifest.labels)
    if task == "regression":
        return Predictions.of_numbers(truth, output, subject=subject)
    return Predictions.of_classes(truth, output, label_texts(manifest.labels), subject=subject)


def served_inputs(manifest: Manifest, rows: Data | Source, count: int) -> dict[str, np.ndarray]:
    """Return the first rows as clients send them: the inputs of a bundle's signature.

    Raises
    ------
    InvalidInput
        If they do not fit the signature.
    """
    data = rows if isinstance(rows, Data) else as_tensors(rows)
    if data is not None:
        return _inputs(manifest.signature, data.head(count))
    assert isinstance(rows, Source)
    return conform(named_inputs(rows.select(range(min(count, rows.rows or 0))), manifest.signature), manifest.signature)


def main_output(manifest: Manifest) -> str:
    """Return the name of the output that could be compared with targets.

    Raises
    ------
    InvalidInput
        If the task has none.
    """
    output = MAIN_OUTPUT.get(manifest.task)
    if output is None:
        raise InvalidInput(
            f"A model of the task '{manifest.task}' cannot be evaluated.",
            hint="Evaluate a classifier or a regression.",
        )
    return output


def required_tensors(source: Source) -> Data:
    """Return the rows as tensors, for a module that nothing else is known of.

    Raises
    ------
    InvalidInput
        If they are no tensors, or their targets are texts.
    """
    data = as_tensors(source)
    if data is None:
        what = "labels are texts" if source.form == "tensors" else f"rows are {_FORMS[source.form]}"
        raise InvalidInput(
            f"A module takes tensors, but the {what} in '{source.name}'.",
            hint="Evaluate the run that trained it, or the registered model: they know how to prepare such rows. "
            "A variable comes before a model of its name, which is also NAME/1.",
        )
    return data


def _truth(rows: Source, output: np.ndarray, task: EvaluatedTask, labels: list[str | int] | None) -> np.ndarray:
    return class_indices(rows, labels, output.shape[1]) if task == "classification" else numbers(rows, output.shape)


def label_texts(labels: list[str | int] | None) -> list[str] | None:
    """Return labels as texts; None where they only number the classes."""
    if not labels or labels == list(range(len(labels))):
        return None
    return [str(label) for label in labels]


@contextmanager
def loaded(bundle: Bundle) -> Iterator[Predictor]:
    """Load a bundle and give a function that runs it on a batch of tensors.

    Raises
    ------
    InvalidInput
        If the bundle's task has no output that could be compared with targets.
    """
    with _serving(bundle) as run:
        yield lambda batch: run(bundle_inputs(bundle, batch))


@contextmanager
def _serving(bundle: Bundle) -> Iterator[Run]:
    """Load a bundle and give a function that runs it on the inputs of its signature.

    Raises
    ------
    InvalidInput
        If the bundle's task has no output that could be compared with targets.
    """
    output = main_output(bundle.manifest)
    servable = Servable.load(bundle)
    try:
        yield lambda inputs: np.asarray(servable.run(inputs)[output])
    finally:
        servable.unload()


def bundle_inputs(bundle: Bundle, batch: Batch) -> dict[str, np.ndarray]:
    """Give a batch's arrays the names of the bundle's signature, in its order.

    Raises
    ------
    InvalidInput
        If a dtype, a shape or the number of inputs does not fit.
    """
    return _inputs(bundle.manifest.signature, batch)


def _taken(signature: Signature, batch: Batch, subject: str) -> dict[str, np.ndarray]:
    """Return a batch's arrays by name; an error is about one row, for batches are nothing that the user made."""
    try:
        return _inputs(signature, batch)
    except InvalidInput:
        try:
            _inputs(signature, Batch(tuple(tensor[:1] for tensor in batch.inputs), None))
        except InvalidInput as error:
            message = f"{subject} does not take these rows, here the first one: {error.message}"
            raise InvalidInput(message, hint=error.hint) from error
        raise


def _inputs(signature: Signature, batch: Batch) -> dict[str, np.ndarray]:
    names = [spec.name for spec in signature.inputs]
    names += [f"input {index + 1}" for index in range(len(names), len(batch.inputs))]
    return conform({name: tensor.cpu().numpy() for name, tensor in zip(names, batch.inputs, strict=False)}, signature)


def _walk(predict: Predictor, batches: Iterable[Batch], task: EvaluatedTask) -> tuple[np.ndarray, np.ndarray]:
    truth: list[np.ndarray] = []
    outputs: list[np.ndarray] = []
    for batch in batches:
        targets = batch.required_targets()
        output = predict(batch)
        classes = task == "classification"
        if not classes and targets.ndim == 1 and output.shape == (len(targets), 1):
            targets = targets[:, None]
        check_shapes(torch.from_numpy(output), targets if classes else targets.float(), name="data")
        if classes:
            check_labels(targets, output.shape[1], name="data")
        truth.append(targets.cpu().numpy())
        outputs.append(output)
    if not truth:
        raise InvalidInput("The data has no rows.", hint="Check how it was split or filtered.")
    return np.concatenate(truth), np.concatenate(outputs)


def _probabilities(output: Tensor) -> Tensor:
    """Make probabilities of class outputs, as the head of the exported model will."""
    rows = output.movedim(1, -1).reshape(-1, output.shape[1])
    return output.softmax(1) if normalization_for(rows) == "softmax" else output
