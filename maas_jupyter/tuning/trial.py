"""One trial: a module trained with a set of hyper-parameters, once or over folds."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import nn

from maas_jupyter.data import Prepared, Source
from maas_jupyter.errors import InvalidInput, UsageError, nearest
from maas_jupyter.runs import Best, RunState
from maas_jupyter.training import TrainingOptions, TrainingPlan, fit
from maas_jupyter.training.builder import hyper_parameters, is_builder, required_parameters
from maas_jupyter.training.intake import fresh_module
from maas_jupyter.training.rescale import rescaled
from maas_jupyter.training.stopping import Wish
from maas_jupyter.tuning.space import Dimension, Value, whole
from maas_jupyter.tuning.study import Score

#: Names of a space that are options of the training: its fields, and the short word for one of them.
_SHORT = {"batch": "batch_size"}
_COUNTS = {"epochs", "steps", "batch_size", "patience", "accumulate"}
_OPTIONS = {option.name for option in fields(TrainingOptions)} - {"seed", "device", "watch", "checkpoint_seconds"}


def split_params(params: Mapping[str, Value]) -> tuple[dict[str, Any], dict[str, Value]]:
    """Return the options of the training and the hyper-parameters of the model among them."""
    options = {_SHORT.get(name, name): value for name, value in params.items() if _SHORT.get(name, name) in _OPTIONS}
    rest = {name: value for name, value in params.items() if _SHORT.get(name, name) not in _OPTIONS}
    return options, rest


def merged_options(options: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a training with those of a trial in their place; steps take the place of epochs too."""
    if "epochs" in chosen or "steps" in chosen:
        options = {name: value for name, value in options.items() if name not in ("epochs", "steps")}
    return {**options, **chosen}


def first_values(space: list[Dimension], model: Any) -> dict[str, Value]:
    """Return values out of a space for those arguments of a builder that have no default."""
    required = required_parameters(model)
    return {dimension.name: dimension.grid(2)[0] for dimension in space if dimension.name in required}


def fitted_space(space: list[Dimension], model: Any) -> list[Dimension]:
    """Check that everything in a space can be varied; what counts something is varied in whole numbers.

    Raises
    ------
    UsageError
        If a name is neither an option of the training nor an argument of the model's builder, or an option that counts
        would be no whole number.
    """
    known = hyper_parameters(model)
    for dimension in space:
        name = _SHORT.get(dimension.name, dimension.name)
        if name in _OPTIONS or known is None or name in known:
            continue
        names = [*_SHORT, *sorted(_OPTIONS), *known]
        raise UsageError(
            f"'{dimension.name}' cannot be searched: it is neither an option of the training nor an argument of the "
            "model's builder.",
            hint=nearest(dimension.name, names, what="hyper-parameters", otherwise=""),
        )
    return [whole(each) if _SHORT.get(each.name, each.name) in _COUNTS else each for each in space]


