"""The search itself, by Optuna: which hyper-parameters are tried next, and which trial is given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from maas_jupyter.arguments import several
from maas_jupyter.errors import Conflict, InvalidInput, MaasError, MissingDependency, NotFound, UsageError, nearest
from maas_jupyter.tuning.report import BROKEN_OFF, TrialRow, TrialStatus, Tuning
from maas_jupyter.tuning.space import Choice, Dimension, Value, combinations, parse_space

Sampler = Literal["tpe", "random", "grid"]
SAMPLERS: tuple[Sampler, ...] = ("tpe", "random", "grid")
#: Values that a range without a step has in a grid.
GRID_POINTS = 5

_SPREAD, _EPOCHS, _ERROR, _SPACE, _RUN = "maas.spread", "maas.epochs", "maas.error", "maas.space", "maas.run"


class GivenUp(Exception):
    """Raised by a trial's report: others were better at the same step."""


@dataclass(frozen=True)
class Score:
    """What a trial reached: the metric, its standard deviation over folds, and the epoch (the folds' mean one)."""

    value: float
    spread: float | None = None
    epochs: int | None = None


#: Trains with hyper-parameters; calls ``report(step, value)`` on the way, which may raise `GivenUp`.
Objective = Callable[[dict[str, Value], Callable[[int, float], None]], Score]


