"""Weights on disk: safetensors, written beside and renamed."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from maas_jupyter.schema import write_atomic


def save_checkpoint(model: nn.Module, folder: Path, *, epoch: int) -> Path:
    """Write the model's weights.

    Parameters
    ----------
    model : torch.nn.Module
        Its ``state_dict`` is saved; tensors that share memory are saved once each.
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

    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    path = folder / "checkpoint.safetensors"
    write_atomic(path, save(tensors, metadata={"epoch": str(epoch)}))
    return path
