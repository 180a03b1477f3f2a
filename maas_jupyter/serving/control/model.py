"""What the control plane knows of one model: what it should serve, and what became of that."""

from __future__ import annotations

from maas_jupyter.schema import ServedModel, ServedVersion, VersionState, VersionStatus

#: Version and digest.
Key = tuple[str, str]


class Model:
    """One model.

    Attributes
    ----------
    served : ServedModel or None
        The desired state; None where its file is broken, and during the first publish.
    found : dict of Key to str
        The versions of that state that were loaded (empty), or could not be (the reason).
    lost : dict of Key to str
        Of those that were loaded the ones that some worker could not load again, and why; the others serve them.
    beside : VersionStatus or None
        A version that is being published, or could not be.
    told : str
        The `words` that the log said last.
    """

    __slots__ = ("beside", "found", "lost", "served", "told")

    def __init__(self, served: ServedModel | None, beside: VersionStatus | None = None) -> None:
        self.served = served
        self.found: dict[Key, str] = {}
        self.lost: dict[Key, str] = {}
        self.beside = beside
        self.told = ""

    def state(self, served: ServedVersion) -> tuple[VersionState, str]:
        """Return the state of a version that should serve, and its reason."""
        if self.served is None or not self.served.loaded:
            return "unloaded", ""
        reason = self.found.get(key(served))
        if reason == "":
            reason = self.lost.get(key(served), "")
        return "loading" if reason is None else "failed" if reason else "ready", reason or ""

    @property
    def words(self) -> str:
        """Which versions answer, in some worker at least, and with which shares; empty where none does."""
        if self.served is None or not self.served.loaded:
            return ""
        ready = [served for served in self.served.versions if self.found.get(key(served)) == ""]
        total = sum(served.weight for served in ready)
        parts = [f"version {served.version} {served.weight / total:.0%}" for served in ready if served.weight]
        shadowed = self.served.shadow in {served.version for served in ready}
        return ", ".join([*parts, *([f"version {self.served.shadow} as shadow"] if shadowed else [])])

    def rows(self) -> list[VersionStatus]:
        """Return the state of every version."""
        rows = []
        for served in self.served.versions if self.served else ():
            state, reason = self.state(served)
            shadow = self.served is not None and served.version == self.served.shadow
            rows.append(VersionStatus(served.version, served.digest, served.weight, state, reason, shadow))
        if self.beside and self.beside.version not in {row.version for row in rows}:
            rows.append(self.beside)
        return rows


def key(served: ServedVersion) -> Key:
    """Return what tells a version from another one, also of the same name."""
    return served.version, served.digest
