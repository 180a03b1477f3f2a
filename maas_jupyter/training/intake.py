"""From what a user gives to what the loop takes: a module of one output, and batches of its tensors."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maas_jupyter.data import (
    Data,
    Prepared,
    Source,
    TablePreprocessing,
    TensorData,
    TextPreprocessing,
    as_source,
    prepare,
    shared_rows,
    split,
    telling_columns,
)
from maas_jupyter.data.text import most_tokens
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.language import LanguageIntake, LoraOptions, add_lora, has_stray_adapters
from maas_jupyter.modules import run_module
from maas_jupyter.pretrained import (
    CausalLogits,
    Logits,
    check_fit,
    is_causal,
    is_language_model,
    is_pretrained,
    load_pretrained,
    load_tokenizer,
    quiet,
    unwrapped,
)
from maas_jupyter.training import randomness
from maas_jupyter.training.builder import build, check_params, is_builder
from maas_jupyter.training.losses import Task
from maas_jupyter.training.rescale import rescaled, too_far

_LANGUAGE: Task = "text-generation"
_MAX_TOKENS = 512
#: Enough to see the shape of a model's answers.
_SEEN_ROWS = 8


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a user says about model and data, as the verbs take it."""

    target: str | None = None
    text: str | None = None
    task: str | None = None
    labels: list[str | int] | None = None
    tokenizer: Any = None
    max_length: int | None = None
    image_size: int | None = None
    lora: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is trained, on what.

    Attributes
    ----------
    module : torch.nn.Module
        What the loop trains; it answers with one tensor.
    name : str
        The class of what the user gave.
    data, val : Data
        Training and validation rows.
    prepared, held_out : Prepared or None
        The same with their raw rows; None for a language model.
    language : LanguageIntake or None
        How a language model takes its rows.
    task : {'classification', 'regression', 'text-generation'} or None
        None where only the batches of a loader will tell.
    params : dict
        Hyper-parameters of the builder, and what else a run is remembered with.
    notes : list of str
        What was decided, in words.
    warnings : list of str
        What looks wrong.
    """

    module: nn.Module
    name: str
    data: Data
    val: Data | None
    task: Task | None
    prepared: Prepared | None = None
    held_out: Prepared | None = None
    language: LanguageIntake | None = None
    params: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def classes(self) -> int | None:
        """How many classes the rows have; None for numbers, and where only the batches of a loader will tell."""
        return None if self.prepared is None or self.prepared.labels is None else self.prepared.classes

    def required(self) -> Prepared:
        """Return the prepared rows.

        Raises
        ------
        InvalidInput
            If there are none: it is a language model.
        """
        if self.prepared is None:
            raise InvalidInput("A language model has no rows of inputs and targets.", hint="Train it without --name.")
        return self.prepared


@randomness.kept(torch.device("cpu"))
def take_in(model: Any, data: Any, val: Any, asked: Asked) -> Subject:
    """Make what the loop takes.

    Parameters
    ----------
    model : torch.nn.Module, callable, str or Path
        A module, a model of transformers, a builder (`builder.build`), or the folder or hub id of a model.
    data : object
        Training rows in any form (`as_source`); for a language model texts or conversations (`language_rows`).
    val : object, float or None
        Validation rows, or the share of the training rows that is taken for them.
    asked : Asked

    Raises
    ------
    InvalidInput
        If model and data do not fit each other.
    UsageError
        If an option is for something else.
    """
    model = chosen(model, asked.task)
    if is_language_model(model):
        return _language(model, data, val, asked)
    if asked.lora is not None:
        raise UsageError("--lora is for causal language models.", hint="Leave it out; all weights are trained then.")
    if asked.task not in (None, "classification", "regression"):
        raise UsageError(
            f"There is no task called '{asked.task}' for this model.", hint="Use classification or regression."
        )
    rows, held, notes, warnings = take_apart(data, val, asked)
    module, prepared, decided = fit_module(model, rows, asked)
    held_out = None if held is None else prepared.like(held)
    if held_out is not None and isinstance(prepared.preprocessing, TablePreprocessing):
        decided += [f"validation: {each}" for each in prepared.preprocessing.unknown_values(held_out.source)]
    return Subject(
        module=module,
        name=name_of(model),
        data=prepared.data,
        val=None if held_out is None else held_out.data,
        task=None if prepared.task == "tensor" else prepared.task,
        prepared=prepared,
        held_out=held_out,
        params=dict(asked.params),
        notes=[*prepared.notes, *notes, *decided],
        warnings=warnings,
    )


def take_apart(data: Any, val: Any, asked: Asked) -> tuple[Source, Source | None, list[str], list[str]]:
    """Return training and validation rows, notes and warnings."""
    rows = as_source(data, target=asked.target, text=asked.text, name="data")
    if rows.form != "loader" and rows.targets() is None:
        how = "Name the column to predict: --target COLUMN" if rows.form == "table" else "Pass (X, y) instead of X."
        raise InvalidInput("'data' has no targets, only inputs.", hint=how)
    notes: list[str] = []
    warnings = [
        f"column '{column}' alone tells the target: where new rows do not have it, what is measured here says nothing "
        "about them"
        for column in telling_columns(rows)
    ]
    if val is None:
        return rows, None, notes, warnings
    if isinstance(val, int | float) and not isinstance(val, bool):
        rows, held = split(rows, _share(val), seed=asked.seed)
        notes.append(f"{held.rows:,} rows for validation, {rows.rows:,} for training")
        return rows, held, notes, warnings
    held = as_source(val, target=asked.target, text=asked.text, name="val")
    if rows.form == held.form and rows.form != "loader":
        shared = shared_rows(held, rows)
        if shared:
            warnings.append(
                f"{shared:,} of the {held.rows:,} validation rows are training rows too: what is measured on them says "
                "nothing about new rows"
            )
    return rows, held, notes, warnings


def _share(val: float) -> float:
    if not 0 < val < 1:
        raise UsageError(f"--val is {val}, no share of the rows.", hint="Write --val 0.2, or name validation rows.")
    return float(val)


def chosen(model: Any, task: str | None) -> Any:
    """Return what is meant by a path, a hub id or what a run holds; a causal language model is loaded at once.

    Raises
    ------
    UsageError
        If it is a mere word: more likely a misspelt variable than a model of the hub, which would be asked for long.
    InvalidInput
        If there is no such model.
    """
    if isinstance(model, str) and re.fullmatch(r"[\d.]+|[^\W\d]\w*", model) and not Path(model).exists():
        raise UsageError(
            f"'{model}' is not a torch module, nor the folder of a model.",
            hint="Name the variable that holds it: %maas train net --data train."
            + (f" A model of the hub is written OWNER/{model}." if model.isidentifier() else ""),
        )
    if isinstance(model, str | Path):
        if task == _LANGUAGE or (task is None and is_causal(model)):
            return load_pretrained(model)
        return _Named(str(model))
    return unwrapped(model)


def fit_module(model: Any, rows: Source, asked: Asked) -> tuple[nn.Module, Prepared, list[str]]:
    """Return the module, the rows prepared for it, and notes about the two."""
    options: dict[str, Any] = {
        "labels": asked.labels,
        "task": asked.task,
        "max_length": asked.max_length,
        "image_size": asked.image_size,
        "tokenizer": _tokenizer(model, rows, asked.tokenizer),
    }
    if isinstance(model, nn.Module):
        check_params(model, asked.params)
    if isinstance(model, nn.Module) and not is_pretrained(model):
        prepared = _like_answers(model, prepare(rows, model, class_count=_width(model), **options))
        return model, prepared, too_far(model, prepared)
    if isinstance(model, nn.Module):
        config: Any = model.config
        outputs: int = config.num_labels
        if outputs == 1 and options["task"] is None:
            # What transformers takes for a regression too.
            options["task"] = "regression"
        module: nn.Module = Logits(model)
        prepared = prepare(rows, module, class_count=outputs, **options)
        _check_tokens(module, prepared)
        prepared = _like_answers(module, prepared)
        return module, prepared, too_far(module, prepared)
    prepared = prepare(rows, **options)
    module = fresh_module(model, prepared, asked.params, asked.seed)
    if rows.form not in ("tensors", "loader"):
        # Only now it is known which tensors the module takes.
        prepared = prepare(rows, module, **options)
    prepared = _like_answers(module, prepared)
    if is_builder(model):
        module, notes = rescaled(module, prepared)
        return module, prepared, notes
    _check_tokens(module, prepared)
    return module, prepared, too_far(module, prepared)


def _like_answers(module: nn.Module, prepared: Prepared) -> Prepared:
    """Return the rows with numbers to predict in a column where they are ``(rows,)`` and the answers ``(rows, 1)``."""
    targets = prepared.data.targets if isinstance(prepared.data, TensorData) else None
    if prepared.task != "regression" or targets is None or targets.ndim != 1:
        return prepared
    head = prepared.data.head(_SEEN_ROWS)
    return prepared.in_column() if run_module(module, head).shape == (len(head), 1) else prepared


def fresh_module(model: Any, prepared: Prepared, params: Mapping[str, Any], seed: int) -> nn.Module:
    """Make a module by its builder or its name, the same for the same seed; of a module a copy.

    Raises
    ------
    UsageError
        If nothing can be made of it, or hyper-parameters do not fit the builder.
    InvalidInput
        If the builder fails, or the model cannot be loaded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if is_builder(model):
            made = build(model, prepared, params)
            return Logits(made) if is_pretrained(made) else made
        check_params(model, params)
        if isinstance(model, _Named):
            outputs = 1 if prepared.task == "regression" else prepared.classes
            return Logits(load_pretrained(model.source, outputs=outputs))
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"A {type(model).__name__} is neither a torch module nor makes one.",
            hint="Name the variable that holds it: %maas train net --data train",
        )
    copied = copy.deepcopy(model)
    return Logits(copied) if is_pretrained(copied) else copied


