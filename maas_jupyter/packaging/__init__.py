"""From a torch model to a bundle: export to ONNX, the task's head, numeric validation."""

from maas_jupyter.packaging.package import Packaged, package
from maas_jupyter.packaging.validate import Agreement

__all__ = ["Agreement", "Packaged", "package"]
