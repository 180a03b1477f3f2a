from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
from msgspec import structs

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.errors import BundleError, InvalidInput, MissingDependency
from maas_jupyter.schema import Manifest, Signature, TensorSpec
from maas_jupyter.serving.servable import Servable

openvino = pytest.importorskip("maas_jupyter.serving.runtimes.openvino").ov
onnx = pytest.importorskip("onnx")


def graph():
    """Looks rows up in a table of five, with a name for each: ``row`` INT64 [-1] -> ``values`` and ``label``."""
    from onnx import TensorProto, helper, numpy_helper

    table = numpy_helper.from_array(np.arange(10, dtype=np.float32).reshape(5, 2), "table")
    names = helper.make_tensor("names", TensorProto.STRING, [5], [f"name {row}".encode() for row in range(5)])
    made = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "row"], ["values"]),
            helper.make_node("Gather", ["names", "row"], ["label"]),
        ],
        "lookup",
        [helper.make_tensor_value_info("row", TensorProto.INT64, ["rows"])],
        [
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["rows", 2]),
            helper.make_tensor_value_info("label", TensorProto.STRING, ["rows"]),
        ],
        [table, names],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


SIGNATURE = Signature(
    [TensorSpec("row", "INT64", [-1])], [TensorSpec("values", "FP32", [-1, 2]), TensorSpec("label", "BYTES", [-1])]
)
MANIFEST = Manifest(task="tensor", runtime="openvino", precision="fp32", signature=SIGNATURE)


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    onnx.save(graph(), str(folder / MODEL_FILE))
    return Bundle.seal(folder, MANIFEST, [MODEL_FILE])


@pytest.fixture
def own_files(tmp_path, bundle):
    folder = tmp_path / "own"
    folder.mkdir()
    openvino.save_model(openvino.Core().read_model(str(bundle.folder / MODEL_FILE)), folder / "model.xml")
    return Bundle.seal(folder, MANIFEST, ["model.xml", "model.bin"])


@pytest.mark.parametrize("made", ["bundle", "own_files"])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_graph_runs_with_any_number_of_rows_and_gives_texts(request, made, rows):
    servable = Servable.load(request.getfixturevalue(made), threads=2)
    outputs = servable.run({"row": np.arange(rows)})
    assert outputs["values"].tolist() == [[2 * row, 2 * row + 1] for row in range(rows)]
    assert outputs["label"].dtype == object
    assert outputs["label"].tolist() == [f"name {row}" for row in range(rows)]
    servable.unload()


def test_an_answer_does_not_change_with_the_next_run(bundle):
    servable = Servable.load(bundle)
    first = servable.run({"row": np.array([1])})
    servable.run({"row": np.array([4])})
    assert first["values"].tolist() == [[2, 3]]


def test_threads_are_those_that_were_asked_for(bundle):
    for threads in (1, 2):
        servable = Servable.load(bundle, threads=threads)
        assert servable.runtime._compiled.get_property("INFERENCE_NUM_THREADS") == threads


def test_what_the_manifest_does_not_list_is_not_opened(tmp_path, bundle, own_files):
    for name in ("model.xml", "model.bin"):
        shutil.copy(own_files.folder / name, bundle.folder / name)
    (bundle.folder / "model.xml").write_text("not a graph")
    Servable.load(bundle).unload()
    lone = Bundle.seal(own_files.folder, MANIFEST, ["model.xml"])
    with pytest.raises(BundleError, match=r"holds no model\.bin"):
        Servable.load(lone)


def test_a_broken_graph_is_a_bundle_error(bundle):
    (bundle.folder / MODEL_FILE).write_bytes(b"not a graph")
    broken = Bundle.seal(bundle.folder, MANIFEST, [MODEL_FILE])
    with pytest.raises(BundleError, match=r"model\.onnx cannot be loaded by OpenVINO"):
        Servable.load(broken)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (structs.replace(SIGNATURE, inputs=[TensorSpec("other", "INT64", [-1])]), "has the inputs"),
        (structs.replace(SIGNATURE, outputs=[TensorSpec("other", "FP32", [-1])]), "has the outputs"),
    ],
)
def test_a_graph_that_is_not_what_the_manifest_says_is_a_bundle_error(bundle, signature, said):
    other = Bundle.seal(bundle.folder, structs.replace(MANIFEST, signature=signature), [MODEL_FILE])
    with pytest.raises(BundleError, match=said):
        Servable.load(other)


def test_without_the_package_the_server_says_what_to_install(bundle, monkeypatch):
    monkeypatch.delitem(sys.modules, "maas_jupyter.serving.runtimes.openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependency, match="The runtime 'openvino' needs the package 'openvino'") as caught:
        Servable.load(bundle)
    assert caught.value.hint == "pip install 'maas-jupyter[openvino]'"


@pytest.mark.parametrize("threads", [1, 2])
def test_values_that_the_graph_refuses_are_invalid_input(tmp_path, threads):
    from onnx import TensorProto, helper

    made = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        "sum",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}s"]) for name in "ab"],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["sums"])],
    )
    folder = tmp_path / "sum"
    folder.mkdir()
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(folder / MODEL_FILE)
    )
    signature = Signature([TensorSpec(name, "FP32", [-1]) for name in "ab"], [TensorSpec("sum", "FP32", [-1])])
    servable = Servable.load(Bundle.seal(folder, structs.replace(MANIFEST, signature=signature), [MODEL_FILE]), threads)
    for _ in range(2):
        with pytest.raises(InvalidInput, match="The model refuses this input"):
            servable.runtime.run({"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)})
        assert servable.runtime.run({name: np.ones(4, np.float32) for name in "ab"})["sum"].tolist() == [2] * 4


FREED_ELSEWHERE = """
import gc, os, signal, sys, threading
from pathlib import Path
from maas_jupyter.bundle import Bundle
from maas_jupyter.serving.runtimes.openvino import OpenVinoRuntime

bundle = Bundle.open(Path(sys.argv[1]))
runtime = OpenVinoRuntime()
runtime.load(bundle.folder, bundle.manifest)

def free():
    runtime.unload()
    gc.collect()

thread = threading.Thread(target=free)
thread.start()
thread.join()
signal.signal(signal.SIGINT, lambda number, frame: print("alive"))
os.kill(os.getpid(), signal.SIGINT)
"""


def test_a_signal_is_survived_after_another_thread_unloaded_a_model(bundle):
    command = [sys.executable, "-c", FREED_ELSEWHERE, str(bundle.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
