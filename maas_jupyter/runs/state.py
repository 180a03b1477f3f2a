"""The state of a run as every view, in this process or another, draws it."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct, field

from maas_jupyter.runs.curves import Curve

#: Interrupted means stopped by hand, stopped_early by the training itself because nothing improved any more.
RunStatus = Literal["training", "finished", "stopped_early", "interrupted", "failed"]


class Best(Struct, frozen=True):
    """The epoch whose watched metric was best, and all that was measured in it."""

    epoch: int
    metric: str
    value: float
    metrics: dict[str, float] = field(default_factory=dict)


class RunState(Struct, kw_only=True):
    """How far a run is; changed in place by the loop, written beside the run for others.

    Attributes
    ----------
    run_id : str
        MLflow's id of the run.
    name : str
        Name of the model, or of its class.
    verb : str
        ``train`` or ``tune``.
    status : RunStatus
    epochs, epoch : int
        Asked for, and complete.
    steps, step : int or None
        Optimizer steps of one epoch (None where the data's length is not known), and done in this epoch.
    total_steps : int
        Optimizer steps done since the start.
    goal : int or None
        Optimizer steps of the whole run; None where the data's length is not known.
    rows : int
        Rows trained on so far.
    seconds : float
        Since the first step; time before a resumption included.
    rows_per_second, remaining : float or None
        Of the last seconds, and an estimate of the seconds to the end.
    device : str
        ``cpu``, ``cuda:0``.
    memory : int or None
        Bytes: the device's peak, or the process's resident memory on a CPU.
    history : list of dict
        One entry for each of the last epochs: ``epoch`` and metrics, validation ones prefixed by ``val_``. At most
        1,000 are kept.
    curves : dict of str to Curve
        By metric; ``loss`` by step, the others by epoch.
    best : Best or None
    notes : list of str
        What was decided before the start: task, signature, labels, device.
    warnings : list of str
        What did not work without ending the run.
    error : str
        Why it failed.
    kept : int
        The epoch whose weights the module has; 0 before it is over.
    line : str
        How it was called, in a notebook.
    checkpoint : str
        File of the newest checkpoint; empty before the first.
    pid, host : int, str
        Whose run it is.
    started, updated : float
        Epoch seconds.
    """

    run_id: str
    name: str
    verb: str = "train"
    status: RunStatus = "training"
    epochs: int = 0
    epoch: int = 0
    steps: int | None = None
    step: int = 0
    total_steps: int = 0
    goal: int | None = None
    rows: int = 0
    seconds: float = 0.0
    rows_per_second: float | None = None
    remaining: float | None = None
    device: str = "cpu"
    memory: int | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)
    best: Best | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str = ""
    kept: int = 0
    line: str = ""
    checkpoint: str = ""
    pid: int = 0
    host: str = ""
    started: float = 0.0
    updated: float = 0.0

    @property
    def fraction(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        if self.goal:
            return min(1.0, self.total_steps / self.goal)
        within = self.step / self.steps if self.steps else 0.0
        return min(1.0, (self.epoch + within) / self.epochs) if self.epochs else 1.0

    @property
    def unit(self) -> str:
        """What it counts: ``epoch``, or ``trial`` of a search."""
        return "trial" if self.verb == "tune" else "epoch"

    @property
    def word(self) -> str:
        """Its status as words: ``stopped early``."""
        if self.verb == "tune" and self.status == "training":
            return "searching"
        return self.status.replace("_", " ")

    @property
    def place(self) -> str:
        """Where it is: ``epoch 3 of 20`` under way or broken off, the last complete one where it ended by itself."""
        under_way = self.status in ("training", "interrupted", "failed")
        at = self.epoch + 1 if under_way else self.epoch
        return f"{self.unit} {min(at, self.epochs)} of {self.epochs}" if self.epochs else f"{self.unit} {at}"

    @property
    def best_words(self) -> str:
        """``best epoch 4 of 20: val_loss 0.1234``; empty where there is none."""
        best = self.best
        if best is None:
            return ""
        of = f" of {self.epoch}" if self.verb == "train" else ""
        return f"best {self.unit} {best.epoch}{of}: {best.metric} {best.value:.4f}"

    @property
    def resume_line(self) -> str:
        """What goes on with a run that was broken off; empty where nothing is kept to go on from."""
        if self.verb == "tune":
            how = f"--study {self.name} --resume"
        elif self.checkpoint:
            how = f"--resume {self.run_id[:8]}"
        else:
            return ""
        return resumed_line(self.line, how) or f"the same call of {self.verb} with {how}"

    @property
    def measured(self) -> dict[str, float]:
        """``epoch`` and metrics of the epoch whose weights are kept; of the last complete one before it is over."""
        if self.kept and self.best is not None and self.best.epoch == self.kept and self.best.metrics:
            return {"epoch": float(self.kept), **self.best.metrics}
        return self.history[-1] if self.history else {}

    @property
    def measured_words(self) -> str:
        """Whose metrics are shown: ``best epoch 4 of 6``, ``last epoch``."""
        at = int(self.measured.get("epoch", 0))
        return f"best {self.unit} {at} of {self.epoch}" if at < self.epoch else f"last {self.unit}"

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the epoch whose weights are kept; of the last complete one before it is over."""
        return {name: value for name, value in self.measured.items() if name != "epoch"}


def resumed_line(line: str, how: str) -> str:
    """Return a line that was typed with the options that let it go on; those of an earlier resumption give way."""
    if not line:
        return ""
    plain = re.sub(r"\s--(study|resume)(?:[ =](?!--)\S+)?(?=\s|$)", "", line)
    return f"{plain} {how}"
