"""Models of transformers: loaded by path or hub id, and seen as modules that answer with one tensor."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from maas_jupyter.data.text import most_tokens
from maas_jupyter.errors import InvalidInput, MissingDependency, UsageError

_CAUSAL = ("ForCausalLM", "LMHeadModel")


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


class HiddenStates(nn.Module):
    """A transformers encoder that answers with its tokens' last hidden states.

    Parameters
    ----------
    encoder : transformers.PreTrainedModel
        Gives ``last_hidden_state``.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return ``(rows, tokens, hidden)`` for INT64 ``(rows, tokens)``."""
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden


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


class CausalLogits(nn.Module):
    """A causal language model of transformers that answers with its logits alone.

    Parameters
    ----------
    model : transformers.PreTrainedModel or peft.PeftModel
        Gives ``logits``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return FP32 ``(rows, tokens, vocabulary)`` for INT64 ``(rows, tokens)``."""
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
        return logits.float()


def is_causal(source: str | Path) -> bool:
    """Say whether a model's config says that it is a causal language model.

    Raises
    ------
    InvalidInput
        If there is no such model.
    """
    return any(name.endswith(_CAUSAL) for name in _config(str(source)).architectures or [])


def is_pretrained(model: Any) -> bool:
    """Say whether a value is a model of transformers (or one with adapters), without importing transformers."""
    return any(kind.__name__ in ("PreTrainedModel", "PeftModel") for kind in type(model).__mro__)


def is_language_model(model: Any) -> bool:
    """Say whether a value is a causal language model of transformers."""
    if not is_pretrained(model):
        return False
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return type(base).__name__.endswith(_CAUSAL)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and warnings out of a cell; those of a download from the hub are shown.

    What is worth saying is said in a run's notes.
    """
    from huggingface_hub import utils as hub
    from transformers.utils import logging

    level, shown, hub_silent = (
        logging.get_verbosity(),
        logging.is_progress_bar_enabled(),
        hub.are_progress_bars_disabled(),
    )
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if not hub_silent:
        hub.enable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
        if hub_silent:
            hub.disable_progress_bars()


def unwrapped(model: Any) -> Any:
    """Return the model of transformers in what a run holds; everything else as it is."""
    return model.model if isinstance(model, Logits | CausalLogits) else model


def load_pretrained(source: str | Path, *, outputs: int | None = None) -> nn.Module:
    """Load a model by its folder or its id on the hub. Code that comes with a model is never run.

    Parameters
    ----------
    source : str or Path
        A folder with ``config.json``, or an id such as ``distilbert-base-uncased``.
    outputs : int, optional
        Classes of a classification, 1 for a regression: a head of this size is put on, made anew where the stored one
        differs. Without it a model whose config says that it is a causal language model becomes one, and others keep
        the size of their head.

    Raises
    ------
    InvalidInput
        If there is no such model, or it needs code of its own.
    """
    transformers = _transformers()
    name = str(source)
    try:
        with quiet():
            if outputs is None and is_causal(name):
                return transformers.AutoModelForCausalLM.from_pretrained(name, trust_remote_code=False)
            return transformers.AutoModelForSequenceClassification.from_pretrained(
                name,
                num_labels=_config(name).num_labels if outputs is None else outputs,
                ignore_mismatched_sizes=True,
                trust_remote_code=False,
            )
    except (OSError, ValueError) as error:
        raise _not_loaded(name, error) from error


def load_tokenizer(source: Any) -> Any:
    """Return the fast tokenizer of a folder, a hub id, or of where a model was loaded from.

    Raises
    ------
    InvalidInput
        If there is none.
    """
    if not isinstance(source, str | Path):
        base = source.get_base_model() if hasattr(source, "get_base_model") else source
        source = getattr(base, "name_or_path", "")
    if not str(source):
        raise InvalidInput(
            "It is not known which tokenizer the model was trained with.", hint="Pass it: --tokenizer VARIABLE"
        )
    transformers = _transformers()
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"The tokenizer of '{source}' cannot be loaded: {str(error).strip().splitlines()[0]}",
            hint="Pass the one that the model was trained with: --tokenizer VARIABLE",
        ) from error
    if not tokenizer.is_fast:
        raise InvalidInput(
            f"The tokenizer of '{source}' has no fast version.", hint="Convert it to a tokenizer.json first."
        )
    return tokenizer


def saved_tokenizer(tokenizer: Any, model: Any) -> Any:
    """Return a tokenizer that can be saved beside a model: one of the library tokenizers is wrapped."""
    if hasattr(tokenizer, "save_pretrained"):
        return tokenizer
    pad = model.config.pad_token_id
    return _transformers().PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=None if pad is None else tokenizer.id_to_token(pad),
        model_max_length=most_tokens(model),
    )


def check_fit(model: Any, tokens: int, max_length: int) -> None:
    """Check that a model has a place for each token of a tokenizer, and positions for a length.

    Raises
    ------
    InvalidInput
        If the tokenizer has more tokens than the model.
    UsageError
        If the texts may be longer than the model takes.
    """
    known = model.get_input_embeddings().num_embeddings
    if tokens > known:
        raise InvalidInput(
            f"The tokenizer has {tokens:,} tokens, the model {known:,}.",
            hint=f"Pass the tokenizer that belongs to it, or model.resize_token_embeddings({tokens}).",
        )
    positions = most_tokens(model)
    if positions and max_length > positions:
        raise UsageError(
            f"--max-length is {max_length}, but the model takes {positions} tokens.", hint=f"At most {positions}."
        )


def _config(name: str) -> Any:
    transformers = _transformers()
    try:
        with quiet():
            return transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _not_loaded(name, error) from error


def _not_loaded(name: str, error: Exception) -> InvalidInput:
    said = str(error).strip().splitlines()[0]
    hint = "Give a variable that holds a model, the folder of one (with config.json), or its id on the hub."
    if "connect" in said:
        hint = "This machine does not reach the hub: give the folder of a model (with config.json), or a variable."
    return InvalidInput(f"The model '{name}' cannot be loaded: {said}", hint=hint)


def _transformers() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "Models of transformers need the package 'transformers'.", hint="pip install 'maas-jupyter[text]'"
        ) from error
    return transformers
