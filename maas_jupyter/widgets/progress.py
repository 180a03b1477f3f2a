"""The view of a verb that takes a few steps."""

from __future__ import annotations

import time

from maas_jupyter.widgets import html
from maas_jupyter.widgets.surface import Surface


class ProgressView:
    """One line: what is being done now; when it is over, how long it took.

    Parameters
    ----------
    title : str
        The verb and what it is about.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = time.perf_counter()
        self._surface = Surface()

    def step(self, what: str) -> None:
        """Say what is being done now."""
        self._show(f"{self._title}: {what} …", final=False)

    def close(self, ended: str = "") -> None:
        """Leave the time that it took.

        Parameters
        ----------
        ended : {'', 'failed', 'stopped'}
            What became of it, where it is not done.
        """
        took = f"{time.perf_counter() - self._began:.1f} s"
        self._show(f"{self._title}: {f'{ended} after {took}' if ended else took}", final=True)

    def _show(self, line: str, *, final: bool) -> None:
        self._surface.show(lambda: html.bundle(f"<div>{html.text(line)}</div>", line), line, final=final)
