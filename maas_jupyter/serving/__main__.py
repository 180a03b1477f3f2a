"""``python -m maas_jupyter.serving --home DIR``: the model server as a process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from maas_jupyter.serving.options import parse
from maas_jupyter.serving.supervisor.process import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    return serve(parse(arguments))


if __name__ == "__main__":
    sys.exit(main())
