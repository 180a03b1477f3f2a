from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from models import digits
from quantized_models import CLASSES, image_bundle, images, original, text_bundle, texts
from torch import nn

from maas_jupyter import plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import Conflict, InvalidInput, MissingDependency
from maas_jupyter.optimization.quantize import DynamicInt8
from maas_jupyter.packaging import package
from maas_jupyter.serving.servable import Servable

pytest.importorskip("maas_jupyter.serving.runtimes.openvino")

from maas_jupyter.optimization.openvino import OpenVino, OpenVinoBf16, OpenVinoFp16, OpenVinoInt8

LABELS = [f"digit {number}" for number in range(10)]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return image_bundle(tmp_path_factory.mktemp("images") / "bundle", labels=LABELS)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return text_bundle(tmp_path_factory.mktemp("texts") / "bundle")


def answers(bundle, rows):
    servable = Servable.load(Bundle.open(bundle.folder))
    try:
        return servable.run({bundle.manifest.signature.inputs[0].name: rows})
    finally:
        servable.unload()


@pytest.mark.parametrize(
    ("method", "precision", "share", "within"),
    [
        (OpenVino, "fp32", 1.1, 1e-4),
        (OpenVinoBf16, "bf16", 0.6, 0.1),
        (OpenVinoFp16, "fp16", 0.6, 5e-3),
        (OpenVinoInt8, "int8", 0.4, 0.2),
    ],
)
def test_a_cnn_answers_the_same_under_openvino(picture, tmp_path, method, precision, share, within):
    made = method().run(original(picture, images()), tmp_path)
    assert (made.manifest.runtime, made.manifest.precision) == ("openvino", precision)
    assert made.manifest.parent == picture.digest
    assert sorted(made.manifest.files) == ["model.bin", "model.xml"]
    assert made.manifest.size < share * picture.manifest.size
    X = images()[0]
    before, after = answers(picture, X), answers(made, X)
    assert set(after["label"]) <= set(LABELS)
    assert (before["label"] == after["label"]).mean() > 0.99
    assert np.abs(before["scores"] - after["scores"]).max() < within


def test_texts_are_tokenized_before_openvino(text, tmp_path):
    subject = original(text, texts())
    made = OpenVinoInt8().run(subject, tmp_path)
    assert "tokenizer.json" in made.manifest.files
    rows = np.array(texts()[0], dtype=object)
    before, after = answers(text, rows), answers(made, rows)
    assert set(after["label"]) <= set(CLASSES)
    assert (before["label"] == after["label"]).mean() > 0.95


def test_a_transformer_that_smoothing_hurts_is_quantized_without_it(tmp_path):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
            self.first, self.layers = nn.Linear(8, 16), nn.TransformerEncoder(layer, 2)
            self.last = nn.Linear(16, 4)

        def forward(self, x):
            return self.last(self.layers(self.first(x)).mean(1))

    X, y = digits(64)
    rows = X.reshape(-1, 8, 8)
    bundle = package(Encoder(), (torch.from_numpy(rows[:8]),), tmp_path / "bundle", task="classification").bundle
    (tmp_path / "made").mkdir()
    made = OpenVinoInt8().run(original(bundle, (rows, y)), tmp_path / "made")
    assert np.abs(answers(bundle, rows)["scores"] - answers(made, rows)["scores"]).max() < 0.06


def test_bfloat16_is_only_tried_where_the_cpu_multiplies_it(picture, monkeypatch):
    import openvino

    subject = original(picture, images())
    for capabilities, applies in ((["FP32", "INT8"], False), (["BF16", "FP32"], True)):
        monkeypatch.setattr(
            openvino.Core, "get_property", lambda core, device, name, found=capabilities: found, raising=True
        )
        assert OpenVinoBf16().applies_to(subject) is applies


def test_a_quantized_model_is_left_alone(picture, tmp_path):
    made = DynamicInt8().run(original(picture, images()), tmp_path)
    for method in (OpenVino, OpenVinoBf16, OpenVinoInt8):
        assert not method().applies_to(original(made, images()))
        with pytest.raises(Conflict, match=r"already quantized \(int8\)"):
            method().run(original(made, images()), tmp_path)


def test_what_runs_under_openvino_is_not_quantized_by_onnxruntime(picture, tmp_path):
    made = OpenVino().run(original(picture, images()), tmp_path)
    assert not DynamicInt8().applies_to(original(made, images()))
    with pytest.raises(Conflict, match="runs under openvino; dynamic-int8 works on ONNX graphs"):
        DynamicInt8().run(original(made, images()), tmp_path)


def test_too_few_calibration_rows_are_refused(picture, tmp_path):
    with pytest.raises(InvalidInput, match="3 rows are too few"):
        OpenVinoInt8().run(original(picture, images(), images(3)), tmp_path)


def test_without_the_package_the_method_names_the_extra(monkeypatch):
    for name in list(sys.modules):
        if name.startswith("maas_jupyter.optimization.openvino"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependency, match="needs the package 'openvino'") as caught:
        plugins.load("optimizer", "openvino-int8")
    assert caught.value.hint == "pip install 'maas-jupyter[openvino]'"


def test_nncf_reports_to_nobody(picture, tmp_path):
    """In a process of its own: NNCF reports nothing by itself where pytest is loaded."""
    script = f"""
import socket, sys
from pathlib import Path

def refuse(*arguments, **options):
    print("asked for", arguments[:2])
    raise OSError("no network here")

socket.getaddrinfo = refuse
socket.socket.connect = refuse
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from quantized_models import images, original
from maas_jupyter.bundle import Bundle
from maas_jupyter.optimization.openvino import OpenVinoInt8
made = OpenVinoInt8().run(original(Bundle.open(Path({str(picture.folder)!r})), images(40)), Path({str(tmp_path)!r}))
import nncf.telemetry.wrapper as wrapper
assert type(wrapper.telemetry).__name__ == "MagicMock", wrapper.telemetry
print("made", made.manifest.precision)
"""
    home = tmp_path / "home"
    home.mkdir()
    silent = {name: value for name, value in os.environ.items() if name not in ("NNCF_CI", "NNCF_DEV", "CI")}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**silent, "HOME": str(home)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["made", "int8"]
    assert list(home.iterdir()) == []
