"""The panel's TypeScript mirror of the snapshot structs says the same as monitoring/rows.py."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from maas_jupyter import schema
from maas_jupyter.monitoring import details as pages
from maas_jupyter.monitoring import rows
from maas_jupyter.registry import details, last_evaluation, origin
from maas_jupyter.runs import RunStatus

FOLDER = Path(__file__).parents[2] / "labextension" / "src"
SOURCE = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("schema.ts", "modelPage/schema.ts"))
INTERFACES = dict(re.findall(r"^export interface (\w+) \{\n(.*?)^\}", SOURCE, re.MULTILINE | re.DOTALL))
UNIONS = dict(re.findall(r"^export type (\w+)(?<!Values) = ([^;]+);", SOURCE, re.MULTILINE))
LITERALS = {
    "AlertChange": rows.AlertChange,
    "AlertKind": rows.AlertKind,
    "AlertState": rows.AlertState,
    "EndpointState": schema.EndpointState,
    "RunStatus": RunStatus,
    "VersionState": schema.VersionState,
}
STRUCTS = {
    name: kind
    for module in (rows, pages, details, last_evaluation, origin)
    for name, kind in vars(module).items()
    if isinstance(kind, type)
    and issubclass(kind, msgspec.Struct)
    and kind.__module__ == module.__name__
    and not name.startswith("_")
}
STRUCTS["TensorSpec"] = schema.TensorSpec
NAMES = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


def typescript(kind: Any) -> str:
    """The TypeScript type that JSON of a Python type has."""
    if kind in NAMES:
        return NAMES[kind]
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(typescript(part) for part in get_args(kind))
    if get_origin(kind) is list:
        part = typescript(*get_args(kind))
        return f"readonly ({part})[]" if " " in part else f"readonly {part}[]"
    if get_origin(kind) is dict:
        return f"Readonly<Record<{', '.join(map(typescript, get_args(kind)))}>>"
    if get_origin(kind) is Literal:
        return next(name for name in UNIONS if LITERALS[name] == kind)
    return f"{kind.__name__}Values" if is_array(kind) else kind.__name__


def is_array(struct: type) -> bool:
    return bool(struct.__struct_config__.array_like)


@pytest.mark.parametrize("name", STRUCTS)
def test_interface_has_the_fields_of_the_struct(name):
    struct = STRUCTS[name]
    hints = get_type_hints(struct)
    fields = dict(re.findall(r"^  readonly (\w+): (.+);$", INTERFACES[name], re.MULTILINE))
    assert fields == {field.encode_name: typescript(hints[field.name]) for field in msgspec.structs.fields(struct)}


@pytest.mark.parametrize("name", [name for name, struct in STRUCTS.items() if is_array(struct)])
def test_values_of_an_array_come_in_the_order_of_the_fields(name):
    (listed,) = re.findall(rf"^export const {name.upper()}_FIELDS = \[([^\]]+)\]", SOURCE, re.MULTILINE)
    assert re.findall(r"'(\w+)'", listed) == [field.encode_name for field in msgspec.structs.fields(STRUCTS[name])]


def test_nothing_else_is_mirrored():
    assert set(INTERFACES) == set(STRUCTS)
    assert set(UNIONS) == set(LITERALS)


@pytest.mark.parametrize("name", LITERALS)
def test_union_has_the_values_of_the_literal(name):
    assert set(re.findall(r"'([^']*)'", UNIONS[name])) == set(get_args(LITERALS[name]))
