"""Large bodies and large answers, during whose work other clients are answered; and what is too large for that."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import numpy as np
import pytest
from bundles import linear_softmax, two_inputs
from grpc_server import GrpcRig, arrays_of, infer_request
from tritonclient.grpc import service_pb2 as pb

from maas_jupyter.errors import InvalidInput
from maas_jupyter.serving.protocols import mlflow, v1, v1_examples, v2, v2_messages
from maas_jupyter.serving.protocols.grpc import service
from maas_jupyter.serving.protocols.mlflow_frames import SplitFrame, from_csv, from_records, from_split
from maas_jupyter.serving.protocols.v1_examples import ExamplesRequest, decode_examples
from maas_jupyter.serving.protocols.v1_values import MAX_CELLS, decode_rows

ROWS = 20_000
_, DIGITS = linear_softmax()
_, PAIR = two_inputs()


def many(item, rows=ROWS):
    return b"[" + b",".join([item] * rows) + b"]"


V2 = b'{"inputs":[{"name":"x","shape":[%d,4],"datatype":"FP32","data":%b}]}' % (ROWS, many(b"[1,0,0,0]"))
PREDICT = b'{"instances":%b}' % many(b'{"x":[1,0,0,0]}')
CLASSIFY = b'{"examples":%b}' % many(b'{"x":[1,0,0,0]}')
SPLIT = b'{"dataframe_split":{"data":%b}}' % many(b"[1,0,0,0]")
CSV = b"a,b,c,d\n" + b"1,0,0,0\n" * ROWS


@pytest.mark.parametrize(
    ("path", "body", "kind", "module", "work"),
    [
        ("/v2/models/digits/infer", V2, "json", v2_messages, "decode_body"),
        ("/v2/models/digits/infer", V2, "json", v2, "write_response"),
        ("/v1/models/digits:predict", PREDICT, "json", v1, "decode_body"),
        ("/v1/models/digits:predict", PREDICT, "json", v1, "encode_rows"),
        ("/v1/models/digits:classify", CLASSIFY, "json", v1, "decode_body"),
        ("/v1/models/digits:classify", CLASSIFY, "json", v1, "encode_classes"),
        ("/models/digits/invocations", SPLIT, "json", mlflow, "decode_body"),
        ("/models/digits/invocations", SPLIT, "json", mlflow, "encode_rows"),
        ("/models/digits/invocations", CSV, "csv", mlflow, "from_csv"),
    ],
)
def test_others_are_answered_meanwhile(rest, monkeypatch, path, body, kind, module, work):
    began, go_on = threading.Event(), threading.Event()
    original = getattr(module, work)

    def slow(*arguments, **named):
        began.set()
        assert go_on.wait(30)
        return original(*arguments, **named)

    monkeypatch.setattr(module, work, slow)
    headers = {"Content-Type": "text/csv" if kind == "csv" else "application/json"}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(rest.http.post, path, content=body, headers=headers)
        try:
            assert began.wait(30)
            assert httpx.get(f"http://{rest.address}/v2/health/live", timeout=10).status_code == 200
        finally:
            go_on.set()
        assert asked.result().status_code == 200, asked.result().text


def examples(body):
    return decode_examples(msgspec.json.decode(body, type=ExamplesRequest), DIGITS)


TOO_MANY = {
    "rows of csv": lambda: from_csv(b"a\n" + b"1\n" * MAX_CELLS),
    "columns of csv": lambda: from_csv(b"a\n" + b"1," * (MAX_CELLS + 1)),
    "split": lambda: from_split(SplitFrame(many(b"[1,1]", MAX_CELLS // 2 + 1))),
    "split of columns": lambda: from_split(SplitFrame(b"[[1]]", many(b"1", MAX_CELLS + 1))),
    "split of lists": lambda: from_split(SplitFrame(many(b"[" * 90 + b"]" * 90, MAX_CELLS // 90 + 1))),
    "records": lambda: from_records(many(b"{}", MAX_CELLS + 1)),
    "rows of objects": lambda: decode_rows(many(b'{"a":1,"i":0}', MAX_CELLS // 2 + 1), PAIR),
    "rows of nothing": lambda: decode_rows(many(b"{}", MAX_CELLS + 1), PAIR),
    "examples": lambda: examples(b'{"examples":%b}' % many(b'{"x":1}', MAX_CELLS + 1)),
    "a context": lambda: examples(b'{"context":{"x":%b},"examples":%b}' % (many(b"1", 10_000), many(b"{}", 10_000))),
}


@pytest.mark.parametrize("what", TOO_MANY)
def test_too_many_values_are_refused_before_they_are_made(what):
    with pytest.raises(InvalidInput, match="holds more than 1,000,000 values") as refused:
        TOO_MANY[what]()
    assert "/infer" in refused.value.hint


def test_rows_of_many_numbers_are_not_many_values():
    rows = many(b'{"x":%b}' % many(b"1", 2000), 600)
    assert decode_rows(rows, msgspec.structs.replace(DIGITS, inputs=[_wide()]))["x"].shape == (600, 2000)
    features = examples(b'{"context":{"x":[1,2,3,4]},"examples":[{},{"x":[5,6,7,8]}]}')["x"]
    np.testing.assert_array_equal(features, [[1, 2, 3, 4], [5, 6, 7, 8]])
    assert v1_examples.MAX_CELLS == MAX_CELLS


def _wide():
    return msgspec.structs.replace(DIGITS.inputs[0], shape=[-1, 2000])


@pytest.mark.parametrize("work", ["decode_inputs", "encode_answer"])
def test_others_are_answered_meanwhile_over_grpc(tmp_path, bundles, monkeypatch, work):
    began, go_on = threading.Event(), threading.Event()
    original = getattr(service, work)

    def slow(*arguments):
        began.set()
        assert go_on.wait(30)
        return original(*arguments)

    monkeypatch.setattr(service, work, slow)
    rig = GrpcRig(tmp_path / "grpc")
    try:
        rig.publish("digits", bundles.make(linear_softmax()))
        request = infer_request("digits", ("x", "FP32", np.zeros((ROWS, 4), np.float32)))
        asked = rig.stub().ModelInfer.future(request, timeout=60)
        try:
            assert began.wait(30)
            assert rig.stub().ServerLive(pb.ServerLiveRequest(), timeout=10).live
        finally:
            go_on.set()
        assert arrays_of(asked.result())["scores"].shape == (ROWS, 3)
    finally:
        rig.close()
