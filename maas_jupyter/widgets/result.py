"""Shows a result before the verb that made it ends with an error."""

from __future__ import annotations

from maas_jupyter.plugins import Displayed
from maas_jupyter.widgets.surface import Surface


def show(result: Displayed) -> None:
    """Show a result in the cell, or its text twin in a terminal."""
    Surface().show(result._repr_mimebundle_, repr(result), final=True)
