"""``python -m maas_jupyter.serving.control.probe FOLDER DIGEST SECONDS``: load a bundle, and say how that went.

A process of its own, so that a bundle that crashes or hangs takes nothing along. Started for the first publish of each
bundle, so it imports nothing that loading does not need.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec

from maas_jupyter.bundle import Bundle, read_manifest
from maas_jupyter.errors import MaasError
from maas_jupyter.schema import MANIFEST_NAME, ProbeRecord
from maas_jupyter.serving.servable import Servable


def load(folder: Path, digest: str) -> ProbeRecord:
    """Load a bundle whose files were verified a moment ago, warm it up, and unload it."""
    try:
        manifest = read_manifest((folder / MANIFEST_NAME).read_bytes(), where=MANIFEST_NAME, digest=digest)
        Servable.load(Bundle(folder, manifest, digest)).unload()
    except MaasError as error:
        return ProbeRecord(error.message, error.hint)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
        return ProbeRecord(f"The bundle does not load: {type(error).__name__}: {error}")
    return ProbeRecord()


def main(folder: str, digest: str, seconds: str) -> None:
    """Write a `ProbeRecord` as JSON to standard output, and end."""
    # Who started this process kills it when its time is up; should that one have died, the system does.
    signal.alarm(int(float(seconds)) + 10)
    # What libraries print must not get between the report.
    report = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.write(report, msgspec.json.encode(load(Path(folder), digest)))
    # The interpreter's own end takes time and answers no question.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
