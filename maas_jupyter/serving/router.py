"""Which version answers a request."""

from __future__ import annotations

import hashlib
import random
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

from maas_jupyter.errors import NotFound, Unavailable, nearest


class Versioned(Protocol):
    """Anything that carries a version."""

    @property
    def version(self) -> str:
        """The version's name."""


V = TypeVar("V", bound=Versioned)


class Router(Generic[V]):
    """Chooses among the versions of one model; immutable, so that traffic changes by replacing it.

    Parameters
    ----------
    model : str
        The model's name, for errors.
    versions : sequence of (version, int)
        What can answer, and its relative weight. Weight 0 answers only when it is asked for.
    shadow : str, optional
        The version that gets a copy of the traffic.
    uniform : callable
        Returns a float in [0, 1).
    """

    def __init__(
        self,
        model: str,
        versions: Sequence[tuple[V, int]],
        uniform: Callable[[], float] = random.random,
        *,
        shadow: str | None = None,
    ) -> None:
        self.model = model
        self.shadow = shadow
        self.versions: dict[str, V] = {served.version: served for served, _ in versions}
        self.weights: dict[str, int] = {served.version: weight for served, weight in versions}
        weighted = [(served, weight) for served, weight in versions if weight > 0]
        self._choices = [served for served, _ in weighted]
        self._bounds = list(accumulate(weight for _, weight in weighted))
        self._uniform = uniform

    def pick(self, version: str | None = None, key: str = "") -> V:
        """Return the version that was asked for, else one by weight: with a key always the same one.

        Raises
        ------
        NotFound
            If the version that was asked for is not served.
        Unavailable
            If no version has any weight.
        """
        if version is not None:
            try:
                return self.versions[version]
            except KeyError:
                raise NotFound(
                    f"Model '{self.model}' has no version '{version[:128]}' here.",
                    hint=nearest(version[:128], self.versions, what="versions", otherwise="No version is served."),
                ) from None
        if len(self._choices) == 1:
            return self._choices[0]
        if not self._choices:
            raise Unavailable(f"No version of model '{self.model}' takes traffic.", hint="Publish a version.")
        share = _share(self.model, key) if key else self._uniform()
        return self._choices[bisect(self._bounds, share * self._bounds[-1])]


def _share(model: str, key: str) -> float:
    """Return a float in [0, 1) that is always the same for a key, in every process."""
    digest = hashlib.blake2b(key.encode(), key=model.encode()[:64], digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
