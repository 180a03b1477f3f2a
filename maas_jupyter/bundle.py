"""The packaged model: a folder with a manifest, ``maas.json``, that holds the sha256 of every other file.

The digest of a bundle is the sha256 of its manifest's bytes, so one digest vouches for every byte. No file of a bundle
is a pickle.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from maas_jupyter.errors import BundleError
from maas_jupyter.schema import BUNDLE_FORMAT, MANIFEST_NAME, FileEntry, Manifest, decode, encode, write_atomic

#: The graph of a bundle with the runtime ``onnx``.
MODEL_FILE = "model.onnx"

_CHUNK = 1 << 20
_SEND_AGAIN = "Register the model again, or publish an intact version."


class AlteredBundle(BundleError):
    """A file of a bundle is missing, cut or altered: these bytes are of no use to anybody."""


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_manifest(data: bytes, *, where: str, digest: str | None = None) -> Manifest:
    """Decode a manifest and check what its types cannot say.

    Parameters
    ----------
    data : bytes
        The contents of ``maas.json``.
    where : str
        How error messages call it.
    digest : str, optional
        The digest that it must have.

    Raises
    ------
    AlteredBundle
        If it has another digest.
    BundleError
        If it is malformed, of a newer format, or names a file outside the bundle's folder.
    """
    found = hashlib.sha256(data).hexdigest()
    if digest is not None and found != digest:
        raise AlteredBundle(
            f"{where} has the sha256 {found[:12]}, expected {digest[:12]}.",
            hint=f"It was cut or altered. {_SEND_AGAIN}",
        )
    manifest = decode(data, Manifest, where=where)
    if manifest.format_version > BUNDLE_FORMAT:
        raise BundleError(
            f"{where} has bundle format {manifest.format_version}; this version reads up to {BUNDLE_FORMAT}.",
            hint="Upgrade: pip install -U maas-jupyter",
        )
    for name in manifest.files:
        parts = name.split("/")
        forbidden = any(character in name for character in "\\:\0") or len(name.encode()) > 255
        # A file cannot be the folder of another one too.
        folders = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if (
            forbidden
            or any(part in ("", ".", "..", MANIFEST_NAME) for part in parts)
            or folders & manifest.files.keys()
        ):
            raise BundleError(f"{where} names the file '{name[:256]}', which a bundle cannot hold.")
    return manifest


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: what is registered and what is served.

    Attributes
    ----------
    folder : Path
        Holds ``maas.json`` and the files that it lists; other files are not part of the bundle.
    manifest : Manifest
        Task, signature, labels, runtime, precision, files, parent and measurements.
    digest : str
        sha256 of the manifest, in hexadecimal digits.
    """

    folder: Path
    manifest: Manifest
    digest: str

    @classmethod
    def open(cls, folder: Path, *, digest: str | None = None) -> Bundle:
        """Open a bundle and verify every byte of it.

        Parameters
        ----------
        folder : Path
            The bundle's folder.
        digest : str, optional
            The digest that the bundle must have.

        Raises
        ------
        AlteredBundle
            If a file is missing, cut or altered; names the file and both digests.
        BundleError
            If a file cannot be read, or the manifest is none that this version knows.
        """
        path = folder / MANIFEST_NAME
        with _reading(MANIFEST_NAME, path):
            data = path.read_bytes()
        manifest = read_manifest(data, where=str(path), digest=digest)
        for name, entry in manifest.files.items():
            verify_file(folder / name, name, entry)
        return cls(folder, manifest, hashlib.sha256(data).hexdigest())

    @classmethod
    def seal(cls, folder: Path, manifest: Manifest, files: Iterable[str]) -> Bundle:
        """Write the manifest over the files of a folder, which makes it a bundle."""
        entries = {
            name: FileEntry(sha256=sha256_of(folder / name), size=(folder / name).stat().st_size)
            for name in sorted(files)
        }
        manifest = msgspec.structs.replace(manifest, files=entries)
        data = encode(manifest)
        write_atomic(folder / MANIFEST_NAME, data)
        return cls(folder, manifest, hashlib.sha256(data).hexdigest())

    def copy_to(self, folder: Path) -> None:
        """Copy the bundle's own files, and nothing else, into a new folder."""
        for name in (*self.manifest.files, MANIFEST_NAME):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / name, target)


def verify_file(path: Path, name: str, entry: FileEntry) -> None:
    """Check one file against its manifest entry.

    Raises
    ------
    AlteredBundle
        If the file is missing or its size or sha256 differs.
    BundleError
        If it cannot be read.
    """
    with _reading(name, path):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError
        sha256 = sha256_of(path)
    check_entry(name, entry, found.st_size, sha256)


@contextlib.contextmanager
def _reading(name: str, path: Path) -> Iterator[None]:
    """Say in words which file of a bundle cannot be read. That one is missing is certain; other errors may pass."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise AlteredBundle(f"The bundle's file {name} is missing: {path}.", hint=_SEND_AGAIN) from None
    except OSError as error:
        raise BundleError(
            f"The bundle's file {name} cannot be read: {error}", hint="Look at that disk, then try again."
        ) from error


def check_entry(name: str, entry: FileEntry, size: int, sha256: str) -> None:
    """Compare a file's size and sha256 with its manifest entry.

    Raises
    ------
    AlteredBundle
        If one differs; names the file and both values.
    """
    if (size, sha256) != (entry.size, entry.sha256):
        raise AlteredBundle(
            f"The bundle's file {name} is not the one that its manifest names: it has {size} bytes with sha256 "
            f"{sha256[:12]}, expected are {entry.size} bytes with sha256 {entry.sha256[:12]}.",
            hint=f"It was cut or altered. {_SEND_AGAIN}",
        )
