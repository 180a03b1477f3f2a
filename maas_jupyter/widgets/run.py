"""How a run looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html
from maas_jupyter.widgets.registry import badges

if TYPE_CHECKING:
    from maas_jupyter.training import Run


def render(run: Run) -> dict[str, Any]:
    """Draw a run: status, metrics and what was registered; the curves stand in the cell that trained it."""
    tone = "good" if run.status == "finished" else "warn"
    metrics = " · ".join(f"{name} {value:.4f}" for name, value in run.metrics.items())
    lines = [
        f"<b>{html.text(run.name)}</b> {html.badge(run.status, tone)} {len(run.history)} of {run.epochs} epochs in "
        f"{run.seconds:.1f} s · run {html.text(run.run_id[:8])}",
        html.text(metrics),
    ]
    if run.version is not None:
        lines.append(f"registered as <b>{html.text(run.version.reference)}</b> {badges(run.version)}")
    else:
        lines.append(f"not registered · checkpoint: {html.text(run.checkpoint)}")
    lines += [f"{html.badge('warning', 'warn')} {html.text(warning)}" for warning in run.warnings]
    return html.bundle("".join(f'<div style="margin:2px 0">{line}</div>' for line in lines if line), repr(run))
