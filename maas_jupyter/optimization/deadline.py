"""The end of a time budget, for methods that train: nothing else of them can be ended from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from maas_jupyter.errors import TrainingError

if TYPE_CHECKING:
    from maas_jupyter.runs import RunState
    from maas_jupyter.training import TrainingObserver


class OutOfTime(TrainingError):
    """The time that was given is used up."""


class Deadline:
    """Gives observers that end a training when its time is used up.

    Parameters
    ----------
    watch : callable
        Gives what draws a training of this title.
    end : float
        Of the time, by ``time.monotonic``.
    budget : float
        Seconds, for the words of the error.
    """

    def __init__(self, watch: Callable[[str], TrainingObserver], end: float, budget: float) -> None:
        self._watch, self._end, self._budget = watch, end, budget

    def __call__(self, title: str) -> TrainingObserver:
        """Give the observer of one training."""
        return _Watched(self._watch(title), self._look)

    def _look(self) -> None:
        """Do nothing before the end.

        Raises
        ------
        OutOfTime
            After it.
        """
        if time.monotonic() > self._end:
            raise OutOfTime(
                f"it was stopped: its training did not end within what was left of {self._budget:.0f} s",
                hint="Give a longer --budget.",
            )


class _Watched:
    """An observer that looks at the time too."""

    def __init__(self, watched: TrainingObserver, look: Callable[[], None]) -> None:
        self._watched, self._look = watched, look

    def update(self, state: RunState, *, final: bool = False) -> None:
        """Show the state; the final one whatever the time is."""
        self._watched.update(state, final=final)
        if not final:
            self._look()

    def epoch(self, metrics: dict[str, float]) -> None:
        """Pass them on."""
        self._watched.epoch(metrics)
