"""What the disk or the database under a registry refuses, in words."""

from __future__ import annotations

import errno
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from maas_jupyter.errors import Unavailable

_FULL, _READ_ONLY = "the disk is full", "it is read-only"
_ROOM = "Make room on that disk, then try again; or choose another folder: set MAAS_HOME."
_CHOOSE = "Choose a folder that can be written: set MAAS_HOME."
#: By the number of the system's error: what is wrong, and the next step.
_DISK = {
    errno.ENOSPC: (_FULL, _ROOM),
    errno.EDQUOT: ("your share of the disk is used up", _ROOM),
    errno.EROFS: (_READ_ONLY, _CHOOSE),
    errno.EACCES: ("you may not write there", _CHOOSE),
    errno.EPERM: ("you may not write there", _CHOOSE),
}
#: By SQLite's words.
_DATABASE = {
    "database or disk is full": (_FULL, _ROOM),
    "readonly database": (_READ_ONLY, _CHOOSE),
    "unable to open database file": ("the file cannot be opened", _CHOOSE),
    "disk I/O error": ("the disk reports an error", _ROOM),
}
_PLACES = {errno.ENOTDIR: "a part of it is a file", errno.EEXIST: "it is a file", errno.ENOENT: "it cannot be made"}

_translating: ContextVar[bool] = ContextVar("maas_translating", default=False)


def refused_by_disk(error: OSError) -> Unavailable | None:
    """Return the error of a disk that does not take a file; None where the error is another."""
    # A folder that is copied gives the errors of its files as one text.
    listed = re.search(r"\[Errno (\d+)\].*?'([^']*)'", str(error)) if isinstance(error, shutil.Error) else None
    number, where = (int(listed[1]), listed[2]) if listed else (error.errno or 0, error.filename2 or error.filename)
    what, hint = _DISK.get(number, ("", ""))
    return Unavailable(f"{where or 'A file'} cannot be written: {what}.", hint=hint) if what else None


def no_folder(error: OSError, folder: object) -> Unavailable:
    """Return the error of a home that cannot be made."""
    number = error.errno or 0
    what = _PLACES.get(number) or _DISK.get(number, (error.strerror or str(error), ""))[0]
    return Unavailable(f"The home {folder} cannot be used: {what}.", hint=_CHOOSE)


def refused_by_database(error: Exception, uri: str) -> Unavailable | None:
    """Return the error of an SQLite file that cannot be written; None where the error is another."""
    text = str(error)
    for sign, (what, hint) in _DATABASE.items():
        if uri.startswith("sqlite:") and sign in text:
            return Unavailable(f"{uri.removeprefix('sqlite:///')} cannot be written: {what}.", hint=hint)
    return None


@contextmanager
def told_once() -> Iterator[None]:
    """Keep MLflow from logging an error of its database, statement and all, that is raised here as well."""
    logging.getLogger("mlflow.store.db.utils").addFilter(_not_translated)
    token = _translating.set(True)
    try:
        yield
    finally:
        _translating.reset(token)


def _not_translated(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or not _translating.get()
