"""A row to explain: its parts, and how their features become attributions that can be shown."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from maas_jupyter.explanation.parts import Part, Patches, PictureFile, Words
from maas_jupyter.explanation.report import Kind
from maas_jupyter.explanation.subject import Raw


class Row:
    """One row, by the names of the inputs.

    Parameters
    ----------
    parts : dict of str to Part
    """

    def __init__(self, parts: dict[str, Part]) -> None:
        self.parts = parts
        featured = [part for part in parts.values() if part.names]
        self._only = featured[0] if len(featured) == 1 else None

    @cached_property
    def names(self) -> list[str]:
        """The names of all features."""
        return [name for part in self.parts.values() for name in part.names]

    @property
    def values(self) -> list[Any]:
        """What the row has for each feature."""
        return [value for part in self.parts.values() for value in part.values]

    @property
    def picture(self) -> Patches | PictureFile | None:
        """The picture that the row is, if it is one."""
        return self._only if isinstance(self._only, Patches | PictureFile) else None

    @property
    def words(self) -> Words | None:
        """The text that the row is, if it is one."""
        return self._only if isinstance(self._only, Words) else None

    @property
    def kind(self) -> Kind:
        """What the row is shown as."""
        return "image" if self.picture is not None else "text" if self.words is not None else "table"

    @property
    def described(self) -> str:
        """The baseline, in words."""
        return " and ".join(dict.fromkeys(part.described for part in self.parts.values() if part.described))

    def perturbed(self, present: np.ndarray) -> Raw:
        """Return raw rows with some features absent.

        Parameters
        ----------
        present : ndarray of bool, shape (rows, features)
        """
        made, start = {}, 0
        for name, part in self.parts.items():
            made[name] = part.perturbed(present[:, start : start + len(part.names)])
            start += len(part.names)
        return made

    @property
    def active(self) -> np.ndarray:
        """Which features differ from the baseline's: bool ``(features,)``."""
        row = self.raw
        differ = np.zeros(len(self.names), dtype=bool)
        for name, without in self.perturbed(~np.eye(len(self.names), dtype=bool)).items():
            differ |= (without != row[name]).reshape(len(without), -1).any(axis=1)
        return differ

    @property
    def raw(self) -> Raw:
        """The row itself."""
        return self.perturbed(np.ones((1, len(self.names)), dtype=bool))

    @property
    def absent(self) -> Raw:
        """The baseline."""
        return self.perturbed(np.zeros((1, len(self.names)), dtype=bool))
