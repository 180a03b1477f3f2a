"""What a subject takes: how its raw rows look, and what stands for an absent value of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.data import ImagePreprocessing, Preprocessing, TablePreprocessing, TextPreprocessing
from maas_jupyter.data.source import Form, ImageSource, Kind, Source, TableSource, TensorSource, TextSource
from maas_jupyter.data.tensors import as_tensor
from maas_jupyter.explanation.subject import Raw
from maas_jupyter.schema import ImageInput, Signature, TextInput

_TEXT, _IMAGE = "text", "image"
_MEAN = "the training mean"
#: The constant of a table's graph that holds the means of its numbers, in the order of the signature.
_MEANS = "maas.table/mean"


@dataclass(frozen=True)
class Usual:
    """What stands for an absent value of a column where the user asks for nothing else, and what that is."""

    value: Any
    described: str


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What a subject takes.

    Attributes
    ----------
    form : {'tensors', 'table', 'text', 'images'}
    signature : Signature or None
        Of a bundle; its inputs' names and types.
    kinds : dict of str to {'number', 'text'}
        The columns of a table.
    usual : dict of str to Usual
        By column.
    tokenizer : str or None
        Contents of the ``tokenizer.json`` of texts.
    image : ImageInput or None
        What the model makes of images.
    """

    form: Form
    signature: Signature | None = None
    kinds: dict[str, Kind] = field(default_factory=dict)
    usual: dict[str, Usual] = field(default_factory=dict)
    tokenizer: str | None = None
    image: ImageInput | None = None

    @property
    def name(self) -> str:
        """The name of the only input of texts or images."""
        if self.signature is not None:
            return self.signature.inputs[0].name
        return _TEXT if self.form == "text" else _IMAGE


def intake_of(preprocessing: Preprocessing | None) -> Intake:
    """Say what a module takes with the preprocessing that it was trained with; None for tensors as they are."""
    if isinstance(preprocessing, TablePreprocessing):
        usual = {column.name: Usual(column.mean, _MEAN) for column in preprocessing.numbers}
        usual |= {column.name: _category(column.common) for column in preprocessing.categories}
        return Intake(form="table", kinds=preprocessing.kinds, usual=usual)
    if isinstance(preprocessing, TextPreprocessing):
        return Intake(form="text", tokenizer=preprocessing.tokenizer)
    if isinstance(preprocessing, ImagePreprocessing):
        return Intake(form="images", image=preprocessing.declared(_IMAGE))
    return Intake(form="tensors")


def intake_of_bundle(bundle: Bundle) -> Intake:
    """Say what a bundle takes."""
    manifest = bundle.manifest
    signature = manifest.signature
    if len(signature.inputs) == 1:
        declared = manifest.preprocessing.get(signature.inputs[0].name)
        if isinstance(declared, TextInput):
            tokenizer = (bundle.folder / declared.tokenizer).read_text(encoding="utf-8")
            return Intake(form="text", signature=signature, tokenizer=tokenizer)
        if isinstance(declared, ImageInput):
            return Intake(form="images", signature=signature, image=declared)
    if all(spec.shape == [-1] and spec.datatype in ("FP32", "BYTES") for spec in signature.inputs):
        kinds: dict[str, Kind] = {
            spec.name: "text" if spec.datatype == "BYTES" else "number" for spec in signature.inputs
        }
        return Intake(form="table", signature=signature, kinds=kinds, usual=_usual(bundle, kinds))
    return Intake(form="tensors", signature=signature)


def tensors_of(preprocessing: Preprocessing | None) -> Callable[[Raw], tuple[Tensor, ...]]:
    """Return what makes a module's arguments of raw rows."""

    def tensors(raw: Raw) -> tuple[Tensor, ...]:
        if preprocessing is None:
            return tuple(as_tensor(array, name) for name, array in raw.items())
        return preprocessing.tensors(_source(raw, preprocessing))

    return tensors


def _source(raw: Raw, preprocessing: Preprocessing) -> Source:
    if isinstance(preprocessing, TablePreprocessing):
        return TableSource(columns=raw, name="rows")
    if isinstance(preprocessing, TextPreprocessing):
        return TextSource(texts=raw[_TEXT], name="rows")
    if isinstance(preprocessing, ImagePreprocessing):
        return ImageSource(files=raw[_IMAGE], name="rows")
    return TensorSource(inputs=tuple(as_tensor(array, name) for name, array in raw.items()), name="rows")


def _usual(bundle: Bundle, kinds: dict[str, Kind]) -> dict[str, Usual]:
    """Read from the graph that `package_table` makes what stands for absent values; zeros where it is another one."""
    import onnx

    graph = onnx.load(bundle.folder / MODEL_FILE, load_external_data=False).graph
    means = next((onnx.numpy_helper.to_array(each) for each in graph.initializer if each.name == _MEANS), np.empty(0))
    common = {node.input[0]: node.doc_string for node in graph.node if node.op_type == "LabelEncoder"}
    usual = {name: _category(common.get(name)) for name, kind in kinds.items() if kind == "text"}
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    return usual | {name: Usual(float(mean), _MEAN) for name, mean in zip(numbers, means, strict=False)}


def _category(common: str | None) -> Usual:
    return Usual(common, "the most frequent category") if common else Usual("", "no known category")
