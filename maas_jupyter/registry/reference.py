"""References, MLflow's own: ``digits``, ``digits/3``, ``digits@champion``, and the same behind ``models:/``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maas_jupyter.errors import InvalidInput, NotFound, nearest
from maas_jupyter.schema import check_name

if TYPE_CHECKING:
    from maas_jupyter.registry.nouns import ModelVersion

_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class ModelReference:
    """A model and which of its versions: a number, an alias, or the latest (neither)."""

    name: str
    version: str | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelReference:
        """Parse a reference.

        Raises
        ------
        InvalidInput
            If the text is not a reference; the hint shows the forms.
        """
        rest = text.removeprefix("models:/")
        if "@" in rest:
            name, _, alias = rest.partition("@")
            parsed = cls(check_name(name), alias=check_alias(alias))
        elif "/" in rest:
            name, _, version = rest.partition("/")
            if version == "latest":
                parsed = cls(check_name(name))
            elif version.isascii() and version.isdigit() and int(version) > 0:
                parsed = cls(check_name(name), version=str(int(version)))
            else:
                raise InvalidInput(
                    f"'{text}' is not a model reference: '{version}' is not a version number.",
                    hint="Write a reference as digits, digits/3 or digits@champion.",
                )
        else:
            parsed = cls(check_name(rest))
        return parsed

    def among(self, versions: Sequence[ModelVersion]) -> ModelVersion:
        """Return the version that it means.

        Parameters
        ----------
        versions : sequence of ModelVersion
            All of its model, newest first.

        Raises
        ------
        NotFound
            If there is none; the hint offers the nearest names.
        """
        if not versions:
            raise NotFound(
                f"The model '{self.name}' has no version that was registered by %maas.",
                hint=f"Register one: %maas register net --name {self.name} --data val",
            )
        if self.alias:
            for version in versions:
                if self.alias in version.aliases:
                    return version
            known = [f"{self.name}@{alias}" for version in versions for alias in version.aliases]
            raise NotFound(
                f"The model '{self.name}' has no alias '{self.alias}'.",
                hint=nearest(str(self), known, what="aliases", otherwise=f"Set it: %maas alias {self.name}/1 NAME"),
            )
        if self.version:
            for version in versions:
                if version.version == self.version:
                    return version
            known = [version.reference for version in versions]
            raise NotFound(
                f"The model '{self.name}' has no version {self.version}.",
                hint=f"There are these versions: {', '.join(known)}.",
            )
        return versions[0]

    def __str__(self) -> str:
        if self.alias:
            return f"{self.name}@{self.alias}"
        return f"{self.name}/{self.version}" if self.version else self.name


def check_alias(alias: str) -> str:
    """Return an alias that MLflow accepts.

    Raises
    ------
    InvalidInput
        If it is not one: MLflow reserves ``latest`` and ``v<number>``.
    """
    if not _ALIAS.fullmatch(alias) or alias == "latest" or re.fullmatch(r"v\d+", alias):
        raise InvalidInput(
            f"'{alias}' cannot be an alias.",
            hint="Use a word such as champion; 'latest' and 'v1' mean versions already.",
        )
    return alias
