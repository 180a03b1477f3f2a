"""From a word of a line to what it stands for: an object of the notebook, a model, an endpoint, a file, a value."""

from __future__ import annotations

import ast
import builtins
import difflib
import re
import shlex
from pathlib import Path
from typing import Any

import click
import msgspec

from maas_jupyter import api
from maas_jupyter.arguments import Kind, Quoted
from maas_jupyter.errors import InvalidInput, UsageError

#: Endings of files that are a row each, where rows are typed in a terminal.
_IMAGES = (".png", ".jpg", ".jpeg")
#: Endings of files with rows.
_TABLES = (".csv", ".parquet", ".json", ".jsonl")


#: Kinds that an expression may stand for: what it has to be, and what to name.
_OBJECTS = {
    Kind.MODULE: ("a torch module", "the variable that holds it"),
    Kind.TRAINABLE: ("a torch module", "the variable that holds it, or a function that makes one"),
    Kind.MODEL: ("a torch module", "the variable that holds it, or a registered model"),
    Kind.REFERENCE: ("a registered version", "a registered model, such as digits@champion"),
    Kind.RUN: ("a run", "a run, the beginning of its id, or last"),
    Kind.REGISTRABLE: ("a torch module", "the variable that holds it"),
}


class Resolved(click.ParamType):
    """A word that stands for an object of the notebook, a model, or an endpoint."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = {Kind.DATA: "variable", Kind.VALUE: "expression", Kind.NAME_OR_OBJECT: "name"}.get(kind, kind.value)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Resolve a word as its kind says."""
        if not isinstance(value, str):
            return value
        assert ctx is not None
        namespace = ctx.obj.namespace
        if namespace is None:
            if self.kind is Kind.VALUE and Path(value).suffix.lower() in _IMAGES:
                return Path(value)
            return from_json(value) if self.kind in (Kind.DATA, Kind.VALUE) else value
        if self.kind is Kind.DATA and is_path(value, namespace):
            return value
        if self.kind is Kind.VALUE and isinstance(value, Quoted) and not is_expression(value, namespace):
            return str(value)
        if self.kind in (Kind.DATA, Kind.VALUE):
            return evaluated(value, namespace)
        if self.kind is Kind.VALUE_OR_WORD:
            return value_or_word(value, namespace)
        if self.kind in _OBJECTS and reads_as_object(value, namespace):
            return self.required(evaluated(value, namespace), value)
        found = namespace.get(value)
        if self.kind is Kind.NAME_OR_OBJECT:
            return found if callable(found) or type(found).__module__.startswith("torch.") else value
        if self.kind is Kind.ENDPOINT:
            return found if api.subjects.is_endpoint(found) else value
        if param is not None and param.name in ctx.obj.bound:
            # The body of the cell gives this argument; the word is a name, whatever in the notebook has the same.
            return value
        if self.kind is Kind.REGISTRABLE:
            return namespace.get(value, value)
        return found if self.accepts(found) else value

    def required(self, value: Any, text: str) -> Any:
        """Return what an expression gave, where it is what this kind means.

        Raises
        ------
        UsageError
            If it is something else.
        """
        if isinstance(value, str) or self.accepts(value):
            return value
        if self.kind is Kind.REGISTRABLE:
            return value
        wanted, named = _OBJECTS[self.kind]
        raise UsageError(f"'{text}' is a {type(value).__name__}, not {wanted}.", hint=f"Name {named}.")

    def accepts(self, value: Any) -> bool:
        """Say whether a notebook's object is what this kind means; a mere namesake of a model is not."""
        if self.kind is Kind.RUN:
            return api.subjects.has_run(value)
        if self.kind is Kind.REFERENCE:
            return api.subjects.is_versioned(value)
        return (
            api.subjects.is_module(value)
            or api.subjects.is_run(value)
            or (self.kind is Kind.TRAINABLE and api.subjects.is_builder(value))
            or (self.kind is Kind.MODEL and (api.subjects.is_versioned(value) or api.subjects.is_endpoint(value)))
        )


