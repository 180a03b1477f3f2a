"""The server's log: one JSON object per line, on stderr and in the home."""

from __future__ import annotations

import json
import logging
import os
import sys
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


def configure(process: str, path: Path) -> None:
    """Send this process's log to stderr and to a file.

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
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    # Its own lines about processes and lifespans say nothing that the record and our lines do not.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
