"""The end of a log."""

from __future__ import annotations

import os
from pathlib import Path


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of a file, reading no more of it than about them; none where there is no file."""
    try:
        with path.open("rb") as file:
            size, window = file.seek(0, os.SEEK_END), 1 << 16
            while True:
                file.seek(max(0, size - window))
                found = file.read().splitlines()
                if len(found) > lines or window >= size:
                    return [line.decode(errors="replace") for line in found[max(0, len(found) - lines) :]]
                window *= 8
    except FileNotFoundError:
        return []
