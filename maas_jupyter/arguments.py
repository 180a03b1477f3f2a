"""What kind of thing a verb's argument is, so that every face can resolve and complete it."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any


class Kind(Enum):
    """The kinds of arguments that are more than a number or a text."""

    #: A module or a run of the notebook.
    MODULE = "module"
    #: A module, a run or a version of the notebook, else a registry reference.
    MODEL = "model"
    #: A run or a version of the notebook, else a registry reference.
    REFERENCE = "reference"
    #: The name of an endpoint.
    ENDPOINT = "endpoint"
    #: An expression of the notebook.
    DATA = "data"
    #: An expression of the notebook; JSON in a terminal.
    VALUE = "value"
    #: A variable of the notebook where there is one of that name, else the name itself.
    NAME_OR_OBJECT = "name or object"
    #: The source of the cell; never typed.
    SOURCE = "source"


#: A module or a run.
ModuleArgument = Annotated[Any, Kind.MODULE]
#: A module, a run, a registered version, or a reference such as ``digits@champion``.
ModelArgument = Annotated[Any, Kind.MODEL]
#: ``(X, y)``, a Dataset or a DataLoader.
DataArgument = Annotated[Any, Kind.DATA]
#: A name, or an object of the notebook.
NameOrObject = Annotated[Any, Kind.NAME_OR_OBJECT]
#: A reference to a registered version.
ReferenceArgument = Annotated[Any, Kind.REFERENCE]
#: The name of an endpoint.
EndpointArgument = Annotated[Any, Kind.ENDPOINT]
