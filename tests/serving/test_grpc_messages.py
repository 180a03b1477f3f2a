from __future__ import annotations

import subprocess
import sys

import pytest
from tritonclient.grpc import model_config_pb2, service_pb2

from maas_jupyter.serving.protocols.grpc.messages import MESSAGES

#: How our messages are called in the public schema, where they are nested there or have two names.
PUBLIC = {
    "TensorMetadata": ["ModelMetadataResponse.TensorMetadata"],
    "InferTensor": ["ModelInferRequest.InferInputTensor", "ModelInferResponse.InferOutputTensor"],
    "InferRequestedOutput": ["ModelInferRequest.InferRequestedOutputTensor"],
    "ModelIndex": ["RepositoryIndexResponse.ModelIndex"],
    "RepositoryParameter": ["ModelRepositoryParameter"],
    "ConfigInput": ["ModelInput"],
    "ConfigOutput": ["ModelOutput"],
}
#: KServe's, which Triton's schema does not have.
OURS_ONLY = {"RepositoryModelLoadResponse", "RepositoryModelUnloadResponse"}


def public(name):
    first, *rest = name.split(".")
    for module in (service_pb2, model_config_pb2):
        if found := module.DESCRIPTOR.message_types_by_name.get(first):
            for inner in rest:
                found = found.nested_types_by_name[inner]
            return found
    raise AssertionError(name)


@pytest.mark.parametrize("name", sorted(set(MESSAGES) - OURS_ONLY))
def test_every_field_is_the_public_schemas(name):
    for theirs in map(public, PUBLIC.get(name, [name])):
        for field in MESSAGES[name].DESCRIPTOR.fields:
            known = theirs.fields_by_number[field.number]
            assert (known.name, known.type, known.is_repeated) == (field.name, field.type, field.is_repeated)
            assert bool(known.containing_oneof) == bool(field.containing_oneof)
            if field.message_type and not field.message_type.GetOptions().map_entry:
                assert known.message_type.name in {field.message_type.name, *_last(field.message_type.name)}
            if field.enum_type:
                ours = [(value.name, value.number) for value in field.enum_type.values]
                assert ours == [(value.name, value.number) for value in known.enum_type.values]


def _last(name):
    return [known.rpartition(".")[2] for known in PUBLIC.get(name, [])]


def test_messages_of_both_schemas_read_each_other():
    request = MESSAGES["ModelInferRequest"](model_name="m", id="1", raw_input_contents=[b"abc"])
    request.inputs.add(name="x", datatype="FP32", shape=[-1, 2]).contents.fp32_contents.extend([1.5, 2])
    request.parameters["no"].bool_param = False
    theirs = service_pb2.ModelInferRequest.FromString(request.SerializeToString())
    assert theirs.inputs[0].contents.fp32_contents == [1.5, 2]
    assert theirs.parameters["no"].WhichOneof("parameter_choice") == "bool_param"
    assert MESSAGES["ModelInferRequest"].FromString(theirs.SerializeToString()) == request


def test_a_worker_without_grpc_does_not_pay_for_it():
    code = "import sys, maas_jupyter.serving.supervisor.worker; print({'grpc', 'google.protobuf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
