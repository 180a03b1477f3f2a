"""Variants that run under OpenVINO; needs the extra ``openvino``."""

from maas_jupyter.optimization.openvino.methods import OpenVino, OpenVinoBf16, OpenVinoFp16, OpenVinoInt8

__all__ = ["OpenVino", "OpenVinoBf16", "OpenVinoFp16", "OpenVinoInt8"]
