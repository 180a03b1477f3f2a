"""The desired state: which models and versions should serve, one small JSON file per model.

A change is first appended to the model's history, with the whole state that it makes, and then written to the model's
file. So the history is the write-ahead log: where a process ended between the two, the next start finishes the change.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from maas_jupyter import schema
from maas_jupyter.errors import BundleError, MaasError
from maas_jupyter.schema import Action, HistoryEntry, ServedModel, check_name, is_name
from maas_jupyter.serving.control import traffic
from maas_jupyter.serving.control.history import History, Recent

log = logging.getLogger(__name__)


class DesiredState:
    """The folders ``models/`` and ``history/`` of a server's home.

    Written by one process at a time, the one that holds the home's lock; read by any.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "models"
        self.history = History(home)

    def _path(self, name: str) -> Path:
        return self._folder / f"{check_name(name)}.json"

    def read(self) -> tuple[dict[str, ServedModel], dict[str, str]]:
        """Read everything.

        Returns
        -------
        models : dict of str to ServedModel
            The models whose file is sound.
        broken : dict of str to str
            The other files' names, and what is wrong with each: one bad file never hides the others.
        """
        models: dict[str, ServedModel] = {}
        broken: dict[str, str] = {}
        for name in self._names():
            try:
                models[name] = self._read(name)
            except (MaasError, OSError) as error:
                broken[name] = error.message if isinstance(error, MaasError) else str(error)
        return models, broken

    def _names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        with os.scandir(self._folder) as files:
            # One that begins with a dot is a file that is being written.
            names = (file.name.removesuffix(".json") for file in files if file.name.endswith(".json"))
            return sorted(filter(is_name, names))

    def _read(self, name: str) -> ServedModel:
        path = f"{self._folder}{os.sep}{name}.json"
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  ten thousand of them are read at a start
            data = file.read()
        model = schema.decode(data, ServedModel, where=path)
        if model.name != name or not model.versions:
            raise BundleError(f"{path} describes '{model.name}' with {len(model.versions)} versions.")
        return model

    def recover(self) -> tuple[dict[str, ServedModel], dict[str, str], dict[str, set[str]] | None]:
        """Read everything after finishing the changes that the last process left unfinished; for a start.

        Returns
        -------
        models, broken : dict
            As of `read`. A broken file whose model has a history is written anew.
        kept : dict of str to set of str, or None
            By model, withdrawn ones included, the digests of the bundles that it may still need. None where a file or a
            history is so damaged that not all of them are known.
        """
        for path in self._folder.glob(".*.json.*"):
            path.unlink()  # was being written
        models, broken = self.read()
        kept: dict[str, set[str]] = {}
        known = True
        for name in self.history.names():
            recent, named = self._look(self.history.recover, name)
            known &= named is not None
            present, last = models.get(name), recent.entries[-1] if recent.entries else None
            kept[name] = traffic.kept(present, recent.entries) | (named or set())
            if last is None or (present is not None and present.revision >= last.revision):
                continue
            before, kept[name] = kept[name], traffic.kept(last.model, recent.entries) | (named or set())
            try:
                self._finish(name, last)
            except (MaasError, OSError) as error:
                log.error("model %s: its change %d cannot be finished: %s", name, last.revision, error)
                kept[name] |= before
                continue
            broken.pop(name, None)
            models.pop(name, None)
            if last.model is not None:
                models[name] = last.model
        for name in models.keys() - kept.keys():
            kept[name] = traffic.kept(models[name], [])
        return models, broken, kept if known and not broken else None

    def kept(self, name: str, model: ServedModel | None) -> tuple[set[str], bool]:
        """Return the digests of the bundles that a model may still need, and whether these are surely all.

        Parameters
        ----------
        name : str
            Which model.
        model : ServedModel, optional
            Its present state; None where it was withdrawn.
        """
        recent, named = self._look(self.history.recent, name)
        return traffic.kept(model, recent.entries) | (named or set()), named is not None

    def _look(self, read: Callable[[str], Recent], name: str) -> tuple[Recent, set[str] | None]:
        """Read the end of a model's history as far as that can be done.

        Returns
        -------
        recent : Recent
        named : set of str or None
            The bundles that are needed beside those of its entries, for the sake of lines that cannot be read; None
            where these are not known. What is not well is logged.
        """
        try:
            recent = read(name)
            if recent.readable:
                return recent, set()
            named = self.history.mentioned(name)
        except OSError as error:
            log.error("the history of %s cannot be read, so what it needs is not known: %s", name, error)
            return Recent([], readable=False), None
        what = "what it needs is not known" if named is None else "every bundle that it names is kept"
        log.error("the history of %s has a line that this version cannot read: %s", name, what)
        return recent, named

    def _finish(self, name: str, entry: HistoryEntry) -> None:
        if entry.model is not None:
            self._write(entry.model)
            log.warning("model %s: its change %d was finished", name, entry.revision)
        elif self._path(name).exists():
            self._path(name).unlink()
            log.warning("model %s: its withdrawal was finished", name)

    def commit(
        self, name: str, action: Action, model: ServedModel | None, *, by: str, user: str = "", reason: str = ""
    ) -> ServedModel | None:
        """Make a change, all of it or nothing.

        Parameters
        ----------
        name : str
            Which model.
        action : Action
            What the history calls the change.
        model : ServedModel, optional
            The state from now on; None forgets the model.
        by, user, reason : str
            As of `HistoryEntry`.

        Returns
        -------
        ServedModel or None
            The state with its revision, which is greater than any that the model had.

        Raises
        ------
        OSError
            If it cannot be written, for example because the disk is full; then nothing has changed.
        """
        revision = self._revision(name) + 1
        if model is not None:
            model = replace(model, revision=revision)
        before = self.history.append(name, HistoryEntry(revision, time.time(), action, by, model, user, reason))
        try:
            if model is None:
                self._path(name).unlink(missing_ok=True)
            else:
                self._write(model)
        except BaseException:
            self.history.truncate(name, before)
            raise
        return model

    def _revision(self, name: str) -> int:
        """Return the last revision of a model, whatever of its two files is left."""
        entries = self.history.recent(name).entries
        revision = entries[-1].revision if entries else 0
        try:
            return max(revision, self._read(name).revision)
        except (MaasError, FileNotFoundError):
            return revision

    def _write(self, model: ServedModel) -> None:
        schema.write_atomic(self._path(model.name), schema.encode(model))
