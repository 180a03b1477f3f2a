"""Where a view draws: an output of the cell that is replaced, or a line of the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

_SECONDS_BETWEEN = 0.1


class Surface:
    """Shows the newest picture at most ten times a second, and the last one always.

    In a kernel it is one output of the cell that ran when the surface was made; in a terminal a line on standard error.
    """

    def __init__(self) -> None:
        self._handle = display_handle()
        self._shown = -float("inf")
        self._drawn = False

    @property
    def rich(self) -> bool:
        """Whether a front end shows more than lines."""
        return self._handle is not None

    def show(self, draw: Callable[[], dict[str, Any]], line: str, *, final: bool = False) -> None:
        """Show a picture, or let it pass if one was shown a moment ago.

        Parameters
        ----------
        draw : callable
            Makes the mime bundle; called only when it is shown.
        line : str
            The same as one line of text.
        final : bool
            Shown in any case.
        """
        now = time.monotonic()
        if not final and now - self._shown < _SECONDS_BETWEEN:
            return
        self._shown = now
        if self._handle is None:
            _show_line(line, final=final)
            return
        bundle, drawn = draw(), self._drawn
        # Noted before: an interrupt that comes while it is shown must not make a second output of it.
        self._drawn = True
        if drawn:
            self._handle.update(bundle, raw=True)
        else:
            self._handle.display(bundle, raw=True)


def display_handle() -> Any:
    """Return a display handle where a front end can replace an output; None in a terminal."""
    if _kernel_shell() is None:
        return None
    from IPython.display import DisplayHandle

    return DisplayHandle()


def cell_number() -> int | None:
    """Return the number of the cell that runs now; None in a terminal."""
    shell = _kernel_shell()
    return None if shell is None else int(shell.execution_count)


def _kernel_shell() -> Any:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if hasattr(shell, "kernel") else None


def _show_line(line: str, *, final: bool) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}" + ("\n" if final else ""))
        sys.stderr.flush()
    elif final:
        sys.stderr.write(f"{line}\n")
