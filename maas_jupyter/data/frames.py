"""Columns of a pandas DataFrame: numbers or texts, with what is missing; anything else is refused with advice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maas_jupyter.data.distinct import distinct
from maas_jupyter.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

#: More different texts in a column look like an id or free text.
MANY_TEXTS = 1_000
#: Texts among numbers are mistakes where numbers are at least this share; otherwise numbers are texts too.
_MOSTLY = 0.5
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T]\d{1,2}:.*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}([ T]\d{1,2}:.*)?")
_DATE_KINDS = ("datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period", "interval")
_NUMBER_KINDS = ("integer", "floating", "mixed-integer-float", "decimal")


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    values : ndarray, shape (rows,)
        float32 with NaN, or ``object`` of str with ``""``, where a value is missing.
    notes : tuple of str
        Advice.
    """

    values: np.ndarray
    notes: tuple[str, ...] = ()


def read_column(name: str, series: pd.Series[Any], where: str) -> Column:
    """Say whether a column holds numbers or categories, and return it so.

    Parameters
    ----------
    name : str
    series : pandas.Series
    where : str
        How messages call the table.

    Raises
    ------
    InvalidInput
        If it holds dates, infinite values, text among numbers or values of other types; names the first cell.
    """
    import pandas as pd

    dtype, called = series.dtype, f"Column '{name}' of '{where}'"
    if isinstance(dtype, pd.CategoricalDtype):
        return Column(_texts(series.astype(object)))
    if pd.api.types.is_bool_dtype(dtype):
        return Column(_texts(series.astype(object)))
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        return _numbers(called, series)
    kind = pd.api.types.infer_dtype(series, skipna=True)
    if kind in _DATE_KINDS:
        raise _dates(name, called)
    if kind in _NUMBER_KINDS:
        return _numbers(called, pd.to_numeric(series))
    if kind == "empty":
        return Column(np.full(len(series), np.nan, dtype=np.float32))
    if kind == "boolean":
        return Column(_texts(series))
    if kind != "string":
        raise _mixed(name, called, series)
    return _strings(name, called, series)


def _numbers(called: str, series: pd.Series[Any]) -> Column:
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    infinite = np.flatnonzero(np.isinf(narrow))
    if len(infinite):
        raise InvalidInput(
            f"{called} holds {len(infinite)} infinite values (or too large for 32 bits), the first at row "
            f"{infinite[0]}: {values[infinite[0]]:g}.",
            hint="Replace them, for example by missing ones: frame.replace([numpy.inf, -numpy.inf], numpy.nan).",
        )
    given = values[~np.isnan(values)]
    if len(given) and given.min() < given.max() and np.ptp(narrow[~np.isnan(narrow)]) == 0:
        return Column(
            narrow, (f"{called} differs by less than 32-bit numbers can tell ({given[0]:g}): subtract its minimum.",)
        )
    return Column(narrow)


def _strings(name: str, called: str, series: pd.Series[Any]) -> Column:
    import pandas as pd

    places, found = distinct(series)
    values = np.array([*found, ""], dtype=object)[places]
    texts = [text for text in found if text]
    if not texts:
        return Column(values)
    if all(_DATE.fullmatch(text.strip()) for text in texts):
        raise _dates(name, called)
    given = values != ""
    parsed = np.append(pd.to_numeric(pd.Series(found), errors="coerce").notna(), False)[places]
    share = parsed[given].mean()
    if share == 1:
        note = f"{called} holds numbers as texts and is taken for categories; for numbers: .astype(float)."
        return Column(values, (note,))
    if share >= _MOSTLY:
        bad = np.flatnonzero(given & ~parsed)
        raise _text_among_numbers(name, called, values[bad[0]], int(bad[0]), len(bad))
    if len(texts) > MANY_TEXTS or (len(texts) > 20 and len(texts) > 0.5 * len(values)):
        return Column(
            values,
            (
                f"{called} has {len(texts):,} different texts: it looks like an id or free text. Leave it out with "
                f"frame.drop(columns='{name}'), or train on the text alone with text='{name}'.",
            ),
        )
    return Column(values)


def _texts(series: pd.Series[Any]) -> np.ndarray:
    places, found = distinct(series)
    return np.array([*map(str, found), ""], dtype=object)[places]


