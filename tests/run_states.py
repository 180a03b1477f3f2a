"""States of runs as a training leaves them."""

from __future__ import annotations

import math

from maas_jupyter.runs import Best, Curve, RunState

RUN_ID = "1a2b3c4d5e6f70811a2b3c4d5e6f7081"


def run_state(run_id: str = RUN_ID, *, steps: int = 20, epochs: int = 5, done: int = 5, **changes) -> RunState:
    """A run with a loss by step and metrics by epoch; the validation's loss is best in the epoch before the last."""
    state = RunState(run_id=run_id, name="digits", status="finished", epochs=epochs, steps=steps, seconds=12.5)
    for epoch in range(1, done + 1):
        for step in range(steps):
            after = epoch - 1 + (step + 1) / steps
            state.curves.setdefault("loss", Curve()).add(after, 2 * math.exp(-after) + 0.1 * (step % 3))
        metrics = {
            "epoch": float(epoch),
            "loss": 2 * math.exp(-epoch),
            "accuracy": 1 - math.exp(-epoch),
            "val_loss": 2 * math.exp(-epoch) + (0.5 if epoch == done else 0.1),
            "val_accuracy": 0.9 - math.exp(-epoch),
        }
        state.history.append(metrics)
        for name in ("accuracy", "val_loss", "val_accuracy"):
            state.curves.setdefault(name, Curve()).add(float(epoch), metrics[name])
        if state.best is None or metrics["val_loss"] < state.best.value:
            state.best = Best(epoch, "val_loss", metrics["val_loss"])
        state.epoch = epoch
    for name, value in changes.items():
        setattr(state, name, value)
    return state
