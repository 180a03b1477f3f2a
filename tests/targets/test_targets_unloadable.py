"""A version that this machine's server cannot load is told apart wherever versions are listed."""

from __future__ import annotations

import numpy as np
import pytest
from bundles import linear_softmax

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import BundleError
from maas_jupyter.registry import Registry
from maas_jupyter.targets.local import LocalTarget


@pytest.fixture
def registered(own_home, bundles):
    """Register a version that serves, and one whose graph is none."""
    registry = Registry(config.current())
    _, signature = good = linear_softmax()
    for folder in (bundles.make(good), bundles.write(b"no graph", signature)):
        registry.register("digits", Bundle.open(folder), run_id=registry.start_run("made", {}, {}), metrics={})


def test_it_is_marked_among_the_registered_ones(registered):
    maas_jupyter.publish("digits/1")
    with pytest.raises(BundleError):
        maas_jupyter.publish("digits/2")
    maas_jupyter.stop()
    (model,) = maas_jupyter.models("digits")
    refused = {version.version: version.refused for version in model.versions}
    assert refused["1"] == ""
    assert "model.onnx" in refused["2"]
    second, first = repr(maas_jupyter.models()).splitlines()
    assert f"does not load: {refused['2']}" in second
    assert "does not load" not in first
    shown = maas_jupyter.models()._repr_mimebundle_()["text/html"]
    assert shown.count("does not load") == 1


def test_an_endpoint_says_how_a_damaged_bundle_comes_back(registered, own_home):
    maas_jupyter.publish("digits/1")
    maas_jupyter.stop()
    (graph,) = (own_home / "server").rglob("model.onnx")
    graph.write_bytes(graph.read_bytes() + b"x")
    maas_jupyter.start()
    (endpoint,) = maas_jupyter.endpoints()
    assert endpoint.state == "failed"
    assert endpoint.reason.endswith("To try it again: %maas publish digits/1")
    assert maas_jupyter.publish("digits/1").state == "ready"
    assert LocalTarget().endpoint("digits").predict(np.ones((1, 4), np.float32)).version == "1"
