"""Bundles on the server's disk, by digest. Nothing is ever opened whose bytes are not the ones the manifest names."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from maas_jupyter.bundle import AlteredBundle, Bundle
from maas_jupyter.errors import InvalidInput, NotFound
from maas_jupyter.schema import write_atomic
from maas_jupyter.serving.uploads import SEND_AGAIN, Uploads

#: Seconds after its last byte for which an unfinished upload can be resumed.
STALE_SECONDS = 24 * 3600.0

_DIGEST = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


class BundleStore:
    """The folder ``bundles/`` of a server's home: one folder per digest, and beside them what is being uploaded.

    Attributes
    ----------
    uploads : Uploads
        What is being uploaded, in ``.staging``.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "bundles"
        self._staging = self._folder / ".staging"
        self._damaged = home / "damaged"
        self.uploads = Uploads(self._staging, self)

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
                self.uploads.manifest(digest)  # says that it was never sent, unless it was taken in just now
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self.has(digest):
                    return
                self.uploads.manifest(digest)
                Bundle.open(self.uploads.files(digest), digest=digest)
                _sync(self.uploads.files(digest))
                self.uploads.files(digest).rename(self._folder / digest)
                _sync(self._folder)
                self._note(digest).unlink(missing_ok=True)
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
            If a file is missing or altered. The bundle is deleted, so that the next publish sends it again; whoever
            opens it until then is told the same.
        BundleError
            If it cannot be read, now or by this version.
        """
        try:
            return Bundle.open(self.path(digest), digest=digest)
        except AlteredBundle as error:
            if not self.has(digest):
                raise self._missing(digest) from None
            try:
                write_atomic(self._note(digest), error.message.encode())
                self.delete(digest)
            except OSError as failure:
                log.warning("bundle %s is damaged and cannot be deleted: %s", digest[:12], failure)
            raise AlteredBundle(error.message, hint=SEND_AGAIN) from error

    def _note(self, digest: str) -> Path:
        """Return where it is written why a bundle was deleted, for the workers that come to it later."""
        return self._damaged / f"{digest}.txt"

    def _missing(self, digest: str) -> AlteredBundle | NotFound:
        try:
            return AlteredBundle(self._note(digest).read_text(encoding="utf-8"), hint=SEND_AGAIN)
        except FileNotFoundError:
            return NotFound(f"The server has no bundle {digest[:12]}.", hint=SEND_AGAIN)

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
