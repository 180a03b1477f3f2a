"""Runs a notebook from start to finish in the terminal and prints what its cells show, as text."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

_BOLD, _DIM, _PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")


def show_source(cell: Any, **_: Any) -> None:
    """Print a cell before it runs."""
    if cell.cell_type == "code":
        source = "\n".join(f"    {line}" for line in cell.source.splitlines())
        sys.stdout.write(f"\n{_DIM}{source}{_PLAIN}\n")
    else:
        title = re.match(r"#+ (.*)", cell.source)
        if title:
            sys.stdout.write(f"\n{_BOLD}{title[1]}{_PLAIN}\n")
    sys.stdout.flush()


def show_outputs(cell: Any, **_: Any) -> None:
    """Print what a cell showed, pictures by their text."""
    for output in cell.get("outputs", []):
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        if text and not text.startswith("<Figure"):
            sys.stdout.write(f"\n{text.rstrip()}\n")
    sys.stdout.flush()


def main(path: Path) -> int:
    """Run one notebook; return the exit status."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        # The kernel warns of its unencrypted loopback connection, which is what every notebook uses.
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=show_source,
        on_cell_executed=show_outputs,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        sys.stderr.write(f"\n{error.ename}: {error.evalue}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
