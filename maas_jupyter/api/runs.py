"""Runs: ``runs``, ``attach`` and ``interrupt``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, get_args

from maas_jupyter import config, plugins
from maas_jupyter.api.subjects import has_run, open_complete_registry, open_registry
from maas_jupyter.arguments import RunArgument
from maas_jupyter.errors import BundleError, Conflict, NotFound, UsageError, nearest

if TYPE_CHECKING:
    from maas_jupyter.registry import Registry, RunList, RunRecord
    from maas_jupyter.runs import ComparedRun, RunComparison, RunState, RunStatus
    from maas_jupyter.targets import Notice

#: The loss between epochs, tracked by the optimizer's step; every other metric is tracked by the epoch.
STEP_LOSS = "step_loss"
#: Among so many of the newest runs one is looked for.
_SEARCHED = 1000
_SECONDS_BETWEEN_LOOKS = 0.2


def runs(
    *runs: RunArgument, model: str | None = None, status: str | None = None, limit: int = 20
) -> RunList | RunComparison:
    """List tracked runs, newest first; compare those that are named.

    Parameters
    ----------
    runs : str or Run
        Ids (their beginnings are enough), last, or runs of the notebook. Two or more are compared.
    model : str
        Only runs of the model of this name.
    status : str
        Only those that are training, finished, stopped_early, interrupted or failed.
    limit : int
        How many at the most.

    Returns
    -------
    RunList or RunComparison

    Raises
    ------
    NotFound
        If there is no such run.
    """
    from maas_jupyter.registry import RunList
    from maas_jupyter.runs import RunComparison

    wanted = None if status is None else _status(status)
    if limit < 1:
        raise UsageError("--limit is at least 1.", hint="Leave it out for 20.")
    registry = open_complete_registry()
    if runs:
        if model or status:
            raise UsageError("Runs that are named are not filtered.", hint="Leave --model and --status out.")
        named = dict.fromkeys(find_run(run, registry) for run in runs)
        records = [_record(run_id, registry) for run_id in named]
        if len(records) == 1:
            return RunList(records)
        return RunComparison([_compared(record, registry) for record in records])
    found: Iterable[RunRecord] = map(_with_state, registry.runs(_SEARCHED if model or wanted else limit))
    if model:
        # "register digits" and "quantize digits" are runs about digits as well.
        found = (record for record in found if model in record.name.split())
    if wanted:
        found = (record for record in found if record.status in wanted)
    return RunList(record for record, _ in zip(found, range(limit), strict=False))


def attach(run: RunArgument = "last") -> None:
    """Show a run's live view again, here, until it ends; one that has ended is drawn at once.

    Interrupting this cell leaves the run alone; its view's Stop, and the verb interrupt, stop the run.

    Parameters
    ----------
    run : str or Run
        An id (its beginning is enough), a run of the notebook, or last: the one of this machine that
        goes on and began last, else the one that ended last.

    Raises
    ------
    NotFound
        If there is no such run.
    """
    from maas_jupyter.runs import RunFolder

    run_id = find_run(run)
    folder = RunFolder(config.current().home_path, run_id)
    state = folder.read()
    if state is None:
        registry = open_registry()
        state = _recalled(registry.run(run_id), registry)
        plugins.load("view", "training")(state.name).update(state, final=True)
        return
    view = plugins.load("view", "training")(state.name)
    try:
        # An interrupt is meant for this cell, not for the run.
        with contextlib.suppress(KeyboardInterrupt):
            while state.status == "training":
                view.update(state)
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                state = folder.read() or state
    finally:
        view.update(state, final=True)


def interrupt(run: RunArgument = "last", *, wait: float = 10.0) -> Notice:
    """Ask a run to stop, whichever process of this machine it is in; it keeps a checkpoint.

    Parameters
    ----------
    run : str or Run
        An id (its beginning is enough), a run of the notebook, or last: the one of this machine that
        goes on and began last, else the one that ended last.
    wait : float
        Seconds to wait for it to stop.

    Returns
    -------
    Notice
        What came of it.

    Raises
    ------
    NotFound
        If there is no such run on this machine.
    Conflict
        If it has ended already.
    """
    from maas_jupyter.runs import RunFolder
    from maas_jupyter.targets import Notice

    run_id = find_run(run)
    folder = RunFolder(config.current().home_path, run_id)
    state, short = folder.read(), run_id[:8]
    if state is None:
        raise NotFound(f"The run {short} is not on this machine.", hint="Interrupt it where it runs.")
    if state.status != "training":
        ended = state.status.replace("_", " ")
        raise Conflict(
            f"The run {short} of '{state.name}' has ended already: {ended}.", hint=f"See it: %maas attach {short}"
        )
    folder.request_stop()
    until = time.monotonic() + wait
    while state.status == "training" and time.monotonic() < until:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        state = folder.read() or state
    subject = f"The run {short} of '{state.name}'"
    if state.status == "training":
        return Notice(f"{subject} is asked to stop and has not yet: a step may be long. See when: %maas attach {short}")
    if state.status != "interrupted":
        return Notice(f"{subject} ended by itself meanwhile: {state.status.replace('_', ' ')}.")
    kept = f" Its checkpoint: {state.checkpoint}." if state.checkpoint else ""
    on = f" Go on: {state.resume_line}" if state.resume_line else ""
    return Notice(f"{subject} stopped in {state.place}.{kept}{on}")


def find_run(run: Any, registry: Registry | None = None) -> str:
    """Return the whole id of a run.

    Parameters
    ----------
    run : str, Run or RunRecord
        Its id, the beginning of its id, ``last``, or the run itself.
    registry : Registry, optional
        Where runs are looked for that are not on this machine; the one of the settings by default.

    Raises
    ------
    NotFound
        If there is no such run; the hint offers the nearest ids.
    UsageError
        If several ids begin like this.
    """
    from maas_jupyter.runs import LAST, beginning_with, last_run, run_folders

    if has_run(run):
        return str(run.run_id)
    if not isinstance(run, str) or not run:
        raise UsageError(f"A {type(run).__name__} is not a run.", hint="Give the beginning of its id: %maas runs")
    home = config.current().home_path
    newest = last_run(home) if run == LAST else None
    if newest is not None:
        return newest.run_id
    known = [folder.run_id for folder in run_folders(home)]
    found = beginning_with(run, known)
    if found:
        return found
    records = (registry or open_registry()).runs(_SEARCHED)
    if run == LAST and records:
        return records[0].run_id
    known += [record.run_id for record in records]
    found = beginning_with(run, dict.fromkeys(known))
    if found:
        return found
    short = dict.fromkeys(run_id[:8] for run_id in known)
    raise NotFound(
        f"There is no run '{run[:64]}'.",
        hint=nearest(run[:8], short, what="runs", otherwise="Start one: %maas train net --data train"),
    )


def _status(status: str) -> tuple[str, ...]:
    from maas_jupyter.runs import RunStatus

    word = status.lower().replace("-", "_")
    known = get_args(RunStatus)
    if word not in known:
        raise UsageError(f"No run is '{status}'.", hint=nearest(word, known, what="states", otherwise=""))
    # The registry's own word, for runs of other machines.
    return (word, "running") if word == "training" else (word,)


def _record(run_id: str, registry: Registry) -> RunRecord:
    from maas_jupyter.registry import RunRecord
    from maas_jupyter.runs import RunFolder

    try:
        return _with_state(registry.run(run_id))
    except NotFound:
        # A run of this machine that was tracked by another registry.
        state = RunFolder(config.current().home_path, run_id).read()
        if state is None:
            raise
        return RunRecord(run_id, state.name, state.status, state.started, state.seconds, state.metrics, {}, state)


def _with_state(record: RunRecord) -> RunRecord:
    """Add what the run's folder tells, which is newer than what the registry knows."""
    from maas_jupyter.runs import RunFolder

    try:
        state = RunFolder(config.current().home_path, record.run_id).read()
    except BundleError:
        # A damaged file must not hide the run, nor the others; the registry's word is left.
        state = None
    if state is None:
        return record
    duration = None if state.status == "training" else record.duration or state.seconds
    metrics = {**record.metrics, **state.metrics}
    return replace(record, status=state.status, duration=duration, metrics=metrics, state=state)


