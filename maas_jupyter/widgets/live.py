"""What every widget shares: its front end, a static twin that a saved notebook keeps, and work beside the cell."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget

from maas_jupyter.errors import MaasError
from maas_jupyter.widgets import html
from maas_jupyter.widgets.surface import Surface, display_handle

_FRONT = Path(__file__).parent / "front"
_VIEW = "application/vnd.jupyter.widget-view+json"
# A widget without its model: a panel with words and no element.
_DEAD = ".jp-OutputArea-child > .jp-OutputArea-output.lm-Panel:not(:has(*))"
# One cell holds the static picture and the widget, and shows one of them: the widget where it is alive, the picture
# where its kernel is gone and the front end has but an error to show in its place.
_ONE_OF_TWO = f"""<style>
.jp-OutputArea-child:has(.maas-cell-static):has(+ .jp-OutputArea-child .maas-cell-live) {{ display: none; }}
.jp-OutputArea-child:has(.maas-cell-static) + {_DEAD} {{ display: none; }}
</style>"""


def front(*names: str) -> str:
    """Return the source of a widget's front end: one module of several files, with what all widgets share first."""
    return "\n".join((_FRONT / f"{name}.js").read_text(encoding="utf-8") for name in ("shared", *names))


def style() -> str:
    """Return the style of all widgets."""
    return (_FRONT / "style.css").read_text(encoding="utf-8")


class LiveWidget(anywidget.AnyWidget):
    """A widget with a static twin.

    A front end that knows no widgets, a saved notebook and nbconvert show the twin, as it was last.
    """

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._twin = Surface()
        self._shown = False

    def static(self) -> dict[str, Any]:
        """Return the display that needs no kernel: HTML and text.

        Returns
        -------
        dict of str to str
            By mime type.
        """
        raise NotImplementedError

    def refresh_twin(self) -> None:
        """Bring the static twin up to date, where it is in a cell."""
        if self._shown:
            self._twin.show(self._static_output, repr(self), final=True)

    def _static_output(self) -> dict[str, Any]:
        bundle = self.static()
        return {**bundle, "text/html": f'{_ONE_OF_TWO}<div class="maas-cell-static">{bundle["text/html"]}</div>'}

    # anywidget has a pair with the metadata here; IPython takes both.
    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        return {**self.static(), _VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.model_id}}

    def _ipython_display_(self) -> None:
        handle = display_handle()
        if handle is None:
            from IPython.display import publish_display_data

            publish_display_data(self.static())
            return
        if not self._shown:
            self._shown = True
            self._twin = Surface()
        self.refresh_twin()
        view = self._repr_mimebundle_()[_VIEW]
        handle.display({_VIEW: view, "text/html": "", "text/plain": ""}, raw=True)

    def __repr__(self) -> str:
        return str(self.static()["text/plain"])


class Errand:
    """Does in a thread what a widget is asked for; of what is asked meanwhile, the newest alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Begin, or do it next."""
        with self._lock:
            self._next = work
            if self._thread is None:
                # The context says which cell's output this is.
                run = contextvars.copy_context().run
                self._thread = threading.Thread(target=run, args=(self._run,), name="maas-widget", daemon=True)
                self._thread.start()

    def wait(self, seconds: float = 60.0) -> None:
        """Return when nothing is left to do."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._lock:
                work, self._next = self._next, None
                if work is None:
                    self._thread = None
                    return
            work()


def told(error: MaasError) -> dict[str, str]:
    """Return an error as a widget shows it."""
    return {"message": error.message, "hint": error.hint}


def error_html(error: dict[str, str]) -> str:
    """Draw such an error."""
    hint = f'<div style="opacity:.8">{html.text(error["hint"])}</div>' if error.get("hint") else ""
    return f"<div>{html.badge('error', 'bad')} {html.text(error['message'])}</div>{hint}"
