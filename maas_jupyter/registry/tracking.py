"""One tracked run in MLflow: parameters, metrics, artifacts and how it ended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from maas_jupyter.errors import Unavailable
from maas_jupyter.registry.registry import Registry

_FLUSH_SECONDS = 1.0


class Tracker:
    """Writes one run; a registry that goes away in the middle never ends the work that is tracked.

    Parameters
    ----------
    registry : Registry
        Where the run is kept.
    name : str
        The run's name.
    params, tags : dict
        Written at the start; values are made strings.

    Attributes
    ----------
    run_id : str
        MLflow's id of the run.
    """

    def __init__(self, registry: Registry, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        self._registry = registry
        self._pending: list[tuple[str, float, int, int]] = []
        self._flushed = time.monotonic()
        self._late: str | None = None
        self._lost: str | None = None
        self.run_id = registry.start_run(name, params, tags)

    @property
    def warning(self) -> str | None:
        """Why something could not be written; None while nothing is missing."""
        return self._lost or self._late

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Keep metrics of a step; they are written about once a second."""
        now = time.time_ns() // 1_000_000
        self._pending += [(name, float(value), now, step) for name, value in metrics.items()]
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if not self._pending:
            return
        try:
            self._registry.log_metrics(self.run_id, self._pending)
        except Unavailable as error:
            # The points stay pending and are tried again at the next flush.
            self._late = error.message
        else:
            self._pending, self._late = [], None

    def log_files(self, folder: Path, artifact_path: str) -> None:
        """Store a folder's files with the run; a registry that went away is a warning."""
        try:
            self._registry.log_files(self.run_id, folder, artifact_path)
        except Unavailable as error:
            self._lost = error.message

    def end(self, status: str) -> None:
        """Write what is pending and close the run.

        Parameters
        ----------
        status : str
            MLflow's run status: ``FINISHED``, ``KILLED`` or ``FAILED``.
        """
        self._flush()
        try:
            self._registry.end_run(self.run_id, status)
        except Unavailable as error:
            self._lost = error.message
