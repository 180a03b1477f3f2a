"""A file of a home that keeps servers by their names, which only its owner may read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from filelock import FileLock
from msgspec import defstruct, field

from maas_jupyter import schema
from maas_jupyter.errors import Unavailable


class Named(Protocol):
    """What is kept."""

    @property
    def name(self) -> str:
        """What it is called."""


Entry = TypeVar("Entry", bound=Named)


class AddressFile(Generic[Entry]):
    """Servers by their names; several processes may change them at once.

    Parameters
    ----------
    path : Path
        The file, JSON.
    key : str
        Under which it lists them.
    kind : type
        Of an entry, a msgspec Struct.
    what : str
        What an error calls them, such as 'The connected servers'.
    """

    def __init__(self, path: Path, key: str, kind: type[Entry], what: str) -> None:
        self.path = path
        self._key, self._what = key, what
        fields: list[Any] = [(key, list[kind], field(default_factory=list))]  # type: ignore[valid-type]
        self._shape = defstruct(f"list of {key}", fields)

    def read(self) -> dict[str, Entry]:
        """Return all entries by name; none where there is no file.

        Raises
        ------
        BundleError
            If the file is damaged.
        Unavailable
            If it cannot be read.
        """
        try:
            data = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise Unavailable(
                f"{self._what} in {self.path} cannot be read: {error.strerror or error}.",
                hint="Look at the rights of that file, or choose another folder in the environment variable MAAS_HOME.",
            ) from error
        return {each.name: each for each in getattr(schema.decode(data, self._shape, where=str(self.path)), self._key)}

    @contextmanager
    def changed(self) -> Iterator[dict[str, Entry]]:
        """Give the entries to be changed while nobody else changes them; they are written unless an error is raised."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            found = self.read()
            yield found
            schema.write_atomic(self.path, schema.encode(self._shape(list(found.values()))), mode=0o600)
