"""Where what was exported and the torch model part: the first part of the module whose own export differs from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from maas_jupyter.errors import ExportError
from maas_jupyter.packaging.export import Axes, example_of, still_copy
from maas_jupyter.packaging.places import Place, place_of

#: Runs something exported on tensors, and gives all its outputs.
Run = Callable[[tuple[Tensor, ...]], list[Tensor]]
#: Exports a module of any number of tensors, which answers with a tuple of them, and returns what runs it.
Make = Callable[[nn.Module, tuple[Tensor, ...], tuple[Axes, ...]], Run]
#: Says in words how far two tensors are apart; empty where they are not.
Differs = Callable[[Tensor, Tensor], str]

#: After so many seconds no further part is exported.
_SECONDS = 60.0
_MOST_ROWS = 8


@dataclass
class _Call:
    """One call of a part of the module.

    Attributes
    ----------
    given : list
        Its arguments, of which `spec` makes args and kwargs again.
    answered : list of Tensor
    inner : list of _Call
        The calls within it, in the order of execution.
    """

    path: str
    module: nn.Module
    given: list[Any]
    spec: Any
    answered: list[Tensor] = field(default_factory=list)
    inner: list[_Call] = field(default_factory=list)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Those of its arguments that are tensors."""
        return tuple(value for value in self.given if isinstance(value, Tensor))


class _Alone(nn.Module):
    """One call as a module of its tensors alone."""

    def __init__(self, call: _Call) -> None:
        super().__init__()
        self.part = call.module
        self._given, self._spec = call.given, call.spec

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Call the part; returns all tensors of its answer."""
        left = iter(tensors)
        given = [next(left) if isinstance(value, Tensor) else value for value in self._given]
        args, kwargs = _pytree.tree_unflatten(given, self._spec)
        return tuple(_tensors(self.part(*args, **kwargs)))


def parting_of(
    model: nn.Module, inputs: tuple[Tensor, ...], failing: tuple[Tensor, ...], make: Make, *, differs: Differs
) -> str:
    """Say where the export of a module begins to differ from it.

    The module is run with hooks on all its parts; from outside inwards, the first part is looked for, in the order of
    execution, whose own export answers what went into it with something else.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : tuple of Tensor
        Real rows.
    failing : tuple of Tensor
        Rows that the export answers with something else.
    make : callable
        Exports a part as the model was.
    differs : callable
        Compares a tensor of the export's with the module's.

    Returns
    -------
    str
        A sentence that names the part by its path and class.
    """
    still = still_copy(model)
    failing = tuple(tensor[:_MOST_ROWS].cpu() for tensor in failing)
    with torch.no_grad():
        example, outer, again = (_record(still, rows) for rows in (example_of(inputs), failing, failing))
        unsteady = _unsteady(outer, again, differs)
        if unsteady is not None:
            return f"The model itself answers the same rows differently each time, from {unsteady} on."
        deadline = time.monotonic() + _SECONDS
        place, gap = place_of(still, ""), ""
        while True:
            found = _first_apart(outer, example, make, differs, deadline)
            if found is None:
                break
            outer, example, gap = found
            place = place_of(still, outer.path)
    return f"The graphs part at {place}: {gap}." if gap else f"No part of {place} differs by itself."


def _first_apart(
    outer: _Call, example: _Call, make: Make, differs: Differs, deadline: float
) -> tuple[_Call, _Call, str] | None:
    if len(outer.inner) != len(example.inner):
        return None
    for call, like in zip(outer.inner, example.inner, strict=True):
        if time.monotonic() > deadline:
            return None
        gap = _gap(call, like, make, differs)
        if gap:
            return call, like, gap
    return None


def _gap(call: _Call, like: _Call, make: Make, differs: Differs) -> str:
    if not call.tensors or len(call.tensors) != len(like.tensors):
        return ""
    axes = tuple(
        {axis: torch.export.Dim.AUTO for axis, size in enumerate(one.shape) if size != other.shape[axis]}
        for one, other in zip(call.tensors, like.tensors, strict=True)
        if one.ndim == other.ndim
    )
    try:
        run = make(_Alone(like), like.tensors, axes)
    except ExportError:
        return ""  # a part that cannot be exported alone says nothing of the whole
    try:
        answers = run(call.tensors)
    except Exception as error:  # noqa: BLE001  as many kinds as there are runtimes
        return f"its export does not run on {len(call.tensors[0])} rows ({type(error).__name__})"
    return next(filter(None, map(differs, answers, call.answered)), "")


def _record(model: nn.Module, rows: tuple[Tensor, ...]) -> _Call:
    """Run a module and return its call with all calls within it."""
    paths = {id(part): path for path, part in model.named_modules()}
    outermost: list[_Call] = []
    open_calls: list[_Call] = []

    def before(part: nn.Module, args: Any, kwargs: Any) -> None:
        given, spec = _pytree.tree_flatten((args, kwargs))
        # Copies, for what a part does in place.
        kept = [value.clone() if isinstance(value, Tensor) else value for value in given]
        call = _Call(paths[id(part)], part, kept, spec)
        (open_calls[-1].inner if open_calls else outermost).append(call)
        open_calls.append(call)

    def after(part: nn.Module, args: Any, kwargs: Any, answer: Any) -> None:
        open_calls.pop().answered = [tensor.clone() for tensor in _tensors(answer)]

    handles = [part.register_forward_pre_hook(before, with_kwargs=True) for part in model.modules()]
    handles += [part.register_forward_hook(after, with_kwargs=True) for part in model.modules()]
    try:
        model(*rows)
    finally:
        for handle in handles:
            handle.remove()
    return outermost[0]


def _unsteady(once: _Call, again: _Call, differs: Differs) -> Place | None:
    """Return the innermost first part that answers the same with something else at its second call."""
    if len(once.inner) == len(again.inner):
        for one, other in zip(once.inner, again.inner, strict=True):
            found = _unsteady(one, other, differs)
            if found is not None:
                return found
    if any(map(differs, again.answered, once.answered)):
        return Place(once.path, type(once.module).__name__)
    return None


def _tensors(answer: Any) -> list[Tensor]:
    return [value for value in _pytree.tree_leaves(answer) if isinstance(value, Tensor)]
