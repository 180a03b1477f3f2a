"""Arrays against a signature: checked as a request, or made to fit what the user has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.schema import DATATYPES, NUMPY_DTYPES, Signature, TensorSpec

#: More names are not listed in a message.
_SHOWN = 8


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
            came = DATATYPES.get(array.dtype.name) or in_words(array.dtype)
            raise InvalidInput(f"Input '{name}' must be {spec.datatype}{spec.shape}, but it came as {came}.")
        if not fits(array.shape, spec):
            raise InvalidInput(
                f"Input '{name}' must have the shape {spec.shape} (-1: any size), but it came as {list(array.shape)}.",
                hint=_shape_hint(array.shape, spec),
            )
        if not array.size:  # runtimes do not agree on the answer, not even on its shape
            raise InvalidInput(
                f"Input '{name}' has the shape {list(array.shape)}: it holds no values.", hint="Send at least one row."
            )


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
    X : array-like, DataFrame, dict, list of dict, str, bytes or Path
        One array, or one for each input by its name. A table, whose columns are inputs, may be a DataFrame, a dict of
        columns, or a list of rows as dicts; as bare rows only where all its columns are numbers or all are texts, in
        the signature's order. A single text, file or number is one row; a `Path` stands for the bytes of its file.
    signature : Signature
        Names, datatypes and shapes.

    Returns
    -------
    dict of str to ndarray
        Of the signature's dtypes; numbers are cast where no value changes by more than rounding. A missing value (None,
        NaN, NA) is NaN in an input of floating point, and an empty text in a table's column of texts, where a truth
        value is the text ``True`` or ``False``.

    Raises
    ------
    InvalidInput
        If a name, a shape or a value does not fit; says what is expected and what was given.
    """
    expected = {spec.name: spec for spec in signature.inputs}
    given = _by_name(X, expected)
    _check_names(given, expected, is_frame=hasattr(X, "columns"))
    arrays = {name: _fit_one(given[name], spec, in_table=len(expected) > 1) for name, spec in expected.items()}
    if all(spec.shape == [-1] for spec in signature.inputs) and len({len(array) for array in arrays.values()}) > 1:
        # A single value would be taken for all rows.
        lengths = ", ".join(f"'{name}' {len(array)}" for name, array in [*arrays.items()][:_SHOWN])
        raise InvalidInput(f"The columns are not equally long: {lengths}.", hint="Give a value of each for every row.")
    return arrays


# -- which value is of which input ------------------------------------------------------------------------------------


def _by_name(X: Any, expected: dict[str, TensorSpec]) -> dict[str, Any]:
    if isinstance(X, Mapping):
        return {str(name): value for name, value in X.items()}
    first = next(iter(expected.values()), None)
    if hasattr(X, "columns") and hasattr(X, "__getitem__"):
        names = [str(name) for name in X.columns]
        if len(expected) == 1 and first and len(first.shape) > 1 and first.name not in names:
            return {first.name: X}  # one tensor of all columns
        if len(set(names)) != len(names):
            raise InvalidInput("Two columns of the table have the same name.", hint=f"They are {_listed(names)}.")
        return {str(name): X[name] for name in X.columns}
    if isinstance(X, list | tuple) and X and all(isinstance(row, Mapping) for row in X):
        for index, row in enumerate(X):
            _check_names(row, expected, where=f"Row {index}: ")
        return {name: [row[name] for row in X] for name in expected}
    if len(expected) == 1 and first:
        return {first.name: X}
    return _columns_of(X, list(expected.values()))


def _columns_of(X: Any, specs: list[TensorSpec]) -> dict[str, Any]:
    """Take bare rows apart, where only one order of the columns is possible."""
    what = f"The model takes {len(specs)} inputs: {_listed(specs)}"
    hint = "Pass a dict with one array per input"
    if all(spec.shape == [-1] for spec in specs):
        hint = "Name the columns: pass a DataFrame, a dict of columns, or a list of rows as dicts"
        try:
            rows = np.asarray(X)
        except (ValueError, TypeError, RuntimeError) as error:  # rows of different lengths
            raise InvalidInput(f"{what}; these rows cannot be read as a table: {error}", hint=f"{hint}.") from error
        if rows.ndim == 2 and rows.shape[1] != len(specs):
            raise InvalidInput(f"{what}; given are rows of {rows.shape[1]}.", hint=f"{hint}.")
        if rows.ndim == 2 and len({spec.datatype == "BYTES" for spec in specs}) == 1:
            return {spec.name: rows[:, index] for index, spec in enumerate(specs)}
        if rows.ndim == 2:
            raise InvalidInput(f"{what}; bare rows do not say which value is of which of them.", hint=f"{hint}.")
    raise InvalidInput(f"{what}.", hint=f"{hint}.")


