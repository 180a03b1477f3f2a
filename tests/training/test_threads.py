"""How many threads of the CPU a training takes."""

from __future__ import annotations

import threading

import pytest
import torch
from loops import trained
from models import mlp, wine
from torch import nn


class Counting(nn.Module):
    def __init__(self, width):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(13, width), nn.ReLU(), nn.Linear(width, width), nn.Linear(width, 3))
        self.seen = set()

    def forward(self, x):
        if self.training:
            self.seen.add(torch.get_num_threads())
        return self.net(x)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("width", "threads"), [(16, 1), (1500, 2)])
def test_small_steps_take_one_thread_and_large_ones_all(two_threads, width, threads):
    net = Counting(width)
    state, _, _ = trained(net, wine(), steps=2)
    assert net.seen == {threads}
    assert torch.get_num_threads() == 2
    assert any(note.startswith("one thread") for note in state.notes) == (threads == 1)


def test_threads_come_back_after_an_error_and_the_background_leaves_them_alone(two_threads):
    net = Counting(16)
    X, y = wine()
    X[0] = float("nan")
    with pytest.raises(Exception, match="nan"):
        trained(net, (X, y), batch_size=178)
    assert torch.get_num_threads() == 2
    net.seen.clear()
    thread = threading.Thread(target=trained, args=(net, wine()), kwargs={"steps": 2})
    thread.start()
    thread.join()
    assert net.seen == {2}


def test_the_same_seed_gives_the_same_weights_whatever_the_number_of_threads_was(two_threads):
    one, other = mlp(13, 3), mlp(13, 3)
    trained(one, wine(), epochs=2)
    torch.set_num_threads(1)
    trained(other, wine(), epochs=2)
    assert torch.equal(one[0].weight, other[0].weight)


def test_a_compiled_or_scripted_module_is_planned(two_threads):
    state, _, _ = trained(torch.jit.script(mlp(13, 3)), wine(), steps=2)
    assert state.status == "finished"
