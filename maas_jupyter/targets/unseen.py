"""What in the rows of a request no training row had, as far as this machine has the bundle that answered."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.categories import known_categories, unknown_words
from maas_jupyter.config import current
from maas_jupyter.errors import BundleError
from maas_jupyter.schema import Signature
from maas_jupyter.signature import conform


def unseen(digest: str, X: Any) -> list[str]:
    """Say which values of a table's columns of texts are new to the bundle; nothing where it is not kept here.

    Parameters
    ----------
    digest : str
        The bundle's.
    X : object
        Rows that it took.
    """
    folder = current().bundles_path / digest
    if not digest or not folder.is_dir():
        return []
    signature, known = _table(folder, digest)
    if signature is None:
        return []
    columns = conform(X, signature)
    told = []
    for name, values in known.items():
        texts = (value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in columns[name])
        told.append(unknown_words(name, Counter(texts), values))
    return list(filter(None, told))


@lru_cache(maxsize=64)
def _table(folder: Path, digest: str) -> tuple[Signature | None, dict[str, frozenset[str]]]:
    """Return a table's signature and its known values; no signature where the bundle takes no columns of texts."""
    try:
        bundle = Bundle.open(folder, digest=digest)
    except BundleError:
        # The registry is asked for another copy when it is needed; an answer needs none.
        return None, {}
    manifest = bundle.manifest
    texts = [spec.name for spec in manifest.signature.inputs if spec.datatype == "BYTES"]
    if not texts or manifest.preprocessing or MODEL_FILE not in manifest.files:
        return None, {}
    known = known_categories(bundle.folder / MODEL_FILE, texts)
    return (manifest.signature if known else None), {name: frozenset(values) for name, values in known.items()}
