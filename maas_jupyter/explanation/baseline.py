"""What stands for a feature that is absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from maas_jupyter.errors import InvalidInput, UsageError, nearest
from maas_jupyter.explanation.intake import Usual

_WORDS = ("zeros", "black", "mean", "mask", "pad")


@dataclass(frozen=True)
class Baseline:
    """What the user asked for, for one input.

    Attributes
    ----------
    asked : None, str, float or ndarray
        None for the usual one; a word; a number for every place; or a row, or rows whose mean (most frequent value,
        where they are not numbers) is taken.
    """

    asked: Any

    def of_array(self, row: np.ndarray, usual: Usual) -> tuple[np.ndarray, str]:
        """Return the baseline of a row of numbers, indices or categories, and its description.

        Parameters
        ----------
        row : ndarray
            One row of one input; zero-dimensional for a column of a table.
        usual : Usual
            What is taken where nothing was asked for.

        Raises
        ------
        InvalidInput
            If what was asked for does not fit the row.
        """
        if self.asked is None:
            return np.full(row.shape, usual.value, dtype=row.dtype), usual.described
        asked = 0 if isinstance(self.asked, str) and self.asked in ("zeros", "black") else self.asked
        if isinstance(asked, str) and row.dtype.kind in "biuf":
            raise self.unknown()
        values = np.asarray(asked)
        if values.ndim == 0 or values.shape == row.shape:
            filled = np.broadcast_to(values, row.shape)
            what = "the given values" if values.ndim else f"{asked!r} everywhere" if filled.any() else "zeros"
        elif values.shape[1:] == row.shape and len(values):
            filled, what = _middle(values, row), f"the {_name_of_middle(row)} of {len(values):,} given rows"
        else:
            raise InvalidInput(
                f"The baseline has the shape {list(values.shape)}, a row {list(row.shape)}.",
                hint="Pass one row, or rows whose mean is taken: --baseline X_train",
            )
        if row.dtype.kind in "iu" and np.asarray(filled).dtype.kind == "f" and (filled != np.round(filled)).any():
            raise InvalidInput(
                f"The baseline holds {np.asarray(filled).ravel()[0]:g}, but the rows are whole numbers ({row.dtype}).",
                hint="Pass whole numbers: colours of images are 0 to 255.",
            )
        try:
            return np.array(filled, dtype=row.dtype), what
        except (ValueError, TypeError) as error:
            raise InvalidInput(
                f"The baseline holds {values.dtype}, the rows {row.dtype}.", hint="Pass a baseline of the rows' type."
            ) from error

    def unknown(self) -> UsageError:
        """Return the error for a word that means nothing here."""
        return UsageError(
            f"There is no baseline called '{self.asked}' for these rows.",
            hint=nearest(str(self.asked), _WORDS, what="baselines", otherwise=""),
        )


def baselines_of(asked: Any, inputs: list[str]) -> dict[str, Baseline]:
    """Share what the user asked for out to the inputs.

    Parameters
    ----------
    asked : None, str, float, array-like, mapping or DataFrame
        One for all inputs, or by the name of the input.

    Raises
    ------
    InvalidInput
        If an input is not named there.
    """
    if callable(asked):
        raise UsageError(
            f"The baseline is a function ('{getattr(asked, '__name__', asked)}').",
            hint="Pass a word such as mean in quotation marks of its own, a number, or rows.",
        )
    if hasattr(asked, "columns") or isinstance(asked, Mapping):
        if len(inputs) == 1 and inputs[0] not in asked:
            return {inputs[0]: Baseline(np.asarray(asked))}
        missing = [name for name in inputs if name not in asked]
        if missing:
            raise InvalidInput(
                f"The baseline has no '{missing[0]}'.",
                hint=nearest(missing[0], map(str, asked), what="columns", otherwise="It is empty."),
            )
        return {name: Baseline(np.asarray(asked[name])) for name in inputs}
    if hasattr(asked, "detach"):
        asked = asked.detach().cpu().numpy()
    return dict.fromkeys(inputs, Baseline(np.asarray(asked) if isinstance(asked, list | tuple) else asked))


def _middle(values: np.ndarray, row: np.ndarray) -> np.ndarray:
    if row.dtype.kind == "f":
        mean: np.ndarray = np.nanmean(values.astype(np.float64), axis=0)
        return mean
    columns = values.reshape(len(values), -1).T
    most = []
    for column in columns:
        found, counts = np.unique(column, return_counts=True)
        most.append(found[counts.argmax()])
    return np.array(most, dtype=row.dtype).reshape(row.shape)


def _name_of_middle(row: np.ndarray) -> str:
    return "mean" if row.dtype.kind == "f" else "most frequent value"
