"""What a user can choose about a training, checked before anything else happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Literal

from maas_jupyter.errors import UsageError, nearest

PRECISIONS = ("fp32", "bf16", "fp16")
_EPOCHS = 10
_EXAMPLES = {
    "epochs": "20",
    "steps": "1000",
    "batch_size": "64",
    "accumulate": "4",
    "patience": "3",
    "lr": "1e-3",
    "clip": "1.0",
    "warmup": "0.1 (a tenth of the training) or 100 (steps)",
    "checkpoint_seconds": "60",
}
_DEFAULTS = {
    "epochs": f"it is {_EPOCHS}",
    "steps": f"the run has {_EPOCHS} epochs",
    "batch_size": "it is 32",
    "accumulate": "every batch is a step",
    "patience": "nothing ends the run early",
    "lr": "it is 1e-3",
    "clip": "no gradient is clipped",
    "warmup": "there is none",
    "checkpoint_seconds": "it is 10",
}


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to train.

    Attributes
    ----------
    epochs : int or None
        Passes over the data; 10 where neither epochs nor steps are given.
    steps : int or None
        Optimizer steps instead of epochs; the last epoch may then be a part of one.
    batch_size : int
        Rows of a batch; a ``DataLoader`` of the user's keeps its own.
    seed : int
        Orders the rows and drives dropout: the same seed on the same machine gives the same weights.
    loss : str, callable or None
        A name, or a function of (output, targets); the usual one of the task by default.
    optimizer : str, torch.optim.Optimizer or callable
        A name, an optimizer of the module's parameters, or a function that makes one from them.
    lr : float or None
        Learning rate; 1e-3 for an optimizer given by name.
    schedule : str, torch.optim.lr_scheduler.LRScheduler or callable
        ``constant``, ``linear``, ``cosine``, ``onecycle``, ``step``, ``plateau``, a torch scheduler, or a function that
        makes one from the optimizer.
    warmup : float
        Steps in which the learning rate grows from 0; below 1 it is a share of the training.
    patience : int or None
        Stop when the watched metric has not improved for as many epochs.
    watch : str or None
        The metric that early stopping, ``plateau`` and the best weights look at: ``val_loss`` where there are
        validation rows, else ``loss``. ``accuracy`` counts upwards.
    clip : float or None
        Largest norm of the gradient.
    accumulate : int
        Batches whose gradients make one optimizer step.
    precision : {'fp32', 'bf16', 'fp16'}
        Of the forward pass (autocast); the weights stay fp32.
    device : str or None
        ``cpu``, ``cuda``, ``cuda:1``, ``mps``; the best one there is by default.
    class_weights : 'balanced', sequence of float or None
        Weight of each class in the loss; balanced ones are inverse to how often a class occurs.
    checkpoint_seconds : float
        Least time between two checkpoints on the way. Writing takes at most about a hundredth of the time: where one
        takes long, they become rarer.

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 32
    seed: int = 0
    loss: Any = None
    optimizer: Any = "adam"
    lr: float | None = None
    schedule: Any = "constant"
    warmup: float = 0.0
    patience: int | None = None
    watch: str | None = None
    clip: float | None = None
    accumulate: int = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: str | None = None
    class_weights: Literal["balanced"] | Sequence[float] | None = None
    checkpoint_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise UsageError("--epochs and --steps exclude each other.", hint="Give one of them.")
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "epochs", _EPOCHS)
        for name in ("epochs", "steps", "batch_size", "accumulate", "patience"):
            value = getattr(self, name)
            if value is not None and (value < 1 or value != int(value)):
                raise UsageError(
                    f"{_option(name)} is {value}, but at least 1 is needed.",
                    hint=f"A whole number from 1 on: {_option(name)} {_EXAMPLES[name]}; without it {_DEFAULTS[name]}.",
                )
        for name in ("lr", "clip"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and isfinite(value)):
                raise UsageError(
                    f"{_option(name)} is {value}, not a number above 0.",
                    hint=f"For example {_option(name)} {_EXAMPLES[name]}; without it {_DEFAULTS[name]}.",
                )
        for name in ("warmup", "checkpoint_seconds"):
            if not (getattr(self, name) >= 0 and isfinite(getattr(self, name))):
                raise UsageError(
                    f"{_option(name)} is {getattr(self, name)}, but 0 or more is needed.",
                    hint=f"For example {_option(name)} {_EXAMPLES[name]}; without it {_DEFAULTS[name]}.",
                )
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"There is no precision called '{self.precision}'.",
                hint=nearest(self.precision, PRECISIONS, what="precisions", otherwise=""),
            )

    def described(self) -> dict[str, Any]:
        """Return the options as JSON has them; objects as ``{"object": "name of its class"}``."""
        return {name: _described(value) for name, value in vars(self).items()}

    def parameters(self) -> dict[str, Any]:
        """Return what was chosen, for the record of a run: names and numbers, nothing that was left open."""
        chosen = {name: value for name, value in self.described().items() if value is not None}
        return {name: value["object"] if isinstance(value, dict) else value for name, value in chosen.items()}

    @classmethod
    def resumed(cls, stored: dict[str, Any], given: dict[str, Any]) -> TrainingOptions:
        """Return the options of an earlier run, with those that are given anew in their place.

        Raises
        ------
        UsageError
            If the run was trained with an object (an optimizer, a loss) that is not given again.
        """
        values = {name: value for name, value in stored.items() if name in {field.name for field in fields(cls)}}
        values |= given
        if "epochs" in given or "steps" in given:
            values |= {name: given.get(name) for name in ("epochs", "steps")}
        for name, value in values.items():
            if isinstance(value, dict) and "object" in value:
                raise UsageError(
                    f"The run was trained with the {name} {value['object']}, which a checkpoint cannot hold.",
                    hint=f"Make it again and pass it: {_option(name)} VARIABLE",
                )
        return cls(**values)


def different(stored: dict[str, Any], options: TrainingOptions) -> list[str]:
    """Name the options that make a resumed run another one, with their values before and now."""
    now = options.described()
    free = {"epochs", "steps", "patience", "device", "checkpoint_seconds"}
    names = [name for name in stored if name in now and name not in free and stored[name] != now[name]]
    return [f"{name} {_word(now[name])} instead of {_word(stored[name])}" for name in names]


def _word(value: Any) -> str:
    return str(value["object"] if isinstance(value, dict) else value)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _described(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    return {"object": getattr(value, "__qualname__", type(value).__qualname__)}
