"""The model server's figures and its peers', in one run: ``.venv/bin/python tests/benchmarks/model_server.py``.

Prints ratios of medians, measured in turns. MLServer and LitServe get environments of their own in ``--peers`` (made
with pip the first time). Name sections to run only some: json binary batching workers memory restart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import encoder
import httpx
import msgspec
import numpy as np
import peers
from load import Load, load, script, script_of_many
from perceptron import make_perceptron, make_small_bundles
from server import memory, ours, start, wait

from maas_jupyter import schema
from maas_jupyter.bundle import Bundle
from maas_jupyter.schema import ServedModel, ServedVersion, ServerRecord
from maas_jupyter.serving.binary import encode_binary
from maas_jupyter.serving.client import ServingClient
from maas_jupyter.serving.counts import ROWS
from maas_jupyter.serving.environment import child_environment
from maas_jupyter.serving.servable import Servable

PATH = "/v2/models/mlp/infer"


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def headers(record: ServerRecord, **more: str) -> dict[str, str]:
    """Return the headers of a request to our server."""
    return {"Content-Type": "application/json", "Authorization": f"Bearer {record.token}", **more}


def json_body(rows: int) -> bytes:
    """Return a V2 request with rows of 64 numbers."""
    values = np.random.default_rng(1).random((rows, 64), dtype=np.float32).round(4)
    data = [round(float(value), 4) for value in values.ravel()]
    tensor = {"name": "input", "shape": [rows, 64], "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def in_turns(rounds: int, loads: dict[str, Callable[[], Load]]) -> dict[str, Load]:
    """Load each in turns and return the medians."""
    found: dict[str, list[Load]] = {name: [] for name in loads}
    for _ in range(rounds):
        for name, call in loads.items():
            found[name].append(call())
    return {
        name: Load(*(statistics.median(getattr(row, key) for row in rows) for key in ("rate", "p50", "p99")))
        for name, rows in found.items()
    }


def show(title: str, found: dict[str, Load]) -> None:
    """Print one line for each."""
    for name, row in found.items():
        say(f"  {title}, {name}: {row.rate:8,.0f} requests/s, p50 {row.p50:.3f} ms, p99 {row.p99:.3f} ms")


def json_section(folder: Path, options: argparse.Namespace) -> None:
    """V2 JSON against the bare app, MLServer and LitServe."""
    body = json_body(1)
    bundle = make_perceptron(folder / "perceptron")
    model = bundle / "model.onnx"
    with ExitStack() as stack:
        record = stack.enter_context(ours(folder / "json", "--workers", "1", "--threads", "1"))
        with ServingClient(record.url, record.token) as client:
            client.publish("mlp", "1", bundle)
        plain = script(folder / "plain.lua", body, peers.JSON)
        mine = script(folder / "mine.lua", body, headers(record))
        urls = {"ours": (record.url, mine)}
        for name, run in (
            ("bare", lambda place: peers.bare(model, place, body.decode())),
            ("MLServer", lambda place: peers.mlserver(model, place, options.peers, body.decode())),
            ("LitServe", lambda place: peers.litserve(model, place, options.peers, body.decode())),
        ):
            place = folder / name
            place.mkdir()
            urls[name] = (stack.enter_context(run(place)), plain)
        for connections in (32, 1):
            loads = {
                name: lambda url=url, lua=lua, connections=connections: load(
                    url + PATH, lua, connections, options.seconds
                )
                for name, (url, lua) in urls.items()
            }
            found = in_turns(options.rounds, loads)
            show(f"{connections:>2} connections", found)
            if connections == 32:
                best = max(("MLServer", "LitServe"), key=lambda name: found[name].rate)
                say(f"32 connections, ours / bare, requests/s: {found['ours'].rate / found['bare'].rate:.2f} (0.85)")
                say(f"32 connections, ours / {best}, requests/s: {found['ours'].rate / found[best].rate:.1f} (4)")
            else:
                say(f"1 connection, ours / bare, p50: {found['ours'].p50 / found['bare'].p50:.2f} (at most 1.15)")


def binary_section(folder: Path, options: argparse.Namespace) -> None:
    """32 x 64 floats, binary both ways against JSON both ways."""
    bundle = make_perceptron(folder / "perceptron")
    rows = np.random.default_rng(1).random((32, 64), dtype=np.float32)
    data = bytes(encode_binary(rows, "FP32"))
    tensor = {"name": "input", "shape": [32, 64], "datatype": "FP32", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    with ours(folder / "binary", "--workers", "1", "--threads", "1") as record:
        with ServingClient(record.url, record.token) as client:
            client.publish("mlp", "1", bundle)
        more = {"Inference-Header-Content-Length": str(len(head))}
        binary = script(folder / "binary.lua", head + data, headers(record, **more))
        text = script(folder / "json.lua", json_body(32), headers(record))
        loads = {
            "JSON": lambda: load(record.url + PATH, text, 32, options.seconds),
            "binary": lambda: load(record.url + PATH, binary, 32, options.seconds),
        }
        found = in_turns(options.rounds, loads)
    show("32 x 64 floats", found)
    say(f"binary / JSON, requests/s: {found['binary'].rate / found['JSON'].rate:.1f} (2)")


def text_bodies() -> list[bytes]:
    """Return V2 requests with one text each."""
    return [
        json.dumps({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]}).encode()
        for text in encoder.sentences(400)
    ]


def batch_sizes(client: ServingClient) -> dict[int, int]:
    """Return how many runs had how many rows so far; exact up to 16 rows."""
    found: dict[int, int] = {}
    below = 0
    for line in client.metrics_text().splitlines():
        if line.startswith("maas_batch_rows_bucket"):
            bound = line.partition('le="')[2].partition('"')[0]
            count = int(float(line.rpartition(" ")[2]))
            rows = int(ROWS[-1] if bound == "+Inf" else float(bound))
            found[rows] = found.get(rows, 0) + count - below
            below = count
    return found


def batching_section(folder: Path, options: argparse.Namespace) -> None:
    """16 text clients against the same batches in process."""
    bundle = encoder.encoder_bundle(options.cache).folder
    threads = options.threads
    lua_path = folder / "texts.lua"
    with ExitStack() as stack:
        record = stack.enter_context(ours(folder / "batching", "--workers", "1", "--threads", str(threads)))
        client = stack.enter_context(ServingClient(record.url, record.token))
        client.publish("encoder", "1", bundle)
        lua = script_of_many(lua_path, text_bodies(), headers(record))
        url = f"{record.url}/v2/models/encoder/infer"
        servable = Servable.load(Bundle.open(bundle), threads)
        texts = np.array(encoder.sentences(400), dtype=object)
        ratios = []
        load(url, lua, 16, options.seconds)  # memory that is touched for the first time is slow
        for _ in range(options.rounds):
            before = batch_sizes(client)
            rate = load(url, lua, 16, options.seconds).rate
            sizes = {rows: count - before.get(rows, 0) for rows, count in batch_sizes(client).items()}
            alone = in_process(servable, texts, {rows: count for rows, count in sizes.items() if count})
            ratios.append(rate / alone)
            common = max(sizes, key=lambda rows: rows * sizes[rows])
            say(f"  16 clients {rate:.0f} rows/s, in process {alone:.0f} rows/s, most rows in batches of {common}")
    say(f"encoder, 16 text clients / the same batches in process, rows/s: {statistics.median(ratios):.2f} (0.95)")


def in_process(servable: Servable, texts: np.ndarray, sizes: dict[int, int]) -> float:
    """Return rows per second of batches with this distribution of sizes, in mixed order."""
    random = np.random.default_rng(0)
    total = sum(sizes.values())
    chosen = random.choice(list(sizes), size=min(total, 150), p=[count / total for count in sizes.values()])
    rows = 0
    started = time.perf_counter()
    for size in chosen:
        servable.run({"text": random.choice(texts, size=size)})
        rows += int(size)
    return rows / (time.perf_counter() - started)


def workers_section(folder: Path, options: argparse.Namespace) -> None:
    """Two workers against one, one inference thread each."""
    bundle = encoder.encoder_bundle(options.cache).folder
    with ExitStack() as stack:
        urls: dict[str, tuple[str, Path]] = {}
        for workers in ("1", "2"):
            record = stack.enter_context(ours(folder / f"workers{workers}", "--workers", workers, "--threads", "1"))
            with ServingClient(record.url, record.token) as client:
                client.publish("encoder", "1", bundle)
            lua = script_of_many(folder / f"workers{workers}.lua", text_bodies(), headers(record))
            urls[workers] = (f"{record.url}/v2/models/encoder/infer", lua)
        found = in_turns(
            options.rounds,
            {
                name: lambda url=url, lua=lua: load(url, lua, 16, max(options.seconds, 5))
                for name, (url, lua) in urls.items()
            },
        )
    show("workers", found)
    say(f"encoder, two workers / one, rows/s: {found['2'].rate / found['1'].rate:.2f} (1.7)")


def memory_section(folder: Path, options: argparse.Namespace) -> None:
    """All processes of a server with one worker and the perceptron, idle after some thousand requests."""
    bundle = make_perceptron(folder / "perceptron")
    for name, more in (("HTTP alone", ()), ("HTTP and gRPC", ("--grpc-port", "0"))):
        home = folder / f"memory-{len(more)}"
        with ours(home, "--workers", "1", "--threads", "1", *more) as record:
            with ServingClient(record.url, record.token) as client:
                client.publish("mlp", "1", bundle)
            load(record.url + PATH, script(folder / "memory.lua", json_body(1), headers(record)), 8, 2)
            time.sleep(3)  # a process that loaded the bundle to try it has ended by then, and the worker is idle
            found = memory(record.pid)
        parts = " + ".join(f"{megabytes:.0f}" for megabytes in found.values())
        say(f"memory, one worker, {name}: {sum(found.values()):.0f} MB = {parts} of its processes (at most 90)")


def restart_section(folder: Path, options: argparse.Namespace) -> None:
    """10,000 models known, 100 of them loaded: from the start of the process to ready."""
    home = folder / "many"
    digests = make_small_bundles(home / "bundles", 10_000)
    models = home / "models"
    models.mkdir()
    for number, digest in enumerate(digests):
        name = f"model-{number:05d}"
        model = ServedModel(name, [ServedVersion("1", digest)], loaded=number % 100 == 0)
        (models / f"{name}.json").write_bytes(schema.encode(model))
    seconds = []
    for _ in range(options.rounds + 1):
        started = time.perf_counter()
        process = start(home, "--workers", options.workers)
        try:
            record = wait(home, process)
            with httpx.Client(base_url=record.url) as client:
                while client.get("/v2/health/ready").status_code != 200:
                    time.sleep(0.002)
                seconds.append(time.perf_counter() - started)
                index = client.post("/v2/repository/index", headers=headers(record), content=b"{}").content
            rows = msgspec.json.decode(index)
            ready = sum(row["state"] == "READY" for row in rows)
            found = memory(record.pid)
        finally:
            process.terminate()
            process.wait()
    say(f"  {len(rows):,} models known, {ready} ready; the first start tried each bundle: {seconds[0]:.2f} s")
    parts = ", ".join(f"{megabytes:.0f}" for megabytes in found.values())
    say(f"restart to ready: {statistics.median(seconds[1:]):.2f} s (at most 3), memory of the processes {parts} MB")


SECTIONS = {
    "json": json_section,
    "binary": binary_section,
    "batching": batching_section,
    "workers": workers_section,
    "memory": memory_section,
    "restart": restart_section,
}


def main() -> None:
    """Run the sections that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], default=[], metavar="SECTION")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of one round of load")
    parser.add_argument("--threads", type=int, default=2, help="of one run of the encoder")
    parser.add_argument("--workers", default="2", help="of the server with 10,000 models")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "maas-benchmark-encoder")
    parser.add_argument("--peers", type=Path, default=Path(tempfile.gettempdir()) / "maas-benchmark-peers")
    options = parser.parse_args()
    allocator = {name: value for name, value in child_environment().items() if name.startswith("MALLOC_")}
    if not allocator.items() <= os.environ.items():
        # What runs in this process is compared with the server, so its memory has to be managed in the same way.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **allocator})
    options.cache.mkdir(exist_ok=True)
    for name in options.sections or SECTIONS:
        folder = Path(tempfile.mkdtemp(prefix="maas-benchmark-"))
        try:
            say(f"{name}: {SECTIONS[name].__doc__}")
            SECTIONS[name](folder, options)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
