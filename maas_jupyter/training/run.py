"""One training and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from maas_jupyter.plugins import Displayed
from maas_jupyter.registry import ModelVersion

RunStatus = Literal["finished", "interrupted"]


@dataclass(repr=False)
class Run(Displayed):
    """One training.

    Attributes
    ----------
    run_id : str
        Its id in MLflow.
    name : str
        Name of the model that it trains.
    status : {'finished', 'interrupted'}
        Interrupted means that it was stopped by hand; the weights reached so far are kept.
    model : torch.nn.Module
        The trained module.
    history : list of dict
        One entry an epoch: ``epoch``, ``loss``, and where they apply ``accuracy``, ``val_loss``, ``val_accuracy``.
    epochs : int
        The number of epochs that was asked for.
    seconds : float
        How long it took.
    checkpoint : Path
        The weights, in safetensors.
    version : ModelVersion or None
        What was registered.
    warnings : list of str
        What did not work on the way without ending the run.
    """

    run_id: str
    name: str
    status: RunStatus
    model: nn.Module
    history: list[dict[str, float]]
    epochs: int
    seconds: float
    checkpoint: Path
    version: ModelVersion | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, float]:
        """The last epoch's metrics."""
        return {name: value for name, value in (self.history[-1] if self.history else {}).items() if name != "epoch"}

    def __repr__(self) -> str:
        done = len(self.history)
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        lines = [
            f"Run {self.run_id[:8]} '{self.name}' {self.status}: {done} of {self.epochs} epochs in {self.seconds:.1f} s"
        ]
        if metrics:
            lines.append(metrics)
        if self.version is not None:
            lines.append(f"registered as {self.version!r}")
        elif self.status == "interrupted":
            lines.append(f"not registered; the weights reached are in the module and in {self.checkpoint}")
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])
