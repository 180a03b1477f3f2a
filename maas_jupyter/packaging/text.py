"""Package a module that takes token ids into a bundle that takes raw text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from maas_jupyter.data.text import text_arguments, tokenizer_definition
from maas_jupyter.errors import InvalidInput
from maas_jupyter.packaging import export
from maas_jupyter.packaging.package import Packaged, Rows, empty_folder, package_rows
from maas_jupyter.schema import Task, TensorSpec, TextInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TOKENIZER_FILE = "tokenizer.json"
_ROWS = 16


def package_text(
    model: nn.Module,
    texts: Sequence[str],
    tokenizer: Tokenizer | Path | str | Any,
    folder: Path | str,
    *,
    max_length: int,
    task: Task,
    labels: list[str | int] | None = None,
    name: str = "text",
) -> Packaged:
    """Make a bundle, in a folder of its own, that takes raw text.

    Parameters
    ----------
    model : torch.nn.Module
        Its arguments are INT64 ``(rows, tokens)``: ``input_ids``, and after them ``attention_mask`` and
        ``token_type_ids`` where it takes them. Wrap a transformers model in `Logits` or `MeanPooling`.
    texts : sequence of str
        Real texts for the export and its validation; some are enough.
    tokenizer : tokenizers.Tokenizer, transformers tokenizer, Path or str
        The one that the model was trained with, or the path of its ``tokenizer.json``.
    folder : Path or str
        As for `package`.
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

    target = empty_folder(folder)
    tensors = text_arguments(model)
    declared = TextInput(tensors=tensors, max_length=max_length)
    definition = tokenizer_definition(tokenizer)
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
    return package_rows(model, rows, target, task=task, labels=labels)


def _chosen(texts: Sequence[str], max_length: int) -> list[str]:
    """Return some texts, the shortest first, and a last one that is longer than the model takes."""
    words = " ".join(texts).split()
    if not words:
        raise InvalidInput("There are no texts.", hint="Pass some that are like those that the model will get.")
    whole = " ".join(words * (max_length // len(words) + 1))
    return [*sorted((text for text in texts[:_ROWS] if text.strip()), key=len), whole]
