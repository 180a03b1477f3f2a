"""References, MLflow's own: ``digits``, ``digits/3``, ``digits@champion``, and the same behind ``models:/``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import check_name

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
