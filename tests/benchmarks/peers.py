"""The servers that ours is measured against, each with the same perceptron under onnxruntime and one thread."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

BARE = """
import sys
import msgspec, numpy as np, onnxruntime, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
Input = msgspec.defstruct("Input", [("shape", list[int]), ("data", list[float])])
Body = msgspec.defstruct("Body", [("inputs", list[Input])])
decoder, encoder = msgspec.json.Decoder(Body), msgspec.json.Encoder()

async def infer(request):
    tensor = decoder.decode(await request.body()).inputs[0]
    array = np.array(tensor.data, dtype=np.float32).reshape(tensor.shape)
    (output,) = session.run(None, {"input": array})
    answer = {"name": "output", "shape": output.shape, "datatype": "FP32", "data": output.ravel().tolist()}
    return Response(encoder.encode({"model_name": "mlp", "outputs": [answer]}), media_type="application/json")

app = Starlette(routes=[Route("/v2/models/mlp/infer", infer, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
"""

MLSERVER = """
import numpy as np, onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

class Perceptron(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload):
        array = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        (output,) = self.session.run(None, {"input": array})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("output", output)])
"""

LITSERVE = """
import sys
import litserve, numpy as np, onnxruntime

class Perceptron(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options)

    def decode_request(self, request):
        tensor = request["inputs"][0]
        return np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])

    def predict(self, array):
        return self.session.run(None, {"input": array})[0]

    def encode_response(self, output):
        return {"outputs": [{"name": "output", "shape": output.shape, "data": output.ravel().tolist()}]}

if __name__ == "__main__":
    api = Perceptron(api_path="/v2/models/mlp/infer")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
"""


def environment(folder: Path, *packages: str) -> Path:
    """Return the interpreter of a virtual environment that holds some packages; made where it is not there yet."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def free_port() -> int:
    """Return a port that was free a moment ago: these servers cannot be handed a socket."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(command: list[str | Path], port: int, folder: Path, body: str) -> Iterator[str]:
    """Run a server until it answers an inference request; gives its URL."""
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(word) for word in command], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.post(f"{url}/v2/models/mlp/infer", content=body, timeout=5, headers=JSON).is_success:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} does not serve:\n{(folder / 'log').read_text()[-3000:]}")
            time.sleep(0.1)
        yield url
    finally:
        # All of them: LitServe's workers outlive it.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


JSON = {"Content-Type": "application/json"}


@contextmanager
def bare(model: Path, folder: Path, body: str) -> Iterator[str]:
    """Run the yardstick: starlette, uvicorn and msgspec with nothing else."""
    (folder / "bare.py").write_text(BARE)
    port = free_port()
    with running([sys.executable, "bare.py", model, str(port)], port, folder, body) as url:
        yield url


@contextmanager
def mlserver(model: Path, folder: Path, environments: Path, body: str) -> Iterator[str]:
    """Run MLServer without its pool of processes, which is faster for a small model."""
    python = environment(environments / "mlserver", "mlserver==1.7.1", "onnxruntime")
    (folder / "perceptron.py").write_text(MLSERVER)
    port = free_port()
    settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "host": "127.0.0.1"}
    (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0, "debug": False}))
    described = {"name": "mlp", "implementation": "perceptron.Perceptron", "parameters": {"uri": str(model)}}
    (folder / "model-settings.json").write_text(json.dumps(described))
    with running([python.parent / "mlserver", "start", "."], port, folder, body) as url:
        yield url


@contextmanager
def litserve(model: Path, folder: Path, environments: Path, body: str) -> Iterator[str]:
    """Run LitServe with one worker and its fast queue."""
    python = environment(environments / "litserve", "litserve==0.2.19", "onnxruntime")
    (folder / "perceptron.py").write_text(LITSERVE)
    port = free_port()
    with running([python, "perceptron.py", model, str(port)], port, folder, body) as url:
        yield url
