"""How a local server is found again: the record that it leaves in its home."""

from __future__ import annotations

from pathlib import Path

from maas_jupyter import schema
from maas_jupyter.errors import BundleError, Unavailable
from maas_jupyter.schema import ServerRecord

#: Exit status of a server that found another one on its home (EX_TEMPFAIL).
ALREADY_RUNS = 75
#: What to do where a server's folder cannot be used.
OTHER_HOME = "Choose another folder: --home FOLDER, or in the environment variable MAAS_HOME."


def make_home(home: Path) -> None:
    """Make a server's folder and the one that it lies in, each for its owner alone; one that exists stays as it is.

    Raises
    ------
    Unavailable
        If it cannot be made.
    """
    try:
        for folder in (home.parent, home):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise Unavailable(f"The server's folder {home} would be in the place of a file.", hint=OTHER_HOME) from error
    except OSError as error:
        raise Unavailable(
            f"The server's folder {home} cannot be made: {error.strerror or error}.", hint=OTHER_HOME
        ) from error


def record_path(home: Path) -> Path:
    """Return the path of the record."""
    return home / "server.json"


def lock_path(home: Path) -> Path:
    """Return the path of the lock that a running server holds."""
    return home / "server.lock"


def log_path(home: Path) -> Path:
    """Return the path of the log."""
    return home / "server.log"


def _port_path(home: Path) -> Path:
    return home / "server.port"


def last_port(home: Path) -> int:
    """Return the port that the last server of a home had; 0 where that is not known."""
    try:
        port = int(_port_path(home).read_text())
    except (OSError, ValueError):
        return 0
    return port if 0 < port <= 65535 else 0


def keep_port(home: Path, port: int) -> None:
    """Keep a port for the next server of a home, so that its clients find that one."""
    schema.write_atomic(_port_path(home), str(port).encode())


def read_record(home: Path) -> ServerRecord | None:
    """Return the record; None where there is none that can be read. A record does not prove that the server lives."""
    try:
        return schema.decode(record_path(home).read_bytes(), ServerRecord, where=str(record_path(home)))
    except (FileNotFoundError, NotADirectoryError, BundleError):
        return None
