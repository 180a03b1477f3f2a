"""What the registry keeps with runs: each is read once, and what cannot be read hides nothing else."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from maas_jupyter.errors import MaasError
from maas_jupyter.registry.connection import translated, without_progress_bar

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

#: Characters of code and of reports that are shown.
MOST_TEXT = 20_000


class RunFiles:
    """Reads runs and their files.

    Parameters
    ----------
    client, uri
        The registry's.

    Attributes
    ----------
    troubles : list of str
        What could not be read, and why.
    """

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client = client
        self._uri = uri
        self._runs: dict[str, MlflowRun | None] = {}
        self.troubles: list[str] = []

    def run(self, run_id: str) -> MlflowRun | None:
        """Return a run; None where it is gone."""
        if run_id not in self._runs:
            self._runs[run_id] = None
            try:
                with translated(self._uri):
                    self._runs[run_id] = self._client.get_run(run_id)
            except MaasError as error:
                self.troubles.append(f"The run {run_id[:8]} that it came from cannot be read: {error.message}")
        return self._runs[run_id]

    def text(self, run_id: str | None, path: str, *, most: int | None = MOST_TEXT) -> str | None:
        """Return the beginning of one of a run's files; None where it has no such file."""
        run = self.run(run_id) if run_id else None
        if run is None or run_id is None:
            return None
        source = f"{run.info.artifact_uri}/{path}"
        try:
            if not self._is_there(run_id, path, source):
                return None
            return self.download(source).decode("utf-8", "replace")[:most]
        except MaasError as error:
            self.troubles.append(f"{path} of run {run_id[:8]} cannot be read: {error.message}")
        except OSError as error:
            self.troubles.append(f"{path} of run {run_id[:8]} cannot be read: {error.strerror or error}")
        return None

    def _is_there(self, run_id: str, path: str, source: str) -> bool:
        local = _local(source)
        if local is not None:
            return local.is_file()
        with translated(self._uri):
            return any(each.path == path for each in self._client.list_artifacts(run_id, path.rpartition("/")[0]))

    def download(self, source: str) -> bytes:
        """Return the bytes of an artifact.

        Raises
        ------
        MaasError, OSError
            If it cannot be had.
        """
        local = _local(source)
        if local is not None:
            return local.read_bytes()
        import tempfile

        from mlflow.artifacts import download_artifacts

        with translated(self._uri), without_progress_bar(), tempfile.TemporaryDirectory(prefix="maas-") as scratch:
            return Path(download_artifacts(source, tracking_uri=self._uri, dst_path=scratch)).read_bytes()

    def measured(self, run_id: str | None, name: str) -> float | None:
        """Return when a run's metric was measured last, in epoch seconds; None where that is not known."""
        with suppress(MaasError), translated(self._uri):
            points = self._client.get_metric_history(run_id or "", name)
            return max((point.timestamp for point in points), default=0) / 1000 or None
        return None


def _local(source: str) -> Path | None:
    """Return the path of what lies on this machine's disk."""
    parts = urlsplit(source)
    return Path(unquote(parts.path)) if parts.scheme == "file" and not parts.netloc else None
