"""The environment of the server's processes."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import maas_jupyter


def child_environment() -> dict[str, str]:
    """Return an environment in which a new interpreter finds this package, and nothing in its working directory."""
    # Few allocator arenas: with one per thread the freed memory of each would stay with the process.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    root = Path(maas_jupyter.__file__).parent.parent
    if root not in (Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))):
        environment["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, [environment.get("PYTHONPATH")])])
    return environment
