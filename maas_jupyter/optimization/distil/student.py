"""Students: smaller copies of a transformers encoder, made from its config, begun with its weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from maas_jupyter.errors import InvalidInput, UsageError, nearest
from maas_jupyter.pretrained import Logits, is_pretrained, quiet, unwrapped

#: What a student may have less of, and what configs of transformers call it.
_CONFIG_NAMES = {
    "layers": ("num_hidden_layers",),
    "heads": ("num_attention_heads",),
    "hidden": ("hidden_size",),
    "intermediate": ("intermediate_size", "hidden_dim"),
}
_EXAMPLE = "Write it as layers=3 or layers=3,heads=4,hidden=128,intermediate=256."


@dataclass(frozen=True)
class StudentSpec:
    """What a student has less of than its teacher; None is as much.

    Attributes
    ----------
    layers, heads : int or None
    hidden : int or None
        Numbers of a token from layer to layer.
    intermediate : int or None
        Neurons of a feed-forward layer.
    """

    layers: int | None = None
    heads: int | None = None
    hidden: int | None = None
    intermediate: int | None = None

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in vars(self).items() if value is not None)


def parse_student(text: str) -> StudentSpec:
    """Read ``layers=3,hidden=128``.

    Raises
    ------
    UsageError
        If a part cannot be read; names the part, and what may stand there.
    """
    values: dict[str, int] = {}
    for number, part in enumerate(text.split(","), start=1):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        where = f"Part {number} of the student '{text}', '{part.strip()}',"
        if not equals:
            raise UsageError(f"{where} is not NAME=NUMBER.", hint=_EXAMPLE)
        if name not in _CONFIG_NAMES:
            raise UsageError(
                f"{where} names no part of a student: '{name}'.",
                hint=nearest(name, _CONFIG_NAMES, what="names", otherwise=_EXAMPLE),
            )
        if not value.isdecimal() or int(value) < 1:
            raise UsageError(f"{where} has no whole number above 0 behind the '='.", hint=_EXAMPLE)
        if name in values:
            raise UsageError(f"{where} says {name} again.", hint="Give it once.")
        values[name] = int(value)
    return StudentSpec(**values)


def encoder_layers(module: nn.Module) -> nn.ModuleList | None:
    """Return the layers of a transformers model, first to last; None where they cannot be told."""
    model: Any = unwrapped(module)
    if not is_pretrained(model):
        return None
    count = getattr(model.config, "num_hidden_layers", None)
    lists = [part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count]
    return lists[0] if len(lists) == 1 else None


def require_layers(teacher: nn.Module) -> nn.ModuleList:
    """Return the layers of a transformers model.

    Raises
    ------
    InvalidInput
        If it is none that a student could be made from.
    """
    layers = encoder_layers(teacher)
    if layers is None:
        raise InvalidInput(
            f"A {type(unwrapped(teacher)).__name__} has no config that a student could be made from.",
            hint="Make a smaller module and pass it: --student MODULE",
        )
    return layers


def layer_map(students: int, teachers: int) -> list[int]:
    """Return for each layer of the student the teacher's that it stands for, evenly spread up to the last one."""
    return [round((index + 1) * teachers / students) - 1 for index in range(students)]


def build_student(teacher: nn.Module, spec: StudentSpec, *, seed: int) -> nn.Module:
    """Make a smaller model of the teacher's class.

    Every layer begins with the weights of the one that it stands for, and so do embeddings and head, where the widths
    agree (Sanh et al., DistilBERT, 2019). What does not agree begins anew.

    Parameters
    ----------
    teacher : torch.nn.Module
        A transformers encoder with a head.
    spec : StudentSpec
    seed : int
        For the weights that begin anew.

    Raises
    ------
    InvalidInput
        If the teacher is no such model.
    UsageError
        If the student would have more than the teacher, or its heads do not divide its numbers.
    """
    model: Any = unwrapped(teacher)
    layers = require_layers(teacher)
    config = copy.deepcopy(model.config)
    for part, value in vars(spec).items():
        name = next((name for name in _CONFIG_NAMES[part] if hasattr(config, name)), None)
        if value is None:
            continue
        if name is None:
            raise InvalidInput(
                f"The config of a {type(model).__name__} does not say '{part}'.", hint=f"Leave {part} out."
            )
        most = getattr(config, name)
        if value > most:
            raise UsageError(
                f"The student cannot have {part}={value}: the teacher has {most}.", hint=f"At most {most}."
            )
        setattr(config, name, value)
    width, heads = config.hidden_size, config.num_attention_heads
    if width % heads:
        fitting = [count for count in range(1, heads + 1) if not width % count]
        raise UsageError(
            f"{heads} heads do not divide the {width} numbers of a token.", hint=f"Add heads={fitting[-1]}."
        )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        student = type(model)(config)
    _begin(student, model, layer_map(config.num_hidden_layers, len(layers)))
    student.to(next(model.parameters()).device)
    return Logits(student) if isinstance(teacher, Logits) else student


@torch.no_grad()
def _begin(student: Any, teacher: Any, layers: list[int]) -> None:
    """Copy what has the same place and the same shape."""
    prefix = next(name for name, part in student.named_modules() if part is encoder_layers(student)) + "."
    known = teacher.state_dict()
    for name, value in student.state_dict().items():
        source = name
        if name.startswith(prefix):
            index, _, rest = name[len(prefix) :].partition(".")
            source = f"{prefix}{layers[int(index)]}.{rest}"
        if source in known and known[source].shape == value.shape:
            value.copy_(known[source])