def _check_tokens(module: nn.Module, prepared: Prepared) -> None:
    """Check that the tokenizer and the length of texts are for the model."""
    preprocessing = prepared.preprocessing
    if isinstance(module, Logits) and isinstance(preprocessing, TextPreprocessing):
        from tokenizers import Tokenizer

        check_fit(module.model, Tokenizer.from_str(preprocessing.tokenizer).get_vocab_size(), preprocessing.max_length)


def _tokenizer(model: Any, rows: Source, given: Any) -> Any:
    if given is None and rows.form == "text" and (isinstance(model, _Named) or is_pretrained(model)):
        return load_tokenizer(model.source if isinstance(model, _Named) else model)
    if isinstance(given, str | Path) and not Path(given).is_file():
        return load_tokenizer(given)
    return given


def name_of(model: Any) -> str:
    """Return what a run is called whose model has no name."""
    if isinstance(model, _Named):
        return Path(model.source).name
    if is_pretrained(model) and model.name_or_path:
        return Path(model.name_or_path).name
    return str(getattr(model, "__name__", None) or type(model).__name__)


def _width(module: nn.Module) -> int | None:
    """Return the outputs of a module whose last layer is a linear one; None where that is not known."""
    last = [child for child in module.modules() if isinstance(child, nn.Linear)]
    children = list(module.children())
    return last[-1].out_features if last and children and children[-1] is last[-1] else None


