"""Folders that a registry of this machine writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


@contextmanager
def removed_on_failure(uri: str, taken: Callable[[], bool]) -> Iterator[None]:
    """Remove a new folder of this machine where it could not be filled and registered: a full disk would stay full.

    It stays where the registry took it before the failure, such as an interrupt.
    """
    parts = urlsplit(uri)
    folder = Path(url2pathname(parts.path)) if parts.scheme in ("", "file") else None
    known = folder is None or folder.exists()
    try:
        yield
    except BaseException:
        if folder is not None and not known and not taken():
            shutil.rmtree(folder, ignore_errors=True)
        raise