def _check_names(
    given: Mapping[Any, Any], expected: dict[str, TensorSpec], *, where: str = "", is_frame: bool = False
) -> None:
    if given.keys() == expected.keys():
        return
    missing = [name for name in expected if name not in given]
    unknown = [str(name) for name in given if name not in expected]
    if unknown and missing:
        hint = nearest(unknown[0][:128], missing, what="inputs", otherwise="")
    elif unknown and is_frame and len(unknown) <= _SHOWN:
        names = repr(unknown[0] if len(unknown) == 1 else unknown)
        hint = f"Leave out what the model does not take, such as the target: X.drop(columns={names})"
    elif unknown:
        hint = f"Leave out {_listed(unknown)}."
    else:
        hint = f"Give {_listed(missing)} too; where a row has no value, None says so."
    wrong = "".join(
        f"; {what} {_listed(names)}" for what, names in (("missing:", missing), ("unknown:", unknown)) if names
    )
    raise InvalidInput(f"{where}The model takes the inputs {_listed(expected)}{wrong}.", hint=hint)


def _listed(names: Iterable[Any]) -> str:
    texts = [f"'{name}'"[:128] if isinstance(name, str) else str(name) for name in names]
    return ", ".join(texts[:_SHOWN]) + (f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else "")


# -- one value --------------------------------------------------------------------------------------------------------


def _fit_one(value: Any, spec: TensorSpec, *, in_table: bool) -> np.ndarray:
    is_text = spec.datatype == "BYTES"
    try:
        # As objects, for numpy's own texts lose the zeros at their end, with which files may end.
        array = np.asarray(value, dtype=object) if is_text else np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InvalidInput(
            f"Input '{spec.name}' ({spec.datatype}) cannot be made from a {type(value).__name__}: {error}",
            hint="Pass a numpy array or nested lists of equal length.",
        ) from error
    if array.ndim == 0 and spec.shape == [-1]:
        array = array[None]
    if not fits(array.shape, spec):
        raise InvalidInput(
            f"Input '{spec.name}' expects the shape {_shown(spec.shape)}, given is {_shown(list(array.shape))}.",
            hint=_form_hint(array, spec),
        )
    return _texts(array, spec, in_table=in_table) if is_text else _cast(array, spec)


def _form_hint(array: np.ndarray, spec: TensorSpec) -> str:
    """Return how rows of another form become rows of this one."""
    row = spec.shape[1:]
    if spec.datatype == "BYTES":
        if not row:
            return "Pass one text for each row; for an image its PNG or JPEG file as bytes or as pathlib.Path."
    elif any(isinstance(value, str | bytes | os.PathLike) for value in array.flat[:1]):
        return f"The model takes numbers, not texts or files: rows of the shape {_shown(row)}."
    elif spec.shape[:1] == [-1] and -1 not in row:
        if list(array.shape) == row:
            return "For one row pass X[None]."
        if array.ndim > 1 and [1, *array.shape[1:]] == row:
            return "Give each row its one channel: X[:, None]."
        if array.ndim == 4 and [array.shape[place] for place in (3, 1, 2)] == row:
            return "The model takes channels first: X.transpose(0, 3, 1, 2)."
        if array.ndim > 1 and math.prod(array.shape[1:]) == math.prod(row):
            return f"Pass X.reshape({', '.join(map(str, [-1, *row]))})."
    return "Pass rows in the shape that the model was trained on."


def in_words(dtype: np.dtype) -> str:
    """Return what values of a dtype are, for who does not know numpy's letters for them."""
    kinds = {"U": "texts", "S": "texts", "O": "objects", "M": "dates", "m": "durations", "V": "records"}
    return kinds.get(dtype.kind, dtype.name)


