from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address

import grpc
import numpy as np
import pytest
from bundles import WEIGHTS, Bundles, labelled, linear_softmax, two_inputs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from grpc_server import GrpcRig, arrays_of, infer_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2 as pb

from maas_jupyter import plugins
from maas_jupyter.plugins import Plugin
from maas_jupyter.schema import NUMPY_DTYPES, Signature, TensorSpec
from maas_jupyter.serving.options import Limits

X = np.array([[1, 2, 3, 4], [0, 0, 0, 1]], dtype=np.float32)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def identity(datatype):
    """Hand a tensor of any datatype through: x [-1, 2] -> y."""
    kinds = {"FP32": "FLOAT", "FP64": "DOUBLE", "FP16": "FLOAT16", "BYTES": "STRING"}
    kind = TensorProto.DataType.Value(kinds.get(datatype, datatype))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", kind, ["rows", 2])],
        [helper.make_tensor_value_info("y", kind, ["rows", 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model, Signature([TensorSpec("x", datatype, [-1, 2])], [TensorSpec("y", datatype, [-1, 2])])


class GatedRuntime:
    """Waits in every run until the test opens the gate."""

    gate = threading.Event()
    entered = threading.Semaphore(0)
    runs: list[float] = []

    def load(self, folder, manifest, threads=1):
        pass

    def warm_up(self):
        time.sleep(0.02)  # so slow a model is not run on the event loop

    def run(self, inputs):
        self.entered.release()
        assert self.gate.wait(60)
        self.runs.append(float(inputs["x"][0, 0]))
        return {"y": inputs["x"]}

    def unload(self):
        pass


class CountingRuntime(GatedRuntime):
    """Counts from 0 to 9; waits at the gate before the last."""

    closed = threading.Event()

    async def stream(self, inputs):
        try:
            for number in range(10):
                while number == 9 and not self.gate.is_set():
                    await asyncio.sleep(0.01)
                yield {"y": inputs["x"] * 0 + number}
        finally:
            self.closed.set()


class BrokenRuntime(GatedRuntime):
    def run(self, inputs):
        raise ZeroDivisionError("secret detail")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Bundles(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def rig(tmp_path_factory, made):
    rig = GrpcRig(tmp_path_factory.mktemp("server"))
    rig.publish("digits", made.make(linear_softmax(), labels=["zero", "one", "two"]))
    rig.publish("words", made.make(labelled()))
    rig.publish("pair", made.make(two_inputs()))
    yield rig
    rig.close()


@pytest.fixture(scope="module")
def stub(rig):
    return rig.stub()


@pytest.fixture
def own_rig(tmp_path):
    rigs = []

    def make(**options):
        rigs.append(GrpcRig(tmp_path / f"own-{len(rigs)}", **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def gated(own_rig, made, monkeypatch):
    monkeypatch.setitem(plugins.BUILTIN["runtime"], "gated", Plugin(f"{__name__}:GatedRuntime"))
    monkeypatch.setattr(GatedRuntime, "gate", threading.Event())
    monkeypatch.setattr(GatedRuntime, "entered", threading.Semaphore(0))
    monkeypatch.setattr(GatedRuntime, "runs", [])
    rig = own_rig()
    signature = Signature([TensorSpec("x", "FP32", [-1, 1])], [TensorSpec("y", "FP32", [-1, 1])])
    rig.publish("slow", made.write(b"gated", signature, runtime="gated", max_batch=1))
    yield rig
    GatedRuntime.gate.set()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "maas-jupyter tests")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def slow_request(value):
    return infer_request("slow", ("x", "FP32", np.array([[value]], dtype=np.float32)))


def listens(port):
    """Say whether connections are accepted. A call that gRPC receives in the moment it stops may wait for the end."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def refused(call, *arguments, **options):
    """Return code and words of a call that is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value.code(), caught.value.details()


# -- inference --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [True, False])
def test_the_answer_comes_as_the_request_did(stub, raw):
    response = stub.ModelInfer(infer_request("digits", ("x", "FP32", X), raw=raw, id="r-1"))
    assert (response.model_name, response.model_version, response.id) == ("digits", "1", "r-1")
    assert bool(response.raw_output_contents) == raw
    assert [(tensor.name, tensor.datatype, tensor.HasField("contents")) for tensor in response.outputs] == [
        ("label", "INT64", not raw),
        ("scores", "FP32", not raw),
    ]
    found = arrays_of(response)
    np.testing.assert_allclose(found["scores"], softmax(X @ WEIGHTS), rtol=1e-5)
    assert found["label"].tolist() == [2, 2]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("datatype", sorted(NUMPY_DTYPES))
def test_every_datatype_both_ways(rig, stub, made, datatype, raw):
    rig.publish("identity", made.make(identity(datatype)))
    array = np.array([["", "ü"], ["b", "c"]], dtype=object)
    if datatype != "BYTES":
        array = np.array([[0, 1], [1, 0]], dtype=NUMPY_DTYPES[datatype])
    # FP16 has no typed contents.
    request = infer_request("identity", ("x", datatype, array), raw=raw or datatype == "FP16")
    found = arrays_of(stub.ModelInfer(request))["y"]
    if datatype == "BYTES" and not raw:
        found = np.vectorize(bytes.decode, otypes=[object])(found)
    assert found.tolist() == array.tolist()


def test_bf16_is_taken_for_fp32(stub):
    request = infer_request("digits", ("x", "FP32", X))
    request.inputs[0].datatype = "BF16"
    request.raw_input_contents[0] = (X.view(np.uint32) >> 16).astype("<u2").tobytes()
    np.testing.assert_allclose(arrays_of(stub.ModelInfer(request))["scores"], softmax(X @ WEIGHTS), rtol=1e-5)


def test_typed_fp16_answers_are_raw(stub, rig, made):
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["rows"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    rig.publish("half", made.make((model, Signature([TensorSpec("x", "FP32", [-1])], [TensorSpec("y", "FP16", [-1])]))))
    response = stub.ModelInfer(infer_request("half", ("x", "FP32", np.ones(2, np.float32)), raw=False))
    assert arrays_of(response)["y"].tolist() == [1, 1]
    assert response.raw_output_contents


def test_two_inputs_in_any_order(stub):
    a, i = ("a", "FP32", np.array([1, 2.5], np.float32)), ("i", "INT64", np.array([0, 1]))
    for tensors in ((a, i), (i, a)):
        assert arrays_of(stub.ModelInfer(infer_request("pair", *tensors)))["prediction"].tolist() == [11, 22.5]


def test_outputs_are_those_asked_for_in_their_order(stub):
    request = infer_request("digits", ("x", "FP32", X))
    for name in ("scores", "label"):
        request.outputs.add(name=name)
    assert [tensor.name for tensor in stub.ModelInfer(request).outputs] == ["scores", "label"]


def test_classes_are_named_where_they_are_asked_for(stub):
    request = infer_request("digits", ("x", "FP32", X[:1]))
    request.outputs.add(name="scores").parameters["classification"].int64_param = 2
    response = stub.ModelInfer(request)
    assert response.outputs[0].datatype == "BYTES"
    assert [text.split(":")[1:] for text in arrays_of(response)["scores"][0]] == [["2", "two"], ["1", "one"]]


def _broken_requests():
    def typed(datatype, shape, **contents):
        request = pb.ModelInferRequest(model_name="digits")
        request.inputs.add(name="x", datatype=datatype, shape=shape, contents=pb.InferTensorContents(**contents))
        return request

    def changed(change):
        request = infer_request("digits", ("x", "FP32", X))
        change(request)
        return request

    def twice(request):
        request.inputs.append(request.inputs[0])
        request.raw_input_contents.append(request.raw_input_contents[0])

    def shared(request):
        request.inputs[0].parameters["shared_memory_region"].string_param = "r"

    def both(request):
        request.inputs[0].contents.fp32_contents.append(1)

    def classes(request):
        request.outputs.add(name="scores").parameters["classification"].string_param = "many"

    def wait(request):
        request.parameters["timeout"].string_param = "long"

    return {
        "no inputs": (pb.ModelInferRequest(model_name="digits"), "'x'"),
        "another name": (infer_request("digits", ("y", "FP32", X)), "'y'"),
        "another datatype": (infer_request("digits", ("x", "FP64", X.astype(float))), "FP64"),
        "another shape": (infer_request("digits", ("x", "FP32", X[0])), "[-1, 4]"),
        "no rows": (infer_request("digits", ("x", "FP32", X[:0])), "no values"),
        "short": (changed(lambda r: r.raw_input_contents.__setitem__(0, b"abc")), "takes 32 bytes, but there are 3"),
        "shape below zero": (changed(lambda r: r.inputs[0].shape.__setitem__(0, -1)), "negative"),
        "unknown datatype": (changed(lambda r: setattr(r.inputs[0], "datatype", "FP8")), "FP8"),
        "unknown output": (changed(lambda r: r.outputs.add(name="score")), "Did you mean 'scores'"),
        "twice": (changed(twice), "same name"),
        "a raw tensor too many": (changed(lambda r: r.raw_input_contents.append(b"")), "2 raw_input_contents"),
        "raw and typed": (changed(both), "beside"),
        "shared memory": (changed(shared), "shared memory"),
        "classes": (changed(classes), "classified"),
        "timeout": (changed(wait), "microseconds"),
        "typed: wrong count": (
            typed("FP32", [1, 4], fp32_contents=[1]),
            "asks for 4 values, but fp32_contents holds 1",
        ),
        "typed: wrong field": (typed("FP32", [1, 1], fp64_contents=[1]), "fp64_contents"),
        "typed: unknown datatype": (typed("FP8", [1]), "FP8"),
        "typed: fp16": (typed("FP16", [1]), "raw_input_contents"),
        "typed: range": (typed("INT8", [1], int_contents=[128]), "range of INT8"),
        "typed: negative size": (typed("FP32", [-1, 4], fp32_contents=[1]), "negative"),
        "typed: beyond all bounds": (typed("FP32", [0, 2**62, 2**62]), "Input 'x'"),
        "rank": (typed("FP32", [1] * 17, fp32_contents=[1]), "17 dimensions"),
    }


@pytest.mark.parametrize("case", sorted(_broken_requests()))
def test_wrong_requests_are_refused_in_words(stub, case):
    request, words = _broken_requests()[case]
    code, details = refused(stub.ModelInfer, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert words in details


def test_text_that_is_none_is_refused(stub):
    request = infer_request("words", ("n", "INT64", np.array([1])), ("text", "BYTES", np.array([b"\xff"], object)))
    code, details = refused(stub.ModelInfer, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "'text'" in details
    assert "UTF-8" in details


def test_what_the_model_refuses(stub):
    request = infer_request("pair", ("a", "FP32", np.ones(1, np.float32)), ("i", "INT64", np.array([9])))
    code, details = refused(stub.ModelInfer, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "refuses" in details


def test_many_words_are_cut_to_what_trailers_hold(stub):
    tensors = [(f"{number:0>120}", "FP32", X) for number in range(200)]
    code, details = refused(stub.ModelInfer, infer_request("digits", *tensors))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert details.endswith("...")


@pytest.fixture(scope="module")
def raw_call(rig):
    channel = grpc.insecure_channel(f"127.0.0.1:{rig.server.port}")
    method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    yield lambda body: method(body, metadata=[("authorization", "Bearer the-token-of-a-reader")], timeout=60)
    channel.close()


def _tensor_messages(kind):
    contents = st.builds(
        pb.InferTensorContents,
        fp32_contents=st.lists(st.floats(width=32), max_size=5),
        bytes_contents=st.lists(st.binary(max_size=3), max_size=2),
    )
    return st.builds(
        kind,
        name=st.sampled_from(["x", "text", "n", ""]),
        datatype=st.sampled_from(["FP32", "INT64", "BYTES", "BF16", "BOOL", "?"]),
        shape=st.lists(st.integers(-2, 4) | st.integers(-(2**63), 2**63 - 1), max_size=4),
        contents=st.none() | contents,
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60)
    | st.builds(
        pb.ModelInferRequest,
        model_name=st.sampled_from(["digits", "words", ""]),
        model_version=st.sampled_from(["", "1", "\n"]),
        inputs=st.lists(_tensor_messages(pb.ModelInferRequest.InferInputTensor), max_size=3),
        raw_input_contents=st.lists(st.binary(max_size=20), max_size=3),
    ).map(pb.ModelInferRequest.SerializeToString)
)
def test_no_request_is_our_error(raw_call, body):
    try:
        raw_call(body)
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND), error


def test_what_is_no_message_is_refused(raw_call):
    code, details = refused(raw_call, b"\xff\xff")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "ModelInferRequest" in details


# -- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_answers_in_order_and_survives_what_is_wrong(stub):
    requests = [
        infer_request("digits", ("x", "FP32", X[:1]), id="a"),
        infer_request("nothing", id="b"),
        infer_request("digits", ("x", "FP32", X), id="c", raw=False),
    ]
    a, b, c = stub.ModelStreamInfer(iter(requests))
    assert [answer.infer_response.id for answer in (a, b, c)] == ["a", "b", "c"]
    assert "no model 'nothing'" in b.error_message
    assert not a.error_message
    assert a.infer_response.parameters["triton_final_response"].bool_param
    np.testing.assert_allclose(arrays_of(c.infer_response)["scores"], softmax(X @ WEIGHTS), rtol=1e-5)


def test_a_stream_needs_a_token_too(rig):
    code, _ = refused(list, rig.stub(token=None).ModelStreamInfer(iter([infer_request("digits")])))
    assert code == grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture
def counting(own_rig, made, monkeypatch):
    monkeypatch.setitem(plugins.BUILTIN["runtime"], "counting", Plugin(f"{__name__}:CountingRuntime"))
    monkeypatch.setattr(GatedRuntime, "gate", threading.Event())
    monkeypatch.setattr(CountingRuntime, "closed", threading.Event())
    rig = own_rig()
    signature = Signature([TensorSpec("x", "FP32", [-1, 1])], [TensorSpec("y", "FP32", [-1, 1])])
    rig.publish("counter", made.write(b"counting", signature, runtime="counting"))
    yield rig
    GatedRuntime.gate.set()


@pytest.mark.parametrize("final", [True, False])
def test_a_streaming_model_answers_in_parts(counting, final):
    request = infer_request("counter", ("x", "FP32", np.ones((1, 1), np.float32)), id="c")
    request.parameters["triton_enable_empty_final_response"].bool_param = final
    answers = counting.stub().ModelStreamInfer(iter([request]))
    first = [next(answers).infer_response for _ in range(9)]
    assert [arrays_of(part)["y"].item() for part in first] == list(range(9))  # while the tenth is not made yet
    GatedRuntime.gate.set()
    last = [answer.infer_response for answer in answers]
    assert arrays_of(last[0])["y"].item() == 9
    flags = [part.parameters["triton_final_response"].bool_param for part in (*first, *last)]
    assert flags == [False] * 10 + [True] * final
    assert {(part.model_name, part.model_version, part.id) for part in (*first, *last)} == {("counter", "1", "c")}
    assert counting.counts().requests == {("counter", "1", "v2-grpc", 200): 1}


def test_a_cancelled_stream_ends_the_runtimes(counting):
    request = infer_request("counter", ("x", "FP32", np.ones((1, 1), np.float32)))
    answers = counting.stub().ModelStreamInfer(iter([request]))
    assert arrays_of(next(answers).infer_response)["y"].item() == 0
    answers.cancel()
    assert CountingRuntime.closed.wait(30)
    counting.wait_for(lambda: counting.counts().requests == {("counter", "1", "v2-grpc", 499): 1})


# -- models and the server --------------------------------------------------------------------------------------------


def test_the_server_says_what_it_is(stub):
    assert stub.ServerLive(pb.ServerLiveRequest()).live
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    metadata = stub.ServerMetadata(pb.ServerMetadataRequest())
    assert metadata.name == "maas-jupyter"
    assert {"model_repository", "statistics"} <= set(metadata.extensions)


def test_the_server_is_not_ready_before_its_models_are(own_rig):
    rig = own_rig()
    rig.repository.settled = False
    assert not rig.stub().ServerReady(pb.ServerReadyRequest()).ready


def test_metadata(stub):
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="digits", version="1"))
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("digits", ["1"], "onnx")
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in (*metadata.inputs, *metadata.outputs)] == [
        ("x", "FP32", [-1, 4]),
        ("label", "INT64", [-1]),
        ("scores", "FP32", [-1, 3]),
    ]


def test_configuration(stub):
    config = stub.ModelConfig(pb.ModelConfigRequest(name="words")).config
    assert (config.name, config.backend, config.max_batch_size) == ("words", "onnx", 64)
    assert [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in config.input] == [
        ("n", 9, []),
        ("text", 13, []),
    ]


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [("digits", "", True), ("digits", "1", True), ("digits", "2", False), ("?", "", False)],
)
def test_readiness(stub, name, version, ready):
    assert stub.ModelReady(pb.ModelReadyRequest(name=name, version=version)).ready == ready


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("ModelInfer", infer_request("nothing")),
        ("ModelInfer", infer_request("digits", model_version="9")),
        ("ModelMetadata", pb.ModelMetadataRequest(name="nothing")),
        ("ModelConfig", pb.ModelConfigRequest(name="digits", version="9")),
        ("ModelStatistics", pb.ModelStatisticsRequest(name="nothing")),
        ("ModelStatistics", pb.ModelStatisticsRequest(name="digits", version="9")),
        ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="nothing")),
        ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="nothing")),
    ],
)
def test_what_does_not_exist_is_not_found(stub, method, request_):
    code, details = refused(getattr(stub, method), request_)
    assert code == grpc.StatusCode.NOT_FOUND
    assert "here" in details


