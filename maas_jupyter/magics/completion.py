"""Completion of ``%maas``: verbs, options, model references, endpoints and variables."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

if TYPE_CHECKING:
    from maas_jupyter.verbs import Argument

_LINE = re.compile(r"^\s*(?:[\w.,\s\[\]]+=\s*)?%{1,2}maas\s+(?P<words>.*)$")
_FRESH_SECONDS = 3.0
_MOST_RUNS = 20


@context_matcher(identifier="maas_jupyter.magics.completion", priority=60)
def complete(context: CompletionContext) -> SimpleMatcherResult:
    """Complete the word at the cursor of a line with ``%maas`` or ``%%maas``."""
    lines = context.full_text.split("\n")
    before = lines[context.cursor_line][: context.cursor_position]
    match = _LINE.match(before)
    if match is None:
        return {"completions": []}
    words = match["words"].split(" ")
    fragment = words[-1]
    done = [word for word in words[:-1] if word]
    found = [text for text in _candidates(done, fragment) if text.startswith(fragment)]
    return {
        "completions": [SimpleCompletion(text, type="maas") for text in found],
        "matched_fragment": fragment,
        "suppress": True,
        "ordered": True,
    }


def _candidates(done: list[str], fragment: str) -> list[str]:
    from maas_jupyter import api, verbs

    by_name = {verb.__name__: verb for verb in api.VERBS}
    if not done:
        return [*by_name, "--help"]
    verb = by_name.get(done[0])
    if verb is None:
        return []
    arguments = [argument for argument in verbs.arguments_of(verb) if argument.kind is not verbs.Kind.SOURCE]
    options = {argument.option: argument for argument in arguments if not argument.positional}
    if done[-1] in options and options[done[-1]].type is not bool:
        return _values(options[done[-1]])
    if fragment.startswith("-"):
        used = {word for word in done if not word.startswith("--method")}
        return [*sorted(option for option in options if option not in used), "--help"]
    place = _positionals(done[1:], options)
    positional = [argument for argument in arguments if argument.positional]
    if positional and positional[-1].variadic:
        place = min(place, len(positional) - 1)
    return _values(positional[place]) if place < len(positional) else sorted(options)


def _positionals(words: list[str], options: dict[str, Argument]) -> int:
    """Count the words that are neither an option nor its value."""
    count, takes_value = 0, False
    for word in words:
        if takes_value:
            takes_value = False
        elif word.startswith("--"):
            takes_value = word in options and options[word].type is not bool
        else:
            count += 1
    return count


def _values(argument: Argument) -> list[str]:
    from maas_jupyter import plugins
    from maas_jupyter.arguments import Kind

    if argument.name == "method":
        return sorted(plugins.available("explainer" if argument.type is str else "optimizer"))
    if argument.name in ("to", "on"):
        return _targets()
    if argument.name in ("loss", "optimizer", "schedule"):
        from maas_jupyter.training.losses import LOSSES
        from maas_jupyter.training.optimizers import OPTIMIZERS
        from maas_jupyter.training.schedule import SHAPES

        names: dict[str, Iterable[str]] = {"loss": LOSSES, "optimizer": OPTIMIZERS, "schedule": SHAPES}
        return [*names[argument.name], *_variables()]
    match argument.kind:
        case Kind.MODULE:
            return _subjects()
        case Kind.TRAINABLE:
            return [*_subjects(), *sorted(_builders())]
        case Kind.REGISTRABLE:
            return _registrables()
        case Kind.MODEL:
            return _subjects() + _references()
        case Kind.REFERENCE:
            return _references()
        case Kind.RUN:
            return _runs()
        case Kind.ENDPOINT:
            return _endpoints()
        case Kind.DATA | Kind.VALUE | Kind.VALUE_OR_WORD | Kind.NAME_OR_OBJECT:
            return _variables()
    return []


def _variables() -> list[str]:
    """Names of the user's variables, without modules, functions and what IPython keeps there."""
    from types import FunctionType, ModuleType

    return sorted(
        name
        for name, value in _user_variables().items()
        if not isinstance(value, ModuleType | FunctionType | type) and not name.startswith("_")
    )


def _subjects() -> list[str]:
    from maas_jupyter.api.subjects import is_module, is_run

    return sorted(
        name
        for name, value in _user_variables().items()
        if (is_module(value) or is_run(value)) and not name.startswith("_")
    )


def _builders() -> list[str]:
    from maas_jupyter.api.subjects import is_builder

    return [name for name, value in _user_variables().items() if is_builder(value) and not name.startswith("_")]


def _registrables() -> list[str]:
    from maas_jupyter.api.subjects import is_registrable

    return sorted(
        name for name, value in _user_variables().items() if is_registrable(value) and not name.startswith("_")
    )


def _user_variables() -> dict[str, Any]:
    from IPython import get_ipython

    shell = get_ipython()
    hidden = shell.user_ns_hidden
    return {name: value for name, value in shell.user_ns.items() if hidden.get(name, hidden) is not value}


class _Remembered:
    """The registry's references, asked for at most every few seconds while somebody types."""

    def __init__(self) -> None:
        self.at = -float("inf")
        self.references: list[str] = []


_remembered = _Remembered()


def _references() -> list[str]:
    from maas_jupyter import api
    from maas_jupyter.errors import MaasError

    if time.monotonic() - _remembered.at > _FRESH_SECONDS:
        try:
            _remembered.references = api.subjects.open_registry().references()
        except MaasError:
            # A key press is no place for an error; the verb itself will say what is wrong.
            _remembered.references = []
        _remembered.at = time.monotonic()
    return _remembered.references


def _runs() -> list[str]:
    """List runs of the notebook and ids of this machine's, newest first; a key press does not ask the registry."""
    from maas_jupyter import config
    from maas_jupyter.api.subjects import has_run
    from maas_jupyter.runs import run_folders

    folders = islice(run_folders(config.current().home_path), _MOST_RUNS)
    variables = [name for name, value in _user_variables().items() if has_run(value) and not name.startswith("_")]
    return [*sorted(variables), "last", *(folder.run_id[:8] for folder in folders)]


def _targets() -> list[str]:
    from maas_jupyter import api
    from maas_jupyter.errors import MaasError

    try:
        return api.subjects.target_names()
    except MaasError:
        return []


def _endpoints() -> list[str]:
    from maas_jupyter import api
    from maas_jupyter.errors import MaasError

    try:
        # Those of the default target: a key press does not wait for servers elsewhere.
        return sorted(each.name for each in api.subjects.open_target(None).endpoints() if each.name != "*")
    except MaasError:
        return []
