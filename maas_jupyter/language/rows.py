"""Rows of text or chat as batches of token ids, padded by length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from maas_jupyter.data import Batch, Data
from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.language.chat import IGNORED, Tokens, chat_tokens, completion_tokens, text_tokens

_FORMS = (
    "Pass texts, or rows with 'text', with 'messages' ([{'role': ..., 'content': ...}, ...]), or with 'prompt' and "
    "'completion'."
)
#: Rows of similar length are found among this many batches, so that epochs still differ.
_POOL = 32


class LanguageData(Data):
    """Token ids in memory, padded for each batch.

    Batches hold ``input_ids`` and ``attention_mask``, INT64 ``(rows, tokens)``, and labels of the same shape, -100
    where no loss is taken.

    Parameters
    ----------
    tokens : list of (ids, labels)
        One pair for each row.
    pad : int
        The token that fills shorter rows; the mask leaves it out.
    """

    def __init__(self, tokens: list[Tokens], pad: int) -> None:
        self._tokens = tokens
        self._pad = pad
        self.rows = len(tokens)

    @property
    def token_count(self) -> int:
        """How many tokens are learned."""
        return sum(sum(label != IGNORED for label in labels) for _, labels in self._tokens)

    @property
    def unlearned_rows(self) -> int:
        """How many rows teach nothing: their answer begins beyond the most tokens of a row."""
        return sum(all(label == IGNORED for label in labels) for _, labels in self._tokens)

    def split(self, share: float, *, seed: int) -> tuple[LanguageData, LanguageData]:
        """Return the rest and a share of the rows, drawn by the seed.

        Raises
        ------
        InvalidInput
            If one of them would be empty.
        """
        count = round(len(self._tokens) * share)
        if not 0 < count < len(self._tokens):
            raise InvalidInput(
                f"{share:g} of {len(self._tokens)} rows leaves one part empty.", hint="Pass validation rows: --val ROWS"
            )
        order = torch.randperm(len(self._tokens), generator=torch.Generator().manual_seed(seed)).tolist()
        parts = (sorted(order[count:]), sorted(order[:count]))
        rest, held = (LanguageData([self._tokens[row] for row in part], self._pad) for part in parts)
        return rest, held

    def batches(self, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Walk over all rows; with a generator in a random order, rows of similar length together."""
        if generator is None:
            order = list(range(len(self._tokens)))
            groups = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        else:
            groups = self._grouped(batch_size, generator)
        for group in groups:
            yield self._batch(group)

    def batch_count(self, batch_size: int) -> int:
        """Return the number of batches."""
        return -(-len(self._tokens) // batch_size)

    def _grouped(self, batch_size: int, generator: torch.Generator) -> list[list[int]]:
        order = torch.randperm(len(self._tokens), generator=generator).tolist()
        pool = batch_size * _POOL
        groups = []
        for start in range(0, len(order), pool):
            near = sorted(order[start : start + pool], key=lambda row: len(self._tokens[row][0]))
            groups += [near[first : first + batch_size] for first in range(0, len(near), batch_size)]
        return [groups[index] for index in torch.randperm(len(groups), generator=generator).tolist()]

    def _batch(self, rows: list[int]) -> Batch:
        longest = max(len(self._tokens[row][0]) for row in rows)
        ids = torch.full((len(rows), longest), self._pad)
        labels = torch.full((len(rows), longest), IGNORED)
        mask = torch.zeros((len(rows), longest), dtype=torch.int64)
        for place, row in enumerate(rows):
            row_ids, row_labels = self._tokens[row]
            ids[place, : len(row_ids)] = torch.tensor(row_ids)
            labels[place, : len(row_labels)] = torch.tensor(row_labels)
            mask[place, : len(row_ids)] = 1
        return Batch((ids, mask), labels)


@dataclass(frozen=True)
class LanguageIntake:
    """How a language model takes its rows: `language_rows` with what was decided for its training."""

    tokenizer: Any
    max_length: int
    text: str | None = None

    def __call__(self, value: Any, *, name: str = "data") -> LanguageData:
        """Turn what the user has into rows of tokens."""
        return language_rows(value, self.tokenizer, max_length=self.max_length, text=self.text, name=name)


def language_rows(
    value: Any, tokenizer: Any, *, max_length: int, text: str | None = None, name: str = "data"
) -> LanguageData:
    """Turn what the user has into rows of tokens.

    Parameters
    ----------
    value : list of str or of dict, DataFrame, datasets.Dataset, or path of JSON lines, CSV or Parquet
        Texts are learned whole; longer ones become several rows. Of conversations (``messages``) the assistant's
        answers are learned, of ``prompt`` and ``completion`` the completion.
    tokenizer : transformers.PreTrainedTokenizerFast
        The model's.
    max_length : int
        The most tokens of a row.
    text : str, optional
        The column that holds the texts; ``text`` where not given.
    name : str
        How error messages call the data.

    Raises
    ------
    InvalidInput
        If the form is not one of these, there are no rows, or no token is left to learn.
    """
    tokens: list[Tokens] = []
    for number, row in enumerate(_records(value, name)):
        tokens += _row_tokens(row, tokenizer, max_length, text, f"row {number} of '{name}'")
    if not tokens:
        raise InvalidInput(f"'{name}' has no rows.", hint="Check how it was split or filtered.")
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    data = LanguageData(tokens, pad if pad is not None else 0)
    if not data.token_count:
        raise InvalidInput(
            f"No answer in '{name}' begins within {max_length} tokens.",
            hint="Raise --max-length or shorten the prompts.",
        )
    return data


def _row_tokens(row: Any, tokenizer: Any, max_length: int, text: str | None, where: str) -> list[Tokens]:
    if isinstance(row, str):
        return _blocks(text_tokens(tokenizer, row), max_length)
    column = text or "text"
    if column in row:
        if not isinstance(row[column], str):
            raise InvalidInput(f"'{column}' of {where} is not a text.", hint="Fill or drop rows without one.")
        return _blocks(text_tokens(tokenizer, row[column]), max_length)
    if text is not None:
        raise InvalidInput(
            f"There is no column '{text}'.", hint=nearest(text, map(str, row), what="columns", otherwise="")
        )
    templated = getattr(tokenizer, "chat_template", None) is not None
    if "messages" in row:
        if not templated:
            raise InvalidInput(
                "The tokenizer has no chat template.",
                hint="Set tokenizer.chat_template, or pass rows with 'prompt' and 'completion'.",
            )
        tokens = chat_tokens(tokenizer, list(row["messages"]), where=where)
    elif "prompt" in row and "completion" in row:
        prompt, completion = str(row["prompt"]), str(row["completion"])
        if templated:
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
            tokens = chat_tokens(tokenizer, turns, where=where)
        else:
            tokens = completion_tokens(tokenizer, prompt, completion)
    else:
        raise InvalidInput(f"{where.capitalize()} has the columns {', '.join(map(str, row))}.", hint=_FORMS)
    ids, labels = tokens
    return [(ids[:max_length], labels[:max_length])]


def _blocks(tokens: Tokens, max_length: int) -> list[Tokens]:
    ids, labels = tokens
    starts = range(0, len(ids), max_length)
    # The first label of a block is never predicted: a block of one token would teach nothing.
    return [
        (ids[start : start + max_length], labels[start : start + max_length])
        for start in starts
        if len(ids) - start > 1
    ]


def _records(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, str | Path) and Path(value).suffix in (".jsonl", ".json", ".csv", ".parquet"):
        value = _read(Path(value), name)
    if isinstance(value, str):
        yield value
    elif hasattr(value, "to_dict") and hasattr(value, "columns"):
        yield from value.to_dict("records")
    elif isinstance(value, Sequence) or (hasattr(value, "__getitem__") and hasattr(value, "__len__")):
        for index in range(len(value)):
            row = value[index]
            if not isinstance(row, str | Mapping):
                raise InvalidInput(f"Row {index} of '{name}' is a {type(row).__name__}.", hint=_FORMS)
            yield row
    else:
        raise InvalidInput(f"'{name}' is a {type(value).__name__}, which holds no rows of text.", hint=_FORMS)


def _read(path: Path, name: str) -> Any:
    import pandas

    if not path.is_file():
        raise InvalidInput(
            f"There is no file {path} ('{name}').", hint="Check the path; it is relative to the notebook."
        )
    readers = {".csv": pandas.read_csv, ".parquet": pandas.read_parquet, ".json": pandas.read_json}
    try:
        return pandas.read_json(path, lines=True) if path.suffix == ".jsonl" else readers[path.suffix](path)
    except (ValueError, OSError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {str(error).splitlines()[0]}", hint="Look at its first lines; is it complete?"
        ) from error
