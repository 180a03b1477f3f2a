"""Texts as token ids: tokenized once as the server does it, kept without padding, padded batch by batch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn

from maas_jupyter.data.batches import Batch, Data, batch_sizes
from maas_jupyter.data.source import Source, TextSource
from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import TextInput

if TYPE_CHECKING:
    from maas_jupyter.serving.inputs.text import Padding, TextPreprocessor

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
#: Texts that are tokenized at once, and batches among which texts of like length are looked for.
_CHUNK = 1024
_BATCHES_SORTED = 50
#: Where neither the tokenizer nor the model says how long texts may be.
_MAX_LENGTH = 512
_NO_LIMIT = 1_000_000


class TextPreprocessing(Struct, frozen=True, kw_only=True, tag="text"):
    """How texts become tokens.

    Attributes
    ----------
    arguments : dict of str to {'ids', 'mask', 'types'}
        The module's arguments in their order, each INT64 ``(rows, tokens)``.
    max_length : int
        The most tokens of a text, special ones included.
    tokenizer : str
        Contents of its ``tokenizer.json``.
    """

    arguments: dict[str, Part]
    max_length: int
    tokenizer: str

    @property
    def declared(self) -> TextInput:
        """What the bundle's manifest says of it."""
        return TextInput(tensors=dict(self.arguments), max_length=self.max_length)

    def source(self, source: Source) -> TextSource:
        """Return the texts.

        Raises
        ------
        InvalidInput
            If the source holds something else.
        """
        if not isinstance(source, TextSource):
            raise InvalidInput(f"'{source.name}' holds {source.form}, not texts.", hint="Pass texts, or name text=.")
        return source

    def tensors(self, source: Source) -> tuple[Tensor, ...]:
        """Return the module's arguments for all rows, padded to the longest.

        Raises
        ------
        InvalidInput
            If a text has no token; names the row.
        """
        return self.data(source, None).head(source.rows or 0).inputs

    def data(self, source: Source, targets: Tensor | None) -> TokenData:
        """Return the rows with their encoded targets."""
        from maas_jupyter.serving.inputs.text import TextPreprocessor

        texts = self.source(source).texts
        declared = TextInput(tensors={"ids": "ids", "mask": "mask", "types": "types"}, max_length=self.max_length)
        preprocessor = TextPreprocessor("text", declared, self.tokenizer)
        ids, types, lengths = [], [], []
        for start in range(0, len(texts), _CHUNK):
            made = _tokenized(preprocessor, texts[start : start + _CHUNK], start, source.name)
            real = made["mask"] > 0
            lengths.append(real.sum(axis=1))
            ids.append(made["ids"][real])
            types.append(made["types"][real])
        return TokenData(
            list(self.arguments.values()),
            ids=torch.from_numpy(np.concatenate(ids)),
            types=torch.from_numpy(np.concatenate(types)),
            lengths=torch.from_numpy(np.concatenate(lengths)),
            padding=preprocessor.padding,
            targets=targets,
        )


