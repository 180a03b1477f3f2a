"""How registered models and runs look."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html

if TYPE_CHECKING:
    from maas_jupyter.registry import ModelList, ModelVersion, RunList

#: What a list of runs shows of their metrics.
_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "eval_accuracy", "r2")
_HEADERS = ["version", "aliases", "task", "precision", "size", "measured", "from", "registered"]


def badges(version: ModelVersion) -> str:
    """Return the version's aliases as badges."""
    return " ".join(html.badge(f"@{alias}", "good") for alias in version.aliases)


def render_version(version: ModelVersion) -> dict[str, Any]:
    """Draw one version."""
    return html.bundle(html.table(_HEADERS, [_row(version)], numbers=(4,)), repr(version))


def render_models(models: ModelList) -> dict[str, Any]:
    """Draw all versions of all models."""
    if not models:
        return html.bundle(html.text(repr(models)), repr(models))
    rows = [_row(version) for model in models for version in model.versions]
    return html.bundle(html.table(_HEADERS, rows, numbers=(4,)), repr(models))


def render_runs(runs: RunList) -> dict[str, Any]:
    """Draw tracked runs."""
    if not runs:
        return html.bundle(html.text(repr(runs)), repr(runs))
    tones = {"finished": "good", "running": "plain", "interrupted": "warn", "failed": "bad"}
    rows = [
        [
            html.text(run.run_id[:8]),
            html.text(run.name),
            html.badge(run.status, tones.get(run.status, "plain")),
            _moment(run.started),
            "" if run.duration is None else f"{run.duration:.1f} s",
            html.text(", ".join(f"{name} {run.metrics[name]:.4f}" for name in _METRICS if name in run.metrics)),
        ]
        for run in runs
    ]
    return html.bundle(html.table(["run", "name", "status", "started", "took", ""], rows, numbers=(4,)), repr(runs))


def _row(version: ModelVersion) -> list[str]:
    measured = f"{version.headline[0]} {version.headline[1]:.4f}" if version.headline else ""
    return [
        f"<b>{html.text(version.reference)}</b>",
        badges(version),
        html.text(version.task),
        html.text(version.precision),
        html.kilobytes(version.size),
        html.text(measured),
        html.text(version.parent or ""),
        _moment(version.created),
    ]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