def test_models_are_listed_unloaded_and_loaded(own_rig, made):
    rig = own_rig()
    rig.publish("digits", made.make(linear_softmax()))
    stub = rig.stub()

    def index(ready=False):
        return [
            (row.name, row.version, row.state)
            for row in stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=ready)).models
        ]

    assert index() == [("digits", "1", "READY")]
    stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="digits"))
    assert index() == [("digits", "1", "UNAVAILABLE")]
    assert index(ready=True) == []
    assert not stub.ModelReady(pb.ModelReadyRequest(name="digits")).ready
    code, details = refused(stub.ModelInfer, infer_request("digits", ("x", "FP32", X)))
    assert code == grpc.StatusCode.UNAVAILABLE
    assert "not in memory" in details
    # As KServe numbers the field.
    stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(repository_name="digits"))
    assert index(ready=True) == [("digits", "1", "READY")]
    assert rig.control.asked == [("digits", False, "ann"), ("digits", True, "ann")]


def test_a_model_is_loaded_as_it_was_published(stub):
    request = pb.RepositoryModelLoadRequest(model_name="digits")
    request.parameters["config"].string_param = "{}"
    code, details = refused(stub.RepositoryModelLoad, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "'config'" in details


def test_statistics(own_rig, made):
    rig = own_rig()
    rig.publish("digits", made.make(linear_softmax()))
    rig.publish("pair", made.make(two_inputs()))
    stub = rig.stub()
    for _ in range(3):
        stub.ModelInfer(infer_request("digits", ("x", "FP32", X)))
    refused(stub.ModelInfer, infer_request("digits"))
    (row,) = stub.ModelStatistics(pb.ModelStatisticsRequest(name="digits")).model_stats
    assert (row.name, row.version, row.inference_count, row.execution_count) == ("digits", "1", 6, 3)
    assert (row.inference_stats.success.count, row.inference_stats.fail.count) == (3, 1)
    assert row.inference_stats.success.ns > row.inference_stats.compute_infer.ns > 0
    assert [row.name for row in stub.ModelStatistics(pb.ModelStatisticsRequest()).model_stats] == ["digits", "pair"]


# -- around all -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization", [None, "Bearer wrong", "Basic YTpi", "Bearer", "Bearer the-token-of-an-admin2"]
)
def test_without_the_token_there_is_nothing(rig, authorization):
    stub = rig.stub(token=None)
    metadata = [("authorization", authorization)] if authorization else []
    assert stub.ServerLive(pb.ServerLiveRequest(), metadata=metadata).live
    assert stub.ServerReady(pb.ServerReadyRequest(), metadata=metadata).ready
    for method, request in (
        (stub.ModelInfer, infer_request("digits")),
        (stub.ServerMetadata, pb.ServerMetadataRequest()),
        (stub.ModelReady, pb.ModelReadyRequest(name="digits")),
        (stub.RepositoryIndex, pb.RepositoryIndexRequest()),
        (stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name="digits")),
    ):
        code, details = refused(method, request, metadata=metadata)
        assert code == grpc.StatusCode.UNAUTHENTICATED
        assert "token" in details


