"""The verbs as one click group, built from the signatures and docstrings of ``maas_jupyter.api``.

``%maas`` and ``maas`` share it; they differ in the session, which says where names are looked up.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, get_args, get_origin

import click

from maas_jupyter import api
from maas_jupyter._version import __version__
from maas_jupyter.arguments import Kind
from maas_jupyter.errors import NotFound, UsageError
from maas_jupyter.resolution import Resolved

Verb = Callable[..., Any]

#: What rows are called where there are several kinds of them, as for train.
_ROWS = ("--val", "--validation", "--test", "--train", "--rows")


@dataclass(frozen=True)
class Session:
    """Where a call comes from.

    Attributes
    ----------
    program : str
        ``%maas`` or ``maas``.
    namespace : dict or None
        The notebook's variables; None in a terminal.
    bound : dict
        What the body of a ``%%maas`` cell bound: arguments by their names.
    source : str or None
        That body.
    """

    program: str
    namespace: dict[str, Any] | None = None
    bound: dict[str, Any] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True)
class Argument:
    """One argument of a verb, read from its signature and docstring."""

    name: str
    positional: bool
    required: bool
    default: Any
    type: Any
    kind: Kind | None
    help: str
    #: Takes any number of words.
    variadic: bool = False

    @property
    def option(self) -> str:
        """``--max-drop``."""
        return f"--{self.name.replace('_', '-')}"


@cache
def arguments_of(verb: Verb) -> list[Argument]:
    """Read a verb's arguments from its signature; their help from its numpy docstring."""
    scope = vars(sys.modules[verb.__module__])
    helps = _parameter_helps(inspect.getdoc(verb) or "")
    found = []
    for name, parameter in inspect.signature(verb).parameters.items():
        annotation = eval(parameter.annotation, scope)  # our own annotations, kept as text by __future__
        metadata = getattr(annotation, "__metadata__", ())
        kind = next((item for item in metadata if isinstance(item, Kind)), None)
        plain = get_args(annotation)[0] if metadata else annotation
        variadic = parameter.kind is parameter.VAR_POSITIONAL
        required = parameter.default is parameter.empty and not variadic
        found.append(
            Argument(
                name=name,
                positional=parameter.kind is not parameter.KEYWORD_ONLY,
                required=required,
                default=None if required or variadic else parameter.default,
                type=_plain_type(plain),
                kind=kind,
                help=helps.get(name, ""),
                variadic=variadic,
            )
        )
    return found


def in_terminal(verb: Verb) -> bool:
    """Say whether a verb makes sense without a notebook: it needs no object of one, and shows no form."""
    if verb is api.play:
        return False
    return not any(argument.required and argument.kind in (Kind.MODULE, Kind.DATA) for argument in arguments_of(verb))


