"""V1's ``:classify`` and ``:regress``: examples as features by name, answers as labels with scores or as numbers."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, field

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Manifest, Signature, TensorSpec, decoder
from maas_jupyter.serving.dataplane import Answer
from maas_jupyter.serving.protocols.v1_values import (
    MAX_CELLS,
    check_cells,
    check_names,
    decode_nested,
    describe,
    listed,
    too_many_cells,
)
from maas_jupyter.serving.responses import decode_body
from maas_jupyter.serving.tensors import to_lists


class ExamplesRequest(Struct):
    """Body of ``:classify`` and ``:regress``.

    Each example has a feature per input: a value, or a flat list of values. ``context`` holds features of all examples
    that do not have them themselves.
    """

    examples: msgspec.Raw
    context: dict[str, msgspec.Raw] = field(default_factory=dict)
    signature_name: str | None = None


class ExamplesResponse(Struct):
    """Answer of ``:classify`` (per example the pairs of label and score) and of ``:regress`` (per example a number)."""

    results: list[Any]


_EXAMPLES = decoder(list[dict[str, msgspec.Raw]])
_FLOATS = ("FP16", "FP32", "FP64")
_WANTED = {
    "classify": "it answers with 'scores', one number per class",
    "regress": "it answers with 'prediction', or with the only output of one number per row",
}
#: A feature of all examples is repeated for each: a small body must not take much memory.
_FEATURE_BYTES = 64 * 1024 * 1024


def decode_examples(message: ExamplesRequest, signature: Signature) -> dict[str, np.ndarray]:
    """Turn examples into the model's inputs.

    Raises
    ------
    InvalidInput
        If there are none, or a feature is missing, unknown, or not of its input's datatype and size.
    """
    check_cells(message.examples, b":{", "examples")
    examples = decode_body(message.examples, _EXAMPLES, expected='"examples": [{"INPUT": value, ...}, ...]')
    if not examples:
        raise InvalidInput("'examples' is empty.", hint='Expected: {"examples": [{"INPUT": value, ...}, ...]}')
    if len(examples) * len(signature.inputs) > MAX_CELLS:
        raise too_many_cells("examples")
    names = {spec.name for spec in signature.inputs}
    for example in examples:
        if example.keys() != names:
            check_names({*message.context, *example}, signature)
    return {spec.name: _features(examples, message.context.get(spec.name), spec) for spec in signature.inputs}


def _features(examples: list[dict[str, msgspec.Raw]], common: msgspec.Raw | None, spec: TensorSpec) -> np.ndarray:
    features = [bytes(example.get(spec.name, common) or b"") for example in examples]
    if sum(map(len, features)) > _FEATURE_BYTES:
        raise too_many_cells("context")
    values = decode_nested(
        listed(raw if raw[:1] == b"[" else b"[%b]" % raw for raw in features), spec, 2, in_table=False
    )
    shape, size = spec.shape[1:], values.shape[1]
    fixed = math.prod(size for size in shape if size >= 0)
    free = shape.count(-1)
    if free > 1 or (size % fixed if free and fixed else size != fixed):
        raise InvalidInput(f"{describe(spec)}: a feature has {size} values.", hint="Use :predict for tensors.")
    return values.reshape(len(features), *shape)


def output_of(manifest: Manifest, verb: str) -> TensorSpec:
    """Return the output that ``:classify`` or ``:regress`` answers with.

    Of a classification it is ``scores``; of a regression ``prediction``, else the only one that has one number of
    floating point for each row.

    Raises
    ------
    InvalidInput
        If the model is for another task, or has no such output.
    """
    classify = verb == "classify"
    task, name = ("classification", "scores") if classify else ("regression", "prediction")
    if manifest.task != task:
        raise InvalidInput(
            f":{verb} is for models of the task {task}, and this one is for {manifest.task}.", hint="Use :predict."
        )
    fitting = [
        spec
        for spec in manifest.signature.outputs
        if (len(spec.shape) == 2 if classify else len(spec.shape) == 1 or spec.shape[1:] == [1])
        and spec.datatype in _FLOATS
    ]
    named = [spec for spec in fitting if spec.name == name]
    if named or (len(fitting) == 1 and not classify):
        return (named or fitting)[0]
    raise InvalidInput(
        f"The model has no output for :{verb}: {_WANTED[verb]}; its outputs are "
        f"{', '.join(map(str, manifest.signature.outputs))}.",
        hint="Use :predict.",
    )


def encode_classes(answer: Answer, labels: list[str | int] | None) -> ExamplesResponse:
    """Return label and score of every class, in the model's order, for each example.

    Raises
    ------
    InvalidInput
        If JSON cannot carry a score.
    """
    ((spec, scores),) = answer.outputs
    names = [str(label) for label in labels or range(scores.shape[1])]
    return ExamplesResponse([list(zip(names, row, strict=True)) for row in to_lists(spec.name, scores)])


def encode_numbers(answer: Answer) -> ExamplesResponse:
    """Return one number for each example.

    Raises
    ------
    InvalidInput
        If JSON cannot carry it.
    """
    ((spec, values),) = answer.outputs
    return ExamplesResponse(to_lists(spec.name, values.reshape(len(values))))
