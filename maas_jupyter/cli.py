"""The ``maas`` command: the verbs that make sense in a terminal."""

from __future__ import annotations

import sys

import click

from maas_jupyter import verbs
from maas_jupyter.errors import MaasError


def main() -> None:
    """Run one verb, print what it returns; an error is two lines and the exit status 1."""
    try:
        result = verbs.run(sys.argv[1:], verbs.Session(program="maas"))
    except MaasError as error:
        click.secho(f"error: {error.message}", fg="red", err=True)
        if error.hint:
            click.secho(f"hint: {error.hint}", fg="cyan", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    if result is not None:
        click.echo(repr(result))
