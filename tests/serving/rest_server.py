"""The whole application behind a real HTTP server, in a thread beside the test, with models of several kinds."""

from __future__ import annotations

import threading
import time
from io import BytesIO

import httpx
import numpy as np
import uvicorn
from bundles import Bundles, labelled, linear_softmax, two_inputs
from onnx import TensorProto, helper
from PIL import Image

from maas_jupyter.schema import ImageInput, Signature, TensorSpec
from maas_jupyter.serving.app import create_app
from maas_jupyter.serving.auth import Token
from maas_jupyter.serving.options import Limits

TOKENS = [Token("ann", "admin", "the-token-of-an-admin"), Token("rob", "predict", "the-token-of-a-reader")]
BODY_BYTES = 1_000_000


def text_through():
    """Hand a text through: text BYTES[-1] -> text_bytes BYTES[-1]."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["text"], ["text_bytes"])],
        "graph",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["rows"])],
        [helper.make_tensor_value_info("text_bytes", TensorProto.STRING, ["rows"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model, Signature([TensorSpec("text", "BYTES", [-1])], [TensorSpec("text_bytes", "BYTES", [-1])])


def pixels_through():
    """Give the pixels of a grey 2 x 2 picture: image BYTES[-1] -> pixels FP32[-1, 1, 2, 2]."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["pixels"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 1, 2, 2])],
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["rows", 1, 2, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model, Signature([TensorSpec("image", "BYTES", [-1])], [TensorSpec("pixels", "FP32", [-1, 1, 2, 2])])


def picture(values=((0, 100), (200, 255))):
    """Return a grey PNG."""
    file = BytesIO()
    Image.fromarray(np.array(values, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def publish(http, bundles, name, version, made, **fields):
    """Send a bundle and publish it, over the admin API."""
    options = {key: fields.pop(key) for key in ("canary", "shadow") if key in fields}
    folder = bundles.make(made, **fields)
    digest = Bundles.digest(folder)
    names = sorted((path.name for path in folder.iterdir()), key=lambda each: each != "maas.json")
    for each in names:
        path = f"/maas/v1/bundles/{digest}/files/{each}"
        answer = http.patch(path, content=(folder / each).read_bytes(), headers={"Upload-Offset": "0"})
        assert answer.status_code == 200, answer.text
    assert http.post(f"/maas/v1/bundles/{digest}/commit").status_code == 200
    answer = http.post(f"/maas/v1/models/{name}/publish", json={"version": version, "digest": digest, **options})
    assert answer.status_code == 200, answer.text


def publish_all(http, bundles):
    """Publish one model of each kind."""
    publish(http, bundles, "digits", "1", linear_softmax(), labels=["low", "middle", "high"])
    publish(http, bundles, "words", "7", labelled(), task="tensor")
    publish(http, bundles, "pair", "1", two_inputs(), task="regression")
    publish(http, bundles, "echo", "1", text_through(), task="tensor")
    image = ImageInput(tensor="x", height=2, width=2, mean=[0.0], std=[1.0], scale=1.0)
    publish(http, bundles, "picture", "1", pixels_through(), task="tensor", preprocessing={"image": image})


class RestServer:
    """Runs until it is closed."""

    def __init__(self, folder, *, limits=None):
        self.bundles = Bundles(folder / "made")
        self.app = create_app(folder / "home", TOKENS, limits=limits or Limits(body_bytes=BODY_BYTES))
        self._server = uvicorn.Server(uvicorn.Config(self.app, port=0, log_config=None, access_log=False, ws="none"))
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        self.address = f"127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        self.http = self.client("the-token-of-an-admin")

    def client(self, token):
        return httpx.Client(base_url=f"http://{self.address}", headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def publish(self, name, version, made, **fields):
        publish(self.http, self.bundles, name, version, made, **fields)

    def publish_all(self):
        publish_all(self.http, self.bundles)

    def close(self):
        self.http.close()
        self._server.should_exit = True
        self._thread.join()