class Study:
    """A search that is kept on disk after every trial, so that it can be stopped and resumed.

    Parameters
    ----------
    folder : Path
        Where ``<name>.db`` (sqlite) is.
    name : str
        Of the study.
    metric : str
        What is compared.
    maximize : bool
        Whether more is better.
    space : list of Range or Choice
        Where to search.
    sampler : {'tpe', 'random', 'grid'}
        TPE is the tree-structured Parzen estimator (Bergstra et al. 2011).
    prune : bool
        Give up trials that are worse than the median of the others at the same epoch.
    seed : int
        The same seed tries the same, where trials give the same numbers.
    folds : int
        For the report.
    resume : bool
        Continue a study of this name; without it one that exists is refused.

    Raises
    ------
    MissingDependency
        If optuna is not installed.
    UsageError
        If there is such a study already, or it was made for another space, metric or sampler.
    NotFound
        If there is none to resume.
    Conflict
        If it is being searched already.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        metric: str,
        maximize: bool,
        space: list[Dimension],
        sampler: Sampler,
        prune: bool,
        seed: int,
        folds: int,
        resume: bool,
    ) -> None:
        optuna = _optuna()
        if sampler not in SAMPLERS:
            raise UsageError(
                f"There is no sampler called '{sampler}'.",
                hint=nearest(str(sampler), SAMPLERS, what="samplers", otherwise=""),
            )
        if sampler == "grid" and combinations(space, GRID_POINTS) > 10_000:
            raise UsageError(
                f"The grid has {combinations(space, GRID_POINTS):,} points.",
                hint="Use --sampler tpe, or write fewer values: lr=0.001,0.01,0.1",
            )
        path = folder / f"{name}.db"
        if resume and not path.exists():
            known = [found.stem for found in folder.glob("*.db")]
            raise NotFound(
                f"There is no study called '{name}'.",
                hint=nearest(name, known, what="studies", otherwise="Leave --resume out to start it."),
            )
        if path.exists() and not resume:
            raise UsageError(
                f"There is a study called '{name}' already.",
                hint="Add --resume to continue it, or pass another --study.",
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / f".{name}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise Conflict(
                f"The study '{name}' is being searched already, here or in another process.",
                hint="Wait until it is over, or stop it first: %maas runs",
            ) from error
        try:
            self._study = optuna.create_study(
                storage=optuna.storages.RDBStorage(f"sqlite:///{path.as_posix()}"),
                study_name=name,
                direction="maximize" if maximize else "minimize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1)
                if prune
                else optuna.pruners.NopPruner(),
                load_if_exists=resume,
            )
            made_for = {"space": " ".join(map(str, space)), "metric": metric, "folds": folds}
            before = self._study.user_attrs.get(_SPACE)
            if before is not None and before != made_for:
                changed = next(key for key in made_for if before.get(key) != made_for[key])
                raise UsageError(
                    f"The study '{name}' was made for the {changed} '{before[changed]}', not '{made_for[changed]}'.",
                    hint="Resume it with the same, or pass another --study.",
                )
            self._study.set_user_attr(_SPACE, made_for)
            # A trial that was running when the process ended will not come back.
            for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            # A resumed search goes on with other random numbers than those it has used.
            self._study.sampler = _sampler(optuna, sampler, seed + len(self._study.trials))
            self._space = space
            self._report = Tuning(name, metric, maximize, space, self._rows(), folds)
            self._grid = combinations(space, GRID_POINTS) if sampler == "grid" else None
            if self._grid is not None:
                self._enqueue_grid()
        except BaseException:
            self._lock.release()
            raise

    @property
    def run_id(self) -> str | None:
        """The run of MLflow that the session before was entered as."""
        found: str | None = self._study.user_attrs.get(_RUN)
        return found

    def keep_run(self, run_id: str) -> None:
        """Remember the run that this search is entered as."""
        self._study.set_user_attr(_RUN, run_id)

    @property
    def tuning(self) -> Tuning:
        """What was found so far; changed in place by `run`."""
        return self._report

    def run(
        self,
        objective: Objective,
        *,
        trials: int,
        seconds: float | None,
        watch: Callable[[Tuning], None],
        stopped: Callable[[], bool] = lambda: False,
    ) -> Tuning:
        """Try until the number of trials (those of earlier sessions included) or the time is reached.

        A trial that fails with an error of the user's data or model is a row of the report; where every one of the
        first three fails, the search ends with that error. A KeyboardInterrupt ends it and keeps what is complete.

        Parameters
        ----------
        objective : callable
            Trains one set of hyper-parameters.
        trials : int
            How many in all; a grid ends where every point was tried.
        seconds : float or None
            No trial begins after so many.
        watch : callable
            Is shown the report after each change.
        stopped : callable
            Says whether somebody asked to stop.
        """
        optuna = _optuna()
        report = self._report
        began = time.perf_counter()
        goal = trials if self._grid is None else min(trials, self._grid)
        try:
            while self._report.counted < goal and not stopped():
                if seconds is not None and time.perf_counter() - began >= seconds:
                    break
                trial = self._study.ask()
                params = {dimension.name: _suggest(trial, dimension) for dimension in self._space}
                self._refresh(began, watch)
                self._try(optuna, trial, params, objective)
                self._refresh(began, watch)
                self._end_if_all_fail(report)
            report.status = "interrupted" if stopped() else "finished"
        except KeyboardInterrupt:
            report.status = "interrupted"
        except BaseException:
            report.status = "failed"
            self._refresh(began, watch)
            raise
        finally:
            self._lock.release()
        report.importances = self._importances(optuna)
        self._refresh(began, watch)
        return report

    def _try(self, optuna: Any, trial: Any, params: dict[str, Value], objective: Objective) -> None:
        def tell(step: int, value: float) -> None:
            trial.report(value, step)
            if trial.should_prune():
                raise GivenUp

        states = optuna.trial.TrialState
        try:
            score = objective(params, tell)
        except GivenUp:
            self._study.tell(trial, state=states.PRUNED)
        except MaasError as error:
            trial.set_user_attr(_ERROR, error.message)
            self._study.tell(trial, state=states.FAIL)
        except BaseException:
            trial.set_user_attr(_ERROR, BROKEN_OFF[1])
            self._study.tell(trial, state=states.FAIL)
            raise
        else:
            if score.spread is not None:
                trial.set_user_attr(_SPREAD, score.spread)
            if score.epochs is not None:
                trial.set_user_attr(_EPOCHS, score.epochs)
            self._study.tell(trial, score.value)

    def _enqueue_grid(self) -> None:
        """Let the points that were not tried to their end wait in the study's queue."""
        done = [
            trial.system_attrs.get("fixed_params", trial.params)
            for trial in self._study.get_trials(deepcopy=False)
            if not (trial.state.name == "FAIL" and trial.user_attrs.get(_ERROR, "") in BROKEN_OFF)
        ]
        names = [dimension.name for dimension in self._space]
        for point in product(*(dimension.grid(GRID_POINTS) for dimension in self._space)):
            params = dict(zip(names, point, strict=True))
            if params not in done:
                self._study.enqueue_trial(params)

    def _end_if_all_fail(self, report: Tuning) -> None:
        errors = [trial.error for trial in report.trials if trial.status == "failed" and trial.error]
        if len(errors) == len(report.trials) == 3:
            raise InvalidInput(
                f"The first {len(errors)} trials all failed: {errors[-1]}",
                hint="Train once with fixed hyper-parameters to see the whole error.",
            )

    def _refresh(self, began: float, watch: Callable[[Tuning], None]) -> None:
        self._report.trials = self._rows()
        self._report.seconds = time.perf_counter() - began
        watch(self._report)

    def _rows(self) -> list[TrialRow]:
        status: dict[str, TrialStatus] = {
            "COMPLETE": "complete",
            "PRUNED": "pruned",
            "FAIL": "failed",
            "RUNNING": "running",
        }
        rows = []
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.name not in status:
                continue
            value = trial.value
            if value is None and trial.intermediate_values:
                value = trial.intermediate_values[max(trial.intermediate_values)]
            rows.append(
                TrialRow(
                    number=trial.number,
                    params=dict(trial.params),
                    status=status[trial.state.name],
                    value=value,
                    spread=trial.user_attrs.get(_SPREAD),
                    epochs=trial.user_attrs.get(_EPOCHS),
                    seconds=trial.duration.total_seconds() if trial.duration else 0.0,
                    error=trial.user_attrs.get(_ERROR, ""),
                )
            )
        return rows

    def _importances(self, optuna: Any) -> dict[str, float]:
        complete = [trial for trial in self._report.trials if trial.status == "complete"]
        varied = {
            dimension.name
            for dimension in self._space
            if len({str(trial.params.get(dimension.name)) for trial in complete}) > 1
        }
        if len(complete) < 4 or not varied or len({trial.value for trial in complete}) < 2:
            return {}
        found = optuna.importance.get_param_importances(
            self._study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0), params=sorted(varied)
        )
        return {name: float(share) for name, share in sorted(found.items(), key=lambda item: -item[1])}


def read_space(texts: str | Sequence[str]) -> list[Dimension]:
    """Read the parts of a space, given one by one or as one text."""
    return parse_space(" ".join(several(texts)))


def _suggest(trial: Any, dimension: Dimension) -> Value:
    if isinstance(dimension, Choice):
        chosen: Value = trial.suggest_categorical(dimension.name, dimension.options)
        return chosen
    if dimension.integer:
        whole: Value = trial.suggest_int(
            dimension.name,
            dimension.low,
            dimension.high,
            log=dimension.log,
            step=1 if dimension.log else dimension.step or 1,
        )
        return whole
    number: Value = trial.suggest_float(
        dimension.name, dimension.low, dimension.high, log=dimension.log, step=dimension.step
    )
    return number


def _sampler(optuna: Any, name: Sampler, seed: int) -> Any:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=8)
    # The points of a grid wait in the study's queue.
    return optuna.samplers.RandomSampler(seed=seed)


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "Tuning needs the package 'optuna'.", hint="pip install 'maas-jupyter[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
