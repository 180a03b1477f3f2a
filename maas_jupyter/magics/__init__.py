"""``%maas`` and ``%%maas``, and their completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_jupyter import config
from maas_jupyter.magics.completion import complete
from maas_jupyter.magics.magic import maas

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def register(shell: InteractiveShell) -> None:
    """Add the magic and its completion to a shell; loading twice is the same as once."""
    config.current(parent=shell)
    shell.register_magic_function(maas, magic_kind="line_cell", magic_name="maas")
    unregister_completion(shell)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(complete)


def unregister(shell: InteractiveShell) -> None:
    """Take both away again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("maas", None)
    unregister_completion(shell)


def unregister_completion(shell: InteractiveShell) -> None:
    """Remove the completion, whichever load of this package added it."""
    if shell.Completer is None:
        return
    shell.Completer.custom_matchers[:] = [
        matcher
        for matcher in shell.Completer.custom_matchers
        if getattr(matcher, "matcher_identifier", "") != complete.matcher_identifier
    ]
