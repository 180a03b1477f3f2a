"""The words of a text among the tokens of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from maas_jupyter.data import TextPreprocessing
from maas_jupyter.errors import InvalidInput
from maas_jupyter.explanation.parts import Words


@dataclass(frozen=True)
class Tokens:
    """One text as a model sees it.

    Attributes
    ----------
    baseline : tuple of Tensor
        The module's arguments with another token in the place of each that is not special.
    place : int
        Which argument holds the token ids.
    word : ndarray of int, shape (tokens,)
        Which word a token belongs to; -1 for special ones.
    described : str
        The baseline, in words.
    """

    baseline: tuple[Tensor, ...]
    place: int
    word: np.ndarray
    described: str

    def by_word(self, attributions: np.ndarray, words: int) -> np.ndarray:
        """Sum the attributions of tokens by their words."""
        of_word = self.word >= 0
        return np.bincount(self.word[of_word], weights=attributions[of_word], minlength=words)


def tokens_of(words: Words, preprocessing: TextPreprocessing, tensors: tuple[Tensor, ...]) -> Tokens:
    """Find the words among the tokens, and put the baseline's token in their place.

    Parameters
    ----------
    words : Words
    preprocessing : TextPreprocessing
    tensors : tuple of Tensor
        The module's arguments for this text.

    Raises
    ------
    InvalidInput
        If the tokens cannot be found in the text again, or the baseline is no token.
    """
    tokenizer = Tokenizer.from_str(preprocessing.tokenizer)
    direction = (tokenizer.truncation or {}).get("direction", "right").lower()
    padding = (tokenizer.padding or {}).get("pad_id", 0)
    tokenizer.no_padding()
    tokenizer.enable_truncation(preprocessing.max_length, direction=direction)
    encoding = tokenizer.encode(words.text)
    place = list(preprocessing.arguments.values()).index("ids")
    if tensors[place][0].tolist() != encoding.ids:
        raise InvalidInput(
            "The tokens of this text cannot be found in it again.", hint="Shorten it, or use --method kernel_shap."
        )
    token = padding if words.token is None else tokenizer.token_to_id(words.token)
    if token is None:
        raise InvalidInput(
            f"'{words.token}' is no token of the model.", hint="Leave --baseline out, or use --method kernel_shap."
        )
    ends = np.array([stop for _, stop in words.spans])
    last = len(ends) - 1
    found = [
        -1 if special else min(int(np.searchsorted(ends, start, side="right")), last)
        for (start, _), special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    ]
    word = np.array(found)
    ids = tensors[place].clone()
    ids[0, torch.from_numpy(word >= 0)] = token
    baseline = tuple(ids if index == place else tensor for index, tensor in enumerate(tensors))
    return Tokens(baseline, place, word, f"{tokenizer.id_to_token(token)} for each token")
