"""Which run of this machine is meant."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maas_jupyter.errors import BundleError, NotFound, UsageError, nearest
from maas_jupyter.runs.folder import RunFolder, run_folders
from maas_jupyter.runs.state import RunState

LAST = "last"
#: Folders that changed last, among which the last run is.
_RECENT = 20


def last_run(home: Path, *, verb: str | None = None) -> RunFolder | None:
    """Return the last run: of those under way the one that began last, else the one that ended last.

    Parameters
    ----------
    home : Path
        The home (`MaasConfig.home_path`).
    verb : str, optional
        Only runs of this verb, such as ``train``.
    """
    found: list[tuple[bool, float, RunFolder]] = []
    for folder in run_folders(home):
        state = _state(folder)
        if state is not None and verb in (None, state.verb):
            active = state.status == "training"
            found.append((active, state.started if active else state.updated or state.started, folder))
            if len(found) == _RECENT:
                break
    return max(found, key=lambda each: each[:2])[2] if found else None


def find_training(home: Path, run: Any) -> RunFolder:
    """Return the folder of the training that is meant.

    Parameters
    ----------
    run : Run, str
        A run, its id or the beginning of it, or ``last`` (`runs.last_run`).

    Raises
    ------
    NotFound
        If there is none.
    UsageError
        If more than one begins like this.
    """
    wanted = run if isinstance(run, str) else run.run_id
    if wanted == LAST:
        last = last_run(home, verb="train")
        if last is None:
            raise NotFound("No model was trained on this machine.", hint="Train one: %maas train net --data train")
        return last
    known = [folder.run_id for folder in run_folders(home)]
    found = beginning_with(wanted, known)
    if found is None:
        raise NotFound(
            f"There is no run '{wanted}' on this machine.",
            hint=nearest(wanted, [run_id[:8] for run_id in known], what="runs", otherwise="Train one first."),
        )
    return RunFolder(home, found)


def beginning_with(word: str, known: Iterable[str]) -> str | None:
    """Return the id that is meant by its beginning; None where none begins so.

    Raises
    ------
    UsageError
        If several do.
    """
    found = [run_id for run_id in known if run_id.startswith(word.lower())]
    if len(found) > 1 and word not in found:
        listed = ", ".join(run_id[: max(12, len(word) + 4)] for run_id in found[:8])
        raise UsageError(f"{len(found)} runs begin with '{word}'.", hint=f"Give more of the id: {listed}.")
    return word if word in found else (found[0] if found else None)


def _state(folder: RunFolder) -> RunState | None:
    try:
        return folder.read()
    except BundleError:
        # A damaged file must not hide the others.
        return None