def test_the_token_for_asking_administers_nothing(rig):
    stub = rig.stub("the-token-of-a-reader")
    stub.ModelInfer(infer_request("digits", ("x", "FP32", X)))
    stub.RepositoryIndex(pb.RepositoryIndexRequest())
    for method, request in (
        (stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name="digits")),
        (stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name="digits")),
    ):
        code, details = refused(method, request)
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert "admin" in details


def test_calls_are_counted_by_principal_and_code(own_rig, made):
    rig = own_rig()
    rig.publish("digits", made.make(linear_softmax()))
    for token in ("the-token-of-an-admin", "the-token-of-a-reader", "the-token-of-a-reader"):
        rig.stub(token).ModelInfer(infer_request("digits", ("x", "FP32", X)))
    refused(rig.stub().ModelInfer, infer_request("digits"))
    refused(rig.stub().ModelInfer, infer_request("nothing"))
    counts = rig.counts()
    assert counts.requests == {
        ("digits", "1", "v2-grpc", 200): 3,
        ("digits", "1", "v2-grpc", 400): 1,
        ("", "", "v2-grpc", 404): 1,
    }
    assert counts.principals == {"ann": 3, "rob": 2}


def test_ids_and_traces_come_in_and_go_out(stub):
    def trailers(*metadata):
        _, call = stub.ModelInfer.with_call(infer_request("digits", ("x", "FP32", X)), metadata=metadata)
        return dict(call.trailing_metadata())

    assert trailers(("x-request-id", "abc-1"), ("traceparent", TRACE)) == {
        "x-request-id": "abc-1",
        "traceparent": TRACE,
    }
    made = trailers()["x-request-id"]
    assert made
    assert trailers(("x-request-id", "x" * 129), ("traceparent", "no")).keys() == {"x-request-id"}
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(infer_request("nothing"), metadata=[("x-request-id", "abc-2")])
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "abc-2"


