"""The bundles of a comparison's candidates, kept beside it: one that did not win can still be registered."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import NotFound

if TYPE_CHECKING:
    from maas_jupyter.optimization.comparison import Candidate
    from maas_jupyter.registry import ModelVersion

    #: Registers a candidate's bundle under a name, or under the original's.
    Registering = Callable[[Candidate, Bundle, str | None], ModelVersion]

#: What the candidates of all comparisons of this process may take: bytes, and a share of what the disk has left.
MOST_BYTES, _MOST_SHARE = 2_000_000_000, 0.25

_lock = threading.Lock()
#: Those with bundles, the oldest first.
_holding: list[weakref.ref[KeptCandidates]] = []


class KeptCandidates:
    """The candidates of one comparison that were measured, in a folder that is gone with this object or the process.

    The comparisons of a process share the room for them: a new one takes it from the oldest.

    Parameters
    ----------
    bundles : mapping of str to Bundle
        By method, on the disk of temporary files; their folders are moved.
    register : callable
        Registers one of them.

    Attributes
    ----------
    versions : dict of str to ModelVersion
        What was registered under the original's name, by method.
    """

    def __init__(self, bundles: Mapping[str, Bundle], register: Registering) -> None:
        self.versions: dict[str, ModelVersion] = {}
        self._register = register
        self._folder = Path(tempfile.mkdtemp(prefix="maas-candidates-"))
        # Also at the end of the process, however many comparisons are alive then.
        self._gone = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._bundles: dict[str, Bundle] = {}
        room = _room(self._folder)
        for method, bundle in sorted(bundles.items(), key=lambda item: item[1].manifest.size):
            room -= bundle.manifest.size
            if room < 0:
                break
            folder = self._folder / str(len(self._bundles))
            with suppress(OSError):  # no room after all, or two candidates are one: asked for later, it says so
                shutil.move(bundle.folder, folder)
                self._bundles[method] = Bundle(folder, bundle.manifest, bundle.digest)
        _make_room(self)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # A comparison that goes to another process goes without them.
        return type(None), ()

    def __contains__(self, method: str) -> bool:
        return method in self._bundles

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(bundle.manifest.size for bundle in self._bundles.values())

    def register(self, candidate: Candidate, name: str | None) -> ModelVersion:
        """Register a candidate.

        Raises
        ------
        NotFound
            If its bundle is not kept any more.
        AlteredBundle
            If its files are not what was measured.
        """
        held = self._bundles.get(candidate.method)
        if held is None:
            raise NotFound(
                f"The files of '{candidate.method}' are not kept: there was no room for them.",
                hint=f"Make it again and register it, with --method {candidate.method} and a larger --max-drop.",
            )
        version = self._register(candidate, Bundle.open(held.folder), name)
        if name is None:
            self.versions[candidate.method] = version
        return version

    def drop(self) -> None:
        """Give the room back."""
        self._bundles = {}
        self._gone()


def _room(folder: Path) -> float:
    with suppress(OSError):
        return min(MOST_BYTES, shutil.disk_usage(folder).free * _MOST_SHARE)
    return 0.0


def _make_room(newest: KeptCandidates) -> None:
    """Let the oldest ones go until all fit."""
    with _lock:
        alive = [kept for reference in _holding if (kept := reference()) is not None]
        while alive and sum(each.size for each in (*alive, newest)) > MOST_BYTES:
            alive.pop(0).drop()
        _holding[:] = [weakref.ref(each) for each in (*alive, newest)]
