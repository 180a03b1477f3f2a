"""V1's ``:classify`` and ``:regress``: examples as features by name, answers as labels with scores or as numbers."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, field

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Manifest, Signature, TensorSpec
from maas_jupyter.serving.dataplane import Answer
from maas_jupyter.serving.protocols.v1_values import check_names, decode_nested, describe, stack
from maas_jupyter.serving.tensors import to_lists


class ExamplesRequest(Struct):
    """Body of ``:classify`` and ``:regress``.

    Each example has a feature per input: a value, or a flat list of values. ``context`` holds features of all examples
    that do not have them themselves.
    """

    examples: list[dict[str, msgspec.Raw]]
    context: dict[str, msgspec.Raw] = field(default_factory=dict)
    signature_name: str | None = None


class ExamplesResponse(Struct):
    """Answer of ``:classify`` (per example the pairs of label and score) and of ``:regress`` (per example a number)."""

    results: list[Any]


def decode_examples(message: ExamplesRequest, signature: Signature) -> dict[str, np.ndarray]:
    """Turn examples into the model's inputs.

    Raises
    ------
    InvalidInput
        If there are none, or a feature is missing, unknown, or not of its input's datatype and size.
    """
    if not message.examples:
        raise InvalidInput("'examples' is empty.", hint='Expected: {"examples": [{"INPUT": value, ...}, ...]}')
    rows = [{**message.context, **example} for example in message.examples]
    for row in rows:
        check_names(set(row), signature)
    return {spec.name: stack([_feature(row[spec.name], spec) for row in rows], spec) for spec in signature.inputs}


def _feature(raw: msgspec.Raw, spec: TensorSpec) -> np.ndarray:
    flat = bytes(memoryview(raw)[:1]) == b"["
    values = decode_nested(raw, spec, 1 if flat else 0)
    shape = spec.shape[1:]
    fixed = math.prod(size for size in shape if size >= 0)
    free = shape.count(-1)
    if free > 1 or (values.size % fixed if free and fixed else values.size != fixed):
        raise InvalidInput(f"{describe(spec)}: a feature has {values.size} values.", hint="Use :predict for tensors.")
    return values.reshape(shape)


def output_of(manifest: Manifest, verb: str) -> TensorSpec:
    """Return the output that ``:classify`` or ``:regress`` answers with: ``scores`` or ``prediction``.

    Raises
    ------
    InvalidInput
        If the model is for another task.
    """
    task, name, rank = ("classification", "scores", 2) if verb == "classify" else ("regression", "prediction", 1)
    for spec in manifest.signature.outputs:
        single = spec.shape[1:] == [1] and verb == "regress"
        if manifest.task == task and spec.name == name and (len(spec.shape) == rank or single):
            return spec
    raise InvalidInput(
        f":{verb} is for models of the task {task}, and this one is for {manifest.task}.", hint="Use :predict."
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
