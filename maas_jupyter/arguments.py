"""What kind of thing a verb's argument is, so that every face can resolve and complete it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Annotated, Any


class Kind(Enum):
    """The kinds of arguments that are more than a number or a text."""

    #: A module or a run of the notebook.
    MODULE = "module"
    #: A module, a run, or a function or class that makes modules, else the word itself.
    TRAINABLE = "model to train"
    #: Whatever the notebook calls by this name, else the path of a folder.
    REGISTRABLE = "module or bundle"
    #: A module, a run or a version of the notebook, else a registry reference.
    MODEL = "model"
    #: A run or a version of the notebook, else a registry reference.
    REFERENCE = "reference"
    #: A run of the notebook, else the beginning of a run's id, or ``last``.
    RUN = "run"
    #: The name of an endpoint.
    ENDPOINT = "endpoint"
    #: An expression of the notebook, else the path of a file or a folder.
    DATA = "data"
    #: An expression of the notebook; JSON in a terminal.
    VALUE = "value"
    #: An expression of the notebook where it is one, else the word itself.
    VALUE_OR_WORD = "value or word"
    #: A variable of the notebook where there is one of that name, else the name itself.
    NAME_OR_OBJECT = "name or object"
    #: The source of the cell; never typed.
    SOURCE = "source"


class Quoted(str):
    """A word of a line that was in quotation marks: a text, where it is no expression."""

    __slots__ = ()


def several(given: Any) -> list[Any]:
    """Return what was given for an argument that may be repeated, as a list: one of it, several, or none."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


_typed: ContextVar[str] = ContextVar("maas_typed", default="")


@contextmanager
def noted(line: str) -> Iterator[None]:
    """Remember the line while it is run, for what tells how to go on or to do it again."""
    before = _typed.set(line)
    try:
        yield
    finally:
        _typed.reset(before)


def line_of(verb: str) -> str:
    """Return the line that was typed, where it calls this verb; empty in a script."""
    line = _typed.get()
    return line if line.split()[1:2] == [verb] else ""


#: A module or a run.
ModuleArgument = Annotated[Any, Kind.MODULE]
#: A module, what makes one, a run, or the folder or hub id of a model of transformers.
TrainableArgument = Annotated[Any, Kind.TRAINABLE]
#: A module, a run, a bundle, or a folder that holds one.
RegistrableArgument = Annotated[Any, Kind.REGISTRABLE]
#: A module, a run, a registered version, or a reference such as ``digits@champion``.
ModelArgument = Annotated[Any, Kind.MODEL]
#: Rows in any form that `maas_jupyter.data.as_source` takes, or the path of a file.
DataArgument = Annotated[Any, Kind.DATA]
#: A name, or an object of the notebook.
NameOrObject = Annotated[Any, Kind.NAME_OR_OBJECT]
#: A reference to a registered version.
ReferenceArgument = Annotated[Any, Kind.REFERENCE]
#: A run, or the beginning of its id, or ``last``.
RunArgument = Annotated[Any, Kind.RUN]
#: An expression of the notebook, else the word itself: a share, a path, an option.
ValueOrWord = Annotated[Any, Kind.VALUE_OR_WORD]
#: The name of an endpoint.
EndpointArgument = Annotated[Any, Kind.ENDPOINT]
