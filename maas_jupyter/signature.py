"""Arrays against a signature: checked as a request, or made to fit what the user has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.schema import NUMPY_DTYPES, Signature, TensorSpec


def fits(shape: Sequence[int], spec: TensorSpec) -> bool:
    """Say whether a shape is one that the spec allows (-1 = any size)."""
    return len(shape) == len(spec.shape) and all(
        want in (-1, size) for want, size in zip(spec.shape, shape, strict=True)
    )


class Validator:
    """`validate` for one signature; quick for what fits.

    Parameters
    ----------
    signature : Signature
        What the inputs are compared with.
    """

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._expected = [
            (
                spec.name,
                np.dtype(NUMPY_DTYPES[spec.datatype]),
                len(spec.shape),
                [(axis, size) for axis, size in enumerate(spec.shape) if size >= 0],
            )
            for spec in signature.inputs
        ]

    def __call__(self, inputs: dict[str, np.ndarray]) -> int:
        """Return the largest first axis among the inputs; 1 where none has an axis.

        Raises
        ------
        InvalidInput
            As `validate` does.
        """
        expected = self._expected
        if len(inputs) != len(expected):
            validate(inputs, self._signature)
        rows = 0
        for name, dtype, rank, fixed in expected:
            array = inputs.get(name)
            if array is None or array.dtype != dtype:
                validate(inputs, self._signature)
                array = inputs[name]
            shape = array.shape
            if len(shape) != rank or not array.size:
                validate(inputs, self._signature)
            for axis, size in fixed:
                if shape[axis] != size:
                    validate(inputs, self._signature)
            if rank and shape[0] > rows:
                rows = shape[0]
        return rows or 1


def validate(inputs: dict[str, np.ndarray], signature: Signature) -> None:
    """Compare arrays with a signature.

    Raises
    ------
    InvalidInput
        If a name is missing or unknown, or a datatype or shape differs; says what was expected and what came.
    """
    expected = {spec.name: spec for spec in signature.inputs}
    if expected.keys() != inputs.keys():
        unknown = sorted(inputs.keys() - expected.keys())
        hint = nearest(unknown[0][:128], expected, what="inputs", otherwise="") if unknown else ""
        raise InvalidInput(
            f"The model takes the inputs {_names(expected)}, but the request has {_names(inputs)}.", hint=hint
        )
    for name, spec in expected.items():
        array = inputs[name]
        if array.dtype != NUMPY_DTYPES[spec.datatype]:
            raise InvalidInput(f"Input '{name}' must be {spec.datatype}{spec.shape}, but it came as {array.dtype}.")
        if not fits(array.shape, spec):
            raise InvalidInput(
                f"Input '{name}' must have the shape {spec.shape} (-1: any size), but it came as {list(array.shape)}.",
                hint=_shape_hint(array.shape, spec),
            )
        if not array.size:  # runtimes do not agree on the answer, not even on its shape
            raise InvalidInput(f"Input '{name}' has the shape {list(array.shape)}: it holds no values.")


def _names(names: dict[str, TensorSpec] | dict[str, np.ndarray]) -> str:
    return ", ".join(repr(name[:128]) for name in names) or "none"


def _shape_hint(shape: tuple[int, ...], spec: TensorSpec) -> str:
    row = spec.shape[1:]
    if spec.shape[:1] == [-1] and math.prod(shape) == math.prod(row):
        return f"For one row send the shape {[1, *row]}."
    return "Send one row per example, each in the shape that the model was trained on."


def conform(X: Any, signature: Signature) -> dict[str, np.ndarray]:
    """Turn what the user has into the arrays that a signature asks for.

    Parameters
    ----------
    X : array-like, or dict of str to array-like
        One array, or one for each input by its name.
    signature : Signature
        Names, datatypes and shapes.

    Returns
    -------
    dict of str to ndarray
        Of the signature's dtypes; numbers are cast where no value changes by more than rounding.

    Raises
    ------
    InvalidInput
        If a name, a shape or a value does not fit; says what is expected and what was given.
    """
    expected = {spec.name: spec for spec in signature.inputs}
    if not isinstance(X, dict):
        if len(expected) != 1:
            raise InvalidInput(
                f"The model takes {len(expected)} inputs: {', '.join(map(str, signature.inputs))}.",
                hint="Pass a dict with one array per input.",
            )
        X = {signature.inputs[0].name: X}
    if X.keys() != expected.keys():
        unknown = [str(name) for name in X if name not in expected]
        raise InvalidInput(
            f"The model takes the inputs {list(expected)}, given are {list(X)}.",
            hint=nearest(unknown[0], expected, what="inputs", otherwise="") if unknown else "",
        )
    return {name: _fit_one(X[name], spec) for name, spec in expected.items()}


def _fit_one(value: Any, spec: TensorSpec) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidInput(
            f"Input '{spec.name}' ({spec.datatype}) cannot be made from a {type(value).__name__}: {error}",
            hint="Pass a numpy array or nested lists of equal length.",
        ) from error
    if not fits(array.shape, spec):
        row = spec.shape[1:]
        one = spec.shape[:1] == [-1] and list(array.shape) == row
        raise InvalidInput(
            f"Input '{spec.name}' expects the shape {_shown(spec.shape)}, given is {_shown(list(array.shape))}.",
            hint="For one row pass X[None]." if one else "Pass rows in the shape that the model was trained on.",
        )
    return _cast(array, spec)


def _shown(shape: list[int]) -> str:
    sizes = ", ".join("rows" if size < 0 else str(size) for size in shape)
    return f"({sizes},)" if len(shape) == 1 else f"({sizes})"


def _cast(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    wanted = np.dtype(NUMPY_DTYPES[spec.datatype])
    if array.dtype == wanted and wanted.kind != "O":
        return array
    problem = InvalidInput(
        f"Input '{spec.name}' expects {spec.datatype}, given is {array.dtype} with values that do not fit.",
        hint=f"Convert it first: X.astype({wanted.name!r}).",
    )
    if wanted.kind == "O":
        if array.dtype.kind == "U" or all(isinstance(value, (str, bytes)) for value in array.flat):
            return array.astype(object)
        raise problem
    if array.dtype.kind not in "biuf":
        raise problem
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(wanted)
    kept = np.isfinite(cast) == np.isfinite(array) if wanted.kind == "f" else cast == array
    if not kept.all():
        raise problem
    return cast
