"""The data plane against a bare app, by hand: ``.venv/bin/python tests/benchmarks/data_plane.py``.

Both serve the same 64-128-10 perceptron under onnxruntime with one thread, take the same V2 JSON body of 64 numbers and
run as one process each; wrk (Debian's package) loads them in turns. The bare app is starlette, uvicorn and msgspec with
nothing else: no token, no validation, no metrics. Prints the medians of the rounds and their ratios.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maas_jupyter.bundle import Bundle
from maas_jupyter.schema import Manifest, ServerRecord, Signature, TensorSpec, decode
from maas_jupyter.serving.client import ServingClient

ROUNDS = 5
SECONDS = 3


def bare_app(model: str) -> object:
    """Return the yardstick: what an ASGI server can do with this model and body."""
    import msgspec
    import onnxruntime
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    body = msgspec.defstruct(
        "Body",
        [("inputs", list[msgspec.defstruct("Input", [("shape", list[int]), ("data", list[float])])])],
    )
    decoder, encoder = msgspec.json.Decoder(body), msgspec.json.Encoder()

    async def infer(request):  # type: ignore[no-untyped-def]
        tensor = decoder.decode(await request.body()).inputs[0]
        array = np.array(tensor.data, dtype=np.float32).reshape(tensor.shape)
        (output,) = session.run(None, {"input": array})
        answer = {"name": "output", "shape": output.shape, "datatype": "FP32", "data": output.ravel().tolist()}
        return Response(encoder.encode({"model_name": "mlp", "outputs": [answer]}), media_type="application/json")

    return Starlette(routes=[Route("/v2/models/mlp/infer", infer, methods=["POST"])])


def make_bundle(folder: Path) -> None:
    """Write the perceptron as a bundle."""
    folder.mkdir()
    random = np.random.default_rng(0)
    first, second = (random.standard_normal(shape).astype("float32") for shape in ((64, 128), (128, 10)))
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["input", "first"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("MatMul", ["active", "second"], ["output"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, str(folder / "model.onnx"))
    signature = Signature([TensorSpec("input", "FP32", [-1, 64])], [TensorSpec("output", "FP32", [-1, 10])])
    manifest = Manifest(task="regression", runtime="onnx", precision="fp32", signature=signature)
    Bundle.seal(folder, manifest, ["model.onnx"])


def load(url: str, script: Path, connections: int) -> tuple[float, float, float]:
    """Return requests per second, and p50 and p99 in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", str(script), url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise SystemExit(f"{url} answered with errors:\n{text}")
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    p50, p99 = (
        float(found[1]) * scale[found[2]]
        for found in (re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", text) for share in (50, 99))
        if found
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return float(rate[1]) if rate else 0.0, p50, p99


def main() -> None:
    """Start both, load both in turns, print the ratios."""
    folder = Path(tempfile.mkdtemp(prefix="maas-benchmark-"))
    make_bundle(folder / "bundle")
    home = folder / "server"
    home.mkdir()
    log = (folder / "log").open("wb")
    processes = [
        subprocess.Popen([sys.executable, "-m", "maas_jupyter.serving", "--home", str(home)], stdout=log, stderr=log)
    ]
    try:
        while not (home / "server.json").exists():
            if processes[0].poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.05)
        record = decode((home / "server.json").read_bytes(), ServerRecord, where="server.json")
        ServingClient(record.url, record.token).publish("mlp", "1", folder / "bundle")
        code = f"""
import socket, sys, uvicorn
sys.path.insert(0, {str(Path(__file__).parent)!r})
from data_plane import bare_app
bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
bound.bind(("127.0.0.1", 0))
bound.listen()
print(bound.getsockname()[1], flush=True)
app = bare_app({str(folder / "bundle" / "model.onnx")!r})
uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(sockets=[bound])
"""
        processes.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=log))
        output = processes[-1].stdout
        assert output is not None
        bare_url = f"http://127.0.0.1:{int(output.readline())}"
        httpx.get(bare_url, timeout=30)
        row = [round(float(value), 4) for value in np.random.default_rng(1).random(64)]
        body = json.dumps({"inputs": [{"name": "input", "shape": [1, 64], "datatype": "FP32", "data": row}]})
        script = folder / "post.lua"
        script.write_text(
            f"wrk.method = 'POST'\nwrk.body = '{body}'\nwrk.headers['Content-Type'] = 'application/json'\n"
            f"wrk.headers['Authorization'] = 'Bearer {record.token}'\n"
        )
        compare(record.url, bare_url, script)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        shutil.rmtree(folder)


def compare(ours: str, bare: str, script: Path) -> None:
    """Load both in turns at one and at 32 connections."""
    path = "/v2/models/mlp/infer"
    for connections in (1, 32):
        rows: dict[str, list[tuple[float, float, float]]] = {"ours": [], "bare": []}
        for _ in range(ROUNDS):
            for name, url in (("ours", ours), ("bare", bare)):
                rows[name].append(load(f"{url}{path}", script, connections))
        medians = {
            name: [statistics.median(column) for column in zip(*found, strict=True)] for name, found in rows.items()
        }
        for name, (rate, p50, p99) in medians.items():
            print(f"{connections:>3} connections, {name}: {rate:8,.0f} requests/s, p50 {p50:.3f} ms, p99 {p99:.3f} ms")
        rate, p50 = (medians["ours"][index] / medians["bare"][index] for index in (0, 1))
        print(f"{connections:>3} connections, ours / bare: requests/s {rate:.2f}, p50 {p50:.2f}")


if __name__ == "__main__":
    main()
