"""``%maas export``: modules, runs and versions into files."""

from __future__ import annotations

import exportable_modules as modules
import numpy as np
import onnxruntime
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from models import mlp, wine
from torch import nn
from torch.utils.data import TensorDataset

import maas_jupyter
from maas_jupyter.errors import Conflict, ExportError, InvalidInput, UsageError
from maas_jupyter.packaging import export as export_room
from maas_jupyter.plugins import load


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def encoder():
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    return BertModel(
        BertConfig(
            vocab_size=60,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
        )
    ).eval()


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    mask = torch.ones(6, 12, dtype=torch.int64)
    mask[1, 5:] = 0
    return {"input_ids": torch.randint(5, 60, (6, 12)), "attention_mask": mask}


def test_a_module_is_exported_in_a_cell(home, tmp_path):
    shell = InteractiveShell()
    InteractiveShell._instance = shell
    try:
        shell.run_line_magic("load_ext", "maas_jupyter")
        X, y = wine()
        shell.user_ns.update(net=mlp(13, 3), data=(X, y))
        assert shell.run_cell(f"made = %maas export net --to {tmp_path}/net.onnx --data data").success
        made = shell.user_ns["made"]
    finally:
        InteractiveShell.clear_instance()
    assert made.path == tmp_path / "net.onnx"
    assert made.inputs == ["input: float32[rows, 13]"]
    assert (made.format, made.trusted_only, made.agreement.agreement) == ("onnx", False, 1.0)
    assert session(made.path).run(None, {"input": X})[0].shape == (178, 3)


def test_an_encoder_of_transformers_takes_any_length(encoder, tokens, home, tmp_path):
    made = maas_jupyter.export(encoder, to=tmp_path / "bert.onnx", data=tokens)
    assert made.inputs == ["input_ids: int64[rows, any]", "attention_mask: int64[rows, any]"]
    assert all(len(shape) == 2 for shape in made.agreement.random_shapes)
    for rows, length in ((1, 2), (3, 24)):
        given = {name: tensor[:1].repeat(rows, 2)[:, :length] for name, tensor in tokens.items()}
        expected = encoder(**given).last_hidden_state.detach().numpy()
        answer = session(made.path).run(None, {name: tensor.numpy() for name, tensor in given.items()})[0]
        np.testing.assert_allclose(answer, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["net.pt2", "net.pt"])
def test_an_encoder_in_the_forms_of_torch(name, tokens, home, tmp_path):
    made = maas_jupyter.export(modules.Encoder(), to=tmp_path / name, data=tokens)
    assert made.trusted_only
    assert made.agreement.random_max_difference < 1e-4
    assert "can hold code" in repr(made)


def test_several_inputs_come_from_a_dataset(home, tmp_path):
    rows = TensorDataset(torch.randn(9, 3), torch.randint(0, 10, (9,)), torch.zeros(9, 2))
    made = maas_jupyter.export(modules.Pair(), to=tmp_path / "pair.onnx", data=rows)
    assert made.inputs == ["amount: float32[rows, 3]", "kind: int64[rows]"]


def test_a_run_brings_its_rows(home, tmp_path):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1)
    made = maas_jupyter.export(run, to=tmp_path / "wine.pt2")
    assert made.agreement.rows == 64
    assert made.agreement.agreement == 1.0


def test_of_a_version_the_file_is_the_graph_that_is_served(home, tmp_path):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1, name="exported-wine")
    made = maas_jupyter.export("exported-wine", to=tmp_path / "wine.onnx")
    outputs = [output.name for output in session(made.path).get_outputs()]
    assert outputs == ["label", "scores"]
    assert made.agreement is None
    assert made.subject == run.version.reference
    assert made.inputs == ["input: FP32[-1, 13]"]
    with pytest.raises(UsageError, match="registered as an ONNX graph") as caught:
        maas_jupyter.export("exported-wine", to=tmp_path / "wine.pt2")
    assert "--data" in caught.value.hint


def test_a_version_with_large_weights_brings_them(home, tmp_path, monkeypatch):
    monkeypatch.setattr(export_room, "LARGEST", 1_000)
    X, y = wine()
    maas_jupyter.train(mlp(13, 3), data=(X, y), epochs=1, name="large-wine")
    made = maas_jupyter.export("large-wine", to=tmp_path / "copy.onnx")
    assert [path.name for path in made.files] == ["copy.onnx", "copy.onnx.data"]
    assert session(made.path).run(["scores"], {"input": X})[0].shape == (178, 3)


