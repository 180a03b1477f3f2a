"""The lines that an endpoint shows: each runs as it is printed, wherever the endpoint is and whatever it takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from bundles import _model as graph_of
from bundles import labelled, linear_softmax
from input_bundles import PIXELS, TEXT, mean_of_pixels, mean_of_words, seal
from onnx import TensorProto, helper
from remote_server import ADMIN, RemoteServer

from maas_jupyter.schema import Signature, TensorSpec
from maas_jupyter.targets.connections import new_connection
from maas_jupyter.targets.local import LocalTarget
from maas_jupyter.targets.remote import RemoteTarget


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    # A space and what a shell would read: homes have them.
    target = LocalTarget(tmp_path_factory.mktemp("a home with $HOME 'quotes'") / "server")
    yield target
    target.stop()


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    server = RemoteServer(tmp_path_factory.mktemp("it's remote"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNIPPET_TOKEN", ADMIN)
        yield RemoteTarget(new_connection("gpu", server.url, "SNIPPET_TOKEN", str(server.ca_file), insecure=False))
    server.stop()


@pytest.fixture(params=["local", "remote"])
def place(request):
    return request.getfixturevalue(request.param)


def photograph(size=224):
    """Mean of a picture: pixels FP32[-1, 3, size, size], dark BOOL[-1] -> output FP32[-1, 3]."""
    model = graph_of(
        [helper.make_node("ReduceMean", ["pixels"], ["output"], axes=[2, 3], keepdims=0)],
        [
            helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["rows", 3, size, size]),
            helper.make_tensor_value_info("dark", TensorProto.BOOL, ["rows"]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows", 3])],
    )
    inputs = [TensorSpec("pixels", "FP32", [-1, 3, size, size]), TensorSpec("dark", "BOOL", [-1])]
    return model, Signature(inputs, [TensorSpec("output", "FP32", [-1, 3])])


def made(kind, bundles, folder):
    folder.mkdir(exist_ok=True)
    if kind == "tensor":
        return bundles.make(linear_softmax())
    if kind == "table":
        return bundles.make(labelled(), task="tensor")
    if kind == "photograph":
        return bundles.make(photograph(), task="tensor")
    if kind == "icon":
        return bundles.make(photograph(8), task="tensor")
    if kind == "text":
        files = ("model.onnx", "tokenizer.json")
        return seal(folder / kind, mean_of_words(), preprocessing={"text": TEXT}, files=files).folder
    return seal(folder / kind, mean_of_pixels(), preprocessing={"image": PIXELS}).folder


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["tensor", "text", "table", "image", "icon", "photograph"])
def test_every_line_runs_as_it_is_printed(place, bundles, tmp_path, kind):
    published = place.publish(kind, "1", made(kind, bundles, tmp_path / "made"))
    listed = next(each for each in place.endpoints() if each.name == kind)
    for endpoint in (published, listed, place.endpoint(kind)):
        assert len(endpoint.curl) < 2500
        assert len(endpoint.python_client) < 2500
    answer = json.loads(run("bash", "-c", listed.curl))
    assert answer["model_name"] == kind
    assert answer["outputs"][0]["shape"][0] == 1
    assert f"'model_name': '{kind}'" in run(sys.executable, "-c", listed.python_client)
    assert (listed.curl, listed.python_client) == (published.curl, published.python_client)


def test_many_values_make_no_long_line(local, bundles):
    endpoint = local.publish("icon", "1", bundles.make(photograph(8), task="tensor"))
    assert endpoint.curl.count("0,") < 5
    assert "$(printf 0,%.0s $(seq 191))" in endpoint.curl


def test_no_list_of_processes_shows_the_token(place, bundles, tmp_path, monkeypatch):
    words = tmp_path / "words"
    for program in ("curl", "sed", "seq"):
        real = run("which", program).strip()
        (tmp_path / program).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {words}\nexec {real} "$@"\n')
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    token = re.search(r"Bearer (\S+)", str(place.connection()._settings["headers"]))[1].rstrip("',}")
    for kind in ("tensor", "photograph"):
        place.publish(kind, "1", made(kind, bundles, tmp_path / "made"))
        listed = next(each for each in place.endpoints() if each.name == kind)
        assert json.loads(run("bash", "-c", listed.curl))["outputs"]
        assert token not in listed.curl + listed.python_client
    assert "-H\n@-\n" in words.read_text()
    assert token not in words.read_text()


@pytest.mark.parametrize("size", [8, 224])
def test_other_shells_understand_them_too(local, bundles, size):
    endpoint = local.publish("photograph", "1", bundles.make(photograph(size), task="tensor"))
    assert json.loads(run("sh", "-c", endpoint.curl))["outputs"]


def test_what_stopped_serving_meanwhile_has_none(remote, bundles):
    remote.publish("brief", "1", bundles.make(linear_softmax(17)))
    listed = next(each for each in remote.endpoints() if each.name == "brief")
    remote.unpublish("brief")
    assert (listed.curl, listed.python_client) == ("", "")


def test_values_are_zeros_of_the_models_kind(local, bundles):
    endpoint = local.publish("tensor", "1", bundles.make(linear_softmax()))
    assert np.array(json.loads(run("bash", "-c", endpoint.curl))["outputs"][1]["data"]).sum() == pytest.approx(1)
