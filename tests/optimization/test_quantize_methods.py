from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from models import digits
from quantized_models import image_bundle, images, original, text_bundle, texts, wide_bundle
from torch import nn

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.errors import Conflict, ExportError, InvalidInput
from maas_jupyter.optimization.optimizer import seconds_of
from maas_jupyter.optimization.quantize import (
    DynamicInt8,
    DynamicInt8WithConvolutions,
    Fused,
    StaticInt8,
    StaticInt8Entropy,
    StaticInt8Percentile,
    WeightInt4,
    WeightInt8,
)
from maas_jupyter.packaging import package
from maas_jupyter.serving.servable import Servable


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return image_bundle(tmp_path_factory.mktemp("images") / "bundle")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return text_bundle(tmp_path_factory.mktemp("texts") / "bundle")


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return wide_bundle(tmp_path_factory.mktemp("wide") / "bundle")


def answers(bundle, rows):
    servable = Servable.load(Bundle.open(bundle.folder))
    try:
        return servable.run({bundle.manifest.signature.inputs[0].name: rows})
    finally:
        servable.unload()


def operators(bundle):
    return [node.op_type for node in onnx.load(str(bundle.folder / MODEL_FILE)).graph.node]


@pytest.mark.parametrize(
    "method", [DynamicInt8, DynamicInt8WithConvolutions, StaticInt8, StaticInt8Entropy, StaticInt8Percentile]
)
def test_a_quantized_cnn_is_a_third_of_its_size_and_answers_the_same(picture, tmp_path, method):
    subject = original(picture, images())
    assert method().applies_to(subject)
    made = method().run(subject, tmp_path)
    assert made.manifest.precision == "int8"
    assert made.manifest.parent == picture.digest
    assert made.manifest.size < 0.3 * picture.manifest.size
    X = images()[0]
    before, after = answers(picture, X), answers(made, X)
    assert (before["label"] == after["label"]).mean() > 0.99
    assert 0 < np.abs(before["scores"] - after["scores"]).max() < 0.2


@pytest.mark.parametrize("method", [DynamicInt8, StaticInt8, StaticInt8Percentile])
def test_a_quantized_encoder_takes_raw_text_as_before(text, tmp_path, method):
    subject = original(text, texts())
    made = method().run(subject, tmp_path)
    assert made.manifest.files.keys() == text.manifest.files.keys()
    assert made.manifest.size < 0.45 * text.manifest.size
    rows = np.array(texts()[0], dtype=object)
    assert (answers(text, rows)["label"] == answers(made, rows)["label"]).mean() > 0.95


def test_attention_is_fused_and_computes_the_same(text, tmp_path):
    subject = original(text, texts())
    made = Fused().run(subject, tmp_path)
    assert operators(made).count("MultiHeadAttention") == 2
    assert operators(made).count("Softmax") == 1  # the head's
    assert made.manifest.precision == "fp32"
    rows = np.array(texts()[0], dtype=object)
    np.testing.assert_allclose(answers(made, rows)["scores"], answers(text, rows)["scores"], atol=1e-5)


def test_a_row_that_may_look_at_nothing_stays_a_number(text, tmp_path):
    made = Fused().run(original(text, texts()), tmp_path)
    servable = Servable.load(made)
    tensors = servable.preprocess({"text": np.array(texts()[0][:2], dtype=object)})
    tensors["attention_mask"][1] = 0
    assert np.isfinite(servable.runtime.run(tensors)["scores"]).all()


def test_a_graph_without_attention_is_not_fused(picture, text, tmp_path):
    assert Fused().applies_to(original(text, texts()))
    assert not Fused().applies_to(original(picture, images()))
    with pytest.raises(ExportError, match="fused failed: The graph holds no attention"):
        Fused().run(original(picture, images()), tmp_path)


@pytest.mark.parametrize(("method", "precision", "share"), [(WeightInt8, "int8", 0.28), (WeightInt4, "int4", 0.17)])
def test_weights_alone_are_quantized_where_there_are_many(wide, picture, tmp_path, method, precision, share):
    X = digits()[0]
    assert not method().applies_to(original(picture, images()))
    subject = original(wide, digits())
    assert method().applies_to(subject)
    made = method().run(subject, tmp_path)
    assert made.manifest.precision == precision
    assert made.manifest.size < share * wide.manifest.size
    assert np.abs(answers(wide, X)["scores"] - answers(made, X)["scores"]).max() < 0.05


@pytest.mark.parametrize("method", [DynamicInt8, StaticInt8, WeightInt8, WeightInt4])
def test_weights_beside_the_graph_are_the_variants_own(wide, tmp_path, monkeypatch, method):
    monkeypatch.setattr("maas_jupyter.packaging.export.LARGEST", 100_000)
    monkeypatch.setattr("maas_jupyter.optimization.quantize.static.LEAST_RATIO", float("inf"))
    large = wide_bundle(tmp_path / "bundle")
    assert "model.onnx.data" in large.manifest.files
    (tmp_path / "made").mkdir()
    made = method().run(original(large, digits()), tmp_path / "made")
    assert made.manifest.size < (1.01 if method is StaticInt8 else 0.5) * large.manifest.size  # written five times
    assert {path.name for path in made.folder.iterdir()} == {*made.manifest.files, "maas.json"}
    X = digits()[0]
    made.copy_to(tmp_path / "elsewhere")
    moved = Bundle.open(tmp_path / "elsewhere")
    assert np.abs(answers(wide, X)["scores"] - answers(moved, X)["scores"]).max() < 0.05