def _language(model: Any, data: Any, val: Any, asked: Asked) -> Subject:
    for option in ("target", "labels", "image_size"):
        if getattr(asked, option) is not None:
            raise UsageError(f"--{option.replace('_', '-')} is not for a language model.", hint="Leave it out.")
    check_params(model, asked.params)
    if asked.lora is None and has_stray_adapters(model):
        raise UsageError(
            "The model has the adapters of another training, and its own weights are frozen.",
            hint="To train these on, pass that run; for new ones add --lora; to train it whole, load it anew.",
        )
    tokenizer = asked.tokenizer
    if tokenizer is None or isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(tokenizer or model)
    positions = most_tokens(model)
    longest = asked.max_length or min(positions or _MAX_TOKENS, _MAX_TOKENS)
    check_fit(model, len(tokenizer), longest)
    intake = LanguageIntake(tokenizer, longest, asked.text)
    rows = intake(data)
    held = None
    notes = [f"language model: {rows.rows:,} rows of at most {longest} tokens, {rows.token_count:,} tokens learned"]
    warnings = []
    if rows.unlearned_rows:
        warnings.append(
            f"{rows.unlearned_rows:,} of the {rows.rows:,} rows teach nothing: their answer begins after {longest} "
            "tokens (--max-length)"
        )
    if isinstance(val, int | float) and not isinstance(val, bool):
        rows, held = rows.split(_share(val), seed=asked.seed)
        notes.append(f"{held.rows:,} rows for validation, {rows.rows:,} for training")
    elif val is not None:
        held = intake(val, name="val")
    name = name_of(model)
    if asked.lora is not None:
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(asked.seed)
            model = add_lora(model, LoraOptions.parse(asked.lora))
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        whole = sum(parameter.numel() for parameter in model.parameters())
        notes.append(f"LoRA: {trained:,} of {whole:,} weights are trained")
    params = {"lora": asked.lora} if asked.lora else {}
    module = CausalLogits(model)
    return Subject(
        module=module,
        name=name,
        data=rows,
        val=held,
        task=_LANGUAGE,
        language=intake,
        params=params,
        notes=notes,
        warnings=warnings,
    )


@dataclass(frozen=True)
class _Named:
    """A model that is loaded when its classes are known."""

    source: str
