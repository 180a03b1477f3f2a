"""Why a module cannot be exported, in words: what, where in the module, and what to do."""

from __future__ import annotations

import re
from typing import Literal

from torch import nn

from maas_jupyter.errors import ExportError
from maas_jupyter.packaging.places import raised_in, translated_when

Format = Literal["onnx", "pt2", "torchscript"]

#: What the formats are called.
TITLES: dict[Format, str] = {"onnx": "ONNX", "pt2": "torch.export", "torchscript": "TorchScript"}

#: Raised by torch where what a tensor holds decides what is computed.
_DECIDES = ("GuardOnDataDependentSymNode", "DataDependentOutputException", "DynamicOutputShapeException")


def not_exported(error: Exception, module: nn.Module, form: Format) -> ExportError:
    """Return the error that says why a module cannot be exported.

    Parameters
    ----------
    error : Exception
        What the exporter raised: whatever the module's code or its own passes raise.
    module : torch.nn.Module
        The very one that was exported, for its parts are looked for in the traceback.
    form : {'onnx', 'pt2', 'torchscript'}
    """
    start = f"The model cannot be exported to {TITLES[form]}"
    deepest = deepest_of(error)
    operator = re.search(r"No ONNX function found for <OpOverload\(op='([\w.:]+)'", str(deepest))
    if operator:
        place = translated_when(error, module)
        return ExportError(
            f"{start}: the operator {operator[1]} has no ONNX form" + (f", used in {place}." if place else "."),
            hint="Write it with other operations of torch, or compute it before or after the model. "
            "%maas export MODEL --to FILE.pt2 needs no ONNX form.",
        )
    bound = re.search(r"Constraints violated \((\w+)", str(deepest))
    if bound:
        size = re.search(r"to be a constant \((\d+)\)", str(deepest))
        limits = (
            f"fixes the axis '{bound[1]}' at {size[1]}" if size else f"takes only some sizes of the axis '{bound[1]}'"
        )
        return ExportError(
            f"{start}: forward {limits}, which has to be free.",
            hint="Take sizes from x.shape as they are, without int(), len() or if, and let reshape find the rows: "
            "reshape(-1, ...).",
        )
    place = raised_in(error, module)
    if type(deepest).__name__ in _DECIDES:
        return ExportError(
            f"{start}: the values of a tensor decide what is computed" + (f" in {place}" if place else ""),
            hint="A graph has one way for all rows: choose values with torch.where(condition, a, b), or branches with "
            "torch.cond(condition, then, otherwise, inputs); give a loop a fixed number of steps.",
        )
    return ExportError(
        f"{start}: {reason(error)}" + (f" (in {place})" if place else ""),
        hint="Replace what depends on the values of a tensor (if, while, .item(), .tolist(), numpy) "
        "by torch operations such as torch.where, and keep the batch axis free.",
    )


def deepest_of(error: BaseException) -> BaseException:
    """Return what an error was caused by in the first place."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def reason(error: BaseException) -> str:
    """Return the kind and the first line of what an error was caused by."""
    deepest = deepest_of(error)
    lines = [line.strip() for line in str(deepest).splitlines() if line.strip()]
    text = re.sub(r"\x1b\[[0-9;]*m", "", lines[0]) if lines else ""
    return f"{type(deepest).__name__}: {text}"[:300]