class TokenData(Data):
    """Tokenized texts of their own lengths; a batch is padded to its longest text, as the server pads it.

    Parameters
    ----------
    parts : list of {'ids', 'mask', 'types'}
        What each input of a batch is.
    ids, types : Tensor, INT64 (tokens of all texts,)
    lengths : Tensor, INT64 (rows,)
    padding : Padding
        What is put where a text ends.
    targets : Tensor or None
    """

    def __init__(
        self,
        parts: list[Part],
        *,
        ids: Tensor,
        types: Tensor,
        lengths: Tensor,
        padding: Padding,
        targets: Tensor | None,
    ) -> None:
        self._parts = parts
        self._tokens: dict[Part, Tensor] = {"ids": ids, "types": types}
        self._padding = padding
        self.lengths = lengths
        self._starts = lengths.cumsum(0) - lengths
        self.rows: int = len(lengths)
        self.targets = targets

    def batches(self, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Walk over all rows; in a random order texts of like length come in one batch, which saves padding."""
        if generator is None:
            for start in range(0, self.rows, batch_size):
                yield self._batch(torch.arange(start, min(start + batch_size, self.rows)))
            return
        for rows in self._grouped(batch_size, generator):
            yield self._batch(rows)

    def batch_count(self, batch_size: int) -> int:
        """Return the number of batches."""
        return -(-self.rows // batch_size)

    def _grouped(self, batch_size: int, generator: torch.Generator) -> list[Tensor]:
        order = torch.randperm(self.rows, generator=generator)
        sizes = batch_sizes(self.rows, batch_size)
        groups: list[Tensor] = []
        start = 0
        for first in range(0, len(sizes), _BATCHES_SORTED):
            part = sizes[first : first + _BATCHES_SORTED]
            rows = order[start : start + sum(part)]
            start += len(rows)
            groups.extend(rows[self.lengths[rows].argsort(stable=True)].split(part))
        return [groups[place] for place in torch.randperm(len(groups), generator=generator).tolist()]

    def _batch(self, rows: Tensor) -> Batch:
        lengths = self.lengths[rows]
        width = int(lengths.max())
        places = torch.arange(width)
        if self._padding.left:
            offsets = places - (width - lengths).unsqueeze(1)
            mask = offsets >= 0
        else:
            offsets = places.expand(len(rows), -1)
            mask = offsets < lengths.unsqueeze(1)
        taken = (self._starts[rows].unsqueeze(1) + offsets)[mask]
        fill = {"ids": self._padding.ids, "types": self._padding.types}
        made: dict[Part, Tensor] = {"mask": mask.long()}
        for part in self._parts:
            if part != "mask":
                padded = torch.full((len(rows), width), fill[part], dtype=torch.int64)
                padded[mask] = self._tokens[part][taken]
                made[part] = padded
        return Batch(tuple(made[part] for part in self._parts), None if self.targets is None else self.targets[rows])


def fit_text(
    source: TextSource, module: nn.Module | None, *, tokenizer: Any, max_length: int | None
) -> tuple[TextPreprocessing, list[str]]:
    """Decide how texts become tokens.

    Parameters
    ----------
    source : TextSource
        The training rows.
    module : torch.nn.Module, optional
        Its arguments say which tensors it takes; it may carry the tokenizer as ``tokenizer``.
    tokenizer : object, optional
        A fast tokenizer of transformers, a ``tokenizers.Tokenizer``, or the path of a ``tokenizer.json``.
    max_length : int, optional
        The most tokens of a text; what the tokenizer and the model's configuration say where it is not given, else 512.

    Returns
    -------
    preprocessing : TextPreprocessing
    notes : list of str

    Raises
    ------
    InvalidInput
        If there is no tokenizer, or it is not clear what the module's arguments take.
    """
    tokenizer = tokenizer if tokenizer is not None else getattr(module, "tokenizer", None)
    if tokenizer is None:
        raise InvalidInput(
            f"'{source.name}' holds texts, and there is no tokenizer to make tokens of them.",
            hint="Name the one that the model was made for, --tokenizer TOKENIZER, or keep it as model.tokenizer.",
        )
    definition = tokenizer_definition(tokenizer)
    arguments: dict[str, Part] = {"input_ids": "ids", "attention_mask": "mask"}
    if module is not None:
        arguments = text_arguments(module)
    limit = max_length or _max_length(tokenizer, definition, module)
    notes = [f"texts: up to {limit} tokens, longer ones are cut; the module takes {', '.join(arguments)}"]
    return TextPreprocessing(arguments=arguments, max_length=limit, tokenizer=definition), notes


def text_arguments(model: nn.Module) -> dict[str, Part]:
    """Say what the leading arguments of ``forward`` take.

    Raises
    ------
    InvalidInput
        If their names do not tell.
    """
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


def tokenizer_definition(tokenizer: Any) -> str:
    """Return a tokenizer as the contents of its ``tokenizer.json``.

    Raises
    ------
    InvalidInput
        If it is none that the server can run.
    """
    if isinstance(tokenizer, str | Path):
        path = Path(tokenizer)
        path = path / "tokenizer.json" if path.is_dir() else path
        if not path.is_file():
            raise InvalidInput(f"There is no file {path}.", hint="Pass the path of a tokenizer.json.")
        return path.read_text(encoding="utf-8")
    # transformers' tokenizers carry the one of the library `tokenizers`.
    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(fast, "to_str"):
        raise InvalidInput(
            f"A {type(tokenizer).__name__} is not a tokenizer that the server can run.",
            hint="Pass a tokenizers.Tokenizer, the path of a tokenizer.json, or a fast tokenizer of transformers.",
        )
    return str(fast.to_str())


def most_tokens(module: nn.Module) -> int | None:
    """Return how many tokens of a text a model of transformers has positions for; None where it does not say."""
    # A wrapper such as `Logits` holds the model whose configuration it is.
    configurations = [getattr(part, "config", None) for part in module.modules()]
    positions = [getattr(configuration, "max_position_embeddings", None) for configuration in configurations]
    known = [count for count in positions if isinstance(count, int) and count > 0]
    # RoBERTa and its kin count positions from behind the one of padding: those up to it hold no token.
    for name, part in module.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, nn.Embedding) and part.padding_idx is not None:
            known.append(part.num_embeddings - part.padding_idx - 1)
    return min(known, default=None)


def _max_length(tokenizer: Any, definition: str, module: nn.Module | None) -> int:
    import json

    truncation = json.loads(definition).get("truncation") or {}
    positions = most_tokens(module) if module is not None else None
    limits = [getattr(tokenizer, "model_max_length", None), truncation.get("max_length"), positions]
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < _NO_LIMIT]
    return min(known, default=_MAX_LENGTH)


def _tokenized(preprocessor: TextPreprocessor, texts: np.ndarray, start: int, name: str) -> dict[str, np.ndarray]:
    try:
        return preprocessor(texts)
    except InvalidInput:
        for row, text in enumerate(texts):
            try:
                preprocessor(np.array([text], dtype=object))
            except InvalidInput as error:
                raise InvalidInput(
                    f"The text at row {start + row} of '{name}' cannot be tokenized: {text[:60]!r}. {error.message}",
                    hint="Leave it out, or give the tokenizer special tokens.",
                ) from error
        raise
