from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import cnn, mlp
from torch import nn

from maas_jupyter.bundle import Bundle, read_manifest
from maas_jupyter.errors import BundleError, ExportError, InvalidInput
from maas_jupyter.packaging import package
from maas_jupyter.schema import FileEntry, Manifest, Signature, encode


def packaged(model, inputs, folder, *, task="classification", labels=None):
    folder.mkdir(exist_ok=True)
    return package(model, inputs, folder, task=task, labels=labels)


def run(bundle, *arrays):
    session = onnxruntime.InferenceSession(bundle.folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [spec.name for spec in bundle.manifest.signature.inputs]
    outputs = session.run(None, dict(zip(names, arrays, strict=True)))
    return dict(zip([output.name for output in session.get_outputs()], outputs, strict=True))


def test_the_graph_gives_labels_and_scores_for_any_number_of_rows(tmp_path):
    net = cnn().eval()
    made = packaged(net, (torch.rand(32, 1, 8, 8),), tmp_path / "bundle")
    for rows in (1, 2, 7, 300):
        images = torch.rand(rows, 1, 8, 8)
        answer = run(made.bundle, images.numpy())
        expected = net(images).softmax(1).detach().numpy()
        np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
        assert answer["label"].tolist() == expected.argmax(1).tolist()
    assert made.agreement.rows == 32
    assert made.agreement.max_difference < 1e-4


def test_the_manifest_says_what_the_bundle_is(tmp_path):
    bundle = packaged(cnn(), (torch.rand(4, 1, 8, 8),), tmp_path / "bundle").bundle
    manifest = bundle.manifest
    assert [str(spec) for spec in manifest.signature.inputs] == ["input: FP32[-1, 1, 8, 8]"]
    assert [str(spec) for spec in manifest.signature.outputs] == ["label: INT64[-1]", "scores: FP32[-1, 10]"]
    assert (manifest.task, manifest.runtime, manifest.precision) == ("classification", "onnx", "fp32")
    assert manifest.labels == list(range(10))
    assert Bundle.open(tmp_path / "bundle", digest=bundle.digest) == bundle


def test_text_labels_are_answered_as_text(tmp_path):
    net = mlp(4, 3)
    made = packaged(net, (torch.rand(8, 4),), tmp_path / "bundle", labels=["ham", "spam", "größer"])
    rows = torch.rand(5, 4)
    expected = [["ham", "spam", "größer"][index] for index in net(rows).argmax(1)]
    assert list(run(made.bundle, rows.numpy())["label"]) == expected


def test_outputs_that_are_probabilities_are_left_alone(tmp_path):
    net = nn.Sequential(mlp(4, 3), nn.Softmax(dim=1)).eval()
    made = packaged(net, (torch.rand(8, 4),), tmp_path / "bundle")
    rows = torch.rand(5, 4)
    np.testing.assert_allclose(run(made.bundle, rows.numpy())["scores"], net(rows).detach().numpy(), atol=1e-6)


def test_several_inputs_keep_the_names_of_forward(tmp_path):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(3, 2), nn.Embedding(10, 2)

        def forward(self, amount, kind):
            return self.left(amount) + self.right(kind)

    net = Pair().eval()
    amount, kind = torch.rand(6, 3), torch.randint(0, 10, (6,))
    bundle = packaged(net, (amount, kind), tmp_path / "bundle", task="regression").bundle
    assert [str(spec) for spec in bundle.manifest.signature.inputs] == ["amount: FP32[-1, 3]", "kind: INT64[-1]"]
    answer = run(bundle, amount[:1].numpy(), kind[:1].numpy())["prediction"]
    np.testing.assert_allclose(answer, net(amount[:1], kind[:1]).detach().numpy(), atol=1e-5)


def test_the_model_is_left_as_it_was(tmp_path):
    net = nn.Sequential(mlp(4, 3), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    packaged(net, (torch.rand(8, 4),), tmp_path / "bundle")
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_no_path_of_this_machine_is_in_the_graph(tmp_path):
    bundle = packaged(cnn(), (torch.rand(4, 1, 8, 8),), tmp_path / "bundle").bundle
    data = (bundle.folder / "model.onnx").read_bytes()
    assert b".py" not in data
    assert b"site-packages" not in data


class Pretender(nn.Module):
    """Computes something else while it is exported."""

    def __init__(self):
        super().__init__()
        self.net = mlp(4, 3)

    def forward(self, x):
        return self.net(x) * (1.5 if torch.compiler.is_exporting() else 1.0)


def test_an_export_that_computes_something_else_fails(tmp_path):
    with pytest.raises(ExportError, match=r"computes something else: row 0 gives .* the torch model") as caught:
        packaged(Pretender(), (torch.rand(8, 4),), tmp_path / "bundle")
    assert "exporting" in caught.value.hint
    assert not list((tmp_path / "bundle").iterdir())


class Branching(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


def test_a_model_that_cannot_be_exported_says_why_and_what_to_do(tmp_path):
    with pytest.raises(ExportError, match="cannot be exported to ONNX: ") as caught:
        packaged(Branching(), (torch.rand(8, 4),), tmp_path / "bundle")
    assert "torch.where" in caught.value.hint
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_model_of_half_precision_answers_in_float32(tmp_path, task):
    net = mlp(4, 3).half().eval()
    rows = torch.rand(8, 4).half()
    bundle = packaged(net, (rows,), tmp_path / "bundle", task=task).bundle
    answer = run(bundle, rows.numpy())["scores" if task == "classification" else "prediction"]
    assert answer.dtype == np.float32


@pytest.mark.parametrize("name", ["scores", "label", "prediction", "output", "class_labels"])
def test_a_parameter_with_a_name_of_the_heads_is_served_or_refused_in_words(tmp_path, name):
    class Clashing(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_parameter(name, nn.Parameter(torch.rand(4, 3)))

        def forward(self, x):
            return x @ getattr(self, name)

    try:
        bundle = packaged(Clashing(), (torch.rand(8, 4),), tmp_path / "bundle").bundle
    except ExportError as error:
        assert error.hint
    else:
        assert run(bundle, torch.rand(2, 4).numpy())["scores"].shape == (2, 3)


def test_inputs_behind_a_star_are_exported(tmp_path):
    class Sum(nn.Module):
        def forward(self, x, *rest):
            return x + sum(rest)

    inputs = tuple(torch.rand(6, 3) for _ in range(3))
    bundle = packaged(Sum(), inputs, tmp_path / "bundle", task="regression").bundle
    answer = run(bundle, *(tensor[:2].numpy() for tensor in inputs))["prediction"]
    np.testing.assert_allclose(answer, sum(inputs)[:2].numpy(), rtol=1e-5)


def test_what_gives_more_than_classes_for_a_row_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"\[rows, classes\]"):
        packaged(nn.Conv1d(2, 3, 1), (torch.rand(8, 2, 5),), tmp_path / "bundle")


def test_an_export_that_fails_is_quiet(tmp_path, capfd):
    with pytest.raises(ExportError):
        packaged(Branching(), (torch.rand(8, 4),), tmp_path / "bundle")
    shown = capfd.readouterr()
    assert shown.out + shown.err == ""


def test_a_model_with_several_outputs_is_refused(tmp_path):
    class Two(nn.Module):
        def forward(self, x):
            return x, x + 1

    with pytest.raises(InvalidInput, match="with tuple"):
        packaged(Two(), (torch.rand(8, 4),), tmp_path / "bundle")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed")
    return packaged(mlp(4, 3), (torch.rand(8, 4),), folder / "bundle").bundle


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found(sealed, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("copy")
    sealed.copy_to(folder)
    path = folder / data.draw(st.sampled_from(["model.onnx", "maas.json"]))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path.write_bytes(content)
    with pytest.raises(BundleError):
        Bundle.open(folder, digest=sealed.digest)


def test_a_missing_file_is_named(sealed, tmp_path):
    sealed.copy_to(tmp_path)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "a/../../b", "C:model", "a\\b", "maas.json", ""])
def test_a_manifest_that_names_files_elsewhere_is_refused(name):
    manifest = Manifest(
        task="classification",
        runtime="onnx",
        precision="fp32",
        signature=Signature([], []),
        files={name: FileEntry("0" * 64, 1)},
    )
    with pytest.raises(BundleError):
        read_manifest(encode(manifest), where="maas.json")


@given(st.binary(max_size=200))
def test_a_manifest_of_random_bytes_is_refused_in_words(data):
    with pytest.raises(BundleError):
        read_manifest(data, where="maas.json")


def test_a_manifest_of_a_newer_format_asks_for_an_upgrade():
    manifest = Manifest(
        format_version=99, task="classification", runtime="onnx", precision="fp32", signature=Signature([], [])
    )
    with pytest.raises(BundleError, match="format 99") as caught:
        read_manifest(encode(manifest), where="maas.json")
    assert "pip install -U" in caught.value.hint