def _recalled(record: RunRecord, registry: Registry) -> RunState:
    """Make a run's state from what the registry holds: its folder is on another machine, or was deleted."""
    from maas_jupyter.runs import RunState, RunStatus

    points = _tracked(record, registry)
    reached = max((int(values[-1][0]) for values in points.values()), default=0)
    history: dict[int, dict[str, float]] = {}
    for name, values in points.items():
        for epoch, value in values:
            history.setdefault(int(epoch), {"epoch": float(epoch)})[name] = value
    curves = {name: _curve(values) for name, values in points.items()}
    steps = registry.metric_history(record.run_id, STEP_LOSS) if STEP_LOSS in record.metrics else []
    if steps and reached:
        # Its steps are the optimizer's; the last of them ended the last epoch, or nearly.
        curves["loss"] = _curve((step * reached / steps[-1][0], value) for step, value in steps if step)
    asked = record.params.get("epochs", "")
    status = record.status if record.status in get_args(RunStatus) else "training"
    return RunState(
        run_id=record.run_id,
        name=record.name,
        status=cast("RunStatus", status),
        epochs=int(asked) if asked.isdigit() else reached,
        epoch=reached,
        seconds=record.duration or 0.0,
        device=record.params.get("device", ""),
        history=[history[epoch] for epoch in sorted(history)],
        curves=curves,
        notes=["This machine has no folder of the run: drawn from what the registry holds."],
        started=record.started,
    )


def _compared(record: RunRecord, registry: Registry) -> ComparedRun:
    from maas_jupyter.runs import ComparedRun

    if record.state is None:
        curves = {name: _curve(values) for name, values in _tracked(record, registry).items()}
    else:
        curves = dict(record.state.curves)
        epochs = record.state.history
        if epochs and epochs[0]["epoch"] == 1:
            # Means of epochs are compared more easily than losses of steps.
            curves["loss"] = _curve((entry["epoch"], entry["loss"]) for entry in epochs if "loss" in entry)
    metrics = {name: value for name, value in record.metrics.items() if name != STEP_LOSS}
    return ComparedRun(record.run_id, record.name, record.status, record.params, metrics, curves)


def _tracked(record: RunRecord, registry: Registry) -> dict[str, list[tuple[int, float]]]:
    """Read the metrics of epochs; what was measured once, after the training, is at none and left out."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name in record.metrics:
        if name != STEP_LOSS:
            points = [(epoch, value) for epoch, value in registry.metric_history(record.run_id, name) if epoch >= 1]
            found |= {name: points} if points else {}
    return found


def _curve(points: Iterable[tuple[float, float]]) -> Any:
    from maas_jupyter.runs import Curve

    curve = Curve()
    for x, y in points:
        curve.add(x, y)
    return curve
