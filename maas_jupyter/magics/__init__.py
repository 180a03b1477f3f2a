"""``%maas`` and ``%%maas``, and their completion."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from maas_jupyter import config
from maas_jupyter.magics.completion import complete
from maas_jupyter.magics.magic import maas

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


_ASKED = re.compile(r"(\s*)%{1,2}maas\s+(\w+)\s*\?{1,2}\s*")


def explained(lines: list[str]) -> list[str]:
    """Turn ``%maas train?`` into ``%maas train --help``: IPython would look for a variable called ``train``."""
    asked = _ASKED.fullmatch("".join(lines))
    return [f"{asked[1]}%maas {asked[2]} --help\n"] if asked else lines


def register(shell: InteractiveShell) -> None:
    """Add the magic and its completion to a shell; loading twice is the same as once."""
    config.current(parent=shell)
    shell.register_magic_function(maas, magic_kind="line_cell", magic_name="maas")
    unregister_hooks(shell)
    # The first: IPython's own take the marks away.
    shell.input_transformers_cleanup.insert(0, explained)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(complete)


def unregister(shell: InteractiveShell) -> None:
    """Take both away again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("maas", None)
    unregister_hooks(shell)


def unregister_hooks(shell: InteractiveShell) -> None:
    """Remove the completion and the question mark, whichever load of this package added them."""
    shell.input_transformers_cleanup[:] = [
        each
        for each in shell.input_transformers_cleanup
        if (each.__module__, getattr(each, "__name__", "")) != (__name__, explained.__name__)
    ]
    if shell.Completer is None:
        return
    shell.Completer.custom_matchers[:] = [
        matcher
        for matcher in shell.Completer.custom_matchers
        if getattr(matcher, "matcher_identifier", "") != complete.matcher_identifier
    ]
