"""What a search found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from maas_jupyter.plugins import Displayed
from maas_jupyter.tuning.space import Dimension, Value

if TYPE_CHECKING:
    from maas_jupyter.registry import ModelVersion

#: Errors of trials that were interrupted, or whose process ended.
BROKEN_OFF = ("", "interrupted")

TrialStatus = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class TrialRow:
    """One set of hyper-parameters and what came of it.

    Attributes
    ----------
    number : int
        From 0, in the order in which they were tried.
    params : dict
        Hyper-parameters by name.
    status : {'complete', 'pruned', 'failed', 'running'}
        Pruned means that it was given up because others were better at the same epoch.
    value : float or None
        The metric; over folds their mean. A pruned trial's is the last one that it reached.
    spread : float or None
        Standard deviation over the folds.
    epochs : int or None
        The epoch that it counts with; over folds their mean, rounded.
    seconds : float
    error : str
        Why it failed.
    """

    number: int
    params: dict[str, Value]
    status: TrialStatus
    value: float | None = None
    spread: float | None = None
    epochs: int | None = None
    seconds: float = 0.0
    error: str = ""


@dataclass(repr=False)
class Tuning(Displayed):
    """A search for hyper-parameters.

    Attributes
    ----------
    name : str
        Of the study; ``--resume`` continues it.
    metric : str
        What is compared, such as ``val_loss`` or ``val_accuracy``.
    maximize : bool
        Whether more is better.
    space : list of Range or Choice
    trials : list of TrialRow
    folds : int
        Of the cross-validation; 1 where each trial was scored on the validation rows.
    seconds : float
        Of this search, without the sessions before it.
    status : {'searching', 'finished', 'interrupted', 'failed'}
    importances : dict of str to float
        The share of each hyper-parameter in the metric's variance (fANOVA, Hutter et al. 2014), largest first; empty
        where too few trials are complete.
    run_id : str
        MLflow's id of the search, whose trials are runs within it.
    line : str
        What goes on with it, where it was broken off.
    run : Run or None
        The best hyper-parameters, trained on all training rows.
    warnings : list of str
        What looks wrong with the data.
    """

    name: str
    metric: str
    maximize: bool
    space: list[Dimension]
    trials: list[TrialRow] = field(default_factory=list)
    folds: int = 1
    seconds: float = 0.0
    status: Literal["searching", "finished", "interrupted", "failed"] = "searching"
    importances: dict[str, float] = field(default_factory=dict)
    run_id: str = ""
    line: str = ""
    run: Any = None
    warnings: list[str] = field(default_factory=list)

    @property
    def counted(self) -> int:
        """How many trials came to an end of their own; those that were interrupted are tried again."""
        broken_off = [trial for trial in self.trials if trial.status == "failed" and trial.error in BROKEN_OFF]
        return len(self.trials) - len(broken_off) - sum(trial.status == "running" for trial in self.trials)

    @property
    def best(self) -> TrialRow | None:
        """The complete trial with the best value."""
        done = [trial for trial in self.trials if trial.status == "complete" and trial.value is not None]
        return (max if self.maximize else min)(done, key=lambda trial: trial.value or 0.0) if done else None

    @property
    def params(self) -> dict[str, Value]:
        """The best trial's hyper-parameters."""
        return dict(self.best.params) if self.best else {}

    @property
    def version(self) -> ModelVersion | None:
        """What was registered."""
        version: ModelVersion | None = getattr(self.run, "version", None)
        return version

    def ranked(self) -> list[TrialRow]:
        """Return the trials, the best first, then pruned and failed ones."""
        order = {"complete": 0, "running": 1, "pruned": 2, "failed": 3}
        sign = -1 if self.maximize else 1
        return sorted(
            self.trials,
            key=lambda trial: (order[trial.status], sign * trial.value if trial.value is not None else 0, trial.number),
        )

    def summary(self) -> str:
        """Return one line: how many trials, which is best."""
        counts = {
            status: sum(trial.status == status for trial in self.trials) for status in ("complete", "pruned", "failed")
        }
        parts = [f"{count} {status}" for status, count in counts.items() if count] or ["no trial yet"]
        line = f"Tuning '{self.name}' {self.status}: {', '.join(parts)} in {self.seconds:.1f} s"
        if self.best is not None:
            line += f"; best {self.metric} {shown_value(self.best)} with {shown_params(self.best.params)}"
        return line

    def __repr__(self) -> str:
        lines = [self.summary()]
        names = [dimension.name for dimension in self.space]
        if self.trials:
            lines.append("trial  status    " + "  ".join(f"{name:>12}" for name in [self.metric, *names]))
        for trial in self.ranked()[:10]:
            cells = [shown_value(trial), *(shown(trial.params.get(name)) for name in names)]
            why = f"  {trial.error}" if trial.error else ""
            lines.append(f"{trial.number:>5}  {trial.status:<8}  " + "  ".join(f"{cell:>12}" for cell in cells) + why)
        if self.version is not None:
            lines.append(f"registered as {self.version!r}")
        if self.status == "interrupted" and self.line:
            lines.append(f"go on: {self.line}")
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def shown(value: Value) -> str:
    """Return a hyper-parameter as it is shown."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shown_value(trial: TrialRow) -> str:
    """Return a trial's value, with its spread over the folds."""
    if trial.value is None:
        return "-"
    return f"{trial.value:.4f}" + (f" ± {trial.spread:.4f}" if trial.spread is not None else "")


def shown_params(params: dict[str, Value]) -> str:
    """Return hyper-parameters in one line."""
    return ", ".join(f"{name}={shown(value)}" for name, value in params.items())
