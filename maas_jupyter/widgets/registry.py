"""How registered models and runs look."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html
from maas_jupyter.widgets.training import TONES, seconds, words

if TYPE_CHECKING:
    from maas_jupyter.registry import ModelList, ModelVersion, RunList, RunRecord

#: What a list of runs shows of their metrics.
_METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "eval_accuracy", "r2")
_FEW_METRICS = 4
_HEADERS = ["version", "aliases", "task", "precision", "size", "measured", "from", "registered"]


def badges(version: ModelVersion) -> str:
    """Return the version's aliases as badges, and that it does not load."""
    refused = [html.badge("does not load", "bad")] if version.refused else []
    return " ".join([*(html.badge(f"@{alias}", "good") for alias in version.aliases), *refused])


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
    """Draw tracked runs, those under way with their progress."""
    if not runs:
        return html.bundle(html.text(repr(runs)), repr(runs))
    rows = [
        [
            f"<code>{html.text(run.run_id[:8])}</code>",
            html.text(run.name),
            html.badge(words(run.status), TONES.get(run.status, "plain")),
            _progress(run),
            _moment(run.started),
            "" if run.duration is None else seconds(run.duration),
            html.text(_metrics(run)),
        ]
        for run in runs
    ]
    headers = ["run", "name", "status", "progress", "started", "took", ""]
    return html.bundle(html.table(headers, rows, numbers=(5,)), repr(runs))


def _progress(run: RunRecord) -> str:
    state = run.state
    if state is None:
        return ""
    if state.status == "training":
        left = "" if state.remaining is None else f", {seconds(state.remaining)} left"
        return f"{html.bar(state.fraction)} {html.text(run.progress)}{left}"
    best = "" if state.best is None else f", best {state.best.epoch}"
    return html.text(f"{state.epoch} of {state.epochs or state.epoch} {state.unit}s{best}")


def _metrics(run: RunRecord) -> str:
    names = [name for name in _METRICS if name in run.metrics] or sorted(run.metrics)[:_FEW_METRICS]
    return ", ".join(f"{name} {run.metrics[name]:.4f}" for name in names)


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
