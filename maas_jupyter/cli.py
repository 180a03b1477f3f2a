"""The ``maas`` command: the verbs that make sense in a terminal."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from maas_jupyter import verbs
from maas_jupyter.errors import MaasError, UsageError

#: After so long somebody in front of a terminal wonders.
_PATIENCE_SECONDS = 1.0


def main() -> None:
    """Run one verb, print what it returns; an error is two lines and the exit status 1, or 2 if the call was wrong."""
    for command in verbs.group(terminal=True).commands.values():
        for told in (command, *command.params):
            if isinstance(told, click.Command | click.Option) and told.help:
                told.help = as_typed(told.help)
        if isinstance(command, verbs.Explained):
            command.explained = {name: as_typed(told) for name, told in command.explained.items()}
    try:
        with _patience():
            result = verbs.run(sys.argv[1:], verbs.Session(program="maas"))
    except MaasError as error:
        click.secho(f"error: {as_typed(error.message)}", fg="red", err=True)
        if error.hint:
            click.secho(f"hint: {as_typed(error.hint)}", fg="cyan", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    if result is not None:
        click.echo(as_typed(repr(result)))


@contextmanager
def _patience() -> Iterator[None]:
    """Say on standard error that MLflow is being imported, where a verb needs it and has not answered for a second."""

    def tell() -> None:
        if "mlflow" in sys.modules:
            click.secho("opening the registry (MLflow takes a few seconds to import) …", dim=True, err=True)

    timer = threading.Timer(_PATIENCE_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def as_typed(text: str) -> str:
    """Return a text with the verbs that it names as they are typed here; those that need a notebook stay magics.

    So does what is in a block of Python, such as a card's.
    """
    offered = verbs.group(terminal=True).commands
    return re.sub(
        r"```python\n.*?```|%maas (\w+)",
        lambda found: found[0][1:] if found[1] in offered else found[0],
        text,
        flags=re.DOTALL,
    )
