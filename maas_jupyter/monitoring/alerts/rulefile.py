"""The file of rules: one that Prometheus loads, in which we find ours by their labels and leave others' as they are."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maas_jupyter.errors import InvalidInput, Unavailable
from maas_jupyter.monitoring.alerts.rules import Rule
from maas_jupyter.monitoring.background import in_thread
from maas_jupyter.schema import write_atomic

if TYPE_CHECKING:
    import yaml

#: Seconds that a change waits for one of another Jupyter server.
_PATIENCE = 5.0

#: The next step where the file cannot be written.
WRITABLE = "Look at the rights of that folder and the room on its disk; MAAS_HOME chooses another home."

#: The group of our rules.
GROUP = "maas-jupyter"

_HEADER = (
    "# Alert rules for Prometheus (rule_files). Those with a label maas_kind are kept and evaluated by maas-jupyter:\n"
    "# it reads their labels and `for`, and writes `expr` anew. Other rules are kept as they are, but not comments.\n"
)
_UNITS = (("y", 31_536_000), ("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1), ("ms", 0.001))
_DURATION = re.compile("".join(rf"(?:(\d+){unit})?" for unit, _ in _UNITS))


def read(path: Path) -> list[Rule]:
    """Return our rules in a file; none where there is no file. May block.

    Raises
    ------
    InvalidInput
        If the file is not one of rules, or one of ours in it is not understood.
    Unavailable
        If the file cannot be read.
    """
    text = _text(path)
    if not text:
        return []
    import yaml

    loader = yaml.SafeLoader("")
    rules: dict[Any, Rule] = {}
    for group in _groups(_compose(text, path), path):
        for item in _rules(group, path):
            if _is_ours(item):
                rule = _rule(loader.construct_document(item), path, item.start_mark.line + 1)
                rules[rule.key] = rule
    return list(rules.values())


def write(path: Path, rules: Iterable[Rule]) -> None:
    """Put these rules in the place of ours in a file; what others wrote there stays. May block.

    Raises
    ------
    InvalidInput
        If what is there is not a file of rules: it is left alone.
    Unavailable
        If the file cannot be read or written.
    """
    # PyYAML is loaded only where there are rules: it costs the Jupyter server's start.
    import yaml

    text = _text(path)
    # Nodes instead of values: others' scalars keep their style, a `no` stays no boolean.
    root = _compose(text, path) if text else yaml.SafeDumper("").represent_data({"groups": []})
    groups = _groups(root, path)
    for group in list(groups):
        items = _rules(group, path)
        others = [item for item in items if not _is_ours(item)]
        if len(others) < len(items):
            items[:] = others
            if not others:
                groups.remove(group)
    ours = [rule.as_prometheus() for rule in rules]
    if ours:
        home = next((group for group in groups if _scalar(_value(group, "name")) == GROUP), None)
        added = yaml.SafeDumper("", sort_keys=False).represent_data({"name": GROUP, "rules": ours})
        if home is None:
            groups.append(added)
        else:
            _rules(home, path).extend(_rules(added, path))
    # An empty list that was written in one line would take all rules into that line.
    sequence = _value(root, "groups")
    if isinstance(sequence, yaml.SequenceNode):
        sequence.flow_style = not groups
    body = yaml.serialize(root, Dumper=yaml.SafeDumper, width=1000, allow_unicode=True)
    try:
        write_atomic(path, (_HEADER + body).encode())
    except OSError as error:
        raise Unavailable(f"The alert rules cannot be written to {path}: {error}", hint=WRITABLE) from error


@asynccontextmanager
async def alone(path: Path) -> AsyncIterator[None]:
    """Keep the other Jupyter servers of a home from changing the file meanwhile.

    Raises
    ------
    Unavailable
        If another one does not come to an end, or the folder cannot be written.
    """
    # Imported only where there are rules: it costs the Jupyter server's start.
    from filelock import FileLock, Timeout

    # Not thread-local: whichever thread takes it, it is the process that holds it.
    lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=_PATIENCE, thread_local=False)

    def acquire() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()

    try:
        await in_thread(acquire)
    except Timeout as error:
        raise Unavailable(
            f"Another Jupyter server is changing the alert rules in {path}, and does not come to an end.",
            hint="Try again, or end that one.",
        ) from error
    # A file system without locks raises the second.
    except (OSError, NotImplementedError) as error:
        raise Unavailable(f"The alert rules cannot be written to {path}: {error}", hint=WRITABLE) from error
    try:
        yield
    finally:
        lock.release()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise _wrong(path, f"it is not UTF-8 ({error})") from error
    except OSError as error:
        raise Unavailable(
            f"The alert rules cannot be read from {path}: {error}", hint="Look at the rights of that file."
        ) from error


def _compose(text: str, path: Path) -> yaml.Node:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _wrong(path, " ".join(str(error).split())) from error
    except RecursionError as error:
        raise _wrong(path, "it is nested too deeply") from error
    if root is None:
        return yaml.SafeDumper("").represent_data({"groups": []})
    return root


def _groups(root: yaml.Node, path: Path) -> list[yaml.Node]:
    """Return the list of groups, which may be changed in place."""
    import yaml

    found = _value(root, "groups")
    if not isinstance(found, yaml.SequenceNode):
        raise _wrong(path, "it has no list of `groups`")
    groups: list[yaml.Node] = found.value
    return groups


def _rules(group: yaml.Node, path: Path) -> list[yaml.Node]:
    """Return a group's list of rules, which may be changed in place."""
    import yaml

    found = _value(group, "rules")
    if found is None:
        return []
    if not isinstance(found, yaml.SequenceNode):
        raise _wrong(path, f"the `rules` of a group are no list (line {group.start_mark.line + 1})")
    rules: list[yaml.Node] = found.value
    return rules


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if _scalar(name) == key), None)


def _scalar(node: yaml.Node | None) -> str | None:
    import yaml

    return node.value if isinstance(node, yaml.ScalarNode) else None


def _is_ours(item: yaml.Node) -> bool:
    return _value(_value(item, "labels"), "maas_kind") is not None


def _rule(item: dict[str, Any], path: Path, line: int) -> Rule:
    labels = item["labels"]
    try:
        threshold = labels.get("maas_threshold")
        return Rule(
            target=str(labels["maas_target"]),
            name=str(labels["maas_endpoint"]),
            kind=labels["maas_kind"],
            threshold=None if threshold is None else float(threshold),
            for_seconds=seconds_of(str(item.get("for", "0s"))),
        )
    except KeyError as error:
        raise _wrong(path, f"the rule at line {line} has no label {error}") from error
    except (ValueError, TypeError) as error:
        raise _wrong(path, f"the rule at line {line} is not understood: {error}") from error
    except InvalidInput as error:
        raise _wrong(path, f"the rule at line {line}: {error.message}") from error


def seconds_of(duration: str) -> int:
    """Return a duration of Prometheus (``1h30m``) in seconds, rounded up.

    Raises
    ------
    ValueError
        If it is none.
    """
    parts = _DURATION.fullmatch("0s" if duration == "0" else duration)
    if parts is None or not any(parts.groups()):
        raise ValueError(f"'{duration}' is no duration")
    return math.ceil(sum(int(number or 0) * size for number, (_, size) in zip(parts.groups(), _UNITS, strict=True)))


def _wrong(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"The file of alert rules {path} is not understood: {why}.",
        hint="Correct it (promtool check rules FILE helps), or move it away.",
    )
