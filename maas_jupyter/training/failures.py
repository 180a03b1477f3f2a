"""Why a training cannot go on, in words: a loss that is no number, memory that is used up."""

from __future__ import annotations

import torch
from torch import Tensor

from maas_jupyter.data import Data, TensorData
from maas_jupyter.errors import TrainingError
from maas_jupyter.runs import RunState
from maas_jupyter.training.options import TrainingOptions

_MOST_COLUMNS = 5
_EXPLODING = 100.0
#: So many times the loss of the beginning is no noise any more.
_FAR = 3.0


def diverged(
    value: float,
    state: RunState,
    *,
    step: int,
    inputs: tuple[Tensor, ...],
    data: Data,
    norm: Tensor | None,
    options: TrainingOptions,
    lr: float,
) -> TrainingError:
    """Build the error of a loss that is NaN or infinite.

    Parameters
    ----------
    value : float
        The loss.
    step : int
        The step that it is the loss of.
    inputs : tuple of Tensor
        The batch at hand.
    norm : Tensor or None
        The last gradient's norm, where it was computed for clipping.
    """
    causes = [f"the learning rate {lr:g} is too high"]
    missing = _not_numbers(data, inputs)
    if missing:
        causes.insert(0, missing)
    if norm is not None:
        size = float(norm)
        causes.append(f"the last gradient had the norm {size:.3g}{' and explodes' if size > _EXPLODING else ''}")
    elif options.clip is None:
        causes.append("the gradient explodes (it is not clipped)")
    if options.precision == "fp16":
        causes.append("fp16 overflows above 65,504")
    hints = ["Clean the data." if missing else "Lower --lr", "" if missing or options.clip else "or add --clip 1."]
    kept = _kept(state)
    return TrainingError(
        f"The loss became {value} at step {step} (epoch {state.epoch + 1}): the model learns nothing usable any more. "
        f"Likely causes: {'; '.join(causes)}.",
        hint=" ".join(part for part in [*hints, kept] if part),
    )


def far_above(state: RunState, lr: float, options: TrainingOptions) -> list[str]:
    """Say of a loss that is a number, and far above the one that the training began with, what to lower."""
    curve, reached = state.curves.get("loss"), state.metrics.get("loss")
    began = curve.y[0] if curve is not None and curve.y else 0.0
    if reached is None or began <= 0 or reached < _FAR * began:
        return []
    clip = "" if options.clip else " or add --clip 1"
    return [
        f"the loss ends at {reached:.4g}, far above the {began:.4g} that it began with: the model learned nothing "
        f"usable. Lower --lr (it is {lr:g}){clip}"
    ]


def weights_diverged(state: RunState, name: str) -> TrainingError:
    """Build the error of a parameter that is NaN or infinite."""
    return TrainingError(
        f"The parameter '{name}' became NaN or infinite at step {state.total_steps} (epoch {state.epoch + 1}).",
        hint=" ".join(part for part in ["Lower --lr or add --clip 1.", _kept(state)] if part),
    )


def out_of_memory(error: BaseException, state: RunState, options: TrainingOptions, rows: int) -> TrainingError | None:
    """Build the error of memory that is used up; None where the error is another."""
    text = str(error)
    full = isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
    )
    if not full:
        return None
    half = max(1, rows // 2)
    lower = []
    if rows > 1:
        same = f" with --accumulate {options.accumulate * 2} for the same steps"
        lower.append(f"--batch-size {half}{same}")
    if options.precision == "fp32" and state.device.startswith("cuda"):
        lower.append("--precision bf16")
    lower.append("shorter texts (--max-length) or smaller images")
    return TrainingError(
        f"The memory of {state.device} is used up at step {state.total_steps + 1}, with batches of {rows} rows.",
        hint=" ".join(part for part in [f"Lower one of these: {', '.join(lower)}.", _kept(state)] if part),
    )


def _kept(state: RunState) -> str:
    if not state.checkpoint:
        return ""
    kept = f"The last good checkpoint is kept in {state.checkpoint}; go on from it with"
    return f"{kept} {state.resume_line}" if state.line else f"{kept} --resume {state.run_id[:8]}"


def _not_numbers(data: Data, inputs: tuple[Tensor, ...]) -> str:
    whole = isinstance(data, TensorData)
    tensors = data.all().inputs if isinstance(data, TensorData) else inputs
    for tensor in tensors:
        if not tensor.is_floating_point():
            continue
        bad = ~torch.isfinite(tensor)
        count = int(bad.sum())
        if not count:
            continue
        place = ""
        if tensor.ndim == 2:
            columns = bad.any(0).nonzero().flatten().tolist()
            shown = ", ".join(map(str, columns[:_MOST_COLUMNS]))
            place = f" (columns {shown}{' and more' if len(columns) > _MOST_COLUMNS else ''})"
        return f"{count:,} of the inputs {'in the data' if whole else 'of this batch'} are NaN or infinite{place}"
    return ""
