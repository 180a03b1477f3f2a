"""One tracked run in MLflow: parameters, metrics, artifacts and how it ended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from maas_jupyter.errors import Unavailable
from maas_jupyter.registry.registry import Registry


class Tracker:
    """Writes the run of a short verb; a registry that goes away in the middle never ends the work that is tracked.

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
    warning : str or None
        Why something could not be written; None while nothing is missing.
    """

    def __init__(self, registry: Registry, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        self._registry = registry
        self.warning: str | None = None
        self.run_id = registry.start_run(name, params, tags)

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Write metrics of a step."""
        now = time.time_ns() // 1_000_000
        points = [(name, float(value), now, step) for name, value in metrics.items()]
        try:
            self._registry.log_metrics(self.run_id, points)
        except Unavailable as error:
            self.warning = error.message

    def log_files(self, folder: Path, artifact_path: str) -> None:
        """Store a folder's files with the run."""
        try:
            self._registry.log_files(self.run_id, folder, artifact_path)
        except Unavailable as error:
            self.warning = error.message

    def end(self, status: str) -> None:
        """Close the run.

        Parameters
        ----------
        status : str
            MLflow's run status: ``FINISHED``, ``KILLED`` or ``FAILED``.
        """
        try:
            self._registry.end_run(self.run_id, status)
        except Unavailable as error:
            self.warning = error.message
