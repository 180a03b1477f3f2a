"""The contract between the model server and what executes a model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from maas_jupyter.schema import Manifest


class Runtime(Protocol):
    """Executes one bundle; made by calling the class registered under the manifest's ``runtime`` without arguments.

    The server calls ``load`` and ``warm_up`` once, in a thread, before the first ``run``, and ``unload`` once after the
    last. These four are what a simple model needs; one that streams or batches for itself is a `StreamingRuntime` or a
    `BatchingRuntime` too.
    """

    def load(self, folder: Path, manifest: Manifest, threads: int = 1) -> None:
        """Load the model.

        Parameters
        ----------
        folder : Path
            The bundle; every file has been verified against the manifest.
        manifest : Manifest
            What the bundle says about itself.
        threads : int
            How many threads one run may use.

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
            One array per input of the signature, preprocessed as the manifest declares (`inputs.base.runtime_inputs`),
            of its dtype and shape; BYTES as ``object`` arrays of ``str``.

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


@runtime_checkable
class StreamingRuntime(Protocol):
    """A runtime that answers one request in parts."""

    def stream(self, inputs: dict[str, np.ndarray]) -> AsyncGenerator[dict[str, np.ndarray], None]:
        """Yield the outputs of one request as they come; closed by the server when the client hangs up."""


@runtime_checkable
class BatchingRuntime(Protocol):
    """A runtime that batches for itself (continuous batching): the server's own batcher stays out of its way."""

    async def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute one request's outputs; cancelled by the server when the client hangs up."""
