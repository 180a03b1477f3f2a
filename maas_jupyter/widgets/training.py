"""The view of a running training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html
from maas_jupyter.widgets.curves import curves_svg
from maas_jupyter.widgets.surface import Surface

if TYPE_CHECKING:
    from maas_jupyter.training import Progress


_COLOURS = {"training": "#0969da", "finished": "#1a7f37", "interrupted": "#9a6700", "failed": "#cf222e"}


class TrainingView:
    """Shows progress and curves while a training runs, and leaves them in the notebook.

    Parameters
    ----------
    title : str
        What is being trained.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._surface = Surface()

    def epoch(self, metrics: dict[str, float]) -> None:
        """Nothing of its own: the update that follows an epoch shows it."""

    def update(self, progress: Progress, *, final: bool = False) -> None:
        """Draw the progress."""
        line = self._line(progress)
        self._surface.show(lambda: self._draw(progress, line), line, final=final)

    def _line(self, progress: Progress) -> str:
        done = progress.epoch
        parts = [f"{self._title} {progress.status}", f"epoch {done} of {progress.epochs}"]
        if progress.status == "training":
            parts[1] = f"epoch {min(done + 1, progress.epochs)} of {progress.epochs}"
            if progress.steps:
                parts.append(f"step {progress.step} of {progress.steps}")
        if progress.rows_per_second:
            parts.append(f"{progress.rows_per_second:,.0f} rows/s")
        if progress.status == "training" and progress.remaining is not None:
            parts.append(f"{progress.remaining:.0f} s left")
        else:
            parts.append(f"{progress.seconds:.1f} s")
        if progress.history:
            parts += [f"{name} {value:.4f}" for name, value in progress.history[-1].items() if name != "epoch"]
        return " · ".join(parts)

    def _draw(self, progress: Progress, line: str) -> dict[str, Any]:
        share = progress.fraction * 100
        colour = {"training": "#0969da", "finished": "#1a7f37", "interrupted": "#9a6700", "failed": "#cf222e"}[
            progress.status
        ]
        bar = (
            '<div style="max-width:676px;margin:2px 0 6px;border-radius:3px;background:rgba(127,127,127,.3)">'
            f'<div style="height:6px;border-radius:3px;width:{share:.1f}%;background:{colour}"></div></div>'
        )
        picture = ""
        if progress.history:
            last = progress.epochs if progress.status == "training" else int(progress.history[-1]["epoch"])
            svg = curves_svg(progress.history, last)
            picture = html.image(svg.encode(), "image/svg+xml", f"Training curves of {self._title}")
        return html.bundle(f'<div style="margin:4px 0">{html.text(line)}</div>{bar}<div>{picture}</div>', line)
