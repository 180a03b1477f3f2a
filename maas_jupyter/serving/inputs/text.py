"""Raw text to token ids."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from maas_jupyter.errors import BundleError, InvalidInput
from maas_jupyter.schema import TextInput

#: Longer texts are cut before they are tokenized: truncation comes after, and would let one text cost any time. Words
#: of natural languages and of code are far shorter.
MAX_CHARACTERS_PER_TOKEN = 100

_PADDING_TOKENS = ("[PAD]", "<pad>", "<|padding|>", "<|endoftext|>", "</s>")
_SAMPLE = "A sentence of the length that most requests have, so that the first one finds everything warm."


class Padding(NamedTuple):
    """What is put where a text is shorter than the longest of its batch, and whether that is before it."""

    ids: int
    types: int
    left: bool


class TextPreprocessor:
    """Tokenizes texts, truncates them and pads them to the longest of the batch.

    Parameters
    ----------
    name : str
        Of the signature's input, for errors.
    declared : TextInput
        Which tensors to make, and the most tokens of a text, special ones included.
    definition : str
        Contents of a ``tokenizer.json``.

    Raises
    ------
    BundleError
        If it is no tokenizer, or cannot be used so.
    """

    def __init__(self, name: str, declared: TextInput, definition: str) -> None:
        try:
            tokenizer = Tokenizer.from_str(definition)
            self._keeps_end = _set_lengths(tokenizer, declared.max_length)
            padding = tokenizer.padding or {}
            self._padding = Padding(padding["pad_id"], padding["pad_type_id"], padding["direction"] == "left")
        except Exception as error:  # the library raises bare Exception
            raise BundleError(
                f"The tokenizer '{declared.tokenizer}' cannot be used: {error}",
                hint="Package the model again with a tokenizer.json that this version of tokenizers reads.",
            ) from error
        self._tokenizer = tokenizer
        self._name = name
        self._tensors = declared.tensors
        self._limit = declared.max_length * MAX_CHARACTERS_PER_TOKEN

    def __call__(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return INT64 ``[rows, tokens]`` for each declared tensor.

        Raises
        ------
        InvalidInput
            If a text is not UTF-8 or has no token.
        """
        encodings = self._tokenizer.encode_batch_fast([self._text(row, value) for row, value in enumerate(values)])
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        empty = np.flatnonzero(mask.sum(axis=1) == 0)
        if empty.size:
            raise InvalidInput(f"Row {empty[0]} of input '{self._name}' is a text without any token.")
        tensors = {}
        for tensor, part in self._tensors.items():
            if part == "mask":
                tensors[tensor] = mask
            else:
                rows = [encoding.ids if part == "ids" else encoding.type_ids for encoding in encodings]
                tensors[tensor] = np.array(rows, dtype=np.int64)
        return tensors

    @property
    def padding(self) -> Padding:
        """How batches are padded."""
        return self._padding

    def sample(self) -> np.ndarray:
        """Return a sentence."""
        return np.array([_SAMPLE], dtype=object)

    def _text(self, row: int, value: str | bytes) -> str:
        try:
            if isinstance(value, bytes):
                text = value.decode()
            else:
                text = value
                text.encode()  # half of a surrogate pair has no UTF-8 either
        except UnicodeError as error:
            raise InvalidInput(f"Row {row} of input '{self._name}' is not UTF-8 text.") from error
        if len(text) <= self._limit:
            return text
        return text[-self._limit :] if self._keeps_end else text[: self._limit]


def _set_lengths(tokenizer: Tokenizer, max_length: int) -> bool:
    """Truncate to the declared length and pad to the longest, on the sides that the tokenizer's file says.

    Returns
    -------
    bool
        Whether it is the end of a text that is kept.
    """
    if max_length < 1:
        raise ValueError(f"texts of {max_length} tokens")
    truncation, padding = tokenizer.truncation or {}, tokenizer.padding or {}
    side = truncation.get("direction", "right").lower()
    tokenizer.enable_truncation(
        max_length,
        stride=0,
        strategy=truncation.get("strategy", "longest_first"),
        direction=side,
    )
    known = next((token for token in _PADDING_TOKENS if tokenizer.token_to_id(token) is not None), None)
    tokenizer.enable_padding(
        direction=padding.get("direction", "right"),
        pad_id=padding.get("pad_id", tokenizer.token_to_id(known) if known else 0),
        pad_type_id=padding.get("pad_type_id", 0),
        pad_token=padding.get("pad_token", known or "[PAD]"),
    )
    return bool(side == "left")
