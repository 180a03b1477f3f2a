"""Numeric validation: the exported graph against the torch model, on real rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maas_jupyter.errors import ExportError

if TYPE_CHECKING:
    from onnx import ModelProto

#: A row agrees where |a - b| <= ATOL + RTOL * |b|, numpy's own rule.
ATOL = 1e-4
RTOL = 1e-3


@dataclass(frozen=True)
class Agreement:
    """How near two models' numbers are over the same rows; differences are absolute."""

    rows: int
    max_difference: float
    mean_difference: float


def run_graph(graph: ModelProto, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Run a graph in this process and return its first output."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0])


def compare(reference: np.ndarray, other: np.ndarray) -> Agreement:
    """Compare outputs of the same rows."""
    difference = np.abs(reference.astype(np.float64) - other.astype(np.float64))
    return Agreement(
        len(reference), float(difference.max(initial=0.0)), float(difference.mean()) if difference.size else 0.0
    )


def require_agreement(graph: ModelProto, inputs: dict[str, np.ndarray], reference: np.ndarray) -> Agreement:
    """Check that the exported graph computes what the torch model computed.

    All rows are run at once and the first one alone, so that a batch size baked into the graph is found.

    Parameters
    ----------
    graph : onnx.ModelProto
        The graph as exported, before a head.
    inputs : dict of str to ndarray
        Real rows.
    reference : ndarray
        The torch model's output for them.

    Raises
    ------
    ExportError
        If a number differs by more than the tolerance; names the row and both numbers.
    """
    single = {name: value[:1] for name, value in inputs.items()}
    try:
        whole, first = run_graph(graph, inputs), run_graph(graph, single)
    except Exception as error:
        # onnxruntime raises its own kinds for anything that a graph cannot do.
        reason = str(error).splitlines()[0]
        raise ExportError(
            f"The exported model does not run on real rows: {reason}",
            hint="Look for a batch size or a shape that is fixed in the model's forward.",
        ) from error
    require_close(whole, reference)
    require_close(first, reference[:1])
    return compare(reference, whole)


def require_close(output: np.ndarray, expected: np.ndarray) -> None:
    """Check the numbers of an exported model.

    Raises
    ------
    ExportError
        If the shape differs, or a number by more than the tolerance; names the row and both numbers.
    """
    if output.shape != expected.shape:
        raise ExportError(
            f"The exported model gives the shape {list(output.shape)}, the torch model {list(expected.shape)}.",
            hint="Look for a batch size or a shape that is fixed in the model's forward.",
        )
    wrong = ~np.isclose(output, expected, rtol=RTOL, atol=ATOL, equal_nan=True)
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise ExportError(
            f"The exported model computes something else: row {place[0]} gives {output[place]:.6g}, the torch "
            f"model {expected[place]:.6g}; {np.unique(np.argwhere(wrong)[:, 0]).size} of {len(expected)} rows "
            f"differ by more than {ATOL:g} + {RTOL:g} x the value.",
            hint="Look for code that runs differently while exporting, or that is random or keeps state in "
            "evaluation mode.",
        )
