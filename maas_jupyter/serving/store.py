"""Bundles on the server's disk, by digest. Nothing is ever opened whose bytes are not the ones the manifest names."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from weakref import WeakValueDictionary

from maas_jupyter.bundle import Bundle, check_entry, read_manifest
from maas_jupyter.errors import BundleError, InvalidInput, NotFound
from maas_jupyter.schema import MANIFEST_NAME, Manifest

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MANIFEST_LIMIT = 4 * 1024 * 1024
_SEND_AGAIN = "Publish it again to send it again."


class BundleStore:
    """The folder ``bundles/`` of a server's home: one folder per digest, and beside them what is being uploaded.

    Bundles are received and committed on one event loop; opened from any thread.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "bundles"
        self._staging = self._folder / ".staging"
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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

    async def receive(self, digest: str, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Stage one file of a bundle: ``maas.json`` first, then the files that it names.

        Raises
        ------
        InvalidInput
            If the manifest was not sent yet or does not name the file.
        BundleError
            If the bytes are not the ones that the digest or the manifest names.
        """
        async with self._lock(digest):
            committed = self.has(digest)
            entry = None if committed or name == MANIFEST_NAME else self._staged_manifest(digest).files.get(name)
        if committed:  # another client was faster with the same bundle
            async for _ in chunks:
                pass
            return
        if entry is None and name != MANIFEST_NAME:
            raise InvalidInput(f"The manifest of bundle {digest[:12]} names no file '{name[:200]}'.")
        limit = entry.size if entry else _MANIFEST_LIMIT
        self._staging.mkdir(parents=True, exist_ok=True)
        # Not in the staged bundle's own folder: a commit by another client would take it along, unfinished.
        beside = self._staging / f"{digest}.{secrets.token_hex(8)}"
        sha256, size = hashlib.sha256(), 0
        try:
            with beside.open("xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit:
                        raise BundleError(f"The bundle's file {name} is longer than the {limit} bytes expected.")
                    sha256.update(chunk)
                    file.write(chunk)
            if entry is None:
                read_manifest(beside.read_bytes(), where=MANIFEST_NAME, digest=digest)
            else:
                check_entry(name, entry, size, sha256.hexdigest())
            async with self._lock(digest):
                if not self.has(digest):
                    target = self._staging / digest / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def _lock(self, digest: str) -> asyncio.Lock:
        """Return what keeps a bundle's state as it was seen until it was acted upon; `commit` works in a thread."""
        return self._locks.setdefault(digest, asyncio.Lock())

    def _staged_manifest(self, digest: str) -> Manifest:
        try:
            data = (self._staging / digest / MANIFEST_NAME).read_bytes()
        except FileNotFoundError:
            raise InvalidInput(f"Bundle {digest[:12]} has no {MANIFEST_NAME} yet.", hint="Send it first.") from None
        return read_manifest(data, where=MANIFEST_NAME, digest=digest)

    async def commit(self, digest: str) -> None:
        """Verify a staged bundle and take it in, in one step. A bundle that is there already is left as it is.

        Raises
        ------
        InvalidInput
            If nothing was staged.
        BundleError
            If a file is missing or altered.
        """
        async with self._lock(digest):
            if not self.has(digest):
                await asyncio.to_thread(self._take_in, digest)

    def _take_in(self, digest: str) -> None:
        self._staged_manifest(digest)
        staged = self._staging / digest
        Bundle.open(staged, digest=digest)
        staged.rename(self._folder / digest)

    def open(self, digest: str) -> Bundle:
        """Return a bundle after verifying every file.

        Raises
        ------
        NotFound
            If there is no such bundle.
        BundleError
            If a file is missing or altered. The bundle is deleted, so that the next publish sends it again.
        """
        folder = self.path(digest)
        if not folder.is_dir():
            raise NotFound(f"The server has no bundle {digest[:12]}.", hint=_SEND_AGAIN)
        try:
            return Bundle.open(folder, digest=digest)
        except BundleError as error:
            shutil.rmtree(folder)
            raise BundleError(error.message, hint=_SEND_AGAIN) from error

    def delete(self, digest: str) -> None:
        """Delete a bundle, if it is there."""
        shutil.rmtree(self.path(digest), ignore_errors=True)

    def sweep(self, referenced: Collection[str]) -> None:
        """Delete unfinished uploads and every bundle that is not referenced; for a start, when nobody uploads."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name not in referenced:
                    shutil.rmtree(path, ignore_errors=True)
