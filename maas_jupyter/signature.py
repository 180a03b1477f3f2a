"""Arrays against a signature: cast where nothing is lost, refuse the rest in words."""

from __future__ import annotations

import numpy as np

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import NUMPY_DTYPES, Signature, TensorSpec


def conform(signature: Signature, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Make inputs what a signature asks for.

    Parameters
    ----------
    signature : Signature
        Names, datatypes and shapes of the inputs.
    inputs : dict of str to ndarray
        One array for each input; integers become floats and wider floats become narrower ones, nothing else is cast.

    Raises
    ------
    InvalidInput
        If a name, a dtype or a shape does not fit; says what was expected and what came.
    """
    expected = {spec.name: spec for spec in signature.inputs}
    if set(inputs) != set(expected):
        raise InvalidInput(
            f"The inputs are {sorted(inputs)}, expected {sorted(expected)}.",
            hint=f"The model takes {', '.join(map(str, signature.inputs))}.",
        )
    return {name: _conform_one(expected[name], value) for name, value in inputs.items()}


def single_input(signature: Signature, value: np.ndarray) -> dict[str, np.ndarray]:
    """Give an array the name of the only input.

    Raises
    ------
    InvalidInput
        If the model has several inputs.
    """
    if len(signature.inputs) != 1:
        raise InvalidInput(
            f"The model has {len(signature.inputs)} inputs, one array was given.",
            hint=f"Pass a dict with {', '.join(map(str, signature.inputs))}.",
        )
    return {signature.inputs[0].name: value}


def _conform_one(spec: TensorSpec, value: np.ndarray) -> np.ndarray:
    wanted = np.dtype(NUMPY_DTYPES[spec.datatype])
    if value.dtype != wanted:
        lossless = (wanted.kind == "f" and value.dtype.kind in "iuf") or np.can_cast(value.dtype, wanted, "safe")
        if not lossless or (wanted.kind == "O" and value.dtype.kind not in "US"):
            raise InvalidInput(
                f"The input '{spec.name}' has the dtype {value.dtype}, expected {wanted} ({spec.datatype}).",
                hint=f"Convert it: X.astype('{wanted}').",
            )
        value = value.astype(wanted)
    if not fits(spec.shape, value.shape):
        rest = tuple(spec.shape[1:])
        raise InvalidInput(
            f"The input '{spec.name}' has the shape {list(value.shape)}, expected {spec.shape} (-1 is any size).",
            hint=f"Reshape it: X.reshape(-1{''.join(f', {size}' for size in rest)}).",
        )
    return value


def fits(expected: list[int], shape: tuple[int, ...]) -> bool:
    """Say whether a shape fits an expected one, in which -1 stands for any size."""
    return len(expected) == len(shape) and all(size in (-1, given) for size, given in zip(expected, shape, strict=True))
