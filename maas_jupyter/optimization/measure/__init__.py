"""Measuring candidates: each in a fresh process of its own, their repeats in turns."""

from maas_jupyter.optimization.measure.speeds import measure_speeds, seconds_to_time
from maas_jupyter.optimization.measure.stand import Stand

__all__ = ["Stand", "measure_speeds", "seconds_to_time"]