def test_large_weights_are_read_by_mlflow(home, monkeypatch):
    import mlflow

    monkeypatch.setattr(export_room, "LARGEST", 1_000)
    X, y = wine()
    run = maas_jupyter.train(mlp(13, 3), data=(X, y), epochs=1, name="large-for-mlflow")
    made = maas_jupyter.models("large-for-mlflow")[0].versions[0]
    folder = mlflow.artifacts.download_artifacts(made.source)
    answer = mlflow.pyfunc.load_model(folder).predict(X[:2])
    assert answer["scores"].shape == (2, 3)
    assert run.version.digest == made.digest


def test_a_display_and_its_twin(home, tmp_path):
    made = maas_jupyter.export(mlp(4, 3), to=tmp_path / "net.pt", data=torch.rand(8, 4))
    drawn = load("display", "Exported")(made)
    assert "trusted only" in drawn["text/html"]
    assert "torch.export" not in drawn["text/html"]
    assert drawn["text/plain"] == repr(made)
    assert "same predictions: 100.0%" in repr(made)


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(home, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_text("mine")
    with pytest.raises(Conflict, match="exists already") as caught:
        maas_jupyter.export(mlp(4, 3), to=path, data=torch.rand(8, 4))
    assert "--overwrite" in caught.value.hint
    assert path.read_text() == "mine"
    maas_jupyter.export(mlp(4, 3), to=path, data=torch.rand(8, 4), overwrite=True)
    assert session(path).get_inputs()[0].name == "input"


def test_a_failed_export_leaves_what_was_there(home, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_text("mine")
    with pytest.raises(ExportError):
        maas_jupyter.export(nn.Sequential(modules.Branch()), to=path, data=torch.rand(8, 4), overwrite=True)
    assert path.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]


def test_weights_of_a_replaced_file_go_with_it(home, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(export_room, "LARGEST", 10)
        maas_jupyter.export(mlp(4, 3), to=tmp_path / "net.onnx", data=torch.rand(8, 4))
    maas_jupyter.export(mlp(4, 3), to=tmp_path / "net.onnx", data=torch.rand(8, 4), overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]


def test_rows_are_needed_for_a_module(home, tmp_path):
    with pytest.raises(UsageError, match="rows that show what goes into it") as caught:
        maas_jupyter.export(mlp(4, 3), to=tmp_path / "net.onnx")
    assert "--data ROWS" in caught.value.hint


@pytest.mark.parametrize(
    ("to", "form", "message", "hint"),
    [
        ("net", None, "does not say in which format", ".pt2"),
        ("net.h5", None, "does not say in which format", "--format"),
        ("net.onnx", "onx", "no format 'onx'", "'onnx'"),
        ("net.onnx", "pt2", "is the name of a file in ONNX", "net.pt2"),
    ],
)
def test_a_format_that_is_none_is_refused(to, form, message, hint, home, tmp_path):
    with pytest.raises(UsageError, match=message) as caught:
        maas_jupyter.export(mlp(4, 3), to=tmp_path / to, format=form, data=torch.rand(8, 4))
    assert hint in caught.value.hint


def test_a_name_without_an_ending_gets_that_of_the_format(home, tmp_path):
    made = maas_jupyter.export(mlp(4, 3), to=tmp_path / "net", format="onnx", data=torch.rand(8, 4))
    assert made.path == tmp_path / "net.onnx"


def test_a_folder_that_is_not_there_and_one_in_the_way(home, tmp_path):
    with pytest.raises(InvalidInput, match="There is no folder"):
        maas_jupyter.export(mlp(4, 3), to=tmp_path / "none" / "net.onnx", data=torch.rand(8, 4))
    (tmp_path / "net.onnx").mkdir()
    with pytest.raises(Conflict, match="is a folder"):
        maas_jupyter.export(mlp(4, 3), to=tmp_path / "net.onnx", data=torch.rand(8, 4))


def test_rows_by_the_names_of_other_arguments_are_refused(home, tmp_path):
    rows = {"amount": torch.rand(4, 3), "kin": torch.zeros(4, dtype=torch.int64)}
    with pytest.raises(InvalidInput, match="has no argument 'kin'") as caught:
        maas_jupyter.export(modules.Pair(), to=tmp_path / "pair.onnx", data=rows)
    assert "'kind'" in caught.value.hint


def test_rows_that_do_not_fit_the_module_are_refused(home, tmp_path):
    with pytest.raises(InvalidInput, match="does not fit the model"):
        maas_jupyter.export(mlp(4, 3), to=tmp_path / "net.onnx", data=torch.rand(8, 5))
    assert not list(tmp_path.iterdir())
