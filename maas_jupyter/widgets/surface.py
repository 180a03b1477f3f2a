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
        self._handle = _display_handle()
        self._shown = -float("inf")
        self._drawn = False

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
        if self._drawn:
            self._handle.update(draw(), raw=True)
        else:
            self._handle.display(draw(), raw=True)
        self._drawn = True


def _display_handle() -> Any:
    """Return a display handle where a front end can replace an output; None in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import DisplayHandle

    return DisplayHandle()


def _show_line(line: str, *, final: bool) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}" + ("\n" if final else ""))
        sys.stderr.flush()
    elif final:
        sys.stderr.write(f"{line}\n")
