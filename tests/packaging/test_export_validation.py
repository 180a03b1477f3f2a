"""What the numbers of an export are compared with, and what is said where they differ or nothing can be exported."""

from __future__ import annotations

from pathlib import Path

import exportable_modules as modules
import numpy as np
import onnxruntime
import pytest
import torch
from models import cnn, mlp
from torch import nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import BundleError, ExportError
from maas_jupyter.packaging import export as export_room
from maas_jupyter.packaging import export_module, package
from maas_jupyter.packaging.export import only_rows
from maas_jupyter.packaging.validate import random_rows
from maas_jupyter.schema import Manifest, Signature
from maas_jupyter.serving.servable import Servable


def exported(model, inputs, path, form="onnx", axes=None, task="tensor"):
    return export_module(model, inputs, axes or only_rows(len(inputs)), path, form, subject="net", task=task)


def load(form, path):
    """Return what runs an exported file; in these tests its maker is trusted."""
    if form == "pt2":
        return torch.export.load(path).module()
    if form == "torchscript":
        return torch.jit.load(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *rows: torch.from_numpy(
        session.run(None, {name: each.numpy() for name, each in zip(names, rows, strict=True)})[0]
    )


CASES = {
    "perceptron": (mlp(4, 3), lambda rows: (torch.randn(rows, 4),)),
    "cnn": (cnn(), lambda rows: (torch.rand(rows, 1, 8, 8),)),
    "lstm": (modules.Recurrent(nn.LSTM), lambda rows: (torch.randn(rows, 6, 3),)),
    "gru": (modules.Recurrent(nn.GRU), lambda rows: (torch.randn(rows, 6, 3),)),
    "several inputs": (modules.Pair(), lambda rows: (torch.randn(rows, 3), torch.randint(0, 10, (rows,)))),
    "batch normalisation": (
        nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(12, 2)),
        lambda rows: (torch.randn(rows, 2, 5),),
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["onnx", "pt2", "torchscript"])
@pytest.mark.parametrize("case", CASES)
def test_every_form_computes_what_the_module_does_for_any_number_of_rows(case, form, tmp_path):
    model, rows = CASES[case]
    model.eval()
    made = exported(model, rows(20), tmp_path / "net.any", form)
    run = load(form, tmp_path / "net.any")
    for count in (1, 2, 9):
        inputs = rows(count)
        torch.testing.assert_close(run(*inputs), model(*inputs), atol=1e-4, rtol=1e-3)
    assert made.agreement.rows == 20
    assert made.agreement.max_difference < 1e-4
    assert made.agreement.agreement == 1.0
    assert made.agreement.random_shapes == ((1,), (3,), (16,))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["onnx", "pt2", "torchscript"])
