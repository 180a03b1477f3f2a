"""What a server's log says, as a notebook holds it."""

from __future__ import annotations

from collections.abc import Iterable

from maas_jupyter.plugins import Displayed
from maas_jupyter.serving.logs import LogEntry

#: So many lines are looked through for those of one model.
SEARCHED_LINES = 1000


class LogLines(list[str], Displayed):
    """Lines of a log as they stand in it, JSON; shown as a person reads them."""

    @classmethod
    def about(cls, model: str, lines: Iterable[str], most: int) -> LogLines:
        """Return the last lines that tell of a model."""
        return cls([line for line in lines if LogEntry.parse(line).is_about(model)][-most:])

    @property
    def entries(self) -> list[LogEntry]:
        """The lines, read."""
        return [LogEntry.parse(line) for line in self]

    def __repr__(self) -> str:
        return "\n".join(map(str, self.entries)) or "The log has no such lines."
