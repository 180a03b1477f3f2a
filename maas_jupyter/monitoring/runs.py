"""The runs of this machine as the panel lists them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import fmean

from maas_jupyter.errors import BundleError
from maas_jupyter.monitoring.feed import in_words
from maas_jupyter.monitoring.rows import RunRow
from maas_jupyter.runs import Curve, RunFolder, RunState, run_folders

#: How many runs that have ended are listed.
ENDED = 20
#: Points of the loss that a row holds.
LOSS_POINTS = 40


class RecentRuns:
    """Reads the folder of runs: those under way, and the last ones that ended. Call it off the event loop's thread.

    Parameters
    ----------
    home : Path
        The home (`MaasConfig.home_path`).
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self) -> list[RunRow]:
        """List the runs: those under way, the newest first, then those that ended, the last one first."""
        active: list[RunRow] = []
        ended: list[RunRow] = []
        for folder in run_folders(self._home):
            row = _row(folder)
            if row is not None:  # not deleted meanwhile
                (active if row.status == "training" else ended).append(row)
            if len(ended) == ENDED:
                break
        return sorted(active, key=lambda row: -row.started) + ended


def _row(folder: RunFolder) -> RunRow | None:
    try:
        state = folder.read()
    except BundleError as error:  # it must not hide the others
        state = RunState(run_id=folder.run_id, name=folder.run_id, status="failed", error=in_words(error))
    if state is None:
        return None
    metric_name, metric = _headline(state)
    return RunRow(
        run_id=folder.run_id,
        name=state.name,
        verb=state.verb,
        status=state.status,
        fraction=round(state.fraction, 4),
        epoch=state.epoch,
        epochs=state.epochs,
        rows_per_second=state.rows_per_second,
        remaining=state.remaining,
        metric_name=metric_name,
        metric=metric,
        loss=_few(state.curves.get("loss") or next(iter(state.curves.values()), None)),
        started=state.started,
        updated=state.updated,
        error=state.error,
        stopping=state.status == "training" and folder.stop_requested(),
    )


def _headline(state: RunState) -> tuple[str | None, float | None]:
    """Return the metric by which the run chooses its best epoch, as the kept epoch has it; before any, the loss."""
    if state.best and state.best.metric in state.metrics and state.kept:
        return state.best.metric, state.metrics[state.best.metric]
    if state.best:
        return state.best.metric, state.best.value
    loss = state.curves.get("loss")
    return ("loss", loss.last) if loss and loss.last is not None else (None, None)


def _few(curve: Curve | None) -> list[float]:
    """Return the means of equal parts of a curve, rounded to what can be seen."""
    values = curve.y if curve else []
    parts = min(len(values), LOSS_POINTS)
    bounds = [len(values) * part // parts for part in range(parts + 1)] if parts else []
    return [float(f"{fmean(values[start:end]):.5g}") for start, end in pairwise(bounds)]
