"""The copies of registered bundles that this machine has, by their digests."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from maas_jupyter.bundle import AlteredBundle, Bundle
from maas_jupyter.schema import MANIFEST_NAME


class Copies:
    """A folder of copies; each is verified whenever it is opened.

    Parameters
    ----------
    folder : Path
        Made with the first copy.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, digest: str) -> Bundle | None:
        """Return a bundle, every byte verified; None where there is no copy, or a damaged one, which is removed."""
        kept = self._folder / digest
        if not kept.is_dir():
            return None
        try:
            return Bundle.open(kept, digest=digest)
        except AlteredBundle:
            shutil.rmtree(kept)
            return None

    def put(self, bundle: Bundle) -> Bundle:
        """Keep a copy of a bundle, and return that."""
        kept = self._folder / bundle.digest
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            bundle.copy_to(beside)
            beside.rename(kept)
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
            # Another process may have kept the same bundle in the meantime; opening it verifies that.
            if not kept.is_dir():
                raise
        return Bundle.open(kept, digest=bundle.digest)

    def manifest(self, digest: str) -> bytes | None:
        """Return the bytes of a copy's manifest, which nobody has verified; None where there is no copy."""
        kept = self._folder / digest / MANIFEST_NAME
        return kept.read_bytes() if kept.is_file() else None

    def remove(self, digest: str) -> None:
        """Delete a copy, if there is one."""
        kept = self._folder / digest
        if kept.is_dir():
            shutil.rmtree(kept)