def test_one_routing_key_gets_one_version(own_rig, made):
    rig = own_rig()
    rig.publish("digits", made.make(linear_softmax()), made.make(linear_softmax(2)))
    stub = rig.stub()

    def version(key):
        request = infer_request("digits", ("x", "FP32", X))
        return stub.ModelInfer(request, metadata=[("x-routing-key", key)]).model_version

    keys = [f"user-{number}" for number in range(40)]
    first = [version(key) for key in keys]
    assert set(first) == {"1", "2"}
    assert [version(key) for key in keys] == first


def test_a_shadow_gets_its_copies(own_rig, made):
    rig = own_rig()
    rig.publish("digits", made.make(linear_softmax()), made.make(linear_softmax(-2)), shadow="2")
    stub = rig.stub()
    request = infer_request("digits", ("x", "FP32", X))
    assert stub.ModelInfer(request).model_version == "1"
    rig.wait_for(lambda: rig.counts().shadow == {("digits", "2", "disagree"): 1})
    (answer,) = stub.ModelStreamInfer(iter([request]))
    assert answer.infer_response.model_version == "1"
    rig.wait_for(lambda: rig.counts().shadow == {("digits", "2", "disagree"): 2})


def test_what_nobody_foresaw_is_internal_without_details(own_rig, made, monkeypatch, caplog):
    monkeypatch.setitem(plugins.BUILTIN["runtime"], "broken", Plugin(f"{__name__}:BrokenRuntime"))
    rig = own_rig()
    signature = Signature([TensorSpec("x", "FP32", [-1, 4])], [TensorSpec("y", "FP32", [-1, 4])])
    rig.publish("broken", made.write(b"broken", signature, runtime="broken"))
    request = infer_request("broken", ("x", "FP32", X))
    code, details = refused(rig.stub().ModelInfer, request, metadata=[("x-request-id", "the-request")])
    assert (code, details) == (grpc.StatusCode.INTERNAL, "internal error (request the-request)")
    assert "secret detail" in caplog.text
    (answer,) = rig.stub().ModelStreamInfer(iter([request]), metadata=[("x-request-id", "the-request")])
    assert answer.error_message == details


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit(own_rig, compression):
    rig = own_rig(limits=Limits(body_bytes=100_000))
    request = infer_request("digits", raw_input_contents=[bytes(200_000)])
    code, details = refused(rig.stub().ModelInfer, request, compression=compression)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in details
    code, _ = refused(rig.stub().ModelInfer, infer_request("digits", raw_input_contents=[bytes(90_000)]))
    assert code == grpc.StatusCode.NOT_FOUND