def test_the_model_is_left_as_it_was(form, tmp_path):
    net = nn.Sequential(mlp(4, 3), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    exported(net, (torch.rand(8, 4),), tmp_path / "net", form)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(each.requires_grad for each in net.parameters())


@pytest.mark.parametrize("form", ["onnx", "pt2", "torchscript"])
def test_an_export_shows_no_warning(form, tmp_path, capfd, recwarn):
    exported(mlp(4, 3), (torch.rand(8, 4),), tmp_path / "net", form)
    shown = capfd.readouterr()
    assert shown.out + shown.err == ""
    assert not [each for each in recwarn if "deprecated" in str(each.message)]


@pytest.mark.parametrize("form", ["onnx", "pt2", "torchscript"])
def test_neither_rows_nor_paths_of_this_machine_are_in_a_file(form, tmp_path):
    exported(mlp(4, 3), (torch.full((8, 4), 0.123456),), tmp_path / "net", form)
    data = (tmp_path / "net").read_bytes()
    assert np.float32(0.123456).tobytes() * 4 not in data
    assert b"site-packages" not in data
    assert str(tmp_path).encode() not in data


def test_random_rows_have_several_sizes_and_lengths():
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    ids, mask = torch.arange(1, 13).reshape(2, 6), torch.tensor([[1] * 6, [1] * 3 + [0] * 3])
    drawn = list(random_rows((ids, mask), [{0: batch, 1: tokens}] * 2))
    assert [shape[0] for shape, _ in drawn] == [1, 3, 16]
    assert [shape[1] for shape, _ in drawn][::2] == [2, 6]
    assert all(rows[0].shape == rows[1].shape == shape for shape, rows in drawn)
    assert all((rows[1][:, 0] == 1).all() and set(rows[0].unique().tolist()) <= set(range(1, 13)) for _, rows in drawn)


def test_random_floats_lie_between_those_of_the_rows():
    ((_, (rows,)), *_) = random_rows((torch.tensor([[0.0, 10.0], [1.0, 20.0]]),), only_rows(1))
    assert 0 <= rows[0, 0] <= 1
    assert 10 <= rows[0, 1] <= 20


# -- where graphs part ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_the_part_that_differs_is_named_by_its_path_and_class(form, tmp_path):
    with pytest.raises(ExportError) as caught:
        exported(modules.Stack(modules.Attention(0.3)), (torch.rand(8, 4),), tmp_path / "net", form)
    assert "computes something else: row 0 gives" in caught.value.message
    assert "The graphs part at layers.2.attention (Attention): differs by up to 0.3." in caught.value.message
    assert not list(tmp_path.iterdir())


def test_a_bundle_says_where_the_graphs_part_too(tmp_path):
    with pytest.raises(ExportError, match=r"layers\.2\.attention \(Attention\): differs by up to 0\.3"):
        package(modules.Stack(modules.Attention(0.3)), (torch.rand(8, 4),), tmp_path / "bundle", task="tensor")
    assert not (tmp_path / "bundle").exists()


def test_a_module_that_differs_as_a_whole_is_said_to_have_no_part_that_does(tmp_path):
    with pytest.raises(ExportError, match="No part of Attention differs by itself"):
        exported(modules.Attention(0.3), (torch.rand(8, 4),), tmp_path / "net.onnx")


def test_a_model_that_is_random_is_named_as_such(tmp_path):
    with pytest.raises(ExportError, match=r"differently each time, from layers\.2\.attention\.1 \(Noisy\) on"):
        exported(modules.Stack(Named(nn.Linear(4, 4), modules.Noisy())), (torch.rand(8, 4),), tmp_path / "net.onnx")


class Named(nn.Sequential):
    """Takes its input by name."""

    def forward(self, x):
        return super().forward(x)


def test_a_batch_size_that_a_trace_has_baked_in_is_found_and_placed(tmp_path):
    net = nn.Sequential(nn.Linear(4, 4), modules.BakedBatch())
    with pytest.raises(ExportError, match=r"The graphs part at 1 \(BakedBatch\): differs by up to 6"):
        exported(net, (torch.rand(20, 4),), tmp_path / "net.pt", "torchscript")


def test_a_graph_that_takes_one_number_of_rows_is_found_and_placed(tmp_path):
    net = nn.Sequential(nn.Linear(4, 4), modules.FixedBatch())
    with pytest.raises(ExportError, match=r"does not run on 20 rows: .* The graphs part at 1 \(FixedBatch\)") as caught:
        exported(net, (torch.rand(20, 4),), tmp_path / "net.onnx")
    assert "batch size" in caught.value.hint


def test_rows_that_are_counted_with_len_are_named_in_the_hint(tmp_path):
    class Flat(nn.Module):
        def forward(self, x):
            return x.view(len(x), -1)

    with pytest.raises(ExportError, match="does not run on 20 rows") as caught:
        exported(Flat(), (torch.rand(20, 2, 2),), tmp_path / "net.onnx")
    assert "len(x)" in caught.value.hint


def test_an_axis_whose_size_decides_is_named(tmp_path):
    with pytest.raises(ExportError, match="takes only some sizes of the axis 'batch', which has to be free"):
        exported(nn.Sequential(modules.FewRows()), (torch.rand(8, 4),), tmp_path / "net.pt2", "pt2")


def test_values_that_went_through_numpy_are_no_part_of_a_graph(tmp_path):
    net = nn.Sequential(nn.Linear(4, 4), modules.ThroughNumpy())
    # Where torch follows numpy into the graph, the sum over the rows is what is refused.
    with pytest.raises(ExportError, match=r"computes something else|beside others"):
        exported(net, (torch.rand(8, 4),), tmp_path / "net.onnx")


@pytest.mark.parametrize("form", ["pt2", "torchscript"])
def test_an_axis_that_forward_fixes_is_named(form, tmp_path):
    net = nn.Sequential(nn.Linear(4, 4), modules.FixedBatch())
    with pytest.raises(ExportError, match="forward fixes the axis 'batch' at 2, which has to be free") as caught:
        exported(net, (torch.rand(20, 4),), tmp_path / "net", form)
    assert "int()" in caught.value.hint


# -- what cannot be exported ------------------------------------------------------------------------------------------


def test_an_operator_without_an_onnx_form_is_named_with_its_place(tmp_path):
    net = nn.Sequential(nn.Linear(4, 4), modules.Eigen())
    with pytest.raises(ExportError) as caught:
        exported(net, (torch.rand(8, 4),), tmp_path / "net.onnx")
    assert caught.value.message == (
        "The model cannot be exported to ONNX: the operator aten._linalg_eigh has no ONNX form, used in 1 (Eigen), "
        f"line {line_of('eigvalsh')} of exportable_modules.py: return x + torch.linalg.eigvalsh(x.T @ x)."
    )
    assert ".pt2" in caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["onnx", "pt2", "torchscript"])
@pytest.mark.parametrize(("part", "code"), [(modules.Branch, "if x.sum() > 0:"), (modules.Loop, "while x.max() > 1:")])
def test_control_flow_on_values_names_the_line_and_what_to_use(part, code, form, tmp_path):
    net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(part()))
    with pytest.raises(ExportError) as caught:
        exported(net, (torch.rand(8, 4),), tmp_path / "net", form)
    assert f"the values of a tensor decide what is computed in 1.0 ({part.__name__}), line " in caught.value.message
    assert f"line {line_of(code)} of exportable_modules.py: {code}" in caught.value.message
    assert "torch.where" in caught.value.hint
    assert "torch.cond" in caught.value.hint
    assert "/" not in caught.value.message