def _shown(shape: list[int]) -> str:
    sizes = ", ".join("rows" if size < 0 else str(size) for size in shape)
    return f"({sizes},)" if len(shape) == 1 else f"({sizes})"


def _texts(array: np.ndarray, spec: TensorSpec, *, in_table: bool) -> np.ndarray:
    if all(isinstance(value, str | bytes) for value in array.flat):
        return array
    made = np.empty(array.size, dtype=object)
    for index, value in enumerate(array.flat):
        if isinstance(value, os.PathLike):
            made[index] = _contents(Path(value))
        elif in_table and _is_missing(value):
            made[index] = ""
        elif isinstance(value, str | bytes):
            made[index] = value
        elif in_table and isinstance(value, bool | np.bool_):
            made[index] = str(bool(value))  # as training reads a column of them
        else:
            where = f"Row {index // math.prod(array.shape[1:])} of input '{spec.name}'"
            if _is_missing(value):
                raise InvalidInput(f"{where} has no value.", hint="Leave such rows out.")
            raise InvalidInput(
                f"{where} expects a text (BYTES), given is a {type(value).__name__} with the value {value!r:.80}.",
                hint="Turn numbers into the texts that the model was trained on, such as with .astype(str); files go "
                "as bytes or as pathlib.Path.",
            )
    return made.reshape(array.shape)


def _contents(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"The file {path} cannot be read: {error.strerror or error}", hint="Look whether it is there."
        ) from error


def _cast(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    wanted = np.dtype(NUMPY_DTYPES[spec.datatype])
    if array.dtype == wanted:
        return array
    if not array.size:
        return np.zeros(array.shape, wanted)
    given = array
    if array.dtype.kind == "O":
        array = _without_missing(array, spec, wanted)
    if array.dtype.kind not in "biuf":
        unfit = np.array([not isinstance(value, int | float | np.number | np.bool_) for value in given.flat])
        raise _unfit(given, unfit, spec, _number_hint(given, wanted))
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(wanted)
    kept = np.isfinite(cast) == np.isfinite(array) if wanted.kind == "f" else cast == array
    if not kept.all():
        raise _unfit(given, ~kept.ravel(), spec, f"Convert it first: X.astype({wanted.name!r}).")
    return cast


def _number_hint(array: np.ndarray, wanted: np.dtype) -> str:
    """Return how to make numbers of what is none, where that can be."""
    if all(isinstance(value, str | int | float | np.number) for value in array.flat):
        try:
            array.astype(wanted)
        except (ValueError, OverflowError):
            return "The model was trained on numbers here. Correct such values, or pass None where one is missing."
        return f"Convert it to numbers, as the model was trained on: X.astype({wanted.name!r})."
    return "Convert it to numbers, in the way that those were that the model was trained on."


def _unfit(array: np.ndarray, unfit: np.ndarray, spec: TensorSpec, hint: str) -> InvalidInput:
    """Return the error that names the first of the values that do not fit."""
    first = int(unfit.argmax())
    value = array.flat[first]
    value = value.item() if isinstance(value, np.generic) else value
    row = first // math.prod(array.shape[1:])
    return InvalidInput(
        f"Input '{spec.name}' expects {spec.datatype}, given are {in_words(array.dtype)} with values that do not fit, "
        f"such as {value!r:.80} in row {row}.",
        hint=hint,
    )


def _without_missing(array: np.ndarray, spec: TensorSpec, wanted: np.dtype) -> np.ndarray:
    """Return objects as what numpy makes of their values, NaN where there is none."""
    missing = [index for index, value in enumerate(array.flat) if _is_missing(value)]
    if missing and wanted.kind != "f":
        raise InvalidInput(
            f"Row {missing[0] // math.prod(array.shape[1:])} of input '{spec.name}' has no value.",
            hint="Only inputs of floating point can miss values: leave such rows out, or fill them.",
        )
    try:
        found = np.array([math.nan if _is_missing(value) else value for value in array.flat])
    except ValueError:  # values that are lists of different lengths
        return array
    return found.reshape(array.shape) if found.size == array.size else array


def _is_missing(value: Any) -> bool:
    # Named, because pandas is not imported here: its NA and NaT.
    return (
        value is None
        or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
        or type(value).__name__ in ("NAType", "NaTType")
    )
