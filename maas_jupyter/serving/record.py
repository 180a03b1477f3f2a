"""How a local server is found again: the record that it leaves in its home."""

from __future__ import annotations

from pathlib import Path

from maas_jupyter import schema
from maas_jupyter.errors import BundleError
from maas_jupyter.schema import ServerRecord

#: Exit status of a server that found another one on its home (EX_TEMPFAIL).
ALREADY_RUNS = 75


def make_home(home: Path) -> None:
    """Make a server's folder and the one that it lies in, each for its owner alone; one that exists stays as it is.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    for folder in (home.parent, home):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def record_path(home: Path) -> Path:
    """Return the path of the record."""
    return home / "server.json"


def lock_path(home: Path) -> Path:
    """Return the path of the lock that a running server holds."""
    return home / "server.lock"


def log_path(home: Path) -> Path:
    """Return the path of the log."""
    return home / "server.log"


def read_record(home: Path) -> ServerRecord | None:
    """Return the record; None where there is none that can be read. A record does not prove that the server lives."""
    try:
        return schema.decode(record_path(home).read_bytes(), ServerRecord, where=str(record_path(home)))
    except (FileNotFoundError, BundleError):
        return None
