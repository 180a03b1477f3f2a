from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from models import cnn, digits, mlp
from msgspec import structs
from torch import nn

import maas_jupyter
from maas_jupyter import config, plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import NotFound
from maas_jupyter.optimization.comparison import Measurement, judge
from maas_jupyter.optimization.quantize import DynamicInt8
from maas_jupyter.packaging import package
from maas_jupyter.plugins import Plugin
from maas_jupyter.registry import Registry


def images():
    X, y = digits()
    return X.reshape(-1, 1, 8, 8), y


@pytest.fixture(scope="module")
def trained(shared_home):
    """A registered CNN of digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return maas_jupyter.train(cnn(), data=images(), epochs=6, name="numerals")


@pytest.fixture(scope="module")
def comparison(shared_home, trained):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return maas_jupyter.quantize("numerals/1", data=images(), max_drop=0.02)


def test_every_candidate_is_measured_against_the_original(comparison):
    methods = [candidate.method for candidate in comparison.candidates]
    assert methods == ["original", "dynamic-int8", "dynamic-int8-conv"]
    original, linear, _ = (candidate.measured for candidate in comparison.candidates)
    assert original.max_difference == 0
    assert original.agreement == 1
    assert linear.size < original.size / 2.5
    assert 0 < linear.max_difference < 0.2
    assert linear.agreement > 0.97
    for measured in (original, linear):
        assert 0 < measured.p50_ms <= measured.p95_ms
        assert measured.rows_per_second > 0
    assert linear.metric >= original.metric - 0.02


class Shrunk:
    """An optimizer that is sure to win: a far smaller network."""

    name, description = "shrunk", "another network"

    def applies_to(self, bundle):
        return True

    def run(self, bundle, folder):
        small = package(mlp(64, 10, hidden=2), (torch.rand(4, 64),), folder, task="classification", labels=None).bundle
        return Bundle.seal(folder, structs.replace(small.manifest, parent=bundle.digest), ["model.onnx"])


def test_a_winner_is_registered_with_its_parent_and_its_measurements(home, monkeypatch):
    monkeypatch.setitem(plugins.BUILTIN["optimizer"], "shrunk", Plugin(f"{__name__}:Shrunk"))
    maas_jupyter.register(mlp(64, 10, hidden=2048), name="wide", data=digits())
    comparison = maas_jupyter.quantize("wide", data=digits(), max_drop=1.0, method=("shrunk",))
    assert comparison.winner.method == "shrunk"
    version = maas_jupyter.models("wide")[0].versions[0]
    assert version == comparison.version
    assert version.reference == "wide/2"
    assert version.parent == "wide/1"
    assert version.metrics["accuracy"] == pytest.approx(comparison.winner.measured.metric)
    registry = Registry(config.current())
    bundle = registry.fetch(version)
    assert bundle.manifest.parent == registry.resolve("wide/1").digest
    assert bundle.manifest.measurements["rows_per_second"] > 0
    assert maas_jupyter.evaluate("wide", data=digits()).metrics["accuracy"] == pytest.approx(
        version.metrics["accuracy"]
    )


def test_the_comparison_shows_a_row_for_each_candidate(comparison):
    bundle = comparison._repr_mimebundle_()
    for candidate in comparison.candidates:
        assert candidate.method in bundle["text/plain"]
        assert f">{candidate.verdict}</span>" in bundle["text/html"]


def test_a_gate_that_nothing_passes_registers_nothing(home, trained):
    before = len(maas_jupyter.models("numerals")[0].versions)
    result = maas_jupyter.quantize("numerals/1", data=images(), max_drop=-1.0)
    assert result.winner is None
    assert {candidate.verdict for candidate in result.candidates[1:]} == {"worse"}
    assert "allowed is -1" in repr(result)
    assert len(maas_jupyter.models("numerals")[0].versions) == before


def test_an_unknown_method_offers_the_nearest(home, trained):
    with pytest.raises(NotFound, match="no optimizer called 'dynamic-int4'") as caught:
        maas_jupyter.quantize("numerals/1", data=images(), method=("dynamic-int4",))
    assert "dynamic-int8" in caught.value.hint


ORIGINAL = Measurement(1000, 1.0, 2.0, 100.0, 0.97, 0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "verdict", "said"),
    [
        ({"size": 300, "p50_ms": 0.5}, "good", "3.3x smaller, 2.00x faster"),
        ({"size": 300, "p50_ms": 1.04}, "good", "3.3x smaller"),
        ({"size": 300, "p50_ms": 1.5}, "slower", "3.3x smaller, 1.50x slower"),
        ({"size": 300, "p50_ms": 0.5, "metric": 0.96}, "worse", "accuracy falls by 0.0100, allowed is 0.005"),
        ({"size": 300, "metric": 0.966}, "good", ""),
        ({}, "no gain", "neither smaller nor faster"),
    ],
)
def test_verdicts(change, verdict, said):
    found, reason = judge(ORIGINAL, replace(ORIGINAL, **change), metric_name="accuracy", max_drop=0.005)
    assert found == verdict
    assert said in reason


def test_the_quantized_bundle_answers_nearly_the_same(home, trained, tmp_path):
    registry = Registry(config.current())
    original = registry.fetch(registry.resolve("numerals/1"))
    quantized = DynamicInt8().run(original, tmp_path)
    assert quantized.manifest.precision == "int8"
    assert quantized.manifest.parent == original.digest
    answers = []
    for bundle in (original, quantized):
        session = onnxruntime.InferenceSession(bundle.folder / "model.onnx", providers=["CPUExecutionProvider"])
        answers.append(session.run(["scores"], {"input": images()[0][:100]})[0])
    assert 0 < np.abs(answers[0] - answers[1]).max() < 0.2


def test_a_model_with_nothing_to_quantize_says_so(home):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x * self.scale

    X, y = np.random.default_rng(0).random((20, 3)).astype("float32"), np.arange(20) % 3
    maas_jupyter.register(Scale(), name="scale", data=(X, y))
    assert "nothing that these methods could quantize" in repr(maas_jupyter.quantize("scale", data=(X, y)))
