# Imported rather than named in pytest_plugins: its automatic fixtures belong to these tests only.
import pytest
from pytest_jupyter.jupyter_server import *  # noqa: F403
from traitlets.config import Config

from maas_jupyter.config import MaasConfig


@pytest.fixture(autouse=True)
def own_settings():
    """Settings are one per process; each test's server has its own."""
    MaasConfig.clear_instance()
    yield
    MaasConfig.clear_instance()


@pytest.fixture
def maas_home(tmp_path):
    return tmp_path / "maas home"


@pytest.fixture
def jp_server_config(maas_home):
    return Config(
        ServerApp={"jpserver_extensions": {"maas_jupyter": True}},
        MaasConfig={"home": str(maas_home), "refresh_interval": 0.0},
    )


@pytest.fixture
def bundle(tmp_path):
    """A model of one multiplication, as the smallest bundle that can be registered and served."""
    import onnx
    from onnx import TensorProto, helper

    from maas_jupyter.bundle import Bundle
    from maas_jupyter.schema import Manifest, Signature, TensorSpec

    shape = ["batch", 2]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "x"], ["y"])],
        "square",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    folder = tmp_path / "bundle"
    folder.mkdir()
    onnx.save(model, str(folder / "model.onnx"))
    signature = Signature([TensorSpec("x", "FP32", [-1, 2])], [TensorSpec("y", "FP32", [-1, 2])])
    manifest = Manifest(task="tensor", runtime="onnx", precision="fp32", signature=signature)
    return Bundle.seal(folder, manifest, ["model.onnx"])


@pytest.fixture
def registry(maas_home):
    from maas_jupyter.registry import Registry

    return Registry(MaasConfig(home=str(maas_home)))


@pytest.fixture
def registered(registry, bundle):
    run_id = registry.start_run("square", {}, {})
    return registry.register("square", bundle, run_id=run_id, metrics={"accuracy": 0.9})
