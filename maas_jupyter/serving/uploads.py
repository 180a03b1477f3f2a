"""Bundles on their way to the server's disk: in chunks, from any number of clients, resumed after a cut."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from maas_jupyter.bundle import check_entry, read_manifest, sha256_of
from maas_jupyter.errors import BundleError, Conflict, InvalidInput, Unavailable
from maas_jupyter.schema import MANIFEST_NAME, FileEntry, Manifest, UploadState, write_atomic

if TYPE_CHECKING:
    from maas_jupyter.serving.store import BundleStore

#: Largest manifest in bytes.
MANIFEST_LIMIT = 4 * 1024 * 1024
#: The next step of who sent a bundle that is not there any more.
SEND_AGAIN = "Publish it again to send it again."

_BLOCK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


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


class Uploads:
    """What is being uploaded to a store.

    Its state is on disk alone, and a file that is being received is locked: any number of processes may receive chunks
    of one bundle. ``<digest>/files`` holds what is complete and verified, ``<digest>/parts`` the rest.

    Parameters
    ----------
    folder : Path
        Where to keep it.
    store : BundleStore
        Where complete bundles are.
    """

    def __init__(self, folder: Path, store: BundleStore) -> None:
        self._staging = folder
        self._store = store

    def state(self, digest: str, name: str) -> UploadState:
        """Return how far a file has arrived.

        Raises
        ------
        InvalidInput
            If the manifest was not sent yet or does not name the file.
        """
        if name == MANIFEST_NAME:
            for folder in self._folders(digest):
                with contextlib.suppress(FileNotFoundError):
                    size = (folder / MANIFEST_NAME).stat().st_size
                    return UploadState(size, size, True)
            return UploadState(0, 0, False)
        size = self._entry(digest, name).size
        # In the order in which a commit moves it, here as elsewhere: who looks misses nothing then.
        if (self.files(digest) / name).is_file() or self._store.has(digest):
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
        self._store.path(digest)
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
        if not self.state(digest, MANIFEST_NAME).complete:
            try:
                with _full_disk_in_words(digest):
                    self._place_manifest(digest, manifest, bytes(data))
            except (FileNotFoundError, FileExistsError):
                # Another client has placed it, or has committed all of the bundle, in this moment.
                if not self.state(digest, MANIFEST_NAME).complete:
                    raise
            self._forget_staging_of_committed(digest)
        return UploadState(len(data), len(data), True)

    def _place_manifest(self, digest: str, manifest: Manifest, data: bytes) -> None:
        folder = self.files(digest)
        folder.mkdir(parents=True, exist_ok=True)
        free, needed = shutil.disk_usage(folder).free, manifest.size - self._there(digest, manifest)
        if free < needed:
            raise _no_space(digest, f"it takes {needed:,} bytes and {free:,} are free")
        # Not written in that folder: what is not complete would be committed with it.
        beside = folder.with_name(MANIFEST_NAME)
        write_atomic(beside, data)
        beside.replace(folder / MANIFEST_NAME)

    def _there(self, digest: str, manifest: Manifest) -> int:
        """Return how many bytes of a bundle's files have arrived."""
        size = 0
        for name in manifest.files:
            for folder in (self.files(digest), self._parts(digest)):
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
        part, target = self._parts(digest) / name, self.files(digest) / name
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
            if not self._store.has(digest):
                raise Conflict(f"The upload of bundle {digest[:12]} was given up meanwhile.", SEND_AGAIN) from None
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
        if self._store.has(digest):
            shutil.rmtree(self._staging / digest, ignore_errors=True)

    def files(self, digest: str) -> Path:
        """Return where the complete files of a bundle lie or would lie."""
        self._store.path(digest)
        return self._staging / digest / "files"

    def _folders(self, digest: str) -> tuple[Path, Path]:
        """Return where a bundle's files may lie, in the order in which a commit moves them."""
        return self.files(digest), self._store.path(digest)

    def _parts(self, digest: str) -> Path:
        return self._staging / digest / "parts"

    def manifest(self, digest: str) -> Manifest:
        """Return the manifest of a bundle that was sent, or is there already.

        Raises
        ------
        InvalidInput
            If it was not sent yet.
        """
        for folder in self._folders(digest):
            with contextlib.suppress(FileNotFoundError):
                return read_manifest((folder / MANIFEST_NAME).read_bytes(), where=MANIFEST_NAME, digest=digest)
        raise InvalidInput(f"Bundle {digest[:12]} has no {MANIFEST_NAME} yet.", hint="Send it first.")

    def _entry(self, digest: str, name: str) -> FileEntry:
        entry = self.manifest(digest).files.get(name)
        if entry is None:
            raise InvalidInput(f"The manifest of bundle {digest[:12]} names no file '{name[:200]}'.")
        return entry


def _write(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset += written
        view = view[written:]


def _lock(path: Path, name: str) -> int | None:
    """Open and lock a part; None if what was opened has been completed or given up meanwhile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except (FileNotFoundError, FileExistsError):  # a commit took the folder away
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
