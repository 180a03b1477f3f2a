"""One loaded bundle: its preprocessing and its runtime as one. Blocking; called in threads."""

from __future__ import annotations

import time

import numpy as np

from maas_jupyter import plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import BundleError, InvalidInput, MaasError, NotFound
from maas_jupyter.schema import Manifest, TextInput
from maas_jupyter.serving.inputs.base import Preprocessor, minimal, preprocessors
from maas_jupyter.serving.runtimes.base import Runtime

#: Characters that a token stands for, about; enough to tell short texts from long ones.
_CHARACTERS_PER_TOKEN = 5
#: A run costs about as much as this many characters more (measured with an encoder of 22 M parameters on a CPU).
_RUN_CHARACTERS = 64


def similar(shortest: int, longest: int) -> bool:
    """Say whether texts of these lengths cost less in one run, padded to the longest, than in runs of their own.

    Parameters
    ----------
    shortest, longest : int
        As `Servable.length` gives them.
    """
    return longest - shortest <= max(_RUN_CHARACTERS, longest // 4)


class Servable:
    """A bundle in memory, ready to be run. Made by `load`.

    Attributes
    ----------
    manifest : Manifest
        What the bundle says about itself.
    digest : str
        Which bundle it is.
    runtime : Runtime
        What executes it; see `preprocess` before calling it directly.
    seconds : float
        How long the second warm-up took: one row.
    batchable : bool
        Whether rows of several requests can be run as one: every input and output has a free first axis, and no output
        is as long as its text, which is padded in a batch.
    uniform : bool
        Whether each row takes about `seconds`: no text, no image, no free axis but the first.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime, made: dict[str, Preprocessor]) -> None:
        self.manifest: Manifest = bundle.manifest
        self.digest = bundle.digest
        self.runtime = runtime
        self.seconds = 0.0
        self._preprocessors = made
        self._text_limits = {
            name: declared.max_length * _CHARACTERS_PER_TOKEN
            for name, declared in bundle.manifest.preprocessing.items()
            if isinstance(declared, TextInput)
        }
        signature = bundle.manifest.signature
        self.batchable = all(spec.shape[:1] == [-1] for spec in (*signature.inputs, *signature.outputs))
        if self._text_limits:
            self.batchable &= all(-1 not in spec.shape[1:] for spec in signature.outputs)
        self.uniform = not made and all(-1 not in spec.shape[1:] for spec in signature.inputs)
        self._bytes_inputs = [
            spec.name for spec in signature.inputs if spec.datatype == "BYTES" and spec.name not in made
        ]

    @classmethod
    def load(cls, bundle: Bundle, threads: int = 1) -> Servable:
        """Load a bundle and warm it up.

        Parameters
        ----------
        bundle : Bundle
            Verified.
        threads : int
            How many threads one run may use.

        Raises
        ------
        BundleError
            If the bundle cannot be loaded, does not hold what its manifest says, or fails on its first row.
        MissingDependency
            If its runtime is known but not installed.
        """
        try:
            runtime: Runtime = plugins.load("runtime", bundle.manifest.runtime)()
            made = preprocessors(bundle)
            runtime.load(bundle.folder, bundle.manifest, threads)
            servable = cls(bundle, runtime, made)
            servable.warm_up()
            started = time.perf_counter()
            servable.warm_up()
            servable.seconds = time.perf_counter() - started
        except NotFound as error:
            raise BundleError(error.message, error.hint) from error
        except InvalidInput as error:
            raise BundleError(f"The bundle does not load: {error.message}", error.hint) from error
        except MaasError:
            raise
        except Exception as error:
            raise BundleError(f"The bundle does not load: {type(error).__name__}: {error}") from error
        return servable

    def length(self, inputs: dict[str, np.ndarray]) -> int | None:
        """Estimate how long the longest text of a request is.

        A batch of texts is padded to its longest: batch requests whose lengths are all `similar`, up to ``max_batch``
        rows.

        Parameters
        ----------
        inputs : dict of str to ndarray
            The request's inputs, validated against the signature.

        Returns
        -------
        int or None
            Characters, up to where texts are cut off; None where length plays no role.
        """
        if not self._text_limits:
            return None
        return max(min(limit, max(map(len, inputs[name].flat))) for name, limit in self._text_limits.items())

    def warm_up(self) -> None:
        """Run once on a small row, so that the first request pays nothing that later ones do not."""
        self.runtime.warm_up()
        if self._preprocessors:
            made = self._preprocessors
            signature = self.manifest.signature
            self.run(
                {
                    spec.name: made[spec.name].sample() if spec.name in made else minimal(spec)
                    for spec in signature.inputs
                }
            )

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute all outputs; more rows than the manifest's ``max_batch`` are run in parts.

        Parameters
        ----------
        inputs : dict of str to ndarray
            One array per input of the signature, of its dtype and shape; BYTES as ``object`` arrays of ``str`` or
            ``bytes``.

        Returns
        -------
        dict of str to ndarray
            One array per output of the signature.

        Raises
        ------
        InvalidInput
            If a text or image cannot be read, or the model refuses values that the signature allows. Of rows of several
            requests the one that is refused is not told: run each request alone to find it.
        """
        part = self.manifest.max_batch
        rows = {len(array) for array in inputs.values()} if self.batchable else set()
        if len(rows) != 1 or max(rows) <= part:
            return self.runtime.run(self.preprocess(inputs))
        parts = [
            self.runtime.run(self.preprocess({name: array[start : start + part] for name, array in inputs.items()}))
            for start in range(0, max(rows), part)
        ]
        return {name: np.concatenate([outputs[name] for outputs in parts]) for name in parts[0]}

    def preprocess(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Turn the signature's inputs into the runtime's.

        Raises
        ------
        InvalidInput
            If a text or image cannot be read; names the row.
        """
        if not self._preprocessors and not self._bytes_inputs:
            return inputs
        ready = dict(inputs)
        for name in self._bytes_inputs:
            ready[name] = _as_text(name, inputs[name])
        for name, preprocessor in self._preprocessors.items():
            ready.update(preprocessor(ready.pop(name)))
        return ready

    def unload(self) -> None:
        """Free what `load` took."""
        self.runtime.unload()


def _as_text(name: str, array: np.ndarray) -> np.ndarray:
    """Decode the ``bytes`` among the values: what arrives in binary becomes what runtimes take."""
    if not any(isinstance(value, bytes) for value in array.flat):
        return array
    try:
        decoded = [value.decode() if isinstance(value, bytes) else value for value in array.flat]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"Input '{name}' holds a text that is not UTF-8.") from error
    return np.array(decoded, dtype=object).reshape(array.shape)
