"""What served when, with which weights, by whom and why: one append-only file of JSON lines per model."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from maas_jupyter.errors import BundleError
from maas_jupyter.schema import UNREADABLE, HistoryEntry, check_name, decoder, is_name

#: Bytes at the end of a history that `History.recent` reads, about a hundred entries; all of it where they hold few.
_TAIL = 1 << 16
_FEW = 16

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")

_DECODER = decoder(HistoryEntry)


class Recent(NamedTuple):
    """The end of a history.

    Attributes
    ----------
    entries : list of HistoryEntry
        Oldest first, as far back as lines can be read; about a hundred at most.
    readable : bool
        Whether all lines that were looked at can be read; one that cannot is damaged, or another version's.
    """

    entries: list[HistoryEntry]
    readable: bool


class History:
    """The folder ``history/`` of a server's home. Files only grow, but for a last line that was not written to its end.

    Written by one process at a time, the one that holds the home's lock; read by any.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "history"

    def _path(self, name: str) -> Path:
        return self._folder / f"{check_name(name)}.jsonl"

    def names(self) -> list[str]:
        """Return the names of all models that ever served."""
        if not self._folder.is_dir():
            return []
        with os.scandir(self._folder) as files:
            names = (file.name.removesuffix(".jsonl") for file in files if file.name.endswith(".jsonl"))
            return list(filter(is_name, names))

    def read(self, name: str) -> list[HistoryEntry]:
        """Return every entry of a model, oldest first; none where it never served.

        Raises
        ------
        BundleError
            If a line cannot be read, but for a last one that was not written to its end.
        """
        try:
            data = self._path(name).read_bytes()
        except FileNotFoundError:
            return []
        lines = data[: _whole(data)].splitlines()
        entries = []
        for number, line in enumerate(lines, 1):
            try:
                entries.append(_DECODER.decode(line))
            except UNREADABLE as error:
                raise BundleError(
                    f"Line {number} of {self._path(name)} cannot be read: {error}",
                    hint="If a newer version wrote it, upgrade: pip install -U maas-jupyter. If it is damaged, remove "
                    "that line; then publish the version that should serve.",
                ) from error
        return entries

    def recent(self, name: str) -> Recent:
        """Return the last entries of a model."""
        return self._recent(name, cut=False)

    def recover(self, name: str) -> Recent:
        """Cut off a last line that was not written to its end, and return the last entries."""
        return self._recent(name, cut=True)

    def _recent(self, name: str, *, cut: bool) -> Recent:
        path = f"{self._folder}{os.sep}{check_name(name)}.jsonl"
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123  ten thousand of them are read at a start
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                data = file.read()
                if size > _TAIL:
                    _, _, data = data.partition(b"\n")
                    if data.count(b"\n") < _FEW:
                        file.seek(0)
                        data = file.read()
        except FileNotFoundError:
            return Recent([], readable=True)
        whole = _whole(data)
        if cut and whole < len(data):
            os.truncate(path, size - len(data) + whole)
        entries: list[HistoryEntry] = []
        for line in reversed(data[:whole].splitlines()):
            try:
                entries.append(_DECODER.decode(line))
            except UNREADABLE:
                return Recent(entries[::-1], readable=False)
        return Recent(entries[::-1], readable=True)

    def mentioned(self, name: str) -> set[str] | None:
        """Return the digests of all bundles that a history names, also in lines that this version cannot read.

        None where such a line names none, so that what it says is not known.
        """
        data = self._path(name).read_bytes()
        found: set[str] = set()
        for line in data[: _whole(data)].splitlines():
            digests = _DIGEST.findall(line)
            found.update(digest.decode() for digest in digests)
            if not digests and not _is_entry(line):
                return None
        return found

    def append(self, name: str, entry: HistoryEntry) -> int:
        """Write an entry through to the disk, or nothing.

        Returns
        -------
        int
            The file's size before, for `truncate`.

        Raises
        ------
        OSError
            If it cannot be written, for example because the disk is full.
        """
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        if not new:
            self.recover(name)
        with path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                data = msgspec.json.encode(entry) + b"\n"
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(size)
                raise
        if new:
            _sync(path.parent)
        return size

    def truncate(self, name: str, size: int) -> None:
        """Take back the entry that `append` wrote last, given what it returned."""
        os.truncate(self._path(name), size)


def _whole(data: bytes) -> int:
    """Return how many bytes of a history are there, up to the end of its last line that was written to its end."""
    end = data.rfind(b"\n") + 1
    start = data.rfind(b"\n", 0, end - 1) + 1 if end else 0
    # What a power cut leaves is arbitrary, and may end with a line's end by chance.
    return start if end and not _is_json(data[start:end]) else end


def _is_entry(line: bytes) -> bool:
    try:
        _DECODER.decode(line)
    except UNREADABLE:
        return False
    return True


def _is_json(line: bytes) -> bool:
    """Say whether a line is JSON, whatever of it this version can read."""
    try:
        msgspec.json.decode(line)
    except (msgspec.ValidationError, RecursionError):
        return True
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _sync(folder: Path) -> None:
    """Write a folder's list of files through to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
