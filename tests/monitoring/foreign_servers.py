"""Small HTTP servers with the routes and the names of metrics of the servers that the panel understands.

The names are those of the servers' own sources. `ForeignServer.serve` counts requests as the real one would have.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROCESS = (
    "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 2.5e+08\n"
    "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 12.5\n"
)


def histogram(name, labels, bounds, count, seconds, sum_of):
    """A histogram in which every request took as long as ``seconds`` (in the unit of the bounds)."""
    lines = [f"# HELP {name} a histogram", f"# TYPE {name} histogram"]
    for bound in [*bounds, float("inf")]:
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        lines.append(f'{name}_bucket{{{labels},le="{le}"}} {count if seconds <= bound else 0}')
    return "\n".join([*lines, f"{name}_sum{{{labels}}} {sum_of}", f"{name}_count{{{labels}}} {count}", ""])


class ForeignServer:
    """An HTTP server whose answers its kind makes.

    Attributes
    ----------
    answered, failed : int
        Requests so far.
    ready : bool
    hanging : threading.Event
        Clear: nothing is answered until it is set again.
    overrides : dict
        (status, body, headers) by path, instead of the kind's.
    """

    def __init__(self, host="127.0.0.1", port=0, context=None):
        self._context = context
        self.answered = self.failed = 0
        self.ready = True
        self.token = ""
        self.seen = []
        self.hanging = threading.Event()
        self.hanging.set()
        self.overrides = {}
        self._host, self._port = host, port
        self.start()

    def start(self):
        owner = self
        self._connections = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                owner.seen.append((self.path, self.headers.get("Authorization")))
                owner.hanging.wait()
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                status, body, headers = owner.answer(self.command, self.path, self.headers)
                data = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            do_POST = do_GET

            def setup(self):
                super().setup()
                owner._connections.append(self.connection)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer((self._host, self._port), Handler)
        self._server.daemon_threads = True
        if self._context is not None:
            self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self.hanging.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self):
        return f"{'https' if self._context else 'http'}://{self._host}:{self._port}"

    def answer(self, method, path, headers):
        if path in self.overrides:
            return self.overrides[path]
        if self.token and headers.get("Authorization") != f"Bearer {self.token}" and path != "/metrics":
            return 401, json.dumps({"error": "unauthorized"}), {}
        if method == "POST" and headers.get("Content-Type") != "application/json":
            return 422, json.dumps({"detail": "not a dictionary"}), {}
        found = self.routes().get((method, path))
        if found is None:
            return 404, json.dumps({"error": "not found"}), {}
        status, body = found if isinstance(found, tuple) else (200, found)
        return status, body if isinstance(body, str) else json.dumps(body), {}

    def serve(self, answered, failed=0):
        self.answered += answered
        self.failed += failed


class Triton(ForeignServer):
    """Two models, of which one has a version that failed to load; the metrics on the same port, as behind a gateway."""

    index = (
        {"name": "resnet", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "resnet", "version": "2", "state": "READY"},
        {
            "name": "broken",
            "version": "1",
            "state": "UNAVAILABLE",
            "reason": "Internal: no model.plan\n\nAt:\n  /models",
        },
        {"name": "never-loaded"},
    )
    with_metrics = True
    restricted = False  # as PyTriton does it

    def routes(self):
        ready = 200 if self.ready else 400
        return {
            ("GET", "/v2"): {"name": "triton", "version": "2.50.0", "extensions": ["model_repository"]},
            ("GET", "/v2/health/ready"): (ready, ""),
            ("POST", "/v2/repository/index"): (403, {"error": "restricted"}) if self.restricted else list(self.index),
            **({("GET", "/metrics"): self.metrics()} if self.with_metrics else {}),
        }

    def metrics(self):
        labels = 'model="resnet",version="2"'
        return "\n".join(
            [
                "# HELP nv_inference_request_success Number of successful inference requests, all batch sizes",
                "# TYPE nv_inference_request_success counter",
                f"nv_inference_request_success{{{labels}}} {self.answered:.6f}",
                "# TYPE nv_inference_request_failure counter",
                f'nv_inference_request_failure{{model="resnet",reason="BACKEND",version="2"}} {self.failed}',
                'nv_inference_request_failure{model="resnet",reason="REJECTED",version="2"} 0',
                f"nv_inference_count{{{labels}}} {self.answered * 4}",
                f"nv_inference_exec_count{{{labels}}} {self.answered}",
                f"nv_inference_request_duration_us{{{labels}}} {self.answered * 2500}",
                f"nv_inference_queue_duration_us{{{labels}}} {self.answered * 100}",
                f"nv_inference_pending_request_count{{{labels}}} 3",
                "# TYPE nv_cpu_utilization gauge",
                "nv_cpu_utilization 0.2",
                "",
            ]
        )


class TritonMetrics(Triton):
    """The port of Triton that has nothing but its metrics."""

    def routes(self):
        return {("GET", "/metrics"): self.metrics()}


class MLServer(ForeignServer):
    def routes(self):
        return {
            ("GET", "/v2"): {"name": "mlserver", "version": "1.7.1", "extensions": []},
            ("GET", "/v2/health/ready"): (200 if self.ready else 503, ""),
            ("POST", "/v2/repository/index"): [
                {"name": "iris", "version": "v1", "state": "READY" if self.ready else "UNAVAILABLE", "reason": ""}
            ],
            ("GET", "/metrics"): self.metrics(),
        }

    def metrics(self):
        labels = 'model="iris",version="v1"'
        return (
            f"{PROCESS}# TYPE model_infer_request_success_total counter\nmodel_infer_request_success_total{{{labels}}} "
            f"{self.answered:.1f}\n# TYPE model_infer_request_failure_total counter\n"
            f"model_infer_request_failure_total{{{labels}}} {self.failed:.1f}\n"
            "# TYPE model_infer_request_duration summary\n"
            f"model_infer_request_duration_count{{{labels}}} {self.answered + self.failed:.1f}\n"
            f"model_infer_request_duration_sum{{{labels}}} {(self.answered + self.failed) * 0.004}\n"
            f"model_infer_request_duration_created{{{labels}}} 1.7e+09\n"
            '# TYPE rest_server_requests_total counter\nrest_server_requests_total{app_name="mlserver",method="POST",'
            f'path="/v2/models/{{model_name}}/infer",status_code="200"}} {self.answered:.1f}\n'
        )


class KServe(ForeignServer):
    def routes(self):
        return {
            ("GET", "/"): {"status": "alive"},
            ("GET", "/v2"): {"name": "kserve", "version": "0.15.0", "extensions": ["model_repository_extension"]},
            ("GET", "/v1/models"): {"models": ["sklearn-iris"]},
            ("GET", "/v1/models/sklearn-iris"): (200 if self.ready else 503, {"name": "sklearn-iris", "ready": True}),
            ("GET", "/metrics"): self.metrics(),
        }

    def metrics(self):
        if not self.answered:  # labels come with the first request
            return "# HELP request_predict_seconds predict request latency\n# TYPE request_predict_seconds histogram\n"
        text, labels = PROCESS, 'model_name="sklearn-iris"'
        for part in ("preprocess", "predict", "postprocess"):
            name = f"request_{part}_seconds"
            text += histogram(name, labels, (0.005, 0.01, 0.025), self.answered, 0.008, self.answered * 0.008)
            text += f"{name}_created{{{labels}}} 1.7e+09\n"
        return text


class VLLM(ForeignServer):
    def routes(self):
        card = {"object": "model", "created": 1, "owned_by": "vllm", "root": "/models/llama", "parent": None}
        return {
            ("GET", "/health"): (200 if self.ready else 503, ""),
            ("GET", "/v1/models"): {
                "object": "list",
                "data": [
                    {"id": "meta-llama/Llama-3-8B", **card},
                    {"id": "llama", **card},
                    {"id": "sql-lora", **card, "root": "/adapters/sql", "parent": "meta-llama/Llama-3-8B"},
                ],
            },
            ("GET", "/metrics"): self.metrics(),
        }

    def metrics(self):
        labels = 'engine="0",model_name="meta-llama/Llama-3-8B"'
        finished = {"stop": self.answered, "length": 0, "abort": 0, "error": self.failed}
        return (
            PROCESS
            + "# TYPE vllm:num_requests_running gauge\n"
            + f"vllm:num_requests_running{{{labels}}} 1.0\nvllm:num_requests_waiting{{{labels}}} 2.0\n"
            + f'vllm:num_requests_waiting_by_reason{{{labels},reason="capacity"}} 2.0\n'
            + f"vllm:kv_cache_usage_perc{{{labels}}} 0.25\nvllm:generation_tokens_total{{{labels}}} 100.0\n"
            + "".join(
                f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {count:.1f}\n'
                for reason, count in finished.items()
            )
            + histogram(
                "vllm:e2e_request_latency_seconds",
                labels,
                (0.3, 0.5, 0.8, 1.0),
                self.answered,
                0.4,
                self.answered * 0.4,
            )
        )


class TFServing(ForeignServer):
    def routes(self):
        def version(number, state, code="OK", message=""):
            return {"version": number, "state": state, "status": {"error_code": code, "error_message": message}}

        told = [
            version("10", "AVAILABLE" if self.ready else "END", *(() if self.ready else ("INTERNAL", "out of memory"))),
            version("9", "END"),
        ]
        return {
            ("GET", "/v1/models/half_plus_two"): {"model_version_status": told},
            ("GET", "/monitoring/prometheus/metrics"): self.metrics(),
        }

    def metrics(self):
        loaded = ":tensorflow:cc:saved_model:load_attempt_count"
        text = f'# TYPE {loaded} counter\n{loaded}{{model_path="/models/half_plus_two/00000010",status="success"}} 1\n'
        text += f'{loaded}{{model_path="/somewhere/else/1",status="success"}} 1\n'
        if self.answered + self.failed:
            name = ":tensorflow:serving:request_count"
            text += f'# TYPE {name} counter\n{name}{{model_name="half_plus_two",status="OK"}} {self.answered}\n'
            text += f'{name}{{model_name="half_plus_two",status="INVALID_ARGUMENT"}} {self.failed}\n'
            labels = 'model_name="half_plus_two",API="predict",entrypoint="REST"'
            text += histogram(
                ":tensorflow:serving:request_latency", labels, (10, 1800, 3240, 5832), self.answered, 2000,
                self.answered * 2000,
            )  # fmt: skip
        return text


class BentoML(ForeignServer):
    """Its metrics are empty until a first request, be it a probe."""

    def __init__(self):
        self.asked = Counter()
        super().__init__()

    def answer(self, method, path, headers):
        answer = super().answer(method, path, headers)
        if path != "/metrics":  # whatever else is asked is counted
            self.asked[path, answer[0]] += 1
        return answer

    def routes(self):
        return {("GET", "/readyz"): (200 if self.ready else 503, ""), ("GET", "/metrics"): self.metrics()}

    def metrics(self):
        text = ""
        requests = {("/predict", 200): self.answered, ("/predict", 500): self.failed, **self.asked}
        for (endpoint, code), count in requests.items():
            if count:
                labels = (
                    f'endpoint="{endpoint}",http_response_code="{code}",runner_name="Summary",service_name="Summary",'
                    'service_version="not available"'
                )
                name = "bentoml_service_request"
                text += f"# TYPE {name}_total counter\n{name}_total{{{labels}}} {count:.1f}\n"
                text += histogram(f"{name}_duration_seconds", labels, (0.005, 0.01, 0.1), count, 0.05, count * 0.05)
        batch = 'method_name="predict",service_name="Summary",service_version="not available",worker_index="1"'
        if self.answered:
            text += f"bentoml_service_adaptive_batch_size_sum{{{batch}}} {self.answered * 2}\n"
            text += f"bentoml_service_adaptive_batch_size_count{{{batch}}} {self.answered}\n"
        return text
