"""The magic: words to a verb, its result to the cell."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def maas(line: str, cell: str | None = None) -> Any:
    """Train, evaluate, optimise, register, publish and watch models: ``%maas --help``.

    ``%%maas verb`` runs the body of the cell in the notebook; the names that it binds (model, data, val, ...) are the
    verb's arguments.
    """
    from IPython import get_ipython

    from maas_jupyter import verbs
    from maas_jupyter.arguments import noted
    from maas_jupyter.errors import UsageError
    from maas_jupyter.magics.words import split

    shell = get_ipython()
    words = split(line)
    if cell is None:
        with noted(f"%maas {line.strip()}"):
            return verbs.run(words, verbs.Session("%maas", shell.user_ns))
    if not words or words[0].startswith("-"):
        raise UsageError("%%maas needs a verb on its first line.", hint="For example: %%maas train digits --epochs 20")
    bound = run_body(cell, shell)
    with noted(f"%%maas {line.strip()}"):
        return verbs.run(words, verbs.Session("%%maas", shell.user_ns, bound, cell))


def run_body(cell: str, shell: InteractiveShell) -> dict[str, Any]:
    """Run a cell's body in the notebook's namespace and return what it bound at its top level."""
    source = shell.transform_cell(cell)
    name = shell.compile.cache(source)
    tree = ast.parse(source, filename=name)
    exec(compile(tree, name, "exec"), shell.user_ns)
    return {name: shell.user_ns[name] for name in _bound(tree) if name in shell.user_ns}


def _bound(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            names |= {(item.asname or item.name).partition(".")[0] for item in statement.names}
            continue
        names |= {
            node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
    return names
