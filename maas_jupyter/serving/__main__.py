"""``python -m maas_jupyter.serving --home DIR``: the model server as a process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from maas_jupyter.errors import MaasError, UsageError
from maas_jupyter.serving.options import parse
from maas_jupyter.serving.record import ALREADY_RUNS
from maas_jupyter.serving.supervisor.launch import AlreadyRuns
from maas_jupyter.serving.supervisor.process import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server.

    Returns
    -------
    int
        Exit status: 0 after an orderly end; `ALREADY_RUNS` where another server has the home; 2 where an option cannot
        be, 1 after any other error, which is said on stderr.
    """
    try:
        serve(parse(arguments))
    except MaasError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        if isinstance(error, AlreadyRuns):
            return ALREADY_RUNS
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
