"""Importing OpenVINO and NNCF so that they report to nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_COLLECTOR = "openvino_telemetry"


@contextmanager
def unreported() -> Iterator[None]:
    """Hide what collects statistics from the packages that are imported meanwhile.

    Merely imported, ``openvino`` and ``nncf`` contact their maker's collector and write an identity into the user's
    home: it takes silence for consent, and no environment variable stops all of it. Where the collector is missing,
    both go on without it. Whoever imports them before this does has decided for himself.
    """
    known = sys.modules.get(_COLLECTOR)
    sys.modules[_COLLECTOR] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_COLLECTOR]
        if known is not None:
            sys.modules[_COLLECTOR] = known
