"""Integrated gradients: from a baseline's tensors to a row's, through embeddings where the tensors are indices."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor, nn

from maas_jupyter.errors import InvalidInput
from maas_jupyter.explanation.subject import ModuleSubject, Scored
from maas_jupyter.modules import device_of, evaluating

#: Steps that are computed at once.
_BATCH = 64
#: A completeness error above this share of the difference is worth a warning.
_FAIR_ERROR = 0.05
_OTHERS = "--method kernel_shap and --method lime need no gradients."


@dataclass(frozen=True)
class Path:
    """What the gradients along the path from the baseline give.

    Attributes
    ----------
    attributions : list of ndarray
        One for each of the module's inputs, of its shape without the rows; indices have one number each.
    start, end : float
        The explained output at the baseline and at the row.
    warnings : list of str
    """

    attributions: list[np.ndarray]
    start: float
    end: float
    warnings: list[str]

    @property
    def error(self) -> float:
        """The completeness error: what the sum of the attributions misses of ``end - start``."""
        return abs(sum(float(each.sum()) for each in self.attributions) - (self.end - self.start))


def integrate(
    subject: ModuleSubject, row: tuple[Tensor, ...], baseline: tuple[Tensor, ...], target: int, steps: int
) -> Path:
    """Integrate the gradients of one output (Sundararajan, Taly, Yan: Axiomatic Attribution, ICML 2017).

    Parameters
    ----------
    subject : ModuleSubject
    row, baseline : tuple of Tensor
        The module's inputs for one row, rows first.
    target : int
        Which output.
    steps : int
        Points of the Gauss-Legendre quadrature.

    Raises
    ------
    InvalidInput
        If no gradient reaches the inputs.
    """
    scored = subject.scored
    device = device_of(subject.module)
    row, baseline = (tuple(tensor.to(device) for tensor in tensors) for tensors in (row, baseline))
    with evaluating(subject.module), torch.backends.cudnn.flags(enabled=False):  # its recurrent layers have no backward
        at_row, at_baseline = _seen(scored, row), _seen(scored, baseline)
        layers = [layer for layer, seen in at_row.items() if _differ(seen.given, at_baseline[layer].given)]
        places = [_place(at_row[layer], at_baseline[layer], row, baseline) for layer in layers]
        _require_path(row, baseline, [place for place, _ in places])
        with torch.no_grad():
            end = float(scored(*row)[0, target])
            with _replaced({layer: at_baseline[layer].gave for layer in layers}):
                start = float(scored(*row)[0, target])
        attributions = [np.zeros(tuple(tensor.shape[1:])) for tensor in row]
        if layers:
            for (index, column), found in zip(
                places, _gradients(scored, layers, row, baseline, target, steps), strict=True
            ):
                _add(attributions[index], column, found[0].detach().cpu().double().numpy())
    path = Path(attributions, start, end, [])
    if path.error > _FAIR_ERROR * abs(end - start) and path.error > 1e-6:
        path.warnings.append(
            f"the attributions miss {path.error:.2g} of a difference of {end - start:.2g}; raise --samples "
            f"(now {steps:,})"
        )
    return path


@dataclass
class _Seen:
    """What a layer was given, and what it gave."""

    given: Tensor
    gave: Tensor
    calls: int = 1


def _seen(scored: Scored, tensors: tuple[Tensor, ...]) -> dict[nn.Module, _Seen]:
    """Run a module and return what its float inputs and its embeddings saw."""
    seen: dict[nn.Module, _Seen] = {}

    def look(layer: nn.Module, given: tuple[Tensor, ...], gave: Tensor) -> None:
        if layer in seen:
            seen[layer].calls += 1
        else:
            seen[layer] = _Seen(given[0], gave)

    entries = [entry for entry, tensor in zip(scored.entries, tensors, strict=True) if tensor.is_floating_point()]
    layers = [*entries, *(each for each in scored.module.modules() if isinstance(each, nn.Embedding))]
    handles = [layer.register_forward_hook(look) for layer in layers]
    try:
        with torch.no_grad():
            scored(*tensors)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _differ(one: Tensor, other: Tensor) -> bool:
    return one.shape != other.shape or not torch.equal(one, other)


def _place(
    at_row: _Seen, at_baseline: _Seen, row: tuple[Tensor, ...], baseline: tuple[Tensor, ...]
) -> tuple[int, int | None]:
    """Say which input a layer saw, and which column of it; None for all of it."""
    given, absent = at_row.given, at_baseline.given
    if at_row.calls == 1 and given.shape == absent.shape:
        real = given.is_floating_point()
        whole = [i for i, each in enumerate(row) if each.shape == given.shape and each.is_floating_point() == real]
        own = [index for index in whole if row[index].data_ptr() == given.data_ptr()]
        changed = [index for index in whole if _differ(row[index], baseline[index])]
        if own or changed:
            return (own or changed)[0], None
        columns = [
            (index, column)
            for index, tensor in enumerate(row)
            for column in range(tensor.shape[1] if tensor.ndim == 2 and given.numel() == 1 else 0)
            if tensor[0, column] == given.item() and baseline[index][0, column] == absent.item()
        ]
        own_columns = [place for place in columns if row[place[0]][:, place[1]].data_ptr() == given.data_ptr()]
        if own_columns or len(columns) == 1:
            return (own_columns or columns)[0]
    raise InvalidInput(
        "An embedding of the model sees its indices in a form that cannot be traced to the columns of the rows.",
        hint=f"Integrated gradients do not work here; {_OTHERS}",
    )


def _require_path(row: tuple[Tensor, ...], baseline: tuple[Tensor, ...], reached: list[int]) -> None:
    for index, (tensor, absent) in enumerate(zip(row, baseline, strict=True)):
        if index not in reached and _differ(tensor, absent):
            raise InvalidInput(
                f"Input {index + 1} of the model holds {str(tensor.dtype)[6:]} that reach no embedding, so there are "
                "no gradients.",
                hint=f"Numbers need X.astype('float32'); for indices, {_OTHERS}",
            )


@contextmanager
def _replaced(outputs: dict[nn.Module, Tensor]) -> Iterator[None]:
    """Let layers answer with given outputs."""
    handles = [layer.register_forward_hook(lambda *_, gave=gave: gave) for layer, gave in outputs.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _gradients(
    scored: Scored,
    layers: list[nn.Module],
    row: tuple[Tensor, ...],
    baseline: tuple[Tensor, ...],
    target: int,
    steps: int,
) -> list[Tensor]:
    try:
        with warnings.catch_warnings():
            # It warns of layers that depend on one another, which inputs and embeddings do not.
            warnings.filterwarnings("ignore", message="Multiple layers provided", category=UserWarning)
            found: list[Tensor] = LayerIntegratedGradients(scored, layers).attribute(
                row, baselines=baseline, target=target, n_steps=steps, internal_batch_size=_BATCH
            )
    except RuntimeError as error:
        raise InvalidInput(
            f"No gradient of the model's output reaches its inputs: {str(error).splitlines()[0]}",
            hint=f"Integrated gradients do not work here; {_OTHERS}",
        ) from error
    return found


def _add(attributions: np.ndarray, column: int | None, found: np.ndarray) -> None:
    """Add a layer's attributions, summed over the places of an embedding, to those of the input that it saw."""
    if column is None:
        attributions += found.reshape(*attributions.shape, -1).sum(axis=-1)
    else:
        attributions[column] += found.sum()
