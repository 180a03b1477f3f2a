"""A model server of ours as a process, for the benchmarks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maas_jupyter.schema import ServerRecord
from maas_jupyter.serving.environment import child_environment
from maas_jupyter.serving.record import read_record


@contextmanager
def ours(home: Path, *arguments: str) -> Iterator[ServerRecord]:
    """Run a server on a home until the block ends; gives its record once it serves all that it should."""
    home.mkdir(exist_ok=True)
    process = start(home, *arguments)
    try:
        yield wait(home, process)
    finally:
        process.terminate()
        process.wait()


def start(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Begin to start a server."""
    command = [sys.executable, "-m", "maas_jupyter.serving", "--home", str(home), *arguments]
    with (home / "stderr").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=child_environment())


def wait(home: Path, process: subprocess.Popen[bytes]) -> ServerRecord:
    """Return the record as soon as there is one."""
    while True:
        record = read_record(home)
        if record and record.pid == process.pid:
            return record
        if process.poll() is not None:
            raise SystemExit((home / "stderr").read_text()[-3000:])
        time.sleep(0.002)


def memory(pid: int) -> dict[int, float]:
    """Return the memory of a process and its descendants in MB, each page that they share counted once (PSS)."""
    found: dict[int, float] = {}
    waiting = [pid]
    while waiting:
        process = waiting.pop(0)
        waiting += map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())
        rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        found[process] = next(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1024
    return found
