"""Clients that users already have, against a whole server as processes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

import numpy as np
from bundles import Bundles
from rest_server import publish, publish_all
from supervised import Server

from maas_jupyter.schema import Signature, TensorSpec


def half_plus_two():
    """The model of TensorFlow Serving's manual: x FP32[-1] -> prediction FP32[-1]."""
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["halved"]),
        helper.make_node("Add", ["halved", "two"], ["prediction"]),
    ]
    constants = {"half": 0.5, "two": 2.0}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["rows"])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model, Signature([TensorSpec("x", "FP32", [-1])], [TensorSpec("prediction", "FP32", [-1])])


@dataclass(frozen=True)
class Address:
    """Where the server is. ``url`` has the scheme, the others are ``host:port``."""

    url: str
    http: str
    grpc: str
    token: str

    @property
    def headers(self):
        return {"authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """A server of two workers with the models digits, words, pair, echo, picture and half_plus_two."""
    folder = tmp_path_factory.mktemp("clients")
    server = Server(folder / "home", "--workers", "2", "--grpc-port", "0")
    try:
        record = server.start().record
        found = Address(record.url, record.url.removeprefix("http://"), record.grpc, record.token)
        with httpx.Client(base_url=found.url, headers=found.headers, timeout=60) as http:
            bundles = Bundles(folder / "made")
            publish_all(http, bundles)
            publish(http, bundles, "half_plus_two", "123", half_plus_two(), task="regression")
        yield found
        assert '"level": "error"' not in server.log()
    finally:
        server.close()
