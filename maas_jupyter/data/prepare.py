"""From raw rows to the tensors of a module: what is decided on the training rows and done to all others."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct
from torch import Tensor, nn

from maas_jupyter.data.adapt import finite_or_refuse
from maas_jupyter.data.batches import Data, LoaderData, TensorData
from maas_jupyter.data.image import ImagePreprocessing, fit_images
from maas_jupyter.data.labels import Label, Targets, class_weights, infer_targets
from maas_jupyter.data.source import ImageSource, LoaderSource, Source, TableSource, TensorSource, TextSource
from maas_jupyter.data.table import Encoding, TablePreprocessing, fit_table
from maas_jupyter.data.text import TextPreprocessing, fit_text
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.schema import UNREADABLE, Task, decoder


class TensorPreprocessing(Struct, frozen=True, kw_only=True, tag="tensors"):
    """Nothing: arrays and loaders go to the module as they are."""

    def source(self, source: Source) -> Source:
        """Return arrays or a loader.

        Raises
        ------
        InvalidInput
            If the source holds something else.
        """
        if not isinstance(source, TensorSource | LoaderSource):
            raise InvalidInput(
                f"'{source.name}' holds {source.form}, but the model was trained with tensors.",
                hint="Pass (X, y) arrays in the shape that the model was trained on.",
            )
        return source

    def tensors(self, source: Source) -> tuple[Tensor, ...]:
        """Return the module's arguments.

        Raises
        ------
        InvalidInput
            If they hold NaN or infinity (says in which columns), or are in a loader.
        """
        if not isinstance(source, TensorSource):
            source.raw()
        assert isinstance(source, TensorSource)
        finite_or_refuse(source.inputs, source.name)
        return source.inputs

    def data(self, source: Source, targets: Tensor | None) -> Data:
        """Return the rows with their targets."""
        if isinstance(source, LoaderSource):
            return LoaderData(source.loader)
        inputs = self.tensors(source)
        return TensorData(inputs, None if targets is None else targets.to(inputs[0].device))


Preprocessing = TensorPreprocessing | TablePreprocessing | TextPreprocessing | ImagePreprocessing


def encode_preprocessing(preprocessing: Preprocessing) -> bytes:
    """Return it as JSON."""
    return msgspec.json.encode(preprocessing)


def decode_preprocessing(data: bytes) -> Preprocessing:
    """Return what was encoded.

    Raises
    ------
    InvalidInput
        If it is something else.
    """
    try:
        decoded: Preprocessing = decoder(Preprocessing).decode(data)
    except UNREADABLE as error:
        raise InvalidInput(
            f"This is no preprocessing of data: {error}", hint="It may have been cut or edited."
        ) from error
    return decoded


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Rows ready for a module, and how they became so.

    Attributes
    ----------
    data : Data
        Batches of tensors for the module, with encoded targets.
    source : Source
        The raw rows; a table has its columns in the order and of the kinds that the signature has.
    preprocessing : Preprocessing
        What was decided on the training rows.
    task : {'classification', 'regression', 'tensor'}
        ``tensor`` where there are no targets.
    labels : list or None
        What the classes are called, in the order of their indices; None where they are called by these.
    notes : list of str
        What was inferred, in words.
    meaning : Targets
        How raw targets become tensors.
    """

    data: Data
    source: Source
    preprocessing: Preprocessing
    task: Task
    labels: list[Label] | None
    notes: list[str]
    meaning: Targets

    def like(self, other: Source) -> Prepared:
        """Return other rows, such as those for validation, with the same preprocessing and the same classes.

        Raises
        ------
        InvalidInput
            If they are of another form, lack a column, or have a target that is no known class.
        """
        source = self.preprocessing.source(other)
        return _prepared(source, self.preprocessing, self.meaning, [*other.notes])

    def in_column(self) -> Prepared:
        """Return the same rows with numbers to predict in a column, ``(rows, 1)``, as a layer of one output answers."""
        return _prepared(self.source, self.preprocessing, dataclasses.replace(self.meaning, column=True), self.notes)

    @property
    def features(self) -> int | None:
        """Numbers in a row of the module's first argument, where a row is a list of numbers."""
        if isinstance(self.preprocessing, TablePreprocessing):
            return self.preprocessing.features
        if isinstance(self.preprocessing, TensorPreprocessing):
            first = self.data.head(1).inputs[0]
            return first.shape[1] if first.ndim == 2 else None
        return None

    @property
    def classes(self) -> int | None:
        """Outputs that a classifier needs; of a loader None."""
        if self.task != "classification":
            return None
        if self.labels is not None:
            return len(self.labels)
        targets = self.data.targets
        return None if targets is None else int(targets.max()) + 1

    def class_weights(self) -> Tensor:
        """Return FP32 ``(classes,)``: weights that let each class count the same in a loss.

        Raises
        ------
        InvalidInput
            If the targets are not classes, or not in memory.
        """
        if self.classes is None or self.data.targets is None:
            raise InvalidInput(
                f"There are no class weights for '{self.source.name}': its targets are not classes held in memory.",
                hint="Give the loss its weights: nn.CrossEntropyLoss(weight=...).",
            )
        return class_weights(self.data.targets, self.classes)


