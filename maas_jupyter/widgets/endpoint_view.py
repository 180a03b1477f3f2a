"""An endpoint, live in a cell: its traffic, its latencies and its versions, as small curves."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import traitlets

from maas_jupyter.errors import MaasError, counted
from maas_jupyter.monitoring.counts import EndpointCounts
from maas_jupyter.monitoring.history import History, Reading
from maas_jupyter.monitoring.rows import Sample
from maas_jupyter.monitoring.scrape import parse
from maas_jupyter.widgets import html
from maas_jupyter.widgets.live import LiveWidget, front, style
from maas_jupyter.widgets.sparkline import sparkline

if TYPE_CHECKING:
    from maas_jupyter.targets import Endpoint

#: Points that are kept.
_KEPT = 150
#: Seconds that it goes on without a sign from a page: one whose kernel is busy can give none.
_UNSEEN_SECONDS = 900.0
#: Seconds between two times that the picture in the notebook is brought up to date.
_TWIN_SECONDS = 10.0

#: The past is of one endpoint.
_ALL = ("", "")
_TONES = {"ready": "good", "loading": "plain", "stopped": "plain"}
#: What is drawn: title, fields of a point, how it is written.
CURVES = (
    ("requests/s", ("requests",), ""),
    ("latency p50 and p95", ("p50", "p95"), "ms"),
    ("errors/s", ("errors",), ""),
)


class EndpointView(LiveWidget):
    """An endpoint's traffic, live.

    The kernel asks the endpoint's server, in a thread of its own: what a busy cell sends is seen while it runs. It
    rests a while after the last page that showed it is gone.

    Parameters
    ----------
    endpoint : Endpoint
    interval : float
        Seconds between two looks.

    Attributes
    ----------
    row : dict
        State, reason, totals and the versions with their shares.
    points : list of dict
        The last minutes, oldest first.
    """

    _esm = front("endpoint")
    _css = style()

    title = traitlets.Unicode().tag(sync=True)
    row = traitlets.Dict().tag(sync=True)
    points = traitlets.List().tag(sync=True)
    seen = traitlets.Int(0).tag(sync=True)
    interval = traitlets.Float(2.0).tag(sync=True)
    paused = traitlets.Bool(False).tag(sync=True)

    def __init__(self, endpoint: Endpoint, *, interval: float = 2.0) -> None:
        self._endpoint, self._past = endpoint, History()
        self._until = self._twin_time = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        super().__init__(title=f"{endpoint.name} on {endpoint.target}", interval=max(float(interval), 0.2))
        self.look()
        self.observe(self._seen, "seen")
        self.observe(self._seen, "paused")

    def look(self) -> None:
        """Look at the endpoint now."""
        with self._lock:
            endpoint = self._endpoint.refresh()
            reading, trouble = None, endpoint.reason
            if endpoint.state not in ("unavailable", "stopped"):
                try:
                    scrape = parse(endpoint.metrics_text())
                    counts = scrape.models.get(endpoint.name, EndpointCounts())
                    reading = Reading(time.time(), counts, scrape.memory, scrape.cpu_seconds)
                except (MaasError, ValueError) as error:
                    trouble = str(error)
            sample = None if reading is None else self._past.add(_ALL, reading)
            self.row = _row(endpoint, trouble, reading, sample)
            if sample is not None:
                self.points = [*self.points, _point(sample)][-_KEPT:]

    def watch(self, seconds: float = _UNSEEN_SECONDS) -> None:
        """Go on looking for so many seconds."""
        self._until = time.monotonic() + seconds
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._ended.clear()
                self._thread = threading.Thread(target=self._watch, name="maas-endpoint-view", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._until = 0.0
        self._ended.set()

    def close(self) -> None:
        """Look no more, and leave the cells."""
        self.stop()
        super().close()

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        self.watch()

    def _seen(self, change: dict[str, Any]) -> None:
        if self.paused:
            self.stop()
        else:
            self.watch()

    def _watch(self) -> None:
        while not self._ended.wait(self.interval) and time.monotonic() < self._until:
            self.look()
            if time.monotonic() - self._twin_time > _TWIN_SECONDS:
                self._twin_time = time.monotonic()
                self.refresh_twin()
        self.refresh_twin()

    def static(self) -> dict[str, Any]:
        """Return the curves as one picture, and the versions as a table."""
        row, points = self.row, self.points
        state = html.badge(row["state"], _TONES.get(row["state"], "bad"))
        reason = f" {html.text(row['reason'])}" if row["reason"] else ""
        markup = f"<div><b>{html.text(self.title)}</b> {state}{reason}</div>"
        totals = f"{counted(row['requests'], 'request')}, {counted(row['errors'], 'error')} since its server started"
        words = [f"{self.title} is {row['state']}", totals]
        cells = []
        for title, fields, unit in CURVES:
            latest = [points[-1][field] for field in fields] if points else [None]
            last = (
                ", ".join(_number(value, unit) for value in latest) if any(each is not None for each in latest) else "–"
            )
            courses = [[point[field] for point in points] for field in fields]
            cells.append([html.text(title), html.text(last), sparkline(courses, f"{title}: {last}")])
            words += [f"{title} {last}"] if points else []
        markup += html.table(["", "now", "the last minutes"], cells, numbers=(1,))
        markup += f'<div style="opacity:.8">{html.text(totals)}</div>'
        versions = [_version(each) for each in row["versions"]]
        if versions:
            markup += html.table(["version", "traffic", "requests/s", "state"], versions, numbers=(2,))
        return html.bundle(markup, "; ".join(words))


def _version(each: dict[str, Any]) -> list[str]:
    share = "shadow" if each["shadow"] else f"{html.bar(each['share'])} {each['share']:.0%}"
    return [html.text(each["version"]), share, _number(each["requests"], ""), html.text(each["state"])]


def _row(endpoint: Endpoint, reason: str, reading: Reading | None, sample: Sample | None) -> dict[str, Any]:
    total = sum(each.weight for each in endpoint.traffic) or 1
    rates = sample.versions if sample else {}
    return {
        "state": endpoint.state,
        "reason": reason,
        "time": time.time(),
        "requests": reading.whole.requests if reading else 0,
        "errors": reading.whole.errors if reading else 0,
        "versions": [
            {
                "version": each.version,
                "share": each.weight / total,
                "state": each.state,
                "label": endpoint.labels.get(each.version, ""),
                "shadow": each.shadow,
                "requests": rates.get(each.version, 0.0) if sample else None,
            }
            for each in endpoint.traffic
            if each.version
        ],
    }


def _point(sample: Sample) -> dict[str, float | None]:
    return {
        "time": sample.time,
        "requests": sample.requests_per_second,
        "errors": sample.errors_per_second,
        "p50": sample.p50_ms,
        "p95": sample.p95_ms,
    }


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:,.3g} {unit}".strip()
