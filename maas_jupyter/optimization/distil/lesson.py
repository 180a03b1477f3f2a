"""A student in training: beside the right answers of a batch it sees the teacher's."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from maas_jupyter.data import Batch, Data, TensorData
from maas_jupyter.modules import device_of
from maas_jupyter.optimization.distil.hidden import LayerStates, projections
from maas_jupyter.optimization.distil.loss import hidden_loss, soft_loss
from maas_jupyter.training.losses import LossFunction

#: Answers that take more are not kept, but asked for again in every epoch.
_MOST_KEPT_BYTES = 500_000_000
_BATCH = 64


class Teacher:
    """A trained model that is asked, never changed.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    layers : list of torch.nn.Module
        Whose hidden states are told too.
    """

    def __init__(self, module: nn.Module, layers: list[nn.Module]) -> None:
        self.module = module
        self._states = LayerStates(layers)

    @torch.no_grad()
    def answers(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the answers for rows on its device, and the hidden states of each layer."""
        with self._states.watching():
            answer = self.module(*inputs)
            return (answer, *self._states.taken)


class Lesson(nn.Module):
    """A student that remembers what the teacher says about the rows that it was just given.

    Rows come with the teacher's answers behind the inputs (`told`), or the teacher is asked. Validation rows come
    without, and are judged by the right answers alone.

    Parameters
    ----------
    student : torch.nn.Module
    teacher : Teacher
    layers : list of torch.nn.Module
        Of the student, for each of the teacher's.
    rows : Batch
        A few rows.
    right : callable
        The loss of the right answers, of (output, targets).
    classes : bool
        Whether the answers are scores of classes.
    temperature, soft, hidden : float
        Of the loss.
    seed : int
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        layers: list[nn.Module],
        rows: Batch,
        *,
        right: LossFunction,
        classes: bool,
        temperature: float,
        soft: float,
        hidden: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.student = student
        self._ask = teacher.answers
        self._states = LayerStates(layers)
        self._inputs = len(rows.inputs)
        self._soft, self._hidden = soft, hidden
        self._right = right
        self._alike = partial(soft_loss, temperature=temperature) if classes else nn.functional.mse_loss
        self._told: tuple[Tensor, ...] = ()
        self._found: list[Tensor] = []
        self._mask: Tensor | None = None
        self.projections = nn.ModuleList()
        if layers:
            device = device_of(student)
            inputs = tuple(tensor[:2].to(device) for tensor in rows.inputs)
            student.eval()
            with torch.no_grad(), self._states.watching():
                student(*inputs)
                self.projections = projections(self._states.taken, list(self._ask(inputs)[1:]), seed=seed)

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return the student's answers."""
        inputs, self._told = tensors[: self._inputs], tensors[self._inputs :]
        if self.training and not self._told:
            self._told = self._ask(inputs)
        with self._states.watching():
            answer: Tensor = self.student(*inputs)
            self._found = self._states.taken
        # What encoders take second says which tokens are padding.
        self._mask = inputs[1] if len(inputs) > 1 else None
        return answer

    def loss(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of the rows that were given last; of validation rows the one of the right answers."""
        hard = self._right(output, targets)
        if not self._told:
            return hard
        answer, *states = self._told
        total = torch.lerp(hard, self._alike(output, answer), self._soft)
        for project, mine, theirs in zip(self.projections, self._found, states, strict=True):
            total = total + self._hidden / len(states) * hidden_loss(project(mine), theirs, self._mask)
        return total


def told(teacher: Teacher, data: Data) -> Data:
    """Return rows with the teacher's answers behind their inputs, each computed once.

    A loader's rows may be changed at random on their way, and many rows' answers may not fit in memory: then the data
    is returned as it is, and the teacher is asked in every epoch.
    """
    if not isinstance(data, TensorData):
        return data
    device = device_of(teacher.module)
    parts: list[tuple[Tensor, ...]] = []
    for batch in data.batches(_BATCH):
        answers = teacher.answers(tuple(tensor.to(device) for tensor in batch.inputs))
        parts.append(tuple(answer.cpu() for answer in answers))
        row_bytes = sum(answer[0].numel() * answer.element_size() for answer in answers)
        if row_bytes * data.rows > _MOST_KEPT_BYTES:
            return data
    whole = data.all()
    return TensorData((*whole.inputs, *(torch.cat(answers) for answers in zip(*parts, strict=True))), whole.targets)