def test_fused_attention_has_weights_beside_the_graph_too(tmp_path, monkeypatch):
    monkeypatch.setattr("maas_jupyter.packaging.export.LARGEST", 100_000)
    large = text_bundle(tmp_path / "bundle")
    (tmp_path / "made").mkdir()
    made = Fused().run(original(large, texts()), tmp_path / "made")
    assert "model.onnx.data" in made.manifest.files
    rows = np.array(texts()[0], dtype=object)
    np.testing.assert_allclose(answers(made, rows)["scores"], answers(large, rows)["scores"], atol=1e-5)


class _TwoUses(nn.Module):
    """One layer, used twice; and a table that a linear layer answers in."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.layer = nn.Embedding(32, 16), nn.Linear(16, 16)
        self.out, self.head = nn.Linear(16, 32, bias=False), nn.Linear(32, 4)
        self.out.weight = self.table.weight

    def forward(self, tokens):
        x = self.layer(self.layer(self.table(tokens).mean(1)).tanh())
        return self.head(self.out(x))


@pytest.mark.parametrize("method", [DynamicInt8, WeightInt8])
def test_weights_that_layers_share_are_turned_once(tmp_path, method):
    tokens = torch.randint(32, (40, 6), generator=torch.Generator().manual_seed(0))
    bundle = package(_TwoUses(), (tokens,), tmp_path / "bundle", task="classification").bundle
    (tmp_path / "made").mkdir()
    made = method().run(original(bundle, (tokens.numpy(), np.arange(40) % 4)), tmp_path / "made")
    before, after = answers(bundle, tokens.numpy()), answers(made, tokens.numpy())
    assert np.abs(before["scores"] - after["scores"]).max() < 0.02


@pytest.mark.parametrize("method", [DynamicInt8, StaticInt8, WeightInt8, Fused])
def test_a_quantized_model_is_not_quantized_again(wide, tmp_path, method):
    made = DynamicInt8().run(original(wide, digits()), tmp_path)
    subject = original(made, digits())
    assert not method().applies_to(subject)
    with pytest.raises(Conflict, match=r"model/1 is already quantized \(int8\)") as caught:
        method().run(subject, tmp_path)
    assert "parent" in caught.value.hint


def test_a_graph_that_was_quantized_elsewhere_is_known_by_its_operators(picture, tmp_path):
    made = StaticInt8().run(original(picture, images()), tmp_path)
    foreign = Bundle.seal(tmp_path, picture.manifest, [MODEL_FILE])
    assert foreign.manifest.precision == "fp32"
    assert made.digest != foreign.digest
    assert not StaticInt8().applies_to(original(foreign, images()))
    with pytest.raises(Conflict, match="already quantized"):
        StaticInt8().run(original(foreign, images()), tmp_path)


@pytest.mark.parametrize("method", [StaticInt8, StaticInt8Entropy])
def test_too_few_calibration_rows_are_refused(picture, tmp_path, method):
    X, y = images(15)
    with pytest.raises(InvalidInput, match="15 rows are too few to calibrate with; 16 are the least") as caught:
        method().run(original(picture, images(), (X, y)), tmp_path)
    assert "dynamic-int8" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_calibration_rows_of_another_shape_are_refused(picture, tmp_path):
    with pytest.raises(InvalidInput, match="64"):
        StaticInt8().run(original(picture, images(), digits()), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_calibration_rows_that_give_no_numbers_are_refused(picture, tmp_path):
    X, y = images(40)
    X = X.copy()
    X[21] = np.nan
    with pytest.raises(InvalidInput, match=r"Row 21 of .* cannot be calibrated with"):
        StaticInt8().run(original(picture, images(), (X, y)), tmp_path)


def test_a_network_that_is_faster_in_float_says_so(tmp_path):
    class Blur(nn.Module):
        def __init__(self):
            super().__init__()
            self.blur = nn.Conv2d(1, 10, 8)

        def forward(self, x):
            return self.blur(x).flatten(1)

    X, y = images(40)
    bundle = package(Blur(), (torch.from_numpy(X[:4]),), tmp_path / "bundle", task="classification").bundle
    (tmp_path / "made").mkdir()
    with pytest.raises(ExportError, match="every layer of the graph is faster in float"):
        StaticInt8().run(original(bundle, (X, y)), tmp_path / "made")


def test_an_operator_that_hurts_is_found_and_kept_in_float(tmp_path):
    class Spread(nn.Module):
        """One feature drowns the others where its layer is rounded to 8 bits."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)
            self.scale = nn.Parameter(torch.cat([torch.full((1,), 1e5), torch.ones(63)]))
            with torch.no_grad():
                self.last.weight[:, 0] *= 1e-5

        def forward(self, x):
            return self.last(torch.relu(self.first(x)) * self.scale)

    X, y = digits()
    bundle = package(Spread(), (torch.from_numpy(X[:8]),), tmp_path / "bundle", task="classification").bundle
    (tmp_path / "made").mkdir()
    made = StaticInt8().run(original(bundle, (X, y)), tmp_path / "made")
    graph = onnx.load(str(made.folder / MODEL_FILE)).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    first, last = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    assert makers[first.input[0]] == "DequantizeLinear"
    assert makers.get(last.input[1], "") != "DequantizeLinear"
    assert np.abs(answers(bundle, X)["scores"] - answers(made, X)["scores"]).max() < 0.05


def test_what_a_method_takes_grows_with_the_model(picture, wide):
    small, large = original(picture, images()), original(wide, digits())
    for method in (Fused(), DynamicInt8(), StaticInt8(), StaticInt8Entropy(), WeightInt8()):
        assert method.seconds < seconds_of(method, small) < seconds_of(method, large)
