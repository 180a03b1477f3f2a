"""Work that may hang, in threads that hold up neither the event loop, nor each other, nor the end of the process."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Run ``work`` in a daemon thread of its own.

    `asyncio.to_thread` has a few threads for the whole Jupyter server: some that hang would stop everybody else's work,
    and the server could not end before they do.
    """
    outcome: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.set_result(context.run(partial(work, *args, **kwargs)))
        except BaseException as error:  # noqa: BLE001 (raised again where the future is read)
            outcome.set_exception(error)

    threading.Thread(target=run, name="maas-background", daemon=True).start()
    return asyncio.wrap_future(outcome)
