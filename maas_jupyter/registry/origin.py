"""Where a version comes from: its run, and the versions that it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from maas_jupyter import plugins
from maas_jupyter.registry.run_files import MOST_TEXT, RunFiles

if TYPE_CHECKING:
    from maas_jupyter.registry.nouns import ModelVersion

#: Optimizers that leave a model with another number of parameters.
_RESHAPING = ("structured-pruning", "distillation")
_SOURCE = "training/source.py"


class Origin(Struct, frozen=True):
    """The run that a version came from: ``verb`` what was done, ``method`` how, ``command`` what was typed.

    ``commit`` is that of the folder in which it was done, ``uncommitted`` whether there was more than that;
    ``started`` in epoch seconds.
    """

    run_id: str
    verb: str
    name: str
    method: str
    command: str
    started: float
    commit: str
    uncommitted: bool
    params: dict[str, str]


class Origins:
    """Reads the runs that versions came from, each once."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._origins: dict[str, Origin | None] = {}

    def of(self, version: ModelVersion) -> Origin | None:
        """Return the run that a version came from; None where that is gone."""
        run_id = version.run_id
        if not run_id:
            return None
        if run_id not in self._origins:
            self._origins[run_id] = self._origin(run_id)
        return self._origins[run_id]

    def _origin(self, run_id: str) -> Origin | None:
        run = self._files.run(run_id)
        if run is None:
            return None
        params, tags = dict(run.data.params), run.data.tags
        verb = tags.get("maas.verb", "train" if "optimizer" in params else "")
        command = params.pop("command", "")
        if not command and verb in ("train", "tune", ""):
            command = (self._files.text(run_id, _SOURCE) or "").strip()
        return Origin(
            run_id=run_id,
            verb=verb,
            name=run.info.run_name or "",
            method=params.pop("method", ""),
            command=command[:MOST_TEXT],
            started=run.info.start_time / 1000,
            commit=tags.get("mlflow.source.git.commit", ""),
            uncommitted=tags.get("maas.git.dirty") == "true",
            params=params,
        )


def ancestors_of(version: ModelVersion, versions: Sequence[ModelVersion]) -> tuple[ModelVersion, list[ModelVersion]]:
    """Return the first ancestor that is still there, and all of them, the parent first."""
    known = {each.reference: each for each in versions}
    found: list[ModelVersion] = []
    latest = version
    # A tag that somebody wrote by hand may make a circle.
    while latest.parent in known and known[latest.parent] not in (version, *found):
        latest = known[latest.parent]
        found.append(latest)
    return latest, found


def parameters_of(origins: Iterable[Origin | None]) -> int | None:
    """Return how many parameters a version has: its own run says it, or that of an ancestor with as many."""
    for origin in origins:
        if origin is None:
            return None
        said = origin.params.get("parameters", "")
        if said.isdigit():
            return int(said)
        keeping = plugins.BUILTIN["optimizer"].keys() - set(_RESHAPING)
        if not origin.method or not set(origin.method.split(" + ")) <= keeping:
            return None
    return None
