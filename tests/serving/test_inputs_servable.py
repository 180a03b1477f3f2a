"""One loaded bundle: preprocessing and runtime as one."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from bundles import WEIGHTS, Bundles, labelled, linear_softmax, two_inputs
from input_bundles import PIXELS, TEXT, WORDS, mean_of_pixels, mean_of_words, model, objects, png, seal
from onnx import TensorProto, helper, numpy_helper

from maas_jupyter import plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import BundleError, InvalidInput, MissingDependency
from maas_jupyter.plugins import Plugin
from maas_jupyter.schema import Signature, TensorSpec, TextInput
from maas_jupyter.serving.servable import Servable, similar


@pytest.fixture
def texts(tmp_path):
    files = ["model.onnx", "tokenizer.json"]
    return seal(tmp_path / "texts", mean_of_words(), preprocessing={"text": TEXT}, files=files, max_batch=3)


@pytest.fixture
def images(tmp_path):
    return seal(tmp_path / "images", mean_of_pixels(), preprocessing={"image": PIXELS})


# -- running ----------------------------------------------------------------------------------------------------------


def test_texts_of_mixed_lengths_are_answered_as_each_alone(texts):
    servable = Servable.load(texts)
    sent = objects("dog", WORDS, b"the lazy fox", "a", " ".join([WORDS] * 9), "over", "quick dog")
    whole = servable.run({"text": sent})["output"]
    assert whole.shape == (7, 3)
    for row in range(len(sent)):
        alone = servable.run({"text": sent[row : row + 1]})["output"]
        np.testing.assert_allclose(alone[0], whole[row], atol=1e-5)


def test_images_are_decoded(images):
    answer = Servable.load(images).run({"image": objects(png(10), png(20))})["output"]
    np.testing.assert_allclose(answer, [[10, 0, 255], [20, 0, 255]])


def test_no_run_has_more_rows_than_the_bundle_allows(bundles):
    servable = Servable.load(Bundle.open(bundles.make(linear_softmax(), max_batch=8)))
    taken = []
    run = servable.runtime.run
    servable.runtime.run = lambda inputs: taken.append(len(inputs["x"])) or run(inputs)
    rows = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    answer = servable.run({"x": rows})
    assert taken == [8, 8, 4]
    np.testing.assert_array_equal(answer["label"], (rows @ WEIGHTS).argmax(1))
    assert answer["scores"].shape == (20, 3)


def test_bytes_reach_the_runtime_as_text(bundles):
    servable = Servable.load(Bundle.open(bundles.make(labelled())))
    answer = servable.run({"n": np.array([1, 2]), "text": objects("ä".encode(), "z")})
    assert answer["label"].tolist() == ["ä", "z"]
    with pytest.raises(InvalidInput, match="Input 'text' holds a text that is not UTF-8"):
        servable.run({"n": np.array([1]), "text": objects(b"\xff")})


def test_several_threads_compute_the_same(bundles):
    bundle = Bundle.open(bundles.make(linear_softmax()))
    rows = np.random.default_rng(0).random((20, 4), dtype=np.float32)
    one, two = (Servable.load(bundle, threads).run({"x": rows})["scores"] for threads in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-6)


def test_what_the_server_goes_by(bundles, texts, images):
    folder = bundles.make(linear_softmax())
    plain = Servable.load(Bundle.open(folder))
    text, image = Servable.load(texts), Servable.load(images)
    assert [servable.batchable for servable in (plain, text, image)] == [True, True, True]
    assert [servable.uniform for servable in (plain, text, image)] == [True, False, False]
    assert plain.seconds > 0
    assert plain.digest == Bundles.digest(folder)
    assert plain.length({"x": np.zeros((1, 4), np.float32)}) is None
    assert image.length({"image": objects(b"")}) is None
    assert text.length({"text": objects("ab", b"abcd", "")}) == 4
    # What is cut off costs nothing.
    assert text.length({"text": objects("a" * 1000)}) == text.length({"text": objects("a" * 5000)})


def test_lengths_that_belong_together():
    assert similar(0, 60)
    assert similar(800, 1000)
    assert not similar(100, 200)
    assert not similar(700, 1000)


def test_outputs_without_rows_are_not_batched(bundles):
    graph = model(
        [helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=0)],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, [4])],
    )
    signature = Signature([TensorSpec("x", "FP32", [-1, 4])], [TensorSpec("mean", "FP32", [4])])
    servable = Servable.load(Bundle.open(bundles.make((graph, signature), max_batch=2)))
    assert not servable.batchable
    np.testing.assert_allclose(servable.run({"x": np.ones((5, 4), np.float32)})["mean"], [1] * 4)


def test_inputs_with_rows_of_their_own_are_run_as_they_are(bundles):
    servable = Servable.load(Bundle.open(bundles.make(two_inputs(), max_batch=2)))
    answer = servable.run({"a": np.array([1], np.float32), "i": np.array([0, 1, 2])})
    assert answer["prediction"].tolist() == [11, 21, 31]


# -- what does not load -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"preprocessing": {"text": TEXT}}, "'tokenizer.json', which is not one of the bundle's files"),
        (
            {"preprocessing": {"text": TextInput(tensors={"ids": "ids"}, max_length=8, tokenizer="../../secret")}},
            "not one of the bundle's files",
        ),
        (
            {"preprocessing": {"text": TextInput(tensors={"other": "ids"}, max_length=8)}, "files": ["tokenizer.json"]},
            r"has the inputs \['ids', 'mask'\], but the manifest says \['other'\]",
        ),
        (
            {"preprocessing": {"text": TEXT}, "inputs": [TensorSpec("words", "BYTES", [-1])]},
            "'text', but the signature has no such input",
        ),
        (
            {"preprocessing": {"text": TEXT}, "inputs": [TensorSpec("text", "BYTES", [-1, 2])]},
            "'text', but the signature has no such input",
        ),
        (
            {
                "preprocessing": {"text": TEXT},
                "files": ["tokenizer.json"],
                "inputs": [TensorSpec("text", "BYTES", [-1]), TensorSpec("mask", "INT64", [-1, -1])],
            },
            "twice",
        ),
    ],
)
def test_declarations_that_do_not_fit_are_refused(tmp_path, fields, words):
    files = ["model.onnx", *fields.pop("files", [])]
    bundle = seal(tmp_path / "bundle", mean_of_words(), files=files, **fields)
    with pytest.raises(BundleError, match=words):
        Servable.load(bundle)


def test_a_runtime_that_nobody_knows_or_that_is_not_installed(bundles, monkeypatch):
    model, signature = linear_softmax()
    folder = bundles.write(model.SerializeToString(), signature)
    (folder / "maas.json").write_text((folder / "maas.json").read_text().replace('"onnx"', '"onxn"'))
    with pytest.raises(BundleError, match="no runtime called 'onxn'"):
        Servable.load(Bundle.open(folder))
    monkeypatch.setitem(plugins.BUILTIN["runtime"], "onxn", Plugin("not_installed:Runtime", "pip install it"))
    with pytest.raises(MissingDependency, match="not_installed"):
        Servable.load(Bundle.open(folder))


class Trips:
    def load(self, folder, manifest, threads=1):
        raise ZeroDivisionError("by zero")


def test_a_runtime_that_trips_while_loading(bundles, monkeypatch):
    monkeypatch.setitem(plugins.BUILTIN["runtime"], "onnx", Plugin(f"{__name__}:Trips"))
    with pytest.raises(BundleError, match="The bundle does not load: ZeroDivisionError: by zero"):
        Servable.load(Bundle.open(bundles.make(linear_softmax())))


def test_a_graph_that_fails_on_its_first_row(bundles):
    graph, signature = two_inputs()
    graph.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros(0, dtype=np.float32), "table"))
    with pytest.raises(BundleError, match="The bundle does not load: The model refuses this input"):
        Servable.load(Bundle.open(bundles.make((graph, signature))))


# -- what is imported -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "expected"), [("plain", []), ("texts", ["tokenizers"]), ("images", ["PIL"])])
def test_libraries_are_imported_for_the_bundles_that_need_them(request, bundles, kind, expected):
    folder = bundles.make(linear_softmax()) if kind == "plain" else request.getfixturevalue(kind).folder
    script = """
import sys
from pathlib import Path
from maas_jupyter.bundle import Bundle
from maas_jupyter.serving.servable import Servable
Servable.load(Bundle.open(Path(sys.argv[1])))
watched = ("tokenizers", "PIL", "torch", "transformers", "starlette", "uvicorn", "mlflow")
print([name for name in watched if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(expected)
