"""Package a module that takes token ids into a bundle that takes raw text."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from maas_jupyter.errors import InvalidInput
from maas_jupyter.packaging import export
from maas_jupyter.packaging.package import Packaged, Rows, package_rows
from maas_jupyter.schema import Task, TensorSpec, TextInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Part = Literal["ids", "mask", "types"]

#: What an argument of this name takes.
_ARGUMENTS: dict[str, Part] = {
    "ids": "ids",
    "input_ids": "ids",
    "token_ids": "ids",
    "tokens": "ids",
    "mask": "mask",
    "attention_mask": "mask",
    "types": "types",
    "token_type_ids": "types",
}
_TOKENIZER_FILE = "tokenizer.json"
_ROWS = 16


class MeanPooling(nn.Module):
    """A transformers encoder that answers each text with the mean of its tokens' last hidden states.

    Parameters
    ----------
    encoder : transformers.PreTrainedModel
        Gives ``last_hidden_state``.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return FP32 ``(rows, hidden)`` for INT64 ``(rows, tokens)``; padding counts for nothing."""
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)


class Logits(nn.Module):
    """A transformers model with a head (``AutoModelForSequenceClassification``) that answers with its logits alone.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Gives ``logits``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return ``(rows, classes)`` for INT64 ``(rows, tokens)``."""
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def package_text(
    model: nn.Module,
    texts: Sequence[str],
    tokenizer: Tokenizer | Path | Any,
    folder: Path,
    *,
    max_length: int,
    task: Task,
    labels: list[str | int] | None = None,
    name: str = "text",
) -> Packaged:
    """Make a bundle, in an empty folder, that takes raw text.

    Parameters
    ----------
    model : torch.nn.Module
        Its arguments are INT64 ``(rows, tokens)``: ``input_ids``, and after them ``attention_mask`` and
        ``token_type_ids`` where it takes them. Wrap a transformers model in `Logits` or `MeanPooling`.
    texts : sequence of str
        Real texts for the export and its validation; some are enough.
    tokenizer : tokenizers.Tokenizer, Path or transformers tokenizer
        The one that the model was trained with, or its ``tokenizer.json``.
    folder : Path
        Existing and empty; holds the bundle afterwards.
    max_length : int
        The most tokens of a text, special ones included; what is longer is truncated.
    task, labels
        As for `package`.
    name : str
        What the signature's input is called.

    Returns
    -------
    Packaged

    Raises
    ------
    ExportError
        If the model cannot be exported, its export computes something else, or its answer for a text hangs on how far
        that is padded.
    InvalidInput
        If the tokenizer, the module's arguments or its output are not what is expected.
    """
    from maas_jupyter.serving.inputs.text import TextPreprocessor

    tensors = _arguments(model)
    declared = TextInput(tensors=tensors, max_length=max_length)
    definition = _definition(tokenizer)
    sent = np.array(_chosen(texts, max_length), dtype=object)
    arrays = TextPreprocessor(name, declared, definition)(sent)
    if next(iter(arrays.values())).shape[1] < 2:
        raise InvalidInput("No text has two tokens.", hint="Pass real texts, and max_length as the model was trained.")
    axes = {**export.only_rows(1)[0], 1: torch.export.Dim("tokens", max=max_length)}
    rows = Rows(
        sent={name: sent},
        signature=[TensorSpec(name, "BYTES", [-1])],
        tensors=tuple(torch.from_numpy(arrays[argument]) for argument in tensors),
        names=list(tensors),
        axes=tuple(axes for _ in tensors),
        preprocessing={name: declared},
        files={_TOKENIZER_FILE: definition},
    )
    return package_rows(model, rows, folder, task=task, labels=labels)


def _arguments(model: nn.Module) -> dict[str, Part]:
    """Say what the leading arguments of ``forward`` take."""
    found: dict[str, Part] = {}
    parameters = [
        parameter
        for parameter in inspect.signature(model.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    for parameter in parameters:
        if parameter.name not in _ARGUMENTS:
            break
        found[parameter.name] = _ARGUMENTS[parameter.name]
    if not found and len(parameters) == 1:
        found[parameters[0].name] = "ids"
    if "ids" not in found.values() or len(set(found.values())) != len(found):
        raise InvalidInput(
            f"It is not clear what the arguments of {type(model).__name__}.forward take: "
            f"{', '.join(parameter.name for parameter in parameters) or 'there are none'}.",
            hint="Call them input_ids, attention_mask and token_type_ids, in any order and before all others.",
        )
    return found


def _definition(tokenizer: Any) -> str:
    """Return a tokenizer as the contents of its ``tokenizer.json``."""
    if isinstance(tokenizer, Path):
        if not tokenizer.is_file():
            raise InvalidInput(f"There is no file {tokenizer}.", hint="Pass the path of a tokenizer.json.")
        return tokenizer.read_text(encoding="utf-8")
    # transformers' tokenizers carry the one of the library `tokenizers`.
    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(fast, "to_str"):
        raise InvalidInput(
            f"A {type(tokenizer).__name__} is not a tokenizer that the server can run.",
            hint="Pass a tokenizers.Tokenizer, the path of a tokenizer.json, or a fast tokenizer of transformers.",
        )
    return str(fast.to_str())


def _chosen(texts: Sequence[str], max_length: int) -> list[str]:
    """Return some texts, the shortest first, and a last one that is longer than the model takes."""
    words = " ".join(texts).split()
    if not words:
        raise InvalidInput("There are no texts.", hint="Pass some that are like those that the model will get.")
    whole = " ".join(words * (max_length // len(words) + 1))
    return [*sorted((text for text in texts[:_ROWS] if text.strip()), key=len), whole]
