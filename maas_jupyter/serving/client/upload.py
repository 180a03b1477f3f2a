"""How a bundle is sent: what is there is not sent again, and what was cut goes on where it ended."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from maas_jupyter.bundle import check_entry, sha256_of
from maas_jupyter.errors import BundleError, Conflict, NotFound, Unavailable
from maas_jupyter.schema import MANIFEST_NAME, FileEntry, Manifest, UploadState
from maas_jupyter.serving.client.calls import Call, Flow, NoAnswer, Pause, ask, decode

#: Bytes of a file in one request.
CHUNK = 8 * 1024 * 1024
#: Seconds that a server may take to verify a bundle.
COMMIT_TIMEOUT = 300.0

_LONGEST_PAUSE = 2.0


class Upload:
    """One bundle on its way to one server.

    Parameters
    ----------
    url : str
        The server, for messages.
    folder : Path
        The bundle.
    digest : str
        sha256 of ``manifest_bytes``.
    manifest_bytes : bytes
        Its ``maas.json``; ``manifest`` is the same, decoded.
    timeout : float
        Seconds that the answer to one chunk may take, and for which it is tried on without a byte arriving.
    """

    def __init__(
        self, url: str, folder: Path, digest: str, manifest_bytes: bytes, manifest: Manifest, timeout: float
    ) -> None:
        self._url = url
        self._folder = folder
        self._path = f"/maas/v1/bundles/{digest}"
        self._manifest_bytes = manifest_bytes
        self._manifest = manifest
        self._timeout = timeout

    def send(self) -> Flow[None]:
        """Send what the server does not have.

        Raises
        ------
        BundleError
            If a file is not the one that the manifest names.
        Unavailable
            If the server has no room, or nothing arrives any more; the next attempt goes on from there.
        """
        try:
            yield from ask(Call("GET", self._path, self._timeout, repeatable=True))
            return
        except NotFound:
            pass
        for name, entry in self._manifest.files.items():
            self._check_size(name, entry)
        try:
            yield from self._send_files()
        except Conflict:  # another client committed the bundle, and a third had it deleted, in this moment
            yield from self._send_files()

    def _send_files(self) -> Flow[None]:
        whole = Call(
            "PATCH", f"{self._path}/files/{MANIFEST_NAME}", self._timeout, self._manifest_bytes, repeatable=True
        )
        yield from ask(replace(whole, headers={"Upload-Offset": "0"}))
        for name in self._manifest.files:
            yield from self._send_file(name)
        yield from ask(Call("POST", f"{self._path}/commit", COMMIT_TIMEOUT, repeatable=True))

    def _send_file(self, name: str) -> Flow[None]:
        path = f"{self._path}/files/{quote(name)}"
        begun = state = yield from self._state(path)
        furthest, moved, pause = state.offset, time.monotonic(), 0.05
        while not state.complete:
            try:
                answer = yield from ask(
                    Call(
                        "PATCH",
                        path,
                        self._timeout,
                        self._chunk(name, state.offset),
                        {"Upload-Offset": str(state.offset)},
                        attempts=False,
                        accepted=(408, 409),
                    )
                )
                if answer.status == 200:
                    state = decode(answer, UploadState, url=self._url)
                else:  # too slow, or another client sends the same file: see how far it is
                    state = yield from self._state(path)
            except NoAnswer as error:
                if time.monotonic() - moved > self._timeout:
                    raise self._cut(name, furthest) from error
                with contextlib.suppress(NoAnswer):  # still cut
                    state = yield from self._state(path)
            except BundleError:
                if not begun.offset:
                    raise
                # What an earlier attempt had left was wrong; the server deleted it, so send all of it once.
                begun = state = yield from self._state(path)
            if state.offset > furthest or state.complete:
                furthest, moved, pause = state.offset, time.monotonic(), 0.05
            elif time.monotonic() - moved > self._timeout:
                raise self._cut(name, furthest)
            else:
                yield Pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _state(self, path: str) -> Flow[UploadState]:
        answer = yield from ask(Call("GET", path, self._timeout, repeatable=True))
        return decode(answer, UploadState, url=self._url)

    def _chunk(self, name: str, offset: int) -> bytes:
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(offset)
                chunk = file.read(CHUNK)
        except OSError as error:
            raise unreadable(self._folder, name, error) from error
        if not chunk:
            self._check_size(name, self._manifest.files[name])  # it may have become shorter meanwhile
        return chunk

    def _check_size(self, name: str, entry: FileEntry) -> None:
        """Find a file that was cut before it is sent; what was altered is found by the server."""
        path = self._folder / name
        try:
            if path.stat().st_size != entry.size:
                check_entry(name, entry, path.stat().st_size, sha256_of(path))
        except OSError as error:
            raise unreadable(self._folder, name, error) from error

    def _cut(self, name: str, offset: int) -> Unavailable:
        size = self._manifest.files[name].size
        return Unavailable(
            f"Sending {name} to {self._url} stopped at byte {offset:,} of {size:,}.",
            hint="Publish again when the server can be reached; it goes on from there.",
        )


def read(folder: Path, name: str) -> bytes:
    """Return a file of a bundle.

    Raises
    ------
    BundleError
        If it cannot be read.
    """
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise unreadable(folder, name, error) from error


def unreadable(folder: Path, name: str, error: OSError) -> BundleError:
    """Return the error that says so."""
    return BundleError(f"The bundle's file {folder / name} cannot be read: {error}", hint="Register the model again.")