def prepare(
    source: Source,
    module: nn.Module | None = None,
    *,
    task: Task | None = None,
    labels: Sequence[Label] | None = None,
    tokenizer: Any = None,
    max_length: int | None = None,
    image_size: int | Sequence[int] | None = None,
    encode: Encoding | None = None,
    class_count: int | None = None,
) -> Prepared:
    """Decide on the training rows what is made of them, and do it.

    Parameters
    ----------
    source : Source
        The training rows.
    module : torch.nn.Module, optional
        Says how it takes a table (its ``forward`` of two arguments: numbers and indices), texts and images.
    task : {'classification', 'regression'}, optional
        Inferred from the targets where not given: texts and booleans are classes, floats numbers to predict, integers
        classes except where many of them in a table are different (`labels.are_classes`).
    labels : sequence of str or int, optional
        The classes in the order of the model's outputs, or names for them.
    tokenizer : object, optional
        For texts; the module's own attribute ``tokenizer`` where not given.
    max_length : int, optional
        The most tokens of a text.
    image_size : int or (height, width), optional
        What images are resized to.
    encode : {'one-hot', 'indices'}, optional
        How a table's categories reach the module, whatever its ``forward`` looks like.
    class_count : int, optional
        How many outputs the model has; integers of a table below it are taken for indices of these.

    Returns
    -------
    Prepared

    Raises
    ------
    InvalidInput
        If the rows cannot be prepared, or there is one class only; names the place.
    UsageError
        If an option is for another form of data.
    """
    for option, value, form in (
        ("tokenizer", tokenizer, "text"),
        ("max_length", max_length, "text"),
        ("image_size", image_size, "images"),
        ("encode", encode, "table"),
    ):
        if value is not None and source.form != form:
            raise UsageError(f"{option} is for {form}, but '{source.name}' holds {source.form}.", hint="Leave it out.")
    notes: list[str] = []
    preprocessing: Preprocessing
    if isinstance(source, TableSource):
        preprocessing, notes = fit_table(source, encode or _encoding(module, source))
    elif isinstance(source, TextSource):
        preprocessing, notes = fit_text(source, module, tokenizer=tokenizer, max_length=max_length)
    elif isinstance(source, ImageSource):
        preprocessing, notes = fit_images(source, module, image_size=image_size)
    else:
        preprocessing = TensorPreprocessing()
    if isinstance(source, LoaderSource):
        meaning = _of_loader(source, task, labels)
    else:
        meaning = infer_targets(source, task=task, labels=labels, class_count=class_count)
    source = preprocessing.source(source)
    return _prepared(source, preprocessing, meaning, [*source.notes, *meaning.notes, *notes])


def _prepared(source: Source, preprocessing: Preprocessing, meaning: Targets, notes: list[str]) -> Prepared:
    targets = None if isinstance(source, LoaderSource) else meaning.tensor(source)
    return Prepared(
        data=preprocessing.data(source, targets),
        source=source,
        preprocessing=preprocessing,
        task=meaning.task,
        labels=None if meaning.labels is None else list(meaning.labels),
        notes=notes,
        meaning=meaning,
    )


def _of_loader(source: LoaderSource, task: Task | None, labels: Sequence[Label] | None) -> Targets:
    head = LoaderData(source.loader).head(8)
    finite_or_refuse(head.inputs, source.name)
    given = None if labels is None else tuple(labels)
    if head.targets is None:
        return Targets(task or "tensor", labels=given)
    found: Task = "regression" if head.targets.is_floating_point() else "classification"
    if task not in (None, found):
        raise InvalidInput(
            f"The targets of '{source.name}' are {str(head.targets.dtype)[6:]}, which is no {task}.",
            hint="Let the dataset give integers for classes and floats for numbers to predict.",
        )
    return Targets(found, labels=given, notes=(f"task: {found} (the targets are {str(head.targets.dtype)[6:]})",))


def _encoding(module: nn.Module | None, source: TableSource) -> Encoding:
    if module is None:
        return "one-hot"
    needed = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
    ]
    if len(needed) < 2:
        return "one-hot"
    kinds = {values.dtype == object for values in source.columns.values()}
    if len(needed) > 2 or len(kinds) < 2:
        has = "numbers and categories" if len(kinds) == 2 else "categories alone" if True in kinds else "numbers alone"
        raise InvalidInput(
            f"{type(module).__name__}.forward takes {', '.join(needed)}, but the table has {has}.",
            hint="Let it take one tensor of all features, or two: numbers, and indices of categories.",
        )
    return "indices"
