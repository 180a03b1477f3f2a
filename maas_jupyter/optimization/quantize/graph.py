"""A bundle's graph: what is in it, and a variant of the bundle around another graph."""

from __future__ import annotations

import logging
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path

import msgspec

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.errors import Conflict, ExportError, MaasError
from maas_jupyter.optimization.original import Original
from maas_jupyter.packaging.export import weight_files
from maas_jupyter.schema import Precision

#: Operators that only a quantized graph has.
_QUANTIZED = {
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "GatherBlockQuantized",
    "MatMulInteger",
    "MatMulNBits",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
}


@dataclass(frozen=True)
class Contents:
    """What a graph is made of.

    Attributes
    ----------
    weights : dict of str to int
        For each type of operator, how many numbers the constant float tensors of its nodes hold.
    files : tuple of str
        The graph's own files: itself and those that hold its weights.
    quantized : bool
        Whether it works with integers already.
    """

    weights: dict[str, int]
    files: tuple[str, ...]
    quantized: bool


def contents(bundle: Bundle) -> Contents:
    """Look into a bundle's graph; nothing where its runtime is another one."""
    if bundle.manifest.runtime != "onnx":
        return Contents({}, (), bundle.manifest.precision != "fp32")
    return _contents(bundle.folder / MODEL_FILE, bundle.digest)


@lru_cache(maxsize=8)
def _contents(path: Path, digest: str) -> Contents:
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    sizes = {
        tensor.name: prod(tensor.dims) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT
    }
    weights: dict[str, int] = {}
    for node in graph.node:
        weights[node.op_type] = weights.get(node.op_type, 0) + sum(sizes.get(name, 0) for name in node.input)
    return Contents(weights, (MODEL_FILE, *weight_files(model)), bool(_QUANTIZED & weights.keys()))


def weights_apart(bundle: Bundle) -> bool:
    """Say whether the weights are too large for the graph's own file; those of variants may be, too."""
    return len(contents(bundle).files) > 1


def written(path: Path) -> list[str]:
    """Return the names of a graph's own files, where a library wrote them."""
    import onnx

    return [path.name, *weight_files(onnx.load(str(path), load_external_data=False))]


def require_float(original: Original, method: str) -> None:
    """Check that a method has numbers to make smaller.

    Raises
    ------
    Conflict
        If the model is quantized already, or is no ONNX graph any more.
    """
    manifest = original.bundle.manifest
    if manifest.precision != "fp32" or contents(original.bundle).quantized:
        precision = manifest.precision if manifest.precision != "fp32" else "int8"
        raise Conflict(
            f"{original.reference} is already quantized ({precision}); {method} needs the numbers that it was made of.",
            hint="Name the version that it was made of; %maas models lists it as its parent.",
        )
    if manifest.runtime != "onnx":
        raise Conflict(
            f"{original.reference} runs under {manifest.runtime}; {method} works on ONNX graphs.",
            hint="Name the version that it was made of; %maas models lists it as its parent.",
        )


def seal_variant(
    original: Original, folder: Path, precision: Precision, made: list[str], *, runtime: str = "onnx"
) -> Bundle:
    """Make a bundle of the files that a method wrote; what the server does before the graph stays as it is."""
    bundle = original.bundle
    graph = contents(bundle).files
    others = [name for name in bundle.manifest.files if name not in graph]
    for name in others:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.folder / name, target)
    manifest = msgspec.structs.replace(
        bundle.manifest, runtime=runtime, precision=precision, parent=bundle.digest, measurements={}
    )
    return Bundle.seal(folder, manifest, [*made, *others])


@contextmanager
def toolkit(method: str) -> Iterator[None]:
    """Keep a library's advice out of the notebook, and say in words what it trips over.

    Raises
    ------
    ExportError
        For whatever the library raises.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    except MaasError:
        raise
    except Exception as error:
        # These tools raise whatever the graph makes them trip over.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise ExportError(f"{method} failed: {reason}", hint="The original is unchanged.") from error
    finally:
        logging.disable(before)


def saturates() -> bool:
    """Say whether 8-bit products can overflow on this CPU: on x86 without VNNI, whose weights then get 7 bits."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    flags = Path("/proc/cpuinfo")
    return not (flags.exists() and "vnni" in flags.read_text())
