from __future__ import annotations

import copy
import signal

import pytest
import torch
from models import diabetes, digits, mlp
from pruning_models import Counted, Watcher, bert, original, texts, word_tokenizer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from maas_jupyter.bundle import MODEL_FILE
from maas_jupyter.data import LoaderData, TensorData
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.optimization.distil import Distillation
from maas_jupyter.optimization.distil.lesson import Teacher, told


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "made").mkdir()
    return tmp_path / "made"


def text_original(folder, module=None, **how):
    return original(module or bert(), texts(), folder, tokenizer=word_tokenizer(), max_length=8, packaged=False, **how)


def test_an_encoder_teaches_half_of_itself(tmp_path, folder):
    teacher, watch = bert(), Watcher()
    before = copy.deepcopy(teacher.state_dict())
    start = text_original(tmp_path, teacher.train(), watch=watch)
    said = []
    object.__setattr__(start, "on_step", said.append)
    made = Distillation(epochs=1).run(start, folder)
    assert said[0].endswith("its layers 1 to 2 learn from the layers 2, 4")
    assert watch.states == ["finished"] and watch.titles[0].startswith("distillation of model/1: ")
    assert made.manifest.parent == start.bundle.digest and "tokenizer.json" in made.manifest.files
    assert teacher.training and all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_narrower_student_is_projected_and_repeats_with_its_seed(tmp_path):
    start = text_original(tmp_path)
    digests = []
    for number in range(2):
        place = tmp_path / str(number)
        place.mkdir()
        made = Distillation(student="layers=1,hidden=8,heads=2", epochs=1, seed=5).run(start, place)
        digests.append(made.manifest.files[MODEL_FILE].sha256)
    assert digests[0] == digests[1]


def test_a_module_of_the_user_learns_from_a_loader_and_is_copied(tmp_path, folder):
    X, y = digits(64)
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=32)
    student = nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))
    before = copy.deepcopy(student.state_dict())
    start = original(mlp(), loader, tmp_path, packaged=False)
    made = Distillation(student=student, epochs=1, temperature=4.0, soft=0.9).run(start, folder)
    assert made.manifest.task == "classification"
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_the_right_answers_are_learned_by_the_loss_of_the_teacher(tmp_path, folder):
    loss = Counted()
    start = original(mlp(), digits(64), tmp_path, packaged=False, loss=loss)
    Distillation(student=mlp(hidden=4), epochs=2, batch_size=64).run(start, folder)
    assert loss.calls == 3  # the check before the training, two steps


def test_a_regression(tmp_path, folder):
    start = original(mlp(10, 1, 32), diabetes(), tmp_path, packaged=False)
    made = Distillation(student=mlp(10, 1, 4), epochs=1, soft=1.0).run(start, folder)
    assert made.manifest.task == "regression"


def test_answers_of_rows_in_memory_are_computed_once_and_those_of_a_loader_each_time():
    X, y = (torch.tensor(part) for part in digits(70))
    teacher = Teacher(mlp().eval(), [])
    rows = told(teacher, TensorData((X,), y))
    inputs, answers = rows.all().inputs
    assert torch.equal(inputs, X) and torch.allclose(answers, teacher.module(X), atol=1e-5)
    assert not answers.requires_grad
    loader = LoaderData(TensorDataset(X, y))
    assert told(teacher, loader) is loader


def test_an_interrupt(tmp_path, folder):
    watch = Watcher(on_epoch=lambda: signal.raise_signal(signal.SIGINT))
    start = original(mlp(), digits(64), tmp_path, watch=watch, packaged=False)
    with pytest.raises(KeyboardInterrupt):
        Distillation(student=mlp(hidden=4), epochs=5).run(start, folder)
    assert watch.states == ["interrupted"]


def test_a_student_that_answers_otherwise(tmp_path, folder):
    start = original(mlp(), digits(64), tmp_path, packaged=False)
    with pytest.raises(InvalidInput, match=r"answers a row with the shape \[5\], the teacher with \[10\]") as raised:
        Distillation(student=mlp(classes=5)).run(start, folder)
    assert raised.value.hint == "Give the student's last layer 10 outputs."
    with pytest.raises(InvalidInput, match="does not fit the model"):
        Distillation(student=mlp(inputs=3)).run(start, folder)


def test_where_it_applies(tmp_path, folder):
    start = original(mlp(), digits(64), tmp_path, packaged=False)
    assert not Distillation().applies_to(start)
    assert Distillation(student=mlp(hidden=4)).applies_to(start)
    alone = start.followed_by(start.bundle)
    assert not Distillation(student=mlp(hidden=4)).applies_to(alone)
    with pytest.raises(InvalidInput, match="only there as a bundle"):
        Distillation(student=mlp(hidden=4)).run(alone, folder)
    with pytest.raises(InvalidInput, match="no config"):
        Distillation(student="layers=1").run(start, folder)
    with pytest.raises(UsageError, match="no hidden states to match"):
        Distillation(student=mlp(hidden=4), hidden=0.5).run(start, folder)
    assert Distillation().applies_to(text_original(tmp_path))
    assert not Distillation().applies_to(text_original(tmp_path, bert(layers=1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"student": "layers"}, "is not"),
        ({"student": 3}, "The student is a int"),
        ({"temperature": 0.0}, "--temperature is 0.0"),
        ({"soft": 1.2}, "--soft is 1.2"),
        ({"hidden": -1.0}, "--hidden is -1.0"),
        ({"epochs": 0}, "--epochs is 0"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(UsageError, match=message) as raised:
        Distillation(**options)
    assert raised.value.hint
