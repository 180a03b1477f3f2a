"""How endpoints, their metrics and their answers look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html

if TYPE_CHECKING:
    from maas_jupyter.monitoring import EndpointMetrics
    from maas_jupyter.monitoring.summary import VersionMetrics
    from maas_jupyter.targets import Endpoint, EndpointList, Prediction
    from maas_jupyter.targets.logs import LogLines

_TONES = {"ready": "good", "loading": "plain", "stopped": "plain", "failed": "bad", "unavailable": "bad"}
_LEVELS = {"debug": "plain", "info": "plain", "warning": "warn"}
_MOST_ROWS = 10


def render_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    """Draw one endpoint, when it was so, and how to call it."""
    from maas_jupyter.targets.endpoint import UNKNOWN, moment

    title = f"<b>{html.text(endpoint.name)}</b> {_state(endpoint)} on {html.text(endpoint.target)}"
    if endpoint.name == UNKNOWN:
        title = f"<b>{html.text(endpoint.target)}</b> {_state(endpoint)}"
    calls = "".join(
        f"<details><summary>{label}</summary><pre>{html.text(code)}</pre></details>"
        for label, code in (("curl", endpoint.curl), ("Python client", endpoint.python_client))
        if code
    )
    seen = f'<div style="opacity:.7">as of {moment(endpoint.seen)}</div>'
    note = f"<div>{html.text(endpoint.note)}</div>" if endpoint.note else ""
    markup = f"<div>{title}</div>{_traffic(endpoint)}<div>{html.text(endpoint.url)}</div>{note}{calls}{seen}"
    return html.bundle(markup, repr(endpoint))


def render_endpoints(endpoints: EndpointList) -> dict[str, Any]:
    """Draw all endpoints."""
    from maas_jupyter.targets.endpoint import UNKNOWN

    if not endpoints:
        return html.bundle(html.text(repr(endpoints)), repr(endpoints))
    rows = [
        [
            "" if endpoint.name == UNKNOWN else f"<b>{html.text(endpoint.name)}</b>",
            html.text(endpoint.target),
            html.badge(endpoint.state, _TONES[endpoint.state]),
            _traffic(endpoint),
            html.text(endpoint.url),
            "" if endpoints.in_common(endpoint) else html.text(endpoint.reason),
        ]
        for endpoint in endpoints
    ]
    once = "".join(f"<div>{html.text(reason)}</div>" for reason in [*endpoints.said_once(), *endpoints.notes])
    return html.bundle(html.table(["endpoint", "target", "state", "versions", "URL", ""], rows) + once, repr(endpoints))


def render_metrics(metrics: EndpointMetrics) -> dict[str, Any]:
    """Draw an endpoint's counts and latencies."""
    headers = ["endpoint", "requests", "errors", "p50", "p95", "p99", "mean", "server memory"]
    latencies = [_milliseconds(value) for value in (metrics.p50_ms, metrics.p95_ms, metrics.p99_ms, metrics.mean_ms)]
    memory = "" if metrics.memory_mb is None else f"{metrics.memory_mb:.0f} MB"
    row = [
        f"<b>{html.text(metrics.name)}</b>",
        f"{metrics.requests_total:,}",
        f"{metrics.errors_total:,}",
        *latencies,
        memory,
    ]
    versions = _versions(metrics.shown) + html.text(metrics.more) if len(metrics.versions) > 1 else ""
    return html.bundle(html.table(headers, [row], numbers=range(1, 8)) + versions, repr(metrics))


def _versions(versions: list[VersionMetrics]) -> str:
    """Draw each version's part of the traffic, and how a shadow's answers compared."""
    from maas_jupyter.monitoring.summary import compared

    rows = []
    for row in versions:
        share = (
            ("" if row.serves else "serves no more") if row.share is None else f"{html.bar(row.share)} {row.share:.0%}"
        )
        numbers = [
            f"{row.requests_total:,}",
            "" if row.requests_per_second is None else f"{row.requests_per_second:,.3g}",
            f"{row.errors_total:,}",
            _milliseconds(row.p50_ms),
            _milliseconds(row.p95_ms),
        ]
        if row.shadow:
            share, numbers = "shadow", [""] * len(numbers)
        rows.append([html.text(row.version), share, *numbers, compared(row.shadow) if row.shadow else ""])
    headers = ["version", "traffic", "requests", "per second", "errors", "p50", "p95", ""]
    return html.table(headers, rows, numbers=range(2, 7))


def render_prediction(prediction: Prediction) -> dict[str, Any]:
    """Draw the first rows of an answer: the label and the best scores, or the numbers."""
    note = f"answered by version {prediction.version}"
    notes = "".join(f"<div>{html.badge('note', 'warn')} {html.text(each)}</div>" for each in prediction.notes)
    if prediction.labels is None or prediction.scores is None:
        outputs = list(prediction.outputs.items())
        shown = [[str(row), *(html.text(value[row]) for _, value in outputs)] for row in range(_shown_rows(prediction))]
        markup = html.heading(prediction.endpoint, note) + html.table(["row", *(name for name, _ in outputs)], shown)
        return html.bundle(markup + notes, repr(prediction))
    labels, scores = prediction.labels, prediction.scores
    rows = []
    for index in range(_shown_rows(prediction)):
        best = float(scores[index].max())
        rows.append([str(index), f"<b>{html.text(labels[index])}</b>", f"{best:.4f}", html.bar(best)])
    more = f"<div>and {len(labels) - _MOST_ROWS:,} more rows</div>" if len(labels) > _MOST_ROWS else ""
    markup = html.heading(prediction.endpoint, note) + html.table(["row", "label", "score", ""], rows, numbers=(0, 2))
    return html.bundle(markup + more + notes, repr(prediction))


def render_logs(lines: LogLines) -> dict[str, Any]:
    """Draw one row for each line."""
    rows = [
        [
            f"{entry.time:%Y-%m-%d %H:%M:%S}" if entry.time else "",
            html.badge(entry.level, _LEVELS.get(entry.level, "bad")) if entry.level else "",
            html.text(entry.source),
            html.text(entry.event) + (f"<pre>{html.text(entry.traceback)}</pre>" if entry.traceback else ""),
        ]
        for entry in lines.entries
    ]
    markup = html.table(["time", "level", "process", ""], rows) if rows else html.text(repr(lines))
    return html.bundle(markup, repr(lines))


def _shown_rows(prediction: Prediction) -> int:
    return min(_MOST_ROWS, *(len(value) for value in prediction.outputs.values()))


def _state(endpoint: Endpoint) -> str:
    reason = f" {html.text(endpoint.reason)}" if endpoint.reason else ""
    return html.badge(endpoint.state, _TONES[endpoint.state]) + reason


def _traffic(endpoint: Endpoint) -> str:
    """Draw a bar for each version: its share, what it is, and how it is."""
    total = sum(row.weight for row in endpoint.traffic) or 1
    rows = []
    for row in endpoint.traffic:
        label = endpoint.labels.get(row.version, "")
        share = f"{html.bar(row.weight / total)} {row.weight / total:.0%}" if row.weight else ""
        words = [label] if label else []
        words += [row.state] if row.state != "ready" else []
        rows.append(f"<div>version {html.text(row.version)} {share} {html.text(', '.join(words))}</div>")
    return "".join(rows)


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g} ms"