def test_answers_may_be_larger_than_requests(own_rig, made):
    rig = own_rig(limits=Limits(body_bytes=50_000))
    nodes = [helper.make_node("Tile", ["x", "times"], ["y"])]
    times = helper.make_tensor("times", TensorProto.INT64, [1], [1000])
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["many"])],
        [times],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    signature = Signature([TensorSpec("x", "FP32", [-1])], [TensorSpec("y", "FP32", [-1])])
    rig.publish("tile", made.make((model, signature), max_batch=10_000))
    response = rig.stub().ModelInfer(infer_request("tile", ("x", "FP32", np.ones(5000, np.float32))))
    assert arrays_of(response)["y"].shape == (5_000_000,)


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no Windows")
def test_it_runs_on_uvloop(own_rig, made):
    uvloop = pytest.importorskip("uvloop")
    rig = own_rig(new_loop=uvloop.new_event_loop)
    rig.publish("digits", made.make(linear_softmax()))
    stub = rig.stub()
    futures = [stub.ModelInfer.future(infer_request("digits", ("x", "FP32", X), id=str(n))) for n in range(100)]
    assert [future.result(60).id for future in futures] == [str(number) for number in range(100)]


def test_several_processes_can_share_a_port(own_rig):
    first = own_rig()
    second = own_rig(address=f"127.0.0.1:{first.server.port}")
    assert first.server.port == second.server.port


