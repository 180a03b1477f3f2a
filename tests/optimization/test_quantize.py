"""``quantize`` on a registered CNN."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from models import cnn, digits
from torch import nn

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.errors import NotFound
from maas_jupyter.registry import Registry


def images():
    X, y = digits()
    return X.reshape(-1, 1, 8, 8), y


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Every method that applies, against the CNN."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run = maas_jupyter.train(cnn(), data=images(), epochs=6, name="numerals")
        yield maas_jupyter.quantize(run, data=images(), max_drop=0.02)


def test_every_candidate_is_measured_against_the_original(comparison):
    rows = {candidate.method: candidate for candidate in comparison.candidates}
    assert {"original", "dynamic-int8", "static-int8"} <= set(rows)
    original, dynamic = rows["original"].measured, rows["dynamic-int8"].measured
    assert original.quality.max_difference == 0
    assert original.quality.agreement == 1
    assert dynamic.size < original.size / 2.5
    assert 0 < dynamic.quality.max_difference < 0.2
    assert dynamic.quality.agreement > 0.97
    assert dynamic.quality.metric >= original.quality.metric - 0.02


def test_a_quantized_version_answers_nearly_the_same(comparison):
    registry = Registry(config.current())
    original = registry.fetch(registry.resolve("numerals/1"))
    quantized = registry.fetch(comparison.version)
    assert quantized.manifest.precision == "int8"
    assert quantized.manifest.parent == original.digest
    answers = []
    for bundle in (original, quantized):
        session = onnxruntime.InferenceSession(bundle.folder / "model.onnx", providers=["CPUExecutionProvider"])
        answers.append(session.run(["scores"], {"input": images()[0][:100]})[0])
    assert 0 < np.abs(answers[0] - answers[1]).max() < 0.2


def test_an_unknown_method_offers_the_nearest(comparison):
    with pytest.raises(NotFound, match="no optimizer called 'dynamic-int4'") as caught:
        maas_jupyter.quantize("numerals/1", data=images(), method=("dynamic-int4",))
    assert "dynamic-int8" in caught.value.hint


def test_what_has_nothing_to_quantize_is_not_tried_unless_it_was_asked_for(home):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return x * self.scale

    X, y = np.random.default_rng(0).random((20, 3)).astype("float32"), np.arange(20) % 3
    maas_jupyter.register(Scale(), name="scale", data=(X, y))
    tried = {candidate.method for candidate in maas_jupyter.quantize("scale", data=(X, y)).candidates}
    assert not tried & {"dynamic-int8", "static-int8"}
    named = maas_jupyter.quantize("scale", data=(X, y), method=("dynamic-int8",))
    assert [candidate.method for candidate in named.candidates] == ["original", "dynamic-int8"]
