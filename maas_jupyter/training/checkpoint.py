"""Weights on disk: safetensors, written beside and renamed."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from maas_jupyter.schema import write_atomic


def save_checkpoint(model: nn.Module, folder: Path, *, epoch: int) -> Path:
    """Write the model's weights.

    Parameters
    ----------
    model : torch.nn.Module
        The tensors of its ``state_dict`` are saved; those that share memory once each.
    folder : Path
        Created if needed; holds ``checkpoint.safetensors`` afterwards.
    epoch : int
        How many epochs are complete; kept in the file's metadata.

    Returns
    -------
    Path
        The file.
    """
    from safetensors.torch import save

    tensors = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
        # A module's extra state can be anything; safetensors holds tensors.
        if isinstance(value, Tensor)
    }
    path = folder / "checkpoint.safetensors"
    write_atomic(path, save(tensors, metadata={"epoch": str(epoch)}))
    return path
