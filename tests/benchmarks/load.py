"""Load with wrk (Debian's package ``wrk``)."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Load:
    """What one round of load saw: requests per second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def script(path: Path, body: bytes, headers: dict[str, str]) -> Path:
    """Write what wrk sends: always the same body."""
    lines = ["wrk.method = 'POST'", f"wrk.body = {_lua(body)}"]
    lines += [f"wrk.headers['{name}'] = '{value}'" for name, value in headers.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def script_of_many(path: Path, bodies: list[bytes], headers: dict[str, str]) -> Path:
    """Write what wrk sends: one body after another."""
    lines = ["wrk.method = 'POST'"]
    lines += [f"wrk.headers['{name}'] = '{value}'" for name, value in headers.items()]
    lines.append("bodies = {" + ",\n".join(_lua(body) for body in bodies) + "}")
    lines.append("local turn = 0")
    lines.append("request = function() turn = turn % #bodies + 1; return wrk.format(nil, nil, nil, bodies[turn]) end")
    path.write_text("\n".join(lines) + "\n")
    return path


def _lua(data: bytes) -> str:
    return "'" + "".join(f"\\{byte:03d}" for byte in data) + "'"


def load(url: str, path: Path, connections: int, seconds: int) -> Load:
    """Load a URL from one thread; ends the program where an answer is an error."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(path), url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(f"{url} answered with errors:\n{text}")
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    p50, p99 = (
        float(found[1]) * scale[found[2]]
        for found in (re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", text) for share in (50, 99))
        if found
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    return Load(float(rate[1]) if rate else 0.0, p50, p99)
