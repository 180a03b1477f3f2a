"""The environment of the server's processes."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import maas_jupyter

#: Of glibc's malloc. One arena: with more, the freed memory of each would stay with the process, and a thread's goes
#: back in the middle of a run. What a run frees is kept for the next: given back to the system each time, an encoder's
#: batch costs a tenth more in page faults. An idle worker gives it back (``supervisor/memory.py``).
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
}
#: onnxruntime would report its sessions to its maker, from a thread and over a database that no fork may inherit.
_NO_REPORTS = {"ORT_DISABLE_TELEMETRY": "1"}


def child_environment(*, without: Iterable[str] = ()) -> dict[str, str]:
    """Return an environment in which a new interpreter finds this package, and nothing in its working directory.

    Parameters
    ----------
    without : iterable of str
        Variables that are none of its business.
    """
    environment = {**os.environ, **_ALLOCATOR, **_NO_REPORTS, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    for name in without:
        environment.pop(name, None)
    root = Path(maas_jupyter.__file__).parent.parent
    if root not in (Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))):
        environment["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [environment.get("PYTHONPATH")])])
    return environment
