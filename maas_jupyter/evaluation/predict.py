"""Run a bundle in this process, with the runtime that will serve it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Batch
from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Task
from maas_jupyter.serving.servable import Servable
from maas_jupyter.signature import conform

#: The output that carries a task's numbers.
MAIN_OUTPUT: dict[Task, str] = {"classification": "scores", "regression": "prediction"}

#: Gives an array for a batch: ``(rows, classes)`` scores for classification, predictions for regression.
Predictor = Callable[[Batch], np.ndarray]


@contextmanager
def loaded(bundle: Bundle) -> Iterator[Predictor]:
    """Load a bundle and give a function that runs it on a batch.

    Raises
    ------
    InvalidInput
        If the bundle's task has no output that could be compared with targets.
    """
    output = MAIN_OUTPUT.get(bundle.manifest.task)
    if output is None:
        raise InvalidInput(
            f"A model of the task '{bundle.manifest.task}' cannot be evaluated.",
            hint="Evaluate a classifier or a regression.",
        )
    servable = Servable.load(bundle)
    try:
        yield lambda batch: np.asarray(servable.run(bundle_inputs(bundle, batch))[output])
    finally:
        servable.unload()


def bundle_inputs(bundle: Bundle, batch: Batch) -> dict[str, np.ndarray]:
    """Give a batch's arrays the names of the bundle's signature, in its order.

    Raises
    ------
    InvalidInput
        If a dtype, a shape or the number of inputs does not fit.
    """
    signature = bundle.manifest.signature
    names = [spec.name for spec in signature.inputs]
    names += [f"input {index + 1}" for index in range(len(names), len(batch.inputs))]
    return conform({name: tensor.cpu().numpy() for name, tensor in zip(names, batch.inputs, strict=False)}, signature)
