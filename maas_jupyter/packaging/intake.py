"""From a module and real rows to what an exporter takes: a module of one output, its tensors and their free axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from maas_jupyter.data import Prepared, TextPreprocessing, as_source, prepare
from maas_jupyter.data.tensors import as_tensor
from maas_jupyter.data.text import most_tokens, text_arguments
from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.packaging.export import Axes, input_names, only_rows
from maas_jupyter.pretrained import CausalLogits, HiddenStates, Logits, is_language_model, is_pretrained, load_tokenizer
from maas_jupyter.schema import Task

#: Real rows that an export is validated on.
_ROWS = 64


@dataclass(frozen=True)
class Exportable:
    """What an exporter takes.

    Attributes
    ----------
    module : torch.nn.Module
        Answers with one tensor.
    inputs : tuple of Tensor
        Real rows, as the module takes them.
    axes : tuple of Axes
        The free axes of each: the rows, and the tokens of texts.
    task : {'classification', 'regression', 'tensor'}
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    axes: tuple[Axes, ...]
    task: Task


def answering_with_a_tensor(model: nn.Module) -> nn.Module:
    """Return a model of transformers so that it answers with its logits, or hidden states; every other as it is."""
    if not is_pretrained(model):
        return model
    if is_language_model(model):
        return CausalLogits(model)
    return Logits(model) if "For" in type(model).__name__ else HiddenStates(model)


def exportable(model: nn.Module, rows: Any, *, tokenizer: Any = None) -> Exportable:
    """Return a module with rows that were never seen with it before.

    Parameters
    ----------
    model : torch.nn.Module
    rows : object
        Anything that `maas_jupyter.data.as_source` takes, or a mapping of tensors by the names of ``forward``'s
        arguments, such as a tokenizer gives.
    tokenizer : object, optional
        For texts; that of a model of transformers where not given.

    Raises
    ------
    InvalidInput
        If the rows cannot be read, or do not fit the module.
    """
    module = answering_with_a_tensor(model)
    if isinstance(rows, Mapping):
        inputs = _named(rows, module)
        return Exportable(module, inputs, _axes(module, inputs), "tensor")
    source = as_source(rows, name="data")
    if source.form == "text" and tokenizer is None and is_pretrained(model):
        tokenizer = load_tokenizer(model)
    return of_prepared(module, prepare(source, module, tokenizer=tokenizer))


def of_prepared(module: nn.Module, prepared: Prepared) -> Exportable:
    """Return a module with rows that are prepared for it."""
    inputs = prepared.data.head(_ROWS).inputs
    if isinstance(prepared.preprocessing, TextPreprocessing):
        axes = _with_tokens(len(inputs), prepared.preprocessing.max_length)
    else:
        axes = _axes(module, inputs)
    return Exportable(module, inputs, axes, prepared.task)


def _named(rows: Mapping[str, Any], module: nn.Module) -> tuple[Tensor, ...]:
    known = input_names(module, 1) if len(rows) == 1 else input_names(module, len(rows))
    tensors = {name: as_tensor(value, name) for name, value in rows.items() if name in known}
    missing = next((name for name in known if name not in tensors), None)
    if missing is None:
        return tuple(tensors[name] for name in known)
    unknown = next(name for name in rows if name not in known)
    raise InvalidInput(
        f"{type(module).__name__}.forward has no argument '{unknown}'.",
        hint=nearest(str(unknown), known, what="arguments", otherwise="It takes none."),
    )


def _axes(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Axes, ...]:
    """Return the rows as free, and the tokens where the arguments are called as those of texts."""
    names = input_names(module, len(inputs))
    try:
        arguments = text_arguments(module)
    except InvalidInput:
        return only_rows(len(inputs))
    called_so = "ids" in names[0] or "mask" in names[0]
    if not called_so or list(arguments)[: len(names)] != names or any(each.ndim != 2 for each in inputs):
        return only_rows(len(inputs))
    return _with_tokens(len(inputs), most_tokens(module))


def _with_tokens(count: int, most: int | None) -> tuple[Axes, ...]:
    tokens = torch.export.Dim("tokens", max=most) if most else torch.export.Dim("tokens")
    return tuple({**axes, 1: tokens} for axes in only_rows(count))
