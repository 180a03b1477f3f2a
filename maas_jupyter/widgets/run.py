"""How a run looks after it has ended, and several beside one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html
from maas_jupyter.widgets.curves import SERIES, Line, Panel, curves_image
from maas_jupyter.widgets.registry import badges
from maas_jupyter.widgets.training import TONES, is_drawn_here, run_markup, words

if TYPE_CHECKING:
    from maas_jupyter.runs import ComparedRun, RunComparison
    from maas_jupyter.training import Run

_MOST_METRICS, _MOST_ROWS, _LONGEST = 12, 30, 400


def render(run: Run) -> dict[str, Any]:
    """Draw a run as its view does; where this cell holds the view already, what came of it in a few lines."""
    state = run.state
    lines = []
    if run.version is not None:
        lines.append(f"registered as <b>{html.text(run.version.reference)}</b> {badges(run.version)}")
        lines.append(html.text(run.weights))
    elif state.status != "training" and run.checkpoint is not None:
        lines.append(f"not registered · checkpoint: {html.text(run.checkpoint)}")
        lines.append(html.text(run.weights))
    if is_drawn_here(run.run_id):
        metrics = [f"{name} {value:.4f}" for name, value in list(run.metrics.items())[:_MOST_METRICS]]
        head = (
            f"<b>{html.text(run.name)}</b> {html.badge(words(state.status), TONES[state.status])} "
            f"{run.course} · run {html.text(run.run_id[:8])}"
        )
        warnings = [f"{html.badge('warning', 'warn')} {html.text(each[:_LONGEST])}" for each in run.warnings]
        lines = [head, html.text(" · ".join(metrics)), *lines, *warnings[-_MOST_METRICS:]]
        drawn = ""
    else:
        drawn = run_markup(state, run.name)
    told = "".join(f'<div style="margin:2px 0">{line}</div>' for line in lines if line)
    return html.bundle(drawn + told, repr(run))


def render_comparison(comparison: RunComparison) -> dict[str, Any]:
    """Draw one column for each run: parameters that differ, metrics with the best marked, and all curves together."""
    runs = comparison.runs
    colours = [SERIES[index % len(SERIES)] for index in range(len(runs))]
    rows = [
        ["model", *(html.text(run.name) for run in runs)],
        ["status", *(html.badge(words(run.status), TONES.get(run.status, "plain")) for run in runs)],
    ]
    differing, metrics = comparison.differing, comparison.metrics
    rows += [
        [html.text(name), *(html.text(run.params.get(name, "")[:80]) for run in runs)]
        for name in differing[:_MOST_ROWS]
    ]
    for name in metrics[:_MOST_ROWS]:
        best = comparison.best(name)
        rows.append([html.text(name), *(_metric(run, name, run.run_id in best) for run in runs)])
    left = len(differing[_MOST_ROWS:]) + len(metrics[_MOST_ROWS:])
    note = html.heading("", f"{left} more parameters and metrics are not shown") if left else ""
    short = [run.run_id[:8] for run in runs]
    title = html.heading(f"{len(runs)} runs", "" if differing else "with the same parameters")
    panels = _panels(runs, colours)
    end = max((x for panel in panels for line in panel.lines for x, _ in line.points[-1:]), default=1.0)
    keys = " ".join(
        f'<span style="color:{colour};margin-right:12px">&#9679; {html.text(run_id)}</span>'
        for colour, run_id in zip(colours, short, strict=True)
    )
    picture = curves_image(panels, end, f"Curves of the runs {', '.join(short)}")
    markup = f"{title}{html.table(['run', *short], rows)}{note}" + (f"<div>{keys}</div>{picture}" if picture else "")
    return html.bundle(markup, repr(comparison))


def _metric(run: ComparedRun, name: str, best: bool) -> str:
    if name not in run.metrics:
        return ""
    shown = f"{run.metrics[name]:.4f}"
    return f"<b>{shown}</b> {html.badge('best', 'good')}" if best else shown


def _panels(runs: list[ComparedRun], colours: list[str]) -> list[Panel]:
    names = dict.fromkeys(name for run in runs for name in run.curves)
    panels = []
    for name in sorted(names, key=lambda each: each not in ("loss", "val_loss")):
        # Colours come again after the last; dashes tell those runs from the first ones.
        lines = [
            Line("", run.curves[name].points(), colour, dashed=index >= len(SERIES))
            for index, (run, colour) in enumerate(zip(runs, colours, strict=True))
            if name in run.curves and run.curves[name].x
        ]
        if lines:
            panels.append(Panel(name, lines))
    return panels
