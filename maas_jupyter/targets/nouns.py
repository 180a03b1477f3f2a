"""What targets tell besides their endpoints: what served when, and how they are themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from maas_jupyter.plugins import Displayed
from maas_jupyter.schema import HistoryEntry
from maas_jupyter.targets.endpoint import moment

TargetState = Literal["ready", "stopped", "unavailable"]

_SHOWN_NAMES = 5


class History(list[HistoryEntry], Displayed):
    """What served when, oldest first.

    Attributes
    ----------
    name, target : str
        The model, and where.
    """

    def __init__(self, name: str, target: str, entries: Iterable[HistoryEntry]) -> None:
        super().__init__(entries)
        self.name = name
        self.target = target

    def __repr__(self) -> str:
        lines = []
        for entry in self:
            who = f" by {author(entry)}" if author(entry) else ""
            why = f": {entry.reason}" if entry.reason else ""
            lines.append(f"{entry.revision:>4}  {moment(entry.time)}  {entry.action:<9}  {shares(entry)}{who}{why}")
        return "\n".join([f"{self.name} on {self.target}", *lines])


def shares(entry: HistoryEntry) -> str:
    """Return what served from an entry on: ``1 90%, 2 10%``."""
    if entry.model is None:
        return "nothing"
    total = sum(served.weight for served in entry.model.versions) or 1
    parts = [f"{served.version} {served.weight / total:.0%}" for served in entry.model.versions if served.weight]
    parts += [f"{entry.model.shadow} shadow"] if entry.model.shadow else []
    return ", ".join(parts) + ("" if entry.model.loaded else " (unloaded)")


def author(entry: HistoryEntry) -> str:
    """Return who made a change: the user that the client named, and whose token it was."""
    return (
        f"{entry.user} ({entry.by})" if entry.user and entry.by and entry.user != entry.by else entry.user or entry.by
    )


def listed(names: Sequence[str]) -> str:
    """Return names as a person says them: ``a, b and c``; of many the first ones and how many more."""
    shown = [*names[:_SHOWN_NAMES], f"{len(names) - _SHOWN_NAMES} more"] if len(names) > _SHOWN_NAMES else list(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def withdrawn_hint(entries: Sequence[HistoryEntry], target: str) -> str:
    """Return what brings a model back that was withdrawn; empty for one that was not."""
    served = next((entry.model for entry in reversed(entries) if entry.model), None)
    if served is None or entries[-1].model is not None:
        return ""
    to = "" if target == "local" else f" --to {target}"
    version = served.labels.get("stable", served.versions[0].version)
    again = f"%maas publish {served.name}/{version}{to}"
    return f"It was unpublished ({moment(entries[-1].time)}). Serve it again: {again}"


@dataclass(frozen=True, repr=False)
class Notice(Displayed):
    """What a verb did, where nothing else is left to show.

    Attributes
    ----------
    text : str
        One line.
    """

    text: str

    @classmethod
    def withdrawn(cls, name: str, target: str, more: str = "") -> Notice:
        """Say that a model was withdrawn from a target."""
        on = "" if target == "local" else f" --on {target}"
        history = f"{name} is no longer published on {target}; its history stays: %maas history {name}{on}"
        return cls(f"{history}. {more}" if more else history)

    def __repr__(self) -> str:
        return self.text


@dataclass(repr=False)
class TargetStatus(Displayed):
    """A place where models can be published, and how it is.

    Attributes
    ----------
    name, url : str
        What it is called, and where it answers; a local server that does not run has no URL.
    state : str
        ``ready``, ``stopped`` or ``unavailable``; ``reason`` says why.
    role : str
        What the token may: ``admin`` or ``predict``; empty where that is not known.
    models : int or None
        How many it has, where that is known.
    token_env : str
        The environment variable with the token; empty for the local one.
    ca_file : str or None
        The file of the authority that signed its certificate.
    """

    name: str
    url: str
    state: TargetState
    reason: str = ""
    role: str = ""
    models: int | None = None
    token_env: str = ""
    ca_file: str | None = None

    def __repr__(self) -> str:
        known = [
            f"{self.name} is {self.state}",
            self.url,
            f"token in {self.token_env}" if self.token_env else "",
            f"may {MAY[self.role]}" if self.role else "",
            "" if self.models is None else f"{self.models} model{'' if self.models == 1 else 's'}",
        ]
        return "\n".join(filter(None, [", ".join(filter(None, known)), self.reason]))


#: What the holder of a token may do.
MAY = {"admin": "publish", "predict": "only predict"}


class TargetList(list[TargetStatus], Displayed):
    """Targets: this machine first, then those that are connected."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))
