"""Which versions have series of their own: no counter falls while the server lives, and there are only so many."""

from __future__ import annotations

from collections.abc import Iterable

from maas_jupyter.serving.counts import Served

#: So many versions that serve no more keep their series: the last ones that left, of all models together.
KEPT = 100


class Series:
    """The versions that serve and the last `KEPT` that did.

    Who is told of the same changes knows the same versions, so that workers and supervisor agree.
    """

    def __init__(self) -> None:
        self._serving: dict[str, tuple[str, ...]] = {}
        self._left: dict[Served, None] = {}  # in the order in which they did

    def change(self, model: str, versions: Iterable[str]) -> None:
        """Take note of which versions a model has from now on: none for one that is withdrawn."""
        now = tuple(versions)
        for version in self._serving.pop(model, ()):
            self._left[model, version] = None
        for version in now:
            self._left.pop((model, version), None)
        if now:
            self._serving[model] = now
        while len(self._left) > KEPT:
            del self._left[next(iter(self._left))]

    def has(self, model: str, version: str) -> bool:
        """Say whether a version has series of its own."""
        return version in self._serving.get(model, ()) or (model, version) in self._left

    def knows(self, model: str) -> bool:
        """Say whether a model serves, or a version of it has series."""
        return model in self._serving or any(name == model for name, _ in self._left)
