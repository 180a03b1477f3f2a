"""Mixed precision: what a device does, refused in words where it gains nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from maas_jupyter.errors import UsageError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast for the forward pass, and a gradient scaler for fp16.

    Parameters
    ----------
    name : {'fp32', 'bf16', 'fp16'}
    device : torch.device

    Attributes
    ----------
    mixed : bool
        Whether the forward pass is computed in another type than the weights'.
    scaler : torch.amp.GradScaler or None
        fp16 only: small gradients would become zero.

    Raises
    ------
    UsageError
        If the device does not compute this type, or slower than fp32.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.mixed = name != "fp32"
        self._device, self._dtype = device.type, _DTYPES.get(name, torch.float32)
        self.scaler: Any = None
        reason = _refusal(name, device)
        if reason:
            raise UsageError(f"--precision {name}: {reason}", hint="Leave --precision out: fp32 runs everywhere.")
        if name == "fp16":
            self.scaler = torch.amp.GradScaler(device.type)

    def autocast(self) -> torch.autocast:
        """Return the context for a forward pass and its loss."""
        return torch.autocast(self._device, dtype=self._dtype, enabled=self.mixed)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients, scaled where fp16 needs it."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()


def _refusal(name: str, device: torch.device) -> str:
    if name == "fp32":
        return ""
    if device.type == "cuda":
        if name == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            return f"{torch.cuda.get_device_name(device)} has no bf16; fp16 is what it has."
        return ""
    if device.type == "cpu":
        if name == "fp16":
            return "a CPU computes fp16 slower than fp32."
        # Without these instructions bf16 is emulated.
        if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
            return "this CPU has no instructions for bf16 and computes it slower than fp32."
        return ""
    if name == "fp16":
        return f"fp16 needs a gradient scaler, which is for CUDA only; {device.type} has bf16."
    return ""