def _text_among_numbers(name: str, called: str, cell: str, row: int, count: int) -> InvalidInput:
    return InvalidInput(
        f"{called} holds text where numbers are expected: {cell[:60]!r} at row {row} ({count} such cells).",
        hint=f"Correct them or make them missing: frame['{name}'] = pandas.to_numeric(frame['{name}'], "
        f"errors='coerce'). If they are categories: frame['{name}'].astype('category').",
    )


def _mixed(name: str, called: str, series: pd.Series[Any]) -> InvalidInput:
    cells = [(row, cell) for row, (cell, gone) in enumerate(zip(series, series.isna(), strict=True)) if not _none(gone)]
    texts = [(row, cell) for row, cell in cells if isinstance(cell, str)]
    numbers = sum(isinstance(cell, int | float | np.number) and not isinstance(cell, bool) for _, cell in cells)
    if texts and numbers == len(cells) - len(texts) and numbers >= len(texts):
        row, cell = texts[0]
        return _text_among_numbers(name, called, cell, row, len(texts))
    row, cell = next(((row, cell) for row, cell in cells if not isinstance(cell, str)), cells[0])
    if texts:
        return InvalidInput(
            f"{called} mixes texts with other values: {str(cell)[:60]} ({type(cell).__name__}) at row {row}.",
            hint=f"Make them all texts: frame['{name}'].astype(str).",
        )
    return InvalidInput(
        f"{called} holds a {type(cell).__name__} at row {row}; a column holds numbers or texts.",
        hint=f"Turn it into numbers or texts first, leave it out with frame.drop(columns='{name}'), or pass arrays: "
        "(numpy.stack(frame[column]), y).",
    )


def _none(gone: Any) -> bool:
    return bool(gone) if isinstance(gone, bool | np.bool_) else False


def _dates(name: str, called: str) -> InvalidInput:
    return InvalidInput(
        f"{called} holds dates, of which a model can make nothing.",
        hint=f"Turn it into numbers that matter, for example days: when = pandas.to_datetime(frame['{name}']); "
        f"frame['{name}'] = (when - when.min()).dt.days, or when.dt.month; or frame.drop(columns='{name}').",
    )


def read_target(name: str, series: pd.Series[Any], where: str) -> tuple[np.ndarray, tuple[str | int, ...] | None]:
    """Return raw targets, and the order of the classes where the column knows it.

    Raises
    ------
    InvalidInput
        If a value is missing, a date or of mixed types.
    """
    import pandas as pd

    missing = np.flatnonzero(series.isna().to_numpy(dtype=bool))
    if len(missing):
        raise InvalidInput(
            f"The target '{name}' of '{where}' is missing in {len(missing)} rows, the first is row {missing[0]}.",
            hint=f"Leave these rows out: frame.dropna(subset=['{name}']).",
        )
    if isinstance(series.dtype, pd.CategoricalDtype):
        order = series.cat.categories.tolist()
        plain = all(type(category) is int for category in order)
        known = tuple(order) if plain else tuple(map(str, order))
        present = set(series.astype(object) if plain else map(str, series))
        values = series.astype(object).to_numpy()
        values = values.astype(np.int64) if plain else np.array([str(value) for value in values], dtype=object)
        return values, tuple(value for value in known if value in present)
    if pd.api.types.is_bool_dtype(series.dtype):
        return np.array([str(bool(value)) for value in series], dtype=object), None
    kind = pd.api.types.infer_dtype(series)
    if pd.api.types.is_integer_dtype(series.dtype) or kind == "integer":
        return series.to_numpy(dtype=np.int64), None
    if kind in _NUMBER_KINDS or pd.api.types.is_float_dtype(series.dtype):
        return pd.to_numeric(series).to_numpy(dtype=np.float64), None
    if kind in ("string", "boolean"):
        return np.array([str(value) for value in series], dtype=object), None
    if kind in _DATE_KINDS:
        raise InvalidInput(f"The target '{name}' of '{where}' holds dates.", hint="Predict a number, such as days.")
    raise InvalidInput(
        f"The target '{name}' of '{where}' holds values of several types ({kind}).",
        hint=f"Classes are texts or integers: frame['{name}'].astype(str).",
    )
