"""Which operators a quantization hurts most, measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

#: Decibels by which the answers must be above their change.
LEAST_RATIO = 25.0
#: Rows whose activations are compared: all of them are kept in memory.
_BATCHES = 2


def output_ratio(model: Path, output: str, batches: list[dict[str, np.ndarray]], expected: list[np.ndarray]) -> float:
    """Return how far an output's signal is above what quantization added to it, in decibels."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return ratio(np.concatenate([session.run([output], batch)[0] for batch in batches]), np.concatenate(expected))


def ratio(found: np.ndarray, truth: np.ndarray) -> float:
    """Return how far a signal is above what was added to it, in decibels."""
    noise = np.linalg.norm(found - truth)
    return float("inf") if noise == 0 else float(20 * np.log10(np.linalg.norm(truth) / noise))


def most_sensitive(
    prepared: Path, quantized: Path, batches: list[dict[str, np.ndarray]], place: Path, operators: list[str]
) -> list[str]:
    """Return the names of the quantized operators, the one whose input loses most first.

    The loss of a tensor is the ratio of its signal to what rounding it to 8 bits added, on calibration rows
    (``onnxruntime.quantization.qdq_loss_debug``).

    Parameters
    ----------
    prepared, quantized : Path
        The float graph and the one with ``QuantizeLinear`` and ``DequantizeLinear``.
    batches : list of dict of str to ndarray
        Calibration rows; the first two batches are used.
    place : Path
        Folder for graphs that give all their activations.
    operators : list of str
        Types of operators to name.
    """
    import onnx
    from onnxruntime.quantization import qdq_loss_debug as debug

    activations = []
    for name, model in (("float", prepared), ("int8", quantized)):
        augmented = place / f"{name}-activations.onnx"
        debug.modify_model_output_intermediate_tensors(model, augmented)
        activations.append(debug.collect_activations(str(augmented), batches[:_BATCHES]))
    errors = debug.compute_activation_error(debug.create_activation_matching(activations[1], activations[0]))
    ratios = {name: float(np.mean(error["qdq_err"])) for name, error in errors.items()}
    found = [
        (min(ratios[name] for name in node.input if name in ratios), node.name)
        for node in onnx.load(str(prepared)).graph.node
        if node.op_type in operators and any(name in ratios for name in node.input)
    ]
    return [name for _, name in sorted(found)]
