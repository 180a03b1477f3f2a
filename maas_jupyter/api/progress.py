"""Shows what a long verb is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maas_jupyter import plugins


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show a long verb's steps while it runs."""
    view = plugins.load("view", "progress")(title)
    try:
        yield view.step
    except BaseException as error:
        view.close("failed" if isinstance(error, Exception) else "stopped")
        raise
    view.close()