def cross_validation(source: Source, folds: int, *, seed: int, classes: bool) -> Iterator[tuple[Source, Source]]:
    """Walk over ``(train, val)`` of k folds, shuffled; each class is spread evenly where there are classes.

    Raises
    ------
    InvalidInput
        If there are fewer rows, or fewer rows of a class, than folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    targets = source.targets()
    if source.rows is None or targets is None:
        raise InvalidInput(f"'{source.name}' cannot be cut into folds.", hint="Pass (X, y) or a table with --target.")
    if folds < 2 or folds > source.rows:
        raise InvalidInput(
            f"{source.rows} rows cannot be cut into {folds} folds.", hint="Use --folds 5, or fewer for little data."
        )
    kind = StratifiedKFold if classes else KFold
    if classes:
        values, counts = np.unique(targets.astype(str), return_counts=True)
        if counts.min() < folds:
            raise InvalidInput(
                f"The class '{values[counts.argmin()]}' has {counts.min()} rows, fewer than {folds} folds.",
                hint=f"Use --folds {max(2, int(counts.min()))}, or leave rare classes out.",
            )
        targets = targets.astype(str)
    for train, val in kind(folds, shuffle=True, random_state=seed).split(np.zeros(source.rows), targets):
        yield source.select(train), source.select(val)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Everything that trials have in common; called with hyper-parameters, it is the objective of a search.

    Attributes
    ----------
    model : callable or torch.nn.Module
        Makes the module of a trial; copied where it is a module, so that every trial starts from the same weights.
    name : str
        What it is called.
    parts : list of (Prepared, Prepared)
        Training and validation rows: one pair, or one for each fold.
    options : dict
        Of the training; those in the space take their place.
    sample : dict
        Values of the builder's arguments that have no default, for a first look.
    stop : Wish or None
        Ends the trial that is being trained, and the search with it.
    """

    model: Any
    name: str
    parts: list[tuple[Prepared, Prepared]]
    options: dict[str, Any]
    sample: dict[str, Value] = field(default_factory=dict)
    stop: Wish | None = None

    def __post_init__(self) -> None:
        if isinstance(self.options.get("optimizer"), torch.optim.Optimizer):
            raise UsageError(
                "An optimizer object belongs to one module, but each trial has its own.",
                hint="Pass its name, or a function that makes one from the parameters.",
            )

    def metric(self) -> tuple[str, bool]:
        """Return what is compared, and whether more is better; a first look at whether model and data fit."""
        train, val = self.parts[0]
        options = TrainingOptions(**self.options)
        module = self._module(train, self.sample, options.seed)
        plan = TrainingPlan.make(module, train.data, options, val=val.data, task=_task(train), classes=train.classes)
        return plan.watched, plan.upwards

    def fresh(self) -> Any:
        """Return the model to train again."""
        return copy.deepcopy(self.model) if isinstance(self.model, nn.Module) else self.model

    def __call__(self, params: dict[str, Value], report: Callable[[int, float], None]) -> Score:
        """Train once for each part and return the mean of the best epochs' metric."""
        chosen, rest = split_params(params)
        options = TrainingOptions(**merged_options(self.options, chosen))
        values: list[float] = []
        epochs: list[int] = []
        for train, val in self.parts:
            # Only the first fold is compared epoch by epoch; later ones change the mean too little to give up for.
            observer = _Reported(report if not values else None)
            best = self._train(train, val, options, rest, observer)
            values.append(best.value)
            epochs.append(best.epoch)
        spread = statistics.stdev(values) if len(values) > 1 else None
        return Score(statistics.fmean(values), spread, max(1, round(statistics.fmean(epochs))))

    def _module(self, train: Prepared, params: Mapping[str, Any], seed: int) -> nn.Module:
        module = fresh_module(self.model, train, params, seed)
        return rescaled(module, train)[0] if is_builder(self.model) else module

    def _train(
        self, train: Prepared, val: Prepared, options: TrainingOptions, rest: dict[str, Value], observer: _Reported
    ) -> Best:
        module = self._module(train, rest, options.seed)
        plan = TrainingPlan.make(module, train.data, options, val=val.data, task=_task(train), classes=train.classes)
        observer.watched = plan.watched
        state = RunState(run_id="", name="trial")
        fit(module, train.data, plan, val=val.data, options=options, state=state, observers=[observer], stop=self.stop)
        if state.status == "interrupted":
            raise KeyboardInterrupt
        if state.best is None:
            raise InvalidInput(f"The training gave no {plan.watched}.", hint="Look for NaN in the data.")
        return state.best


def _task(prepared: Prepared) -> Any:
    return None if prepared.task == "tensor" else prepared.task


class _Reported:
    """Tells the search about every epoch."""

    def __init__(self, report: Callable[[int, float], None] | None) -> None:
        self._report = report
        self.watched = ""

    def update(self, state: RunState, *, final: bool = False) -> None:
        """Nothing: trials are watched by their rows."""

    def epoch(self, metrics: dict[str, float]) -> None:
        if self._report is not None and self.watched in metrics:
            self._report(int(metrics["epoch"]), metrics[self.watched])
