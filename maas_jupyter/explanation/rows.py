"""From what the user holds to rows that can be explained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from maas_jupyter.data import Source, as_data, as_source
from maas_jupyter.data.source import LoaderSource, TableSource, TensorSource
from maas_jupyter.errors import InvalidInput
from maas_jupyter.explanation.baseline import Baseline, baselines_of
from maas_jupyter.explanation.intake import Intake, Usual
from maas_jupyter.explanation.parts import Held, Part, Patches, PictureFile, Values, Words
from maas_jupyter.explanation.row import Row
from maas_jupyter.explanation.subject import Raw
from maas_jupyter.packaging.export import input_names
from maas_jupyter.signature import conform

#: Rows of one call; each is asked about hundreds of times, and each takes its place in the notebook.
MOST_ROWS = 20

#: Arguments of a module that say which of the other tokens count; they are no features.
_HELD = {"attention_mask", "mask", "token_type_ids", "types"}
#: Tokens that can stand for a word, the best first: a padding token may change what a model attends to.
_TOKENS = ("[MASK]", "<mask>", "[PAD]", "<pad>", "[UNK]", "<unk>")
_WORDS = {"tensors": "arrays of numbers", "table": "a table", "text": "texts", "images": "images"}


def read_rows(value: Any, intake: Intake, module: nn.Module | None = None) -> tuple[Raw, list[str] | None]:
    """Return raw rows, and the names of the columns of an array where they are known.

    Parameters
    ----------
    value : object
        Any form of data that `as_source` knows; dicts of columns or of the module's arguments; one text, one image.
    intake : Intake
    module : torch.nn.Module, optional
        Says what the arguments of its ``forward`` are called.

    Raises
    ------
    InvalidInput
        If the rows do not fit, or are too many.
    """
    columns = None
    if intake.form == "tensors":
        source, columns = _arrays(value, module)
        raw = source.raw()
        if intake.signature is not None:
            specs = intake.signature.inputs
            names = [spec.name for spec in specs] if len(specs) == len(raw) else list(raw)
            raw = conform(dict(zip(names, raw.values(), strict=True)), intake.signature)
        elif module is not None:
            raw = dict(zip(input_names(module, len(raw)), raw.values(), strict=True))
    else:
        source = _source(value, intake)
        if source.form != intake.form:
            raise InvalidInput(
                f"The rows are {_WORDS.get(source.form, source.form)}, but the model takes {_WORDS[intake.form]}.",
                hint="Pass rows such as it was trained on.",
            )
        if isinstance(source, TableSource):
            source = source.like(intake.kinds)
        raw = source.raw() if intake.form == "table" else {intake.name: next(iter(source.raw().values()))}
    rows = len(next(iter(raw.values())))
    if rows > MOST_ROWS:
        raise InvalidInput(
            f"At most {MOST_ROWS} rows are explained at once.", hint=f"Choose the ones to look at: X[:{MOST_ROWS}]"
        )
    return raw, columns


def split_rows(raw: Raw, columns: list[str] | None, intake: Intake, asked: Any = None) -> list[Row]:
    """Split raw rows into features.

    Parameters
    ----------
    raw : Raw
    columns : list of str or None
        Names of the columns of an input ``(rows, columns)``.
    intake : Intake
    asked : Any
        The baseline that the user asked for, None for the usual one.

    Raises
    ------
    InvalidInput
        If the baseline does not fit, or an array has too many axes.
    """
    baselines = baselines_of(asked, list(raw))
    return [
        Row(
            {name: _part(name, array[index], columns, baselines[name], intake, len(raw)) for name, array in raw.items()}
        )
        for index in range(len(next(iter(raw.values()))))
    ]


def _source(value: Any, intake: Intake) -> Source:
    """Adapt rows to a source, also the short forms that only make sense for a few rows."""
    text = None
    if intake.form == "table":
        if isinstance(value, Mapping):
            value = [value] if all(np.ndim(each) == 0 for each in value.values()) else _frame(value)
        if isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value):
            value = _frame(value)
    elif intake.form == "text":
        value = [value] if isinstance(value, str) else value
        text = intake.name if intake.name in getattr(value, "columns", ()) else None
    elif intake.form == "images":
        value = value if isinstance(value, list | tuple | np.ndarray) else [value]
        value = [Path(item) if isinstance(item, str) else item for item in value]
    return as_source(value, text=text, name="rows")


def _arrays(value: Any, module: nn.Module | None) -> tuple[Source, list[str] | None]:
    """Adapt rows to tensors; a table of numbers becomes one array with the names of its columns."""
    if isinstance(value, Mapping):
        known = input_names(module, len(value)) if module is not None else []
        ordered = [value[name] for name in known] if set(known) == set(value) else list(value.values())
        inputs = tuple(as_data(array, name="rows").head(MOST_ROWS + 1).inputs[0] for array in ordered)
        return TensorSource(inputs=inputs, name="rows"), None
    source = as_source(value, name="rows")
    if isinstance(source, LoaderSource):
        return TensorSource(inputs=as_data(value, name="rows").head(MOST_ROWS + 1).inputs, name="rows"), None
    if isinstance(source, TableSource) and set(source.kinds.values()) == {"number"}:
        columns = list(source.columns)
        return as_source(np.stack(list(source.columns.values()), axis=1), name="rows"), columns
    if source.form != "tensors":
        raise InvalidInput(
            f"The rows are {_WORDS[source.form]}{' with texts' if source.form == 'table' else ''}, but the model takes "
            "arrays of numbers.",
            hint="Explain the run that it was trained in, or the registered version: they know how to read these.",
        )
    return source, None


def _frame(value: Any) -> Any:
    import pandas as pd

    try:
        return pd.DataFrame(value)
    except ValueError as error:
        raise InvalidInput(f"The rows are no table: {error}", hint="Give every column one value per row.") from error


def _part(name: str, row: Any, columns: list[str] | None, baseline: Baseline, intake: Intake, inputs: int) -> Part:
    if intake.tokenizer is not None:
        return Words(row.decode() if isinstance(row, bytes) else row, _token(baseline, intake.tokenizer))
    if intake.image is not None:
        return PictureFile(row, intake.image, name, baseline)
    array = np.asarray(row, dtype=object) if isinstance(row, str | bytes) else np.asarray(row)
    if name in _HELD and array.dtype.kind in "biu" and array.ndim == 1:
        return Held(array)
    if array.ndim == 0:
        return Values(array, [name], baseline, intake.usual.get(name, Usual(0, "zeros")))
    if array.ndim == 1:
        if columns is None or len(columns) != len(array):
            what = "column" if array.dtype.kind == "f" else "position"
            columns = [f"{what} {index}" if inputs == 1 else f"{name}[{index}]" for index in range(len(array))]
        return Values(array, columns, baseline, Usual(0, "zeros"))
    if array.ndim <= 3:
        return Patches(array, baseline)
    raise InvalidInput(
        f"A row of '{name}' has the shape {list(array.shape)}, which cannot be shown as features.",
        hint="Explain rows of numbers, texts, or pictures of (channels, height, width).",
    )


def _token(baseline: Baseline, tokenizer: str) -> str | None:
    """Return the token that stands for an absent word; None where words are left out."""
    asked = baseline.asked
    special = [token["content"] for token in json.loads(tokenizer).get("added_tokens", []) if token.get("special")]
    if asked is None:
        return next((token for token in _TOKENS if token in special), None)
    if not isinstance(asked, str):
        raise InvalidInput(
            f"The baseline of a text is a token, not a {type(asked).__name__}.",
            hint=f"Name one: {', '.join(special[:6]) or 'an empty one leaves words out'}.",
        )
    named = {"mask": _TOKENS[:2], "pad": _TOKENS[2:4]}.get(asked.lower())
    if named is None:
        return asked or None
    found = next((token for token in named if token in special), None)
    if found is None:
        raise InvalidInput(
            f"The tokenizer has no {asked} token.", hint=f"It has {', '.join(special[:6]) or 'no special tokens'}."
        )
    return found
