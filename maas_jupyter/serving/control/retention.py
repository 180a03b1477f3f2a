"""How long bundles stay: while a model serves them or may be rolled back to them, or an operation works with them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from maas_jupyter.serving.control.quarantine import Quarantine
from maas_jupyter.serving.store import BundleStore

log = logging.getLogger(__name__)


class Retention:
    """Counts what needs each bundle, and deletes a bundle that nothing needs any more.

    Parameters
    ----------
    store : BundleStore
        Where the bundles are.
    quarantine : Quarantine
        Forgets with a bundle how it loaded.
    """

    def __init__(self, store: BundleStore, quarantine: Quarantine) -> None:
        self._store = store
        self._quarantine = quarantine
        self._kept: dict[str, set[str]] = {}
        self._uses: Counter[str] = Counter()
        self._known = True
        self._deleting = asyncio.Lock()

    async def open(self, kept: dict[str, set[str]] | None) -> None:
        """Begin with what each model needs, by its name, and delete every other bundle; None: never delete any."""
        if kept is None:
            self._known = False
            log.error("no bundle is deleted until it is known again what every model needs")
            return
        self._kept = kept
        for digests in kept.values():
            self._uses.update(digests)
        try:
            await asyncio.to_thread(self._store.sweep, self._uses.keys())
            await asyncio.to_thread(self._quarantine.sweep, self._uses.keys())
        except OSError as error:
            log.warning("bundles that nothing needs cannot be deleted: %s", error)

    async def keep(self, name: str, digests: set[str], *, all_known: bool) -> None:
        """Replace what a model needs; where not all of that is known, it needs what it needed before too."""
        if not all_known:
            digests = digests | self._kept.get(name, set())
        before, self._kept[name] = self._kept.get(name, set()), digests
        self._uses.update(digests - before)
        await self._drop(before - digests)

    @asynccontextmanager
    async def hold(self, digest: str) -> AsyncIterator[None]:
        """Keep a bundle while an operation works with it."""
        async with self._deleting:  # whoever looks for it now finds it whole, or not at all
            self._uses[digest] += 1
        try:
            yield
        finally:
            await self._drop([digest])

    async def _drop(self, digests: Iterable[str]) -> None:
        async with self._deleting:
            for digest in digests:
                self._uses[digest] -= 1
                if not self._uses[digest]:
                    del self._uses[digest]
                    if self._known:
                        await asyncio.to_thread(self._delete, digest)

    def _delete(self, digest: str) -> None:
        try:
            self._store.delete(digest)
            self._quarantine.forget(digest)
        except OSError as error:  # the next start tries again
            log.warning("bundle %s cannot be deleted: %s", digest[:12], error)