def evaluated(text: str, namespace: dict[str, Any]) -> Any:
    """Evaluate an expression of the notebook.

    Raises
    ------
    UsageError
        If a name in it does not exist; the hint offers the nearest ones.
    InvalidInput
        If it fails, such as on an attribute that there is not.
    """
    try:
        return eval(text, namespace)  # the notebook's own code, in the notebook's own kernel
    except NameError as error:
        missing = error.name or text
        near = difflib.get_close_matches(missing, [name for name in namespace if not name.startswith("_")], n=1)
        hint = f"Did you mean '{near[0]}'?" if near else "Run the cell that defines it first."
        raise UsageError(f"There is no variable called '{missing}'.", hint=hint) from error
    except SyntaxError as error:
        raise UsageError(
            f"'{text}' is not an expression.",
            hint="Write it as in a cell; spaces are fine inside brackets: X[:3, 0], or a text as ['so it is']",
        ) from error
    except Exception as error:
        # The user's own code raises what it likes.
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        path = Path(text)
        if isinstance(error, AttributeError) and path.suffix in _TABLES:
            raise InvalidInput(
                f"There is no file '{text}', and '{path.stem}' has no attribute {path.suffix[1:]}.",
                hint=f"Give the path of the file, or the variable alone: {path.stem}",
            ) from error
        raise InvalidInput(f"'{text}' fails: {said}", hint="Run it in a cell to see where.") from error


def is_expression(text: str, namespace: dict[str, Any]) -> bool:
    """Say whether a text reads as an expression whose names the notebook has, rather than as words."""
    try:
        code = compile(text, "<word>", "eval")
    except (SyntaxError, ValueError):
        return False
    return all(name in namespace or hasattr(builtins, name) for name in code.co_names[:1])


def reads_as_object(text: str, namespace: dict[str, Any]) -> bool:
    """Say whether a word is a call, an item or an attribute of the notebook, rather than the name of something.

    ``Net()`` and ``nets[0]`` are whatever they name; ``run.model`` is where the notebook's ``run`` has a ``model``, for
    models may be called so too.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return False
    parts = text.split(".")
    if isinstance(tree, ast.Attribute) and all(map(str.isidentifier, parts)):
        found = namespace.get(parts[0])
        for part in parts[1:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return isinstance(tree, ast.Call | ast.Subscript | ast.Attribute) and not Path(text).exists()


def is_path(text: str, namespace: dict[str, Any]) -> bool:
    """Say whether a word means a file or a folder: it is there, or looks like one, and is no variable.

    ``data/train.csv`` is a file although there is a variable called ``data``.
    """
    path = Path(text).expanduser()
    if path.suffix in _TABLES and path.is_file():
        return True
    if path.suffix in _TABLES and path.parent != Path():
        return not any(character in text for character in "()[],") or path.exists()
    word = re.match(r"\w*", text)
    if (word is not None and word[0] in namespace) or any(character in text for character in "()[],"):
        return False
    return path.exists() or path.suffix in _TABLES


def value_or_word(text: str, namespace: dict[str, Any]) -> Any:
    """Evaluate an expression of the notebook; what is none, such as a mere word or a file, is returned as it is."""
    if is_path(text, namespace):
        return text
    try:
        return evaluated(text, namespace)
    except UsageError:
        return text


def from_json(text: str) -> Any:
    """Decode a value typed in a terminal.

    Raises
    ------
    InvalidInput
        If it is not JSON.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        # What begins like neither a list, a dict nor a number is meant as a text.
        as_text = shlex.quote(msgspec.json.encode([text]).decode())
        hint = (
            "Write rows as [[0.1, 0.2], [0.3, 0.4]]; an image is the path of its PNG or JPEG file."
            if re.match(r'\s*[\[{"\d.+-]', text)
            else f"A text is a row of a list: {as_text}; an image is the path of its PNG or JPEG file."
        )
        raise InvalidInput(f"'{text}' is not JSON: {error}", hint=hint) from error