@cache
def group(*, terminal: bool) -> click.Group:
    """Build the click group of all verbs, or of those that make sense in a terminal."""

    @click.group(
        name="maas",
        cls=_InOrder,
        help="Register bundles, publish models and watch them. Training, evaluating and quantizing are verbs of a "
        "notebook: %load_ext maas_jupyter, then %maas --help."
        if terminal
        else "Train, evaluate, quantize, register, publish and watch models.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    @click.version_option(__version__, prog_name="maas-jupyter")
    def maas() -> None:
        pass

    for verb in api.VERBS:
        if not terminal or in_terminal(verb):
            maas.add_command(_command(verb))
    return maas


def run(words: list[str], session: Session) -> Any:
    """Run one call and return the verb's result; None after ``--help``.

    Raises
    ------
    UsageError
        If the words do not fit the verb; the hint names its help.
    """
    commands = group(terminal=session.namespace is None)
    if words[1:] in (["--help"], ["-h"]) and words[0] in {verb.__name__ for verb in api.VERBS} - set(commands.commands):
        # A verb of the notebook explains itself in a terminal too.
        commands, session = group(terminal=False), replace(session, program="%maas")
    try:
        result = commands.main(words, prog_name=session.program, standalone_mode=False, obj=session)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return None
    except click.UsageError as error:
        if (
            session.namespace is None
            and words
            and words[0] in {verb.__name__ for verb in api.VERBS} - set(commands.commands)
        ):
            raise UsageError(f"'{words[0]}' needs a notebook.", hint=f"In a cell: %maas {words[0]} --help") from error
        if "unexpected extra argument" in error.format_message():
            raise UsageError(
                f"{session.program} {words[0]}: {error.format_message()}",
                hint='An expression with spaces is one word in quotes or brackets: "X[:2] * 2"',
            ) from error
        verb = f" {words[0]}" if words and words[0] in commands.commands else ""
        path = error.ctx.command_path if error.ctx else f"{session.program}{verb}"
        if isinstance(error, click.NoSuchOption) and error.ctx is not None:
            raise _no_such_option(error.option_name, error.ctx) from error
        raise UsageError(f"{path}: {error.format_message()}", hint=f"See {path} --help") from error
    except click.Abort:
        raise KeyboardInterrupt from None
    return None if isinstance(result, int) and not isinstance(result, bool) else result


def _no_such_option(name: str, ctx: click.Context) -> UsageError:
    known = {option.lstrip("-") for each in ctx.command.get_params(ctx) for option in each.opts if option[:2] == "--"}
    near = difflib.get_close_matches(name.lstrip("-"), known, n=1, cutoff=0.7)
    meant = f"Did you mean --{near[0]}? " if near else ""
    if name in _ROWS and "data" in known:
        meant = "The rows that it takes are --data. "
    return UsageError(f"{ctx.command_path} has no option {name}.", hint=f"{meant}See {ctx.command_path} --help")


class _InOrder(click.Group):
    """Lists commands in the order of a model's life instead of the alphabet's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class Explained(click.Command):
    """Explains its arguments as click does options, in a column of their own."""

    def __init__(self, *given: Any, explained: dict[str, str], **named: Any) -> None:
        super().__init__(*given, **named)
        self.explained = explained

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, then the options."""
        if self.explained:
            with formatter.section("Arguments"):
                formatter.write_dl(list(self.explained.items()))
        super().format_options(ctx, formatter)


# -- from a signature to a command ------------------------------------------------------------------------------------


def _command(verb: Verb) -> click.Command:
    summary, _, rest = (inspect.getdoc(verb) or "").partition("\n\n")
    body = rest.partition("Parameters\n----")[0].partition("Returns\n----")[0].strip()
    arguments = [argument for argument in arguments_of(verb) if argument.kind is not Kind.SOURCE]
    return Explained(
        verb.__name__,
        callback=click.pass_obj(lambda session, **given: _call(verb, session, given)),
        params=[_parameter(argument) for argument in arguments],
        help="\n\n".join(part for part in (summary, body) if part),
        short_help=summary,
        explained={argument.name.upper(): argument.help for argument in arguments if argument.positional},
    )


def _parameter(argument: Argument) -> click.Parameter:
    kind: Any = Resolved(argument.kind) if argument.kind else argument.type
    multiple = get_origin(argument.type) is tuple
    if multiple and not argument.kind:
        kind = str
    if argument.positional:
        # Whether it is there is checked after the body of a %%maas cell had its say.
        word = argument.name.upper() if argument.required else f"[{argument.name.upper()}]"
        word, count = (f"{word}...", -1) if argument.variadic else (word, 1)
        return click.Argument([argument.name], type=kind, required=False, metavar=word, nargs=count)
    shown = argument.default if argument.default not in (None, (), False, "") else None
    text = f"{argument.help} [default: {shown}]" if shown is not None else argument.help
    text = f"{text} [required]" if argument.required else text
    flag = argument.type is bool
    # Not False, with which click takes a value for one that may be left out, and a negative number for an option.
    return click.Option(
        [argument.option], type=None if flag else kind, is_flag=flag or None, multiple=multiple, help=text
    )


def _call(verb: Verb, session: Session, given: dict[str, Any]) -> Any:
    arguments = arguments_of(verb)
    context = click.get_current_context()
    typed = {
        name: value
        for name, value in given.items()
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    bound = {argument.name: session.bound[argument.name] for argument in arguments if argument.name in session.bound}
    names = {argument.name for argument in arguments}
    if {"model", "name"} <= names and "model" in bound and isinstance(typed.get("model"), str):
        # %%maas train digits: the cell makes the model, the word names it.
        typed.setdefault("name", typed.pop("model"))
    values = {**bound, **typed}
    if "source" in names and session.source is not None:
        values["source"] = session.source
    missing = [argument for argument in arguments if argument.required and values.get(argument.name) is None]
    if missing:
        what = " and ".join(item.name.upper() if item.positional else item.option for item in missing)
        if values.get("resume") and verb is api.train:
            api.training.tell_how_to_resume(values["resume"], what)
        raise click.UsageError(f"{what} {'is' if len(missing) == 1 else 'are'} missing.", ctx=context)
    positional: list[Any] = []
    for argument in arguments:
        if argument.positional and argument.name in values:
            value = values.pop(argument.name)
            positional += value if argument.variadic else [value]
    try:
        return verb(*positional, **values)
    except NotFound as error:
        words = [str(typed.get(argument.name)) for argument in arguments if argument.kind is Kind.REFERENCE]
        for word in words:
            if f"'{word}'" in error.message and api.subjects.is_registrable((session.namespace or {}).get(word)):
                line = f"{session.program} register {word} --name NAME"
                hint = f"The notebook's variable '{word}' is not registered yet: {line}"
                raise NotFound(error.message, hint=hint) from error
        raise


def _plain_type(annotation: Any) -> Any:
    """Return the type behind ``X | None``."""
    options = [option for option in get_args(annotation) if option is not type(None)]
    return options[0] if len(options) == 1 and type(None) in get_args(annotation) else annotation


def _parameter_helps(doc: str) -> dict[str, str]:
    """Read ``name : type`` entries and their texts from a numpy docstring's Parameters section."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.S | re.M)
    found: dict[str, str] = {}
    for entry in re.finditer(r"^(\w+) : .*\n((?:    .*\n?|\n)+)", section[1] if section else "", re.M):
        found[entry[1]] = " ".join(entry[2].split())
    return found
