"""Whether the process of a run still lives."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

BEAT = "alive"
#: A run gives a sign of life so often, ...
BEAT_SECONDS = 10.0
#: ... and one on another machine that gave none for so long is over.
_SILENCE_SECONDS = 300.0


def beat(folder: Path) -> None:
    """Leave a sign of life in a run's folder.

    Raises
    ------
    OSError
        If the disk does not take it.
    """
    (folder / BEAT).touch()


def lives(pid: int, host: str, folder: Path) -> bool:
    """Say whether the process of a run lives.

    Parameters
    ----------
    pid : int
        0 where it is not known: it is taken to live.
    host : str
        Where it runs. On another machine, such as the container that this one took the place of, its signs of life
        count.
    folder : Path
        The run's.
    """
    if not pid:
        return True
    try:
        heard: float | None = (folder / BEAT).stat().st_mtime
    except OSError:
        heard = None
    if host != socket.gethostname():
        return heard is None or time.time() - heard < _SILENCE_SECONDS
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Born after the last sign of life, it has merely got the number of the one that is gone.
        return heard is None or process.create_time() < heard + 1
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
