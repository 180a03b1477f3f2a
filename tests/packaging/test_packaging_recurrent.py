from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maas_jupyter.packaging.export import export_onnx, only_rows
from maas_jupyter.packaging.validate import run_graph


class Last(nn.Module):
    """A recurrent layer whose last step is the answer."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


LAYERS = {
    "gru": (lambda: nn.GRU(5, 8, batch_first=True), 8),
    "lstm": (lambda: nn.LSTM(5, 8, batch_first=True), 8),
    "rnn": (lambda: nn.RNN(5, 8, batch_first=True), 8),
    "both ways": (lambda: nn.GRU(5, 8, num_layers=2, bidirectional=True, batch_first=True), 16),
    "lstm both ways": (lambda: nn.LSTM(5, 8, num_layers=2, bidirectional=True, batch_first=True), 16),
}


@pytest.mark.parametrize("name", LAYERS)
def test_recurrent_layers_compute_the_same_in_the_graph(name):
    make, width = LAYERS[name]
    torch.manual_seed(0)
    net = Last(make(), width).eval()
    rows = torch.randn(4, 7, 5)
    graph = export_onnx(net, (rows,), names=["x"], axes=only_rows(1))
    with torch.no_grad():
        expected = net(rows).numpy()
    np.testing.assert_allclose(run_graph(graph, {"x": rows.numpy()}), expected, atol=1e-5)
    np.testing.assert_allclose(run_graph(graph, {"x": rows.numpy()[:1]}), expected[:1], atol=1e-5)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_a_long_sequence_takes_no_more_steps_to_export(kind, monkeypatch):
    """The step of torch's own decomposition is not run at all, however long the sequence is."""
    from torch._decomp import decompositions

    steps = []
    for name in ("gru_cell", "lstm_cell", "one_layer_lstm", "one_layer_rnn"):
        original = getattr(decompositions, name)
        monkeypatch.setattr(
            decompositions, name, lambda *given, _run=original, **more: (steps.append(1), _run(*given, **more))[1]
        )
    net = Last(kind(5, 8, batch_first=True), 8)
    export_onnx(net, (torch.randn(2, 50, 5),), names=["x"], axes=only_rows(1))
    assert not steps


def test_torch_is_left_as_it_was():
    from torch._decomp import decomposition_table

    op = torch.ops.aten.gru.input
    before = (decomposition_table[op], dict(op.py_kernels))
    export_onnx(Last(nn.GRU(5, 8, batch_first=True), 8), (torch.randn(2, 3, 5),), names=["x"], axes=only_rows(1))
    assert (decomposition_table[op], dict(op.py_kernels)) == before
