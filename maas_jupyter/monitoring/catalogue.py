"""The list of models, searched, sorted and cut into pages, so that ten thousand of them stay quick to look through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

from maas_jupyter.errors import InvalidInput, NotFound, nearest
from maas_jupyter.monitoring.models import model_row
from maas_jupyter.monitoring.rows import ModelPage, ModelRow, ModelVersions

SortKey = Literal["updated", "name", "metric", "size", "versions", "task"]
SORT_KEYS: tuple[SortKey, ...] = get_args(SortKey)
#: Rows of a page: what is asked for where nothing else is said, and at most.
PAGE, LONGEST_PAGE = 100, 500

_NONE = "Train one: %maas train net --data train --name digits"
_VALUES: dict[SortKey, Callable[[ModelRow], Any]] = {
    "updated": lambda row: row.updated,
    "name": lambda row: row.name.casefold(),
    "metric": lambda row: row.newest.metric,
    "size": lambda row: row.newest.size,
    "versions": lambda row: row.versions,
    "task": lambda row: row.newest.task,
}


class Catalogue:
    """What the registry held at the last look.

    Attributes
    ----------
    number : int
        Another one whenever something changed; 0 before the first look.
    """

    def __init__(self) -> None:
        self.number = 0
        self._seen: list[ModelVersions] | None = None
        self._models: dict[str, ModelVersions] = {}
        self._rows: list[ModelRow] = []
        self._asked: tuple[str, SortKey, bool] | None = None
        self._found: list[ModelRow] = []

    def take(self, models: list[ModelVersions]) -> None:
        """Take what a look saw."""
        # The registry gives the same list while nothing changed.
        if models is self._seen or models == self._seen:
            return
        self._seen = models
        self.number += 1
        self._models = {model.name: model for model in models}
        self._rows = [model_row(model) for model in models]
        self._asked = None

    def __contains__(self, name: str) -> bool:
        return name in self._models

    @property
    def total(self) -> int | None:
        """How many models there are; None before the first look."""
        return len(self._rows) if self.number else None

    def page(
        self, search: str = "", sort: str = "updated", *, descending: bool = True, offset: int = 0, limit: int = PAGE
    ) -> ModelPage:
        """Return a part of the list.

        Parameters
        ----------
        search : str
            Words that must all come up in a model's name, task, precision or aliases; case does not matter.
        sort : str
            One of `SORT_KEYS`. Models without a value come last either way.
        descending : bool
        offset, limit : int
            The first row, and how many.

        Raises
        ------
        InvalidInput
            If the sort key is none, or offset or limit is out of bounds.
        """
        key = next((each for each in SORT_KEYS if each == sort), None)
        if key is None:
            raise InvalidInput(f"Models cannot be sorted by '{sort[:64]}'.", hint=f"One of: {', '.join(SORT_KEYS)}")
        if offset < 0 or not 1 <= limit <= LONGEST_PAGE:
            raise InvalidInput(f"A page has 1 to {LONGEST_PAGE} rows and begins at 0 or later.")
        asked = (search, key, descending)
        if asked != self._asked:
            self._found = self._select(*asked)
            self._asked = asked
        return ModelPage(self.number, len(self._found), offset, self._found[offset : offset + limit])

    def versions(self, name: str) -> ModelVersions:
        """Return all versions of a model.

        Raises
        ------
        NotFound
            If there is no such model; the hint offers the nearest names.
        """
        found = self._models.get(name)
        if found is None:
            raise NotFound(
                f"There is no model '{name[:128]}'.", hint=nearest(name, self._models, what="models", otherwise=_NONE)
            )
        return found

    def _select(self, search: str, sort: SortKey, descending: bool) -> list[ModelRow]:
        words = search.casefold().split()
        found = [row for row in self._rows if all(word in _text(row) for word in words)] if words else self._rows
        value = _VALUES[sort]
        known = [row for row in found if value(row) is not None]
        # Names decide between equals, from A to Z whichever way the rest goes.
        known.sort(key=lambda row: row.name)
        known.sort(key=value, reverse=descending)
        return known + [row for row in found if value(row) is None]


def _text(row: ModelRow) -> str:
    newest = row.newest
    aliases = " ".join(f"@{alias}" for alias in row.aliases)
    return f"{row.name} {newest.task} {newest.precision} {aliases}".casefold()
