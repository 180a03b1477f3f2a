"""How a training is asked to stop: the stop button, an event of this process, a file that any process can leave."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Protocol

from maas_jupyter.runs import RunFolder


class Wish(Protocol):
    """Somebody's wish that a training stop, such as a ``threading.Event``."""

    def is_set(self) -> bool:
        """Say whether it was said."""


class StopRequest:
    """Gathers the wishes that a training stop after the step it is in.

    While it is entered on the main thread, an interrupt (SIGINT: the notebook's stop button, Ctrl-C) is such a wish;
    a second interrupt is raised at once, as always. What handled interrupts before does so again afterwards.

    Parameters
    ----------
    event : threading.Event or Wish, optional
        Set by this process.
    folder : RunFolder, optional
        Its stop file is the word of another process.

    Attributes
    ----------
    wished : bool
        Cheap enough to be read after every step.
    """

    def __init__(self, event: Wish | None = None, folder: RunFolder | None = None) -> None:
        self._event, self._folder = event, folder
        self._before: Any = None
        self.wished = False
        self.forced = False

    def look(self) -> None:
        """Ask the event and the folder; a few times a second are enough."""
        if (self._event is not None and self._event.is_set()) or (
            self._folder is not None and self._folder.stop_requested()
        ):
            self.wished = True

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            # Ignored on purpose, or handled outside of Python: not ours to change.
            if before is not None and before is not signal.SIG_IGN:
                self._before = before
                signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        # Where the code that was trained put a handler of its own, that one stays.
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._interrupted:
            signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if not self.wished:
            self.wished = True
            return
        self.forced = True
        if callable(self._before):
            self._before(number, frame)
        raise KeyboardInterrupt
