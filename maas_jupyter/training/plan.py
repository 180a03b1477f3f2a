"""What a training will do, decided and checked before its first step."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from maas_jupyter.data import Data, TensorData
from maas_jupyter.errors import InvalidInput, UsageError, nearest
from maas_jupyter.modules import check_labels, check_shapes, choose_device, run_module
from maas_jupyter.training import randomness
from maas_jupyter.training.losses import LossFunction, Task, Weigh, batch_weight, check_loss, class_weights, make_loss
from maas_jupyter.training.measures import METRICS, Metric
from maas_jupyter.training.optimizers import make_optimizer
from maas_jupyter.training.options import TrainingOptions
from maas_jupyter.training.precision import Precision
from maas_jupyter.training.schedule import Schedule, make_schedule
from maas_jupyter.training.threads import counted_work, is_small


@dataclass(frozen=True)
class TrainingPlan:
    """Task, loss, optimizer and device of a training.

    Attributes
    ----------
    task : {'classification', 'regression', 'text-generation'}
        Classification where the targets are integers.
    classes : int or None
        Width of the model's output, for classification.
    loss : callable
        Of (output, targets).
    weigh : callable or None
        What a batch's loss is the mean of (`losses.batch_weight`).
    metric : Metric
        What is measured beside the loss.
    watched : str
        The metric that early stopping and the best weights look at.
    upwards : bool
        Whether more is better in it.
    optimizer : torch.optim.Optimizer
    schedule : Schedule or None
        None where the learning rate stays as it is.
    precision : Precision
    device : torch.device
        The module is there.
    small : bool
        Whether its steps are too small for more than one thread of the CPU.
    notes : list of str
        What was decided, in words.
    """

    task: Task
    classes: int | None
    loss: LossFunction
    weigh: Weigh | None
    metric: Metric
    watched: str
    upwards: bool
    optimizer: torch.optim.Optimizer
    schedule: Schedule | None
    precision: Precision
    device: torch.device
    small: bool = False
    notes: list[str] = field(default_factory=list)

    @classmethod
    def make(
        cls,
        module: nn.Module,
        data: Data,
        options: TrainingOptions,
        *,
        val: Data | None = None,
        task: Task | None = None,
        classes: int | None = None,
    ) -> TrainingPlan:
        """Decide from the model, the options and the first rows, and move the model to its device.

        Parameters
        ----------
        module : torch.nn.Module
        data, val : Data
            Training and validation rows.
        options : TrainingOptions
        task : {'classification', 'regression', 'text-generation'}, optional
            Told by the targets' type where it is not given.
        classes : int, optional
            How many there are, where that is known: the model's output has to be as wide.

        Raises
        ------
        InvalidInput
            If the data does not fit the model, or labels lie outside the model's classes.
        UsageError
            If a loss, an optimizer, a schedule, a metric or a device is not known, or the device lacks the precision.
        """
        device = choose_device(options.device)
        precision = Precision(options.precision, device)
        module.to(device)
        with randomness.kept(device):
            head = data.head(8)
            with counted_work() as work:
                output = run_module(module, head)
        targets = head.required_targets()
        found: Task = task or ("regression" if targets.is_floating_point() else "classification")
        if found != "text-generation":
            check_shapes(output, targets, name="data")
        notes = [f"{found} on {_place(device)}{f' in {options.precision}' if precision.mixed else ''}"]
        width = None
        if found == "classification":
            width = int(output.shape[1])
            _check_width(width, classes)
            # Rows in memory are checked before the first step; a loader's rows are checked as they come.
            for name, rows in (("data", data), ("val", val)):
                if isinstance(rows, TensorData):
                    check_labels(rows.all().required_targets(), width, name=name)
            if not isinstance(data, TensorData):
                check_labels(targets, width, name="data")
            notes += _unused_outputs(width, data)
        weights = class_weights(options.class_weights, width, data, device)
        loss = make_loss(options.loss, found, weights)
        if isinstance(loss, nn.Module):
            loss.to(device)
        check_loss(loss, output, targets.to(device), found)
        if isinstance(data, TensorData) and options.batch_size > data.rows:
            notes.append(f"a batch of {options.batch_size} is more than the {data.rows} rows: one batch an epoch")
        metric = METRICS[found]
        watched = _watched(options.watch, metric, val is not None)
        if options.patience is not None and not watched.startswith("val_"):
            notes.append(f"--patience watches the {watched} of the training rows; with --val it watches other rows")
        upwards = watched.removeprefix("val_") == metric.name and metric.upwards
        optimizer = make_optimizer(options.optimizer, module, options.lr)
        schedule = make_schedule(options.schedule, optimizer, warmup=options.warmup, upwards=upwards)
        weigh = batch_weight(loss, found)
        small = device.type == "cpu" and is_small(module, work, len(targets), options.batch_size)
        return cls(
            found, width, loss, weigh, metric, watched, upwards, optimizer, schedule, precision, device, small, notes
        )


def _place(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def _check_width(width: int, classes: int | None) -> None:
    if classes is not None and width != classes:
        raise InvalidInput(
            f"The model has {width} outputs, but the data has {classes} classes.",
            hint=f"Give the model's last layer {classes} outputs.",
        )


def _unused_outputs(width: int, data: Data) -> list[str]:
    if not isinstance(data, TensorData):
        return []
    highest = int(data.all().required_targets().max()) + 1
    return [f"the model has {width} outputs, the labels end at {highest - 1}"] if highest < width else []


def _watched(watch: str | None, metric: Metric, validated: bool) -> str:
    names = ["loss", metric.name]
    known = [f"val_{name}" for name in names] + names if validated else names
    if watch is None:
        return known[0]
    if watch not in known:
        hint = nearest(watch, known, what="metrics", otherwise="")
        if watch.startswith("val_") and not validated:
            hint = "It needs validation rows: --val ROWS"
        raise UsageError(f"There is no metric called '{watch}' in this training.", hint=hint)
    return watch
