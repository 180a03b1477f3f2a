"""What the server makes of a bundle's inputs before its runtime gets them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import BundleError
from maas_jupyter.schema import NUMPY_DTYPES, ImageInput, Manifest, TensorSpec, TextInput

#: What a preprocessed input looks like from outside.
RAW_SHAPE = [-1]


class Preprocessor(Protocol):
    """Turns one raw input into tensors of the runtime. Used from several threads at once."""

    def __call__(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return one array for each of the runtime's inputs that are made of this one.

        Parameters
        ----------
        values : ndarray of object, shape (rows,)
            ``str`` or ``bytes``.

        Raises
        ------
        InvalidInput
            If a value is not what the input takes; names the row.
        """

    def sample(self) -> np.ndarray:
        """Return one row to warm up with."""


def runtime_inputs(manifest: Manifest) -> list[TensorSpec]:
    """Return what the runtime gets: the signature's inputs after preprocessing."""
    specs: list[TensorSpec] = []
    for spec in manifest.signature.inputs:
        declared = manifest.preprocessing.get(spec.name)
        if declared is None:
            specs.append(spec)
        elif isinstance(declared, TextInput):
            specs.extend(TensorSpec(name, "INT64", [-1, -1]) for name in declared.tensors)
        else:
            size = [declared.height, declared.width]
            channels = len(declared.mean)
            shape = [-1, channels, *size] if declared.layout == "NCHW" else [-1, *size, channels]
            specs.append(TensorSpec(declared.tensor, "FP32", shape))
    return specs


def minimal(spec: TensorSpec) -> np.ndarray:
    """Return zeros (empty strings for BYTES) of the smallest shape that a spec allows."""
    fill = "" if spec.datatype == "BYTES" else 0
    return np.full([1 if size < 0 else size for size in spec.shape], fill, dtype=NUMPY_DTYPES[spec.datatype])


def preprocessors(bundle: Bundle) -> dict[str, Preprocessor]:
    """Make what the bundle's manifest declares, by the name of the signature's input.

    Raises
    ------
    BundleError
        If the declaration does not fit the signature or cannot be carried out.
    """
    inputs = {spec.name: spec for spec in bundle.manifest.signature.inputs}
    made: dict[str, Preprocessor] = {}
    for name, declared in bundle.manifest.preprocessing.items():
        spec = inputs.get(name)
        if spec is None or (spec.datatype, spec.shape) != ("BYTES", RAW_SHAPE):
            raise BundleError(
                f"The manifest declares preprocessing of '{name}', "
                f"but the signature has no such input of BYTES{RAW_SHAPE}.",
                hint="Package the model again.",
            )
        made[name] = _made(name, declared, bundle)
    names = [spec.name for spec in runtime_inputs(bundle.manifest)]
    if len(set(names)) != len(names):
        raise BundleError(f"The manifest makes an input of the model twice: {names}.", hint="Package the model again.")
    return made


def _made(name: str, declared: TextInput | ImageInput, bundle: Bundle) -> Preprocessor:
    # Imported here: a server of tensors alone needs neither tokenizers nor Pillow in memory.
    if isinstance(declared, TextInput):
        from maas_jupyter.serving.inputs.text import TextPreprocessor

        if declared.tokenizer not in bundle.manifest.files:  # so nobody vouches for its bytes
            raise BundleError(
                f"The manifest names the tokenizer '{declared.tokenizer}', which is not one of the bundle's files.",
                hint="Package the model again.",
            )
        return TextPreprocessor(name, declared, (bundle.folder / declared.tokenizer).read_text(encoding="utf-8"))
    from maas_jupyter.serving.inputs.image import ImagePreprocessor

    return ImagePreprocessor(name, declared)
