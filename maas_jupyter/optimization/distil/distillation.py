"""Distillation of a trained model into a smaller one."""

from __future__ import annotations

import copy
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from torch import nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Batch
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.modules import device_of, run_module
from maas_jupyter.optimization.distil.hidden import matched_layers
from maas_jupyter.optimization.distil.lesson import Lesson, Teacher, told
from maas_jupyter.optimization.distil.student import (
    StudentSpec,
    build_student,
    encoder_layers,
    parse_student,
    require_layers,
)
from maas_jupyter.optimization.finetune import finetune, packaged
from maas_jupyter.optimization.optimizer import Family
from maas_jupyter.optimization.original import Original
from maas_jupyter.pretrained import Logits, is_pretrained
from maas_jupyter.training import TrainingOptions

_RATE, _TRANSFORMER_RATE = 1e-3, 5e-4
_HIDDEN = 1.0


class Distillation:
    """Trains a smaller student on the answers of the trained model and on the right ones.

    Hinton et al., Distilling the knowledge in a neural network (2015). Between transformers the hidden states are
    matched too, each layer of the student with the one of the teacher that it stands for: evenly spread, so that of six
    layers the second, fourth and sixth teach a student of three.

    Parameters
    ----------
    student : str or torch.nn.Module, optional
        What is made of a transformers encoder: ``layers=3``, also ``heads``, ``hidden`` and ``intermediate``; it begins
        with the teacher's weights where the widths agree. Or a module, which is copied. Half of the layers by default.
    temperature : float
        Above 1 the wrong answers that the teacher takes for likely count more. Not for a regression.
    soft : float
        Share of the teacher's answers in the loss, from 0 to 1; the rest are the right ones.
    hidden : float, optional
        Weight of the hidden states in the loss: 1 between two transformers, else 0.
    epochs : int
    lr : float, optional
        Learning rate: 1e-3, for transformers 5e-4.
    batch_size, seed : int
        The same seed gives the same weights.

    Raises
    ------
    UsageError
        If a value is out of range, or the student cannot be read; names the part.
    """

    name = "distillation"
    description = "a smaller student, taught by the model"
    family: Family = "distil"
    seconds = 60.0

    def __init__(
        self,
        *,
        student: str | nn.Module | None = None,
        temperature: float = 2.0,
        soft: float = 0.5,
        hidden: float | None = None,
        epochs: int = 10,
        lr: float | None = None,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        if student is not None and not isinstance(student, str | nn.Module):
            raise UsageError(
                f"The student is a {type(student).__name__}.", hint="Write --student layers=3, or pass a module."
            )
        if not (isfinite(temperature) and temperature > 0):
            raise UsageError(f"--temperature is {temperature}, not above 0.", hint="2 to 5 are usual.")
        if not 0 <= soft <= 1:
            raise UsageError(f"--soft is {soft}, no share from 0 to 1.", hint="0.5 takes both answers alike.")
        if hidden is not None and not (isfinite(hidden) and hidden >= 0):
            raise UsageError(f"--hidden is {hidden}, below 0.", hint="Leave it out, or 0 for the answers alone.")
        self.student: Any = parse_student(student) if isinstance(student, str) else student
        self.temperature, self.soft, self.hidden, self.seed = temperature, soft, hidden, seed
        self._training = partial(
            TrainingOptions, epochs=epochs, batch_size=batch_size, seed=seed, optimizer="adamw", schedule="linear"
        )
        self._lr = lr
        self._training(lr=lr)

    def applies_to(self, original: Original) -> bool:
        """Say whether the torch model is at hand, and a student is given or can be made from the model's config."""
        if original.trained is None:
            return False
        layers = encoder_layers(original.trained.module)
        return isinstance(self.student, nn.Module) or (layers is not None and len(layers) > 1)

    def check(self, teacher: nn.Module) -> None:
        """Refuse a teacher that no student can be made from, before anything is measured.

        Raises
        ------
        InvalidInput
            If no student is given and it is no model of transformers.
        """
        if not isinstance(self.student, nn.Module):
            require_layers(teacher)

    def run(self, original: Original, folder: Path) -> Bundle:
        """Teach a student and package it.

        Raises
        ------
        InvalidInput
            If the torch model is not at hand, the student does not answer as the teacher does, or none can be made.
        UsageError
            If the student would have more than the teacher, or hidden states were asked for where there are none.
        TrainingError
            If the training fails.
        ExportError
            If the student cannot be exported.
        KeyboardInterrupt
            If the training is stopped.
        """
        trained = original.required_trained()
        teacher = copy.deepcopy(trained.module).eval()
        student = self._made(teacher)
        rows = trained.prepared.data.head(8)
        _check_answers(student, teacher, rows)
        matched = matched_layers(student, teacher)
        if matched is None and self.hidden:
            raise UsageError(
                "There are no hidden states to match: teacher and student are not two transformers encoders of which "
                "the student has fewer layers or as many.",
                hint="Leave --hidden out.",
            )
        hidden = (_HIDDEN if self.hidden is None else self.hidden) if matched is not None else 0.0
        mine, theirs, indices = matched if matched is not None and hidden else ([], [], [])
        wise = Teacher(teacher, theirs)
        lesson = Lesson(
            student,
            wise,
            mine,
            rows,
            right=trained.criterion,
            classes=trained.prepared.task == "classification",
            temperature=self.temperature,
            soft=self.soft,
            hidden=hidden,
            seed=self.seed,
        )
        title = f"{self.name} of {original.reference}: {_shares(student, teacher)}"
        original.on_step(f"{title}{_layers(indices)}")
        rate = _TRANSFORMER_RATE if any(map(is_pretrained, student.modules())) else _RATE
        options = self._training(lr=rate if self._lr is None else self._lr, loss=lesson.loss)
        finetune(trained, lesson, options, title=title, data=told(wise, trained.prepared.data))
        return packaged(original, student, folder)

    def _made(self, teacher: nn.Module) -> nn.Module:
        if isinstance(self.student, nn.Module):
            made = copy.deepcopy(self.student).to(device_of(teacher))
            return Logits(made) if is_pretrained(made) else made
        spec = self.student
        if spec is None:
            layers = encoder_layers(teacher)
            spec = StudentSpec(layers=max(1, len(layers) // 2) if layers is not None else 1)
        return build_student(teacher, spec, seed=self.seed)


def _check_answers(student: nn.Module, teacher: nn.Module, rows: Batch) -> None:
    """Check that a student answers in the shape that its teacher does."""
    found, wanted = run_module(student, rows).shape[1:], run_module(teacher, rows).shape[1:]
    if found != wanted:
        raise InvalidInput(
            f"The student answers a row with the shape {list(found)}, the teacher with {list(wanted)}.",
            hint=f"Give the student's last layer {wanted[0]} outputs." if len(wanted) else "Let it answer alike.",
        )


def _shares(student: nn.Module, teacher: nn.Module) -> str:
    mine, theirs = (sum(parameter.numel() for parameter in each.parameters()) for each in (student, teacher))
    return f"{mine:,} of {theirs:,} weights"


def _layers(indices: list[int]) -> str:
    if not indices:
        return ""
    return f"; its layers 1 to {len(indices)} learn from the layers {', '.join(str(index + 1) for index in indices)}"
