"""A small server that keeps series and answers as Prometheus' HTTP API does.

It evaluates selectors (``{label="...",label=~"..."}``) at the steps of a range, each with the newest value of the last
five minutes, and gives the raw values of a selector with a range; it knows no functions.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from maas_jupyter.monitoring.scrape import series

LOOKBACK = 300.0

_MATCHER = re.compile(r'(\w+)(=~|=)("(?:[^"\\]|\\.)*")')


class PrometheusServer:
    """Runs until it is stopped.

    Attributes
    ----------
    token : str
        What it asks for; empty for none.
    override : tuple or None
        Status and body with which everything is answered.
    asked : list of (str, dict)
        Routes and their arguments.
    """

    def __init__(self, context: ssl.SSLContext | None = None):
        self.token = ""
        self.override = None
        self.asked = []
        self._series = {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, body = owner.answer(self.path, self.headers.get("Authorization"))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if context is not None:
            scheme, self._server.socket = "https", context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def scrape(self, time, text, **labels):
        """Keep what a server told at a time, with the labels of its scrape job."""
        # Not prometheus_client's parser: it renames counters whose names do not end as they should.
        told = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        for name, own, value in series(told, ("",)):
            renamed = {f"exported_{label}" if label in labels else label: each for label, each in own.items()}
            key = tuple(sorted({"__name__": name, **renamed, **labels}.items()))
            self._series.setdefault(key, []).append((float(time), repr(value)))

    def answer(self, path, authorization):
        if self.token and authorization != f"Bearer {self.token}":
            return 401, b"Unauthorized"
        if self.override:
            return self.override
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query, strict_parsing=True))
        route = parts.path.removeprefix("/api/v1/")
        self.asked.append((route, query))
        if route == "series":
            inside = lambda times: any(float(query["start"]) <= time <= float(query["end"]) for time, _ in times)  # noqa: E731
            data = [labels for labels, values in self._matching(query["match[]"]) if inside(values)]
        elif route == "query":
            selector, seconds = re.fullmatch(r"(\{.*\})\[(\d+)s\]", query["query"]).groups()
            until = float(query["time"])
            data = _result(
                (labels, [each for each in values if until - float(seconds) < each[0] <= until])
                for labels, values in self._matching(selector)
            )
        elif route == "query_range":
            start, end, step = (float(query[name]) for name in ("start", "end", "step"))
            if (end - start) / step > 11_000:
                why = "exceeded maximum resolution of 11,000 points per timeseries."
                return 400, {"status": "error", "errorType": "bad_data", "error": why}
            times = [start + index * step for index in range(int((end - start) / step) + 1)]
            data = _result(
                (labels, [(at, value) for at in times if (value := _newest(values, at)) is not None])
                for labels, values in self._matching(query["query"])
            )
        else:
            return 404, b"404 page not found"
        return 200, {"status": "success", "data": data}

    def _matching(self, selector):
        matchers = [(name, how, json.loads(text)) for name, how, text in _MATCHER.findall(selector)]
        assert selector == "{" + ",".join(f"{name}{how}{json.dumps(text)}" for name, how, text in matchers) + "}"
        for key, values in self._series.items():
            labels = dict(key)
            if all(
                re.fullmatch(text, labels.get(name, "")) if how == "=~" else labels.get(name, "") == text
                for name, how, text in matchers
            ):
                yield labels, values


def _newest(values, at):
    found = [value for time, value in values if at - LOOKBACK < time <= at]
    return None if not found or found[-1] == "nan" else found[-1]


def _result(series):
    return {
        "resultType": "matrix",
        "result": [{"metric": labels, "values": values} for labels, values in series if values],
    }