def test_an_address_that_cannot_be_bound(own_rig):
    from maas_jupyter.errors import Unavailable

    with pytest.raises(Unavailable, match="cannot be bound"):
        own_rig(address="192.0.2.1:0")


def test_tls(own_rig, certificate):
    rig = own_rig(tls=certificate)
    assert rig.stub().ServerLive(pb.ServerLiveRequest(), timeout=30).live
    with grpc.insecure_channel(f"127.0.0.1:{rig.server.port}") as channel:
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        code, _ = refused(live, b"", timeout=30)
        assert code == grpc.StatusCode.UNAVAILABLE


# -- calls that end early ---------------------------------------------------------------------------------------------


def test_a_call_past_its_deadline_is_told_so(gated):
    code, _ = refused(gated.stub().ModelInfer, slow_request(1), timeout=0.5)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_cancelled_call_costs_no_inference(gated):
    stub = gated.stub()
    running = stub.ModelInfer.future(slow_request(1))
    assert GatedRuntime.entered.acquire(timeout=30)
    waiting = [stub.ModelInfer.future(slow_request(value)) for value in (2, 3)]
    gated.wait_for(lambda: sum(gated.counts().queue_depth.values()) == 2)
    waiting[0].cancel()
    gated.wait_for(lambda: ("slow", "1", "v2-grpc", 499) in gated.counts().requests)
    GatedRuntime.gate.set()
    assert arrays_of(running.result(30))["y"].tolist() == [[1]]
    assert arrays_of(waiting[1].result(30))["y"].tolist() == [[3]]
    assert GatedRuntime.runs == [1, 3]


def test_a_stopping_server_answers_what_it_has_begun(gated):
    running = gated.stub().ModelInfer.future(slow_request(1))
    assert GatedRuntime.entered.acquire(timeout=30)
    stopping = asyncio.run_coroutine_threadsafe(gated.server.stop(30), gated.loop)
    gated.wait_for(lambda: not listens(gated.server.port))
    GatedRuntime.gate.set()
    assert arrays_of(running.result(30))["y"].tolist() == [[1]]
    stopping.result(30)
