"""The contract between the model server and what executes a model."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from maas_jupyter.schema import Manifest


class Runtime(Protocol):
    """Executes one bundle; made by calling the class registered under the manifest's ``runtime`` without arguments.

    The server calls ``load`` and ``warm_up`` once, in a thread, before the first ``run``, and ``unload`` once after the
    last. A runtime that streams its answer or batches for itself will say so with further methods that the data plane
    looks for; these four stay what a simple model needs.
    """

    def load(self, folder: Path, manifest: Manifest) -> None:
        """Load the model.

        Parameters
        ----------
        folder : Path
            The bundle; every file has been verified against the manifest.
        manifest : Manifest
            What the bundle says about itself.

        Raises
        ------
        BundleError
            If the bundle holds no model that this runtime can execute.
        """

    def warm_up(self) -> None:
        """Run once on a minimal input, so that the first request pays nothing that later ones do not."""

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute all outputs.

        Parameters
        ----------
        inputs : dict of str to ndarray
            One array per input of the signature, of its dtype and shape; BYTES as ``object`` arrays of ``str``.

        Returns
        -------
        dict of str to ndarray
            One array per output of the signature.

        Raises
        ------
        InvalidInput
            If the model refuses values that the signature allows.
        """

    def unload(self) -> None:
        """Free what ``load`` took."""
