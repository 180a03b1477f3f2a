"""Where in a user's module something happens: its path, its class and, in the user's own code, the line."""

from __future__ import annotations

import linecache
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from torch import nn

#: Code that is not the user's: this package, and what is installed.
_INSTALLED = (
    str(Path(__file__).resolve().parents[1]),
    *(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
)


@dataclass(frozen=True)
class Place:
    """A part of a module.

    Attributes
    ----------
    path : str
        As `torch.nn.Module.named_modules` has it; empty for the module itself.
    kind : str
        The part's class.
    line : str
        Where in the user's code, with what is written there; empty where it is not in the user's code.
    """

    path: str
    kind: str
    line: str = ""

    def __str__(self) -> str:
        named = f"{self.path} ({self.kind})" if self.path else self.kind
        return f"{named}, {self.line}" if self.line else named


def place_of(module: nn.Module, path: str, line: str = "") -> Place:
    """Return the place of a part by its path."""
    return Place(path, type(module.get_submodule(path)).__name__, line)


def raised_in(error: BaseException, module: nn.Module) -> Place | None:
    """Return the innermost part of a module that ran when an error was raised; None where none did."""
    paths = {id(part): path for path, part in module.named_modules()}
    for each in reversed(list(_chain(error))):
        frames = list(_frames(each.__traceback__))
        parts = [index for index, (frame, _) in enumerate(frames) if id(frame.f_locals.get("self")) in paths]
        if parts:
            inner = frames[parts[-1] :]
            lines = [_line(frame.f_code.co_filename, number) for frame, number in inner]
            path = paths[id(inner[0][0].f_locals["self"])]
            return place_of(module, path, next((line for line in reversed(lines) if line), ""))
    return None


def translated_when(error: BaseException, module: nn.Module) -> Place | None:
    """Return what part of a module an exporter was at, of whose graph it translated a node; None where it was not."""
    from torch.fx import Node

    for each in reversed(list(_chain(error))):
        for frame, _ in reversed(list(_frames(each.__traceback__))):
            node = next((value for value in frame.f_locals.values() if isinstance(value, Node)), None)
            if node is not None and node.meta.get("nn_module_stack"):
                return _of_node(node.meta, module)
    return None


def _of_node(meta: dict[str, Any], module: nn.Module) -> Place:
    path, kind = list(meta["nn_module_stack"].values())[-1]
    found = [
        _line(file, int(number))
        for file, number in re.findall(r'File "(.+?)", line (\d+)', meta.get("stack_trace") or "")
    ]
    line = next((line for line in reversed(found) if line), "")
    try:
        return place_of(module, path, line)
    except AttributeError:  # named otherwise than the module names it
        return Place(path, str(kind).rpartition(".")[2], line)


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _line(file: str, number: int) -> str:
    """Return ``line 5 of net.py: if x.sum() > 0:``; nothing for code that is not the user's."""
    if file.startswith(_INSTALLED):
        return ""
    # A cell is a file with a random name, or none.
    cell = file.startswith("<") or "ipykernel_" in file
    written = linecache.getline(file, number).strip()
    return f"line {number} of {'its cell' if cell else Path(file).name}" + (f": {written}" if written else "")
