"""The server's log: one JSON object per line, in the home and on stderr; on a terminal as a person reads it."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

#: What a line says about a request, where the place that logs knows it (``extra={"request_id": ...}``).
REQUEST_FIELDS = ("request_id", "traceparent", "principal", "model", "version")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON.

    Parameters
    ----------
    process : str
        What this process is: ``"supervisor"`` or ``"worker"``.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            "process": self._process,
            "pid": record.process,
            **{name: known for name in REQUEST_FIELDS if (known := getattr(record, name, None))},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Readable(JsonLines):
    """Formats a record for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and a traceback below it."""
        return str(LogEntry.parse(super().format(record)))


@dataclass(frozen=True)
class LogEntry:
    """One line of the log, read.

    Attributes
    ----------
    time : datetime or None
        When, by this machine's clock; None for a line that is not ours, such as what a crash leaves.
    level, message, traceback : str
        How bad, what, and where in the code.
    process, pid : str
        Which of the server's processes says so: ``"supervisor"`` or ``"worker"``, and its id.
    request_id, model, version : str
        What it is about, where it says so beside its message.
    """

    message: str
    time: datetime | None = None
    level: str = ""
    process: str = ""
    pid: str = ""
    request_id: str = ""
    model: str = ""
    version: str = ""
    traceback: str = ""

    @classmethod
    def parse(cls, line: str) -> LogEntry:
        """Read a line; one that is no JSON of ours is all message."""
        try:
            found = json.loads(line)
            time = datetime.fromisoformat(found["time"]).astimezone()
            names = ("message", "level", "process", "pid", "request_id", "model", "version", "traceback")
            return cls(time=time, **{name: str(found.get(name, "")) for name in names})
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls(line)

    def is_about(self, model: str) -> bool:
        """Say whether it tells of a model."""
        return model == self.model or re.search(rf"(?<![\w.-]){re.escape(model)}(?![\w-])", self.message) is not None

    @property
    def source(self) -> str:
        """Which process says so: the supervisor, of which there is one, or a worker with its id."""
        return f"worker {self.pid}" if self.process == "worker" else self.process

    @property
    def event(self) -> str:
        """The message, with the model, its version and the request as far as they are known beside it."""
        model = " ".join(filter(None, [self.model, self.version and f"version {self.version}"]))
        subject = ", ".join(filter(None, [model, self.request_id and f"request {self.request_id}"]))
        return f"{self.message} ({subject})" if subject else self.message

    def __str__(self) -> str:
        head = [f"{self.time:%Y-%m-%d %H:%M:%S}", f"{self.level:<7}", f"{self.source:<14}"] if self.time else []
        line = " ".join([*head, self.event])
        return "\n".join([line, *(f"    {each}" for each in self.traceback.splitlines())])


def configure(process: str, path: Path) -> None:
    """Send this process's log to stderr and to a file; a terminal shows it as a person reads it.

    For a process that is the server, never for one that hosts the app.

    Parameters
    ----------
    process : str
        What this process is: ``"supervisor"`` or ``"worker"``.
    path : Path
        The file; not written to a second time where stderr is that file.
    """
    # Each line is one write at the file's end, so the lines of several processes do not mix.
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    if not os.path.samestat(path.stat(), os.fstat(sys.stderr.fileno())):
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(JsonLines(process))
    if sys.stderr.isatty():
        handlers[0].setFormatter(Readable(process))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    # Its own lines about processes and lifespans say nothing that the record and our lines do not.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