def test_another_failure_names_its_place_too(tmp_path):
    with pytest.raises(
        ExportError,
        match=r"cannot be exported to ONNX: RuntimeError: not here \(in 0 \(Refusing\), line \d+ of exportable_mod",
    ):
        exported(nn.Sequential(modules.Refusing()), (torch.rand(8, 4),), tmp_path / "net.onnx")


def test_the_line_of_a_cell_is_named_without_the_file_that_a_kernel_makes_of_it(tmp_path):
    import linecache

    code = "class Cell(nn.Module):\n    def forward(self, x):\n        return x if x.sum() > 0 else -x\n"
    file = "/somewhere/ipykernel_42/123456.py"
    scope = {"nn": nn, "__name__": "__main__"}
    exec(compile(code, file, "exec"), scope)
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    with pytest.raises(ExportError, match="line 3 of its cell: return x if x") as caught:
        exported(scope["Cell"](), (torch.rand(8, 4),), tmp_path / "net.onnx")
    assert "ipykernel" not in caught.value.message


def test_a_model_in_bfloat16_is_refused_as_a_graph(tmp_path):
    with pytest.raises(ExportError, match="bfloat16") as caught:
        exported(mlp(4, 3).bfloat16(), (torch.rand(8, 4).bfloat16(),), tmp_path / "net.onnx")
    assert "model.float()" in caught.value.hint


def line_of(code):
    lines = Path(modules.__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if code in line)


# -- weights that do not fit into a graph -----------------------------------------------------------------------------


@pytest.fixture
def low_limit(monkeypatch):
    monkeypatch.setattr(export_room, "LARGEST", 10_000)


def test_large_weights_lie_beside_the_graph_of_a_bundle_and_are_served(low_limit, tmp_path):
    net = mlp(64, 10).eval()
    rows = torch.rand(8, 64)
    made = package(net, (rows,), tmp_path / "bundle", task="classification")
    assert set(made.bundle.manifest.files) == {"model.onnx", "model.onnx.data"}
    assert (tmp_path / "bundle" / "model.onnx").stat().st_size < 10_000
    servable = Servable.load(Bundle.open(tmp_path / "bundle", digest=made.bundle.digest))
    scores = servable.run({"input": rows.numpy()})["scores"]
    np.testing.assert_allclose(scores, net(rows).softmax(1).detach().numpy(), atol=1e-5)


def test_altered_large_weights_are_found(low_limit, tmp_path):
    made = package(mlp(64, 10), (torch.rand(8, 64),), tmp_path / "bundle", task="classification").bundle
    weights = tmp_path / "bundle" / "model.onnx.data"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.onnx\.data is not the one"):
        Bundle.open(tmp_path / "bundle", digest=made.digest)


def test_a_failed_bundle_of_large_weights_leaves_nothing(low_limit, tmp_path):
    with pytest.raises(ExportError):
        package(nn.Sequential(mlp(64, 10), modules.Shifted()), (torch.rand(8, 64),), tmp_path / "bundle", task="tensor")
    assert not list(tmp_path.iterdir())


def test_a_file_of_large_weights_names_the_one_beside_it(low_limit, tmp_path):
    net = mlp(64, 10).eval()
    made = exported(net, (torch.rand(8, 64),), tmp_path / "mine.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.onnx", "mine.onnx.data"]
    assert made.size == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert "mine.onnx.data, which has to stay beside it" in repr(made)
    rows = torch.rand(3, 64)
    torch.testing.assert_close(load("onnx", tmp_path / "mine.onnx")(rows), net(rows), atol=1e-4, rtol=1e-3)


def test_the_weights_are_shared_with_the_copy_that_is_exported():
    net = mlp(64, 10)
    copied = export_room.still_copy(net)
    assert all(
        one.data_ptr() == other.data_ptr() for one, other in zip(net.parameters(), copied.parameters(), strict=True)
    )


# -- the server opens none of torch's -------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", ["pt2", "torchscript"])
def test_the_server_has_no_runtime_for_forms_that_can_hold_code(runtime, tmp_path):
    exported(mlp(4, 3), (torch.rand(8, 4),), tmp_path / "model.onnx", runtime)
    manifest = Manifest(task="tensor", runtime=runtime, precision="fp32", signature=Signature([], []))
    bundle = Bundle.seal(tmp_path, manifest, ["model.onnx"])
    with pytest.raises(BundleError, match="no runtime called"):
        Servable.load(bundle)


@pytest.mark.parametrize("form", ["pt2", "torchscript"])
def test_a_file_of_another_form_is_no_graph(form, tmp_path):
    exported(mlp(4, 3), (torch.rand(8, 4),), tmp_path / "model.onnx", form)
    manifest = Manifest(task="tensor", runtime="onnx", precision="fp32", signature=Signature([], []))
    with pytest.raises(BundleError, match=r"model\.onnx cannot be loaded"):
        Servable.load(Bundle.seal(tmp_path, manifest, ["model.onnx"]))
