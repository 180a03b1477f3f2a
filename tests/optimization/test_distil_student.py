from __future__ import annotations

import pytest
import torch
from pruning_models import bert
from torch import nn
from torch.nn import functional as F

from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.optimization.distil.loss import hidden_loss, soft_loss
from maas_jupyter.optimization.distil.student import StudentSpec, build_student, layer_map, parse_student


def test_specs():
    assert parse_student("layers=3") == StudentSpec(layers=3)
    assert parse_student(" layers = 2, hidden=8,heads=2 ,intermediate=16") == StudentSpec(2, 2, 8, 16)
    assert str(parse_student("layers=2,hidden=8")) == "layers=2,hidden=8"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("layers", "Part 1 of the student 'layers', 'layers', is not name=number", "layers=3"),
        (
            "layers=3,hiden=8",
            "Part 2 of the student 'layers=3,hiden=8', 'hiden=8', names no part of a student: 'hiden'",
            "'hidden'",
        ),
        ("layers=three", "no whole number above 0", "layers=3"),
        ("layers=0", "no whole number above 0", "layers=3"),
        ("layers=3,,hidden=8", "Part 2", "layers=3"),
        ("layers=3,layers=2", "says layers again", "once"),
        ("", "Part 1", "layers=3"),
    ],
)
def test_specs_that_do_not_parse(text, message, hint):
    with pytest.raises(UsageError) as raised:
        parse_student(text)
    assert message.lower() in raised.value.message.lower() and hint in raised.value.hint


def test_layers_are_evenly_spread():
    assert layer_map(3, 6) == [1, 3, 5]
    assert layer_map(2, 5)[-1] == 4
    assert layer_map(4, 4) == [0, 1, 2, 3]


def test_a_student_begins_as_every_second_layer():
    teacher = bert(layers=4)
    student = build_student(teacher, StudentSpec(layers=2), seed=0)
    theirs, ours = teacher.model.bert, student.model.bert
    assert len(ours.encoder.layer) == 2
    for mine, index in ((0, 1), (1, 3)):
        for name, value in ours.encoder.layer[mine].state_dict().items():
            assert torch.equal(value, theirs.encoder.layer[index].state_dict()[name])
    assert torch.equal(ours.embeddings.word_embeddings.weight, theirs.embeddings.word_embeddings.weight)
    assert torch.equal(student.model.classifier.weight, teacher.model.classifier.weight)
    assert teacher.model.config.num_hidden_layers == 4


def test_a_narrower_student_begins_anew_the_same_for_the_same_seed():
    made = [build_student(bert(), StudentSpec(hidden=8, heads=2, intermediate=12), seed=seed) for seed in (0, 0, 1)]
    first, again, other = (each.model.bert.encoder.layer[0].intermediate.dense.weight for each in made)
    assert first.shape == (12, 8) and torch.equal(first, again) and not torch.equal(first, other)


def test_students_that_cannot_be():
    with pytest.raises(UsageError, match="cannot have layers=9: the teacher has 4"):
        build_student(bert(), StudentSpec(layers=9), seed=0)
    with pytest.raises(UsageError, match="4 heads do not divide the 6 numbers") as raised:
        build_student(bert(), StudentSpec(hidden=6), seed=0)
    assert raised.value.hint == "Add heads=3."
    with pytest.raises(InvalidInput, match="no config"):
        build_student(nn.Linear(2, 2), StudentSpec(layers=1), seed=0)


def test_the_soft_loss_is_the_divergence_at_a_temperature():
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 3), torch.randn(5, 3)
    p, q = (teacher / 4).softmax(1), (student / 4).softmax(1)
    assert soft_loss(student, teacher, 4.0) == pytest.approx(16 * float((p * (p / q).log()).sum(1).mean()), rel=1e-4)
    assert soft_loss(teacher, teacher, 4.0) == pytest.approx(0, abs=1e-6)


def test_padding_counts_for_nothing_in_hidden_states():
    torch.manual_seed(0)
    mine, theirs = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    changed = torch.where(mask[..., None].bool(), mine, 100.0)
    assert torch.equal(hidden_loss(mine, theirs, mask), hidden_loss(changed, theirs, mask))
    assert hidden_loss(mine, theirs, None) == pytest.approx(float(F.mse_loss(mine, theirs) / theirs.square().mean()))
