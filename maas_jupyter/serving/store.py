"""Bundles on the server's disk, by digest. Nothing is ever opened whose bytes are not the ones the manifest names."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

from maas_jupyter.bundle import AlteredBundle, Bundle, check_entry, read_manifest, sha256_of
from maas_jupyter.errors import BundleError, Conflict, InvalidInput, NotFound, Unavailable
from maas_jupyter.schema import MANIFEST_NAME, FileEntry, Manifest, UploadState, write_atomic

#: Seconds after its last byte for which an unfinished upload can be resumed.
STALE_SECONDS = 24 * 3600.0
#: Largest manifest in bytes.
MANIFEST_LIMIT = 4 * 1024 * 1024

_DIGEST = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SEND_AGAIN = "Publish it again to send it again."

T = TypeVar("T")

log = logging.getLogger(__name__)


class OffsetConflict(Conflict):
    """A chunk does not begin where the file ends, or another client is sending the same file.

    Attributes
    ----------
    offset : int
        Bytes that are there.
    """

    def __init__(self, message: str, hint: str, offset: int) -> None:
        super().__init__(message, hint)
        self.offset = offset


class BundleStore:
    """The folder ``bundles/`` of a server's home: one folder per digest, and beside them what is being uploaded.

    Its state is on disk alone, and a file that is being received is locked: any number of processes may receive chunks
    of one bundle, from any number of clients. ``.staging/<digest>`` holds ``files`` (complete and verified) and
    ``parts`` (the rest).
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "bundles"
        self._staging = self._folder / ".staging"

    def path(self, digest: str) -> Path:
        """Return where a bundle lies or would lie.

        Raises
        ------
        InvalidInput
            If the digest is not a sha256 in hexadecimal.
        """
        if not _DIGEST.fullmatch(digest):
            raise InvalidInput(f"'{digest[:80]}' is not a digest.", hint="A digest is a sha256: 64 hexadecimal digits.")
        return self._folder / digest

    def has(self, digest: str) -> bool:
        """Say whether a bundle was committed. Whether it is intact is seen when it is opened."""
        return self.path(digest).is_dir()

    # -- receiving ----------------------------------------------------------------------------------------------------

    def state(self, digest: str, name: str) -> UploadState:
        """Return how far a file has arrived.

        Raises
        ------
        InvalidInput
            If the manifest was not sent yet or does not name the file.
        """
        if name == MANIFEST_NAME:
            for folder in (self.path(digest), self._files(digest)):
                with contextlib.suppress(FileNotFoundError):
                    size = (folder / MANIFEST_NAME).stat().st_size
                    return UploadState(size, size, True)
            return UploadState(0, 0, False)
        size = self._entry(digest, name).size
        if self.has(digest) or (self._files(digest) / name).is_file():
            return UploadState(size, size, True)
        with contextlib.suppress(FileNotFoundError):
            return UploadState((self._parts(digest) / name).stat().st_size, size, False)
        return UploadState(0, size, False)

    async def receive(self, digest: str, name: str, offset: int, chunks: AsyncIterator[bytes]) -> UploadState:
        """Append to a file of a bundle: ``maas.json`` first and whole, then the files that it names.

        What arrived before an error stays and can be continued, but for bytes that are not the ones expected.

        Parameters
        ----------
        digest, name : str
            Which file.
        offset : int
            Where the chunks begin: bytes of the file that are there.
        chunks : async iterator of bytes
            What to append.

        Returns
        -------
        UploadState
            How far the file has arrived now; complete once it was verified.

        Raises
        ------
        InvalidInput
            If the manifest was not sent yet or does not name the file.
        OffsetConflict
            If the file has another number of bytes, or another client is sending it; says how many bytes are there.
        BundleError
            If the bytes are more than, or not, the ones that the digest or the manifest names.
        Unavailable
            If the disk is full.
        """
        self.path(digest)
        if name == MANIFEST_NAME:
            return await self._receive_manifest(digest, offset, chunks)
        entry = self._entry(digest, name)
        found = self.state(digest, name)
        if found.complete:
            return found
        with _full_disk_in_words(digest), self._locked(digest, name) as descriptor:
            if descriptor is None:  # another client has completed it
                return self.state(digest, name)
            there = os.fstat(descriptor).st_size
            if there != offset:
                raise OffsetConflict(
                    f"The bundle's file {name} has {there} bytes, not {offset}.",
                    hint="Go on at the header Upload-Offset.",
                    offset=there,
                )
            try:
                there = await self._append(descriptor, name, entry, offset, chunks)
            except OSError as error:
                if error.errno in _FULL:
                    (self._parts(digest) / name).unlink(missing_ok=True)  # what it took is better free
                raise
            if there == entry.size:
                await _in_thread(self._complete, digest, name, entry, descriptor)
        return UploadState(there, entry.size, there == entry.size)

    async def _receive_manifest(self, digest: str, offset: int, chunks: AsyncIterator[bytes]) -> UploadState:
        if offset:
            raise OffsetConflict(f"{MANIFEST_NAME} is sent whole.", hint="Send it with Upload-Offset: 0.", offset=0)
        data = bytearray()
        async for chunk in chunks:
            data += chunk
            if len(data) > MANIFEST_LIMIT:
                raise BundleError(f"{MANIFEST_NAME} is longer than the {MANIFEST_LIMIT} bytes that are taken here.")
        manifest = read_manifest(bytes(data), where=MANIFEST_NAME, digest=digest)
        if not self.has(digest):
            folder = self._files(digest)
            with _full_disk_in_words(digest):
                folder.mkdir(parents=True, exist_ok=True)
                free, needed = shutil.disk_usage(folder).free, manifest.size - self._there(digest, manifest)
                if free < needed:
                    raise _no_space(digest, f"it takes {needed:,} bytes and {free:,} are free")
                write_atomic(folder / MANIFEST_NAME, bytes(data))
            self._forget_staging_of_committed(digest)
        return UploadState(len(data), len(data), True)

    def _there(self, digest: str, manifest: Manifest) -> int:
        """Return how many bytes of a bundle's files have arrived."""
        size = 0
        for name in manifest.files:
            for folder in (self._files(digest), self._parts(digest)):
                with contextlib.suppress(FileNotFoundError):
                    size += (folder / name).stat().st_size
        return size

    async def _append(
        self, descriptor: int, name: str, entry: FileEntry, offset: int, chunks: AsyncIterator[bytes]
    ) -> int:
        """Write chunks at the end of a part, in blocks and in a thread; returns the part's size."""
        waiting = bytearray()

        async def flush() -> None:
            nonlocal offset
            if waiting:
                await _in_thread(_write, descriptor, offset, bytes(waiting))
                offset += len(waiting)
                waiting.clear()

        try:
            async for chunk in chunks:
                if offset + len(waiting) + len(chunk) > entry.size:
                    raise BundleError(f"The bundle's file {name} is longer than the {entry.size} bytes expected.")
                waiting += chunk
                if len(waiting) >= _BLOCK:
                    await flush()
        finally:
            await flush()  # what came before a cut stays
        return offset

    def _complete(self, digest: str, name: str, entry: FileEntry, descriptor: int) -> None:
        """Verify a part that has all of its bytes; wrong ones are deleted."""
        part, target = self._parts(digest) / name, self._files(digest) / name
        os.fsync(descriptor)
        try:
            check_entry(name, entry, os.fstat(descriptor).st_size, sha256_of(part))
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
        except BundleError:
            part.unlink(missing_ok=True)
            raise
        except FileNotFoundError:
            # The staging folder went away: the same bundle was committed by another client in this moment.
            if not self.has(digest):
                raise Conflict(f"The upload of bundle {digest[:12]} was given up meanwhile.", _SEND_AGAIN) from None
            self._forget_staging_of_committed(digest)

    @contextlib.contextmanager
    def _locked(self, digest: str, name: str) -> Iterator[int | None]:
        """Open a part for this process alone; None if it was completed between the look at it and the lock."""
        path = self._parts(digest) / name
        while not self.state(digest, name).complete:
            descriptor = _lock(path, name)
            if descriptor is None:
                continue
            try:
                if not self.state(digest, name).complete:
                    yield descriptor
                    return
                path.unlink(missing_ok=True)  # made after the file was completed
            finally:
                os.close(descriptor)
        self._forget_staging_of_committed(digest)
        yield None

    def _forget_staging_of_committed(self, digest: str) -> None:
        """Delete what a client staged while another one's commit of the same bundle was under way."""
        if self.has(digest):
            shutil.rmtree(self._staging / digest, ignore_errors=True)

    def _files(self, digest: str) -> Path:
        self.path(digest)
        return self._staging / digest / "files"

    def _parts(self, digest: str) -> Path:
        return self._staging / digest / "parts"

    def _manifest(self, digest: str) -> Manifest:
        for folder in (self.path(digest), self._files(digest)):
            with contextlib.suppress(FileNotFoundError):
                return read_manifest((folder / MANIFEST_NAME).read_bytes(), where=MANIFEST_NAME, digest=digest)
        raise InvalidInput(f"Bundle {digest[:12]} has no {MANIFEST_NAME} yet.", hint="Send it first.")

    def _entry(self, digest: str, name: str) -> FileEntry:
        entry = self._manifest(digest).files.get(name)
        if entry is None:
            raise InvalidInput(f"The manifest of bundle {digest[:12]} names no file '{name[:200]}'.")
        return entry

    # -- taking in, opening, deleting ---------------------------------------------------------------------------------

    def commit(self, digest: str) -> None:
        """Verify an uploaded bundle and take it in, in one step; blocks. One that is there already is left as it is.

        Raises
        ------
        InvalidInput
            If nothing was uploaded.
        BundleError
            If a file is missing or altered.
        """
        staged = self._staging / digest
        while not self.has(digest):
            try:
                descriptor = os.open(staged, os.O_RDONLY)
            except FileNotFoundError:
                self._manifest(digest)  # says that it was never sent, unless it was taken in just now
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self.has(digest):
                    return
                self._manifest(digest)
                Bundle.open(self._files(digest), digest=digest)
                _sync(self._files(digest))
                self._files(digest).rename(self._folder / digest)
                _sync(self._folder)
                shutil.rmtree(staged, ignore_errors=True)
            finally:
                os.close(descriptor)

    def open(self, digest: str) -> Bundle:
        """Return a bundle after verifying every file.

        Raises
        ------
        NotFound
            If there is no such bundle.
        AlteredBundle
            If a file is missing or altered. The bundle is deleted, so that the next publish sends it again.
        BundleError
            If it cannot be read, now or by this version.
        """
        try:
            return Bundle.open(self.path(digest), digest=digest)
        except AlteredBundle as error:
            if not self.has(digest):
                raise NotFound(f"The server has no bundle {digest[:12]}.", hint=_SEND_AGAIN) from None
            try:
                self.delete(digest)
            except OSError as failure:
                log.warning("bundle %s is damaged and cannot be deleted: %s", digest[:12], failure)
            raise AlteredBundle(error.message, hint=_SEND_AGAIN) from error

    def delete(self, digest: str) -> None:
        """Delete a bundle, if it is there; whoever looks sees it whole or not at all."""
        doomed = self._staging / f"{digest}.{secrets.token_hex(4)}"
        self._staging.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.path(digest).rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def sweep(self, referenced: Collection[str]) -> None:
        """Delete every bundle that is not referenced, and uploads that nobody goes on with; for a start."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path != self._staging and path.name not in referenced:
                shutil.rmtree(path, ignore_errors=True)
        for path in self._staging.iterdir() if self._staging.is_dir() else ():
            if not _DIGEST.fullmatch(path.name) or time.time() - _last_change(path) > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _write(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset += written
        view = view[written:]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_change(folder: Path) -> float:
    """Return when something in a folder was last written, in epoch seconds."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:  # another process renames or deletes in it at this moment
        return time.time()


def _lock(path: Path, name: str) -> int | None:
    """Open and lock a part; None if what was opened has been completed or given up meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:  # a commit took the folder away
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except BlockingIOError:
        offset = os.fstat(descriptor).st_size
        os.close(descriptor)
        raise OffsetConflict(
            f"Another client is sending the bundle's file {name}.", hint="Ask again how far it is.", offset=offset
        ) from None
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None


@contextlib.contextmanager
def _full_disk_in_words(digest: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _no_space(digest, str(error.strerror)) from error


def _no_space(digest: str, why: str) -> Unavailable:
    return Unavailable(
        f"The server's disk has no room for bundle {digest[:12]}: {why}.",
        hint="Free space where the server keeps its home, or unpublish a model; then publish again.",
    )


async def _in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run a function in a thread, and to its end even where the caller is cancelled: its file is closed only then."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    finally:
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
