"""The view of a run: live while it trains, in its own cell or in one that is attached; a picture afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING

from maas_jupyter.widgets import html
from maas_jupyter.widgets.curves import curves_image, run_panels
from maas_jupyter.widgets.stop import StopButton
from maas_jupyter.widgets.surface import Surface, cell_number

if TYPE_CHECKING:
    from maas_jupyter.runs import RunState

_COLOURS = {
    "training": "#3b82f6",
    "finished": "#2f9e44",
    "stopped_early": "#2f9e44",
    "interrupted": "#b7791f",
    "failed": "#e03131",
}
TONES = {"training": "info", "finished": "good", "stopped_early": "good", "interrupted": "warn", "failed": "bad"}
_MUTED = "opacity:.75"
#: The time axis of a run under way is at most so many times as long as what is drawn.
_AHEAD = 4
#: A notebook stays small whatever a run has to say.
_MOST_METRICS, _MOST_REMARKS, _LONGEST, _LONGEST_ERROR = 12, 12, 400, 2000

#: In which cell each run's picture was drawn last, so that its result does not draw it there again.
_drawn_in: dict[str, int | None] = {}


class TrainingView:
    """Shows progress and curves while a training runs, and leaves them in the notebook.

    Parameters
    ----------
    title : str
        What is being trained.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._cell = cell_number()
        self._stop: StopButton | None = None
        self._surface = Surface()

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Say that it begins soon, where much has to be imported before the first step."""
        if "mlflow" in sys.modules:
            yield
            return
        self._say("preparing, which takes a few seconds in a new kernel …")
        try:
            yield
        except BaseException:
            self._say("not started")
            raise

    def _say(self, what: str) -> None:
        line = f"{self.title}: {what}"
        self._surface.show(lambda: html.bundle(f"<div>{html.text(line)}</div>", line), line, final=True)

    def epoch(self, metrics: dict[str, float]) -> None:
        """Nothing of its own: the update that follows an epoch shows it."""

    def update(self, state: RunState, *, final: bool = False) -> None:
        """Draw the state, at most ten times a second, and the final one always.

        Parameters
        ----------
        state : RunState
            How far the run is.
        final : bool
            The last one: what is drawn stays. A run that is still training then says how to look at it again.
        """
        if self._stop is None and state.run_id and not final and self._surface.rich:
            self._stop = StopButton(state.run_id)
            self._stop.show()
        _drawn_in[state.run_id] = self._cell
        again = f"%maas attach {state.run_id[:8]}"
        if final and self._stop is not None:
            # An output of a cell cannot be taken away, and an empty one is no output of a notebook.
            self._stop.close(f'<span style="{_MUTED}">See it again: <code>{html.text(again)}</code></span>', again)
        line = run_line(state, self.title)
        if final and state.status == "training":
            line += f" · goes on: {again}"
        self._surface.show(lambda: html.bundle(run_markup(state, self.title), line), line, final=final)


def is_drawn_here(run_id: str) -> bool:
    """Say whether the cell that runs now holds the run's picture already."""
    return run_id in _drawn_in and _drawn_in[run_id] == cell_number()


def run_line(state: RunState, title: str) -> str:
    """Return a run's state as one line of text."""
    parts = [f"{title} {state.word}", *_figures(state)]
    shown = list(state.metrics.items())[:_MOST_METRICS]
    parts += [f"{name} {value:.4f}" for name, value in shown]
    if state.status != "training":
        parts += _best(state)
    if state.error:
        parts.append(_clipped(state.error, _LONGEST_ERROR))
    return " · ".join(parts)


def run_markup(state: RunState, title: str) -> str:
    """Return a run's state, notes, metrics and curves as HTML."""
    head = " · ".join(_figures(state))
    if state.run_id:
        head += f" · run {state.run_id[:8]}"
    parts = [
        f"<b>{html.text(title)}</b> {html.badge(state.word, TONES[state.status])} {html.text(head)}",
        _bar(state),
        *(f'<span style="{_MUTED}">{html.text(_clipped(note))}</span>' for note in state.notes[:_MOST_REMARKS]),
    ]
    shown = [f"{name} <b>{value:.4f}</b>" for name, value in _escaped(state.metrics)]
    if shown:
        parts.append(" · ".join([f"{state.unit} {int(state.measured['epoch'])}", *shown]))
    parts += [f'<span style="color:{_COLOURS["finished"]}">{html.text(best)}</span>' for best in _best(state)]
    end = _reached(state)
    if state.status == "training":
        # The whole way lies ahead, but the first steps of a long one must be seen as well.
        end = min(float(state.epochs or ceil(end)), ceil(_AHEAD * end))
    picture = curves_image(run_panels(state.curves, state.history, state.best), end, f"Training curves of {title}")
    warnings = state.warnings[-_MOST_REMARKS:]
    rest = [f"{html.badge('warning', 'warn')} {html.text(_clipped(warning))}" for warning in warnings]
    if state.status == "interrupted" and state.resume_line:
        rest.append(f"go on: <code>{html.text(_clipped(state.resume_line))}</code>")
    if state.error:
        rest.append(f"{html.badge('error', 'bad')} {html.text(_clipped(state.error, _LONGEST_ERROR))}")
    rows = [f'<div style="margin:2px 0">{part}</div>' for part in parts]
    return "".join([*rows, picture, *(f'<div style="margin:2px 0">{part}</div>' for part in rest)])


def words(status: str) -> str:
    """Write a status as words: ``stopped early``."""
    return status.replace("_", " ")


def progress_bar(fraction: float, colour: str, width: str = "676px") -> str:
    """Return a bar that is filled to a share between 0 and 1."""
    return (
        f'<div style="max-width:{width};margin:4px 0;border-radius:3px;background:rgba(127,127,127,.3)">'
        f'<div style="height:6px;border-radius:3px;width:{fraction * 100:.1f}%;background:{colour}"></div></div>'
    )


def seconds(value: float) -> str:
    """Write a duration: ``4.2 s``, ``3:05 min``, ``2:03:05 h``."""
    if value < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _figures(state: RunState) -> list[str]:
    if state.status == "training":
        parts = [state.place]
        if state.steps:
            parts.append(f"step {state.step:,} of {state.steps:,}")
        elif state.total_steps:
            parts.append(f"step {state.total_steps:,}")
    else:
        parts = [f"{state.unit} {state.epoch}" + (f" of {state.epochs}" if state.epochs else "")]
    if state.rows_per_second:
        parts.append(f"{state.rows_per_second:,.0f} rows/s")
    if state.status == "training" and state.remaining is not None:
        parts.append(f"{seconds(state.remaining)} left")
    else:
        parts.append(seconds(state.seconds))
    device = state.device if state.memory is None else f"{state.device}, {html.kilobytes(state.memory)}"
    return [part for part in [*parts, device] if part]


def _best(state: RunState) -> list[str]:
    return [state.best_words] if state.best_words else []


def _bar(state: RunState) -> str:
    return progress_bar(state.fraction, _COLOURS[state.status])


def _reached(state: RunState) -> float:
    last = [curve.x[-1] for curve in list(state.curves.values()) if curve.x]
    return max([1.0, float(state.epoch), *last])


def _escaped(metrics: dict[str, float]) -> list[tuple[str, float]]:
    return [(html.text(name), value) for name, value in list(metrics.items())[:_MOST_METRICS]]


def _clipped(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]} …"
