"""What is explained: a torch module with its gradients, or a bundle as it will be served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Batch, Preprocessing
from maas_jupyter.errors import InvalidInput
from maas_jupyter.modules import device_of, evaluating, run_module
from maas_jupyter.packaging.head import normalization_for
from maas_jupyter.schema import Task
from maas_jupyter.serving.servable import Servable

#: Rows as they are sent: one array for each input, by its name.
Raw = dict[str, np.ndarray]


class Subject(Protocol):
    """A model that answers raw rows with numbers.

    Attributes
    ----------
    name : str
    task : Task
    labels : list of str
        A name for each output.
    """

    name: str
    task: Task
    labels: list[str]

    def outputs(self, raw: Raw) -> np.ndarray:
        """Return float64 ``(rows, outputs)``: a probability for each class, or numbers."""


class ModuleSubject:
    """A torch module, with what makes tensors of raw rows.

    Parameters
    ----------
    module : torch.nn.Module
        Gives ``(rows, outputs)``, or ``(rows,)``.
    name : str
    tensors : callable
        Makes the module's inputs of raw rows.
    rows : Raw
        The rows that are explained; they show what the module gives.
    preprocessing : Preprocessing, optional
        What the module was trained with, if it takes more than tensors.
    task : Task, optional
        By default classification where it gives more than one number a row.
    labels : list, optional
        By default ``0 .. outputs - 1``.

    Raises
    ------
    InvalidInput
        If the module refuses the rows, or gives something else.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        tensors: Callable[[Raw], tuple[Tensor, ...]],
        rows: Raw,
        *,
        preprocessing: Preprocessing | None = None,
        task: Task | None = None,
        labels: list[str | int] | None = None,
    ) -> None:
        self.module = module
        self.name = name
        self.tensors = tensors
        self.preprocessing = preprocessing
        inputs = tensors(rows)
        output = run_module(module, Batch(inputs, None)).float().cpu()
        if output.ndim > 2:
            raise InvalidInput(
                f"A row of the model's output has the shape {list(output.shape[1:])}; only single numbers and classes "
                "can be explained.",
                hint="Pool the other axes in forward, or explain a module that does.",
            )
        width = 1 if output.ndim == 1 else output.shape[1]
        self.task = task or ("classification" if width > 1 else "regression")
        self.labels = [str(label) for label in labels or range(width)]
        softmax = self.task == "classification" and normalization_for(output) == "softmax"
        self.scored = Scored(module, inputs=len(inputs), softmax=softmax)

    def outputs(self, raw: Raw) -> np.ndarray:
        """Return probabilities or numbers, computed in evaluation mode."""
        with torch.no_grad(), evaluating(self.module):
            device = device_of(self.module)
            found: Tensor = self.scored(*(tensor.to(device) for tensor in self.tensors(raw)))
            return found.cpu().double().numpy()


class Scored(nn.Module):
    """A module whose answer is always ``(rows, outputs)``: probabilities or numbers.

    Each input passes through a module of its own (`entries`), so that a path of gradients can start there.
    """

    def __init__(self, module: nn.Module, *, inputs: int, softmax: bool) -> None:
        super().__init__()
        self.module = module
        self.softmax = softmax
        self.entries = nn.ModuleList(nn.Identity() for _ in range(inputs))

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return float32 ``(rows, outputs)``."""
        output: Tensor = self.module(*(entry(tensor) for entry, tensor in zip(self.entries, tensors, strict=True)))
        output = output.float()
        output = output.unsqueeze(1) if output.ndim == 1 else output
        return output.softmax(1) if self.softmax else output


class BundleSubject:
    """A bundle, run as it will be served; it has no gradients.

    Parameters
    ----------
    bundle : Bundle
    name : str
        Its reference.

    Attributes
    ----------
    servable : Servable

    Raises
    ------
    InvalidInput
        If the bundle gives neither classes nor numbers.
    """

    def __init__(self, bundle: Bundle, name: str) -> None:
        manifest = bundle.manifest
        output = manifest.signature.outputs[-1]
        if manifest.task == "tensor" or len(output.shape) > 2:
            raise InvalidInput(
                f"{name} answers with {output}, which is neither a class nor a number.",
                hint="Explain a classifier or a regression.",
            )
        self.name = name
        self.task: Task = manifest.task
        self.bundle = bundle
        self._output = output.name
        width = output.shape[1] if len(output.shape) == 2 else 1
        self.labels = [str(label) for label in manifest.labels or range(width)]
        self.servable = Servable.load(bundle)

    def outputs(self, raw: Raw) -> np.ndarray:
        """Return what the endpoint would answer."""
        found = self.servable.run(raw)[self._output].astype(np.float64)
        return found.reshape(len(found), -1)

    def __enter__(self) -> BundleSubject:
        return self

    def __exit__(self, *_: object) -> None:
        self.servable.unload()
