"""The shortest way to inference: the routes that a load consists of are matched before Starlette's router.

Its matching, middleware, request and response objects take twice as long as a small model computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from maas_jupyter.serving.exchange import Handler

#: Longest path in characters that can lead here.
LONGEST_PATH = 1024

_VERSIONS = "/versions/"


class Direct(NamedTuple):
    """Where a path leads: what answers it, for which model, and which version where the path names one."""

    handler: Handler
    model: str
    version: str | None


class DirectRoutes:
    """The paths ``{prefix}{model}[/versions/{version}]{suffix}``.

    Parameters
    ----------
    handlers : mapping of (str, str) to Handler
        By prefix and suffix.

    Attributes
    ----------
    handlers : list of (str, str, Handler)
        The same, in the order in which they are tried.
    """

    def __init__(self, handlers: Mapping[tuple[str, str], Handler]) -> None:
        self.handlers = [(prefix, suffix, handler) for (prefix, suffix), handler in handlers.items()]
        self._known = lru_cache(maxsize=1024)(self._find)

    def find(self, path: str) -> Direct | None:
        """Return where a path leads; None where it is none of these."""
        # Names are far shorter; what is longer would only fill the memory.
        return self._known(path) if len(path) <= LONGEST_PATH else None

    def _find(self, path: str) -> Direct | None:
        for prefix, suffix, handler in self.handlers:
            if path.startswith(prefix) and path.endswith(suffix):
                model, versions, version = path[len(prefix) : -len(suffix)].partition(_VERSIONS)
                if model and "/" not in model and "/" not in version and bool(versions) == bool(version):
                    return Direct(handler, model, version or None)
        return None
