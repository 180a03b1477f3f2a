"""The weights of the best epoch, kept until the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maas_jupyter.training.checkpoint import Checkpoint, weights_of

#: Larger models are not held in memory twice: their best weights are in the checkpoint that each best epoch writes.
_MOST_BYTES = 64_000_000


class BestWeights:
    """Keeps a small model's best weights in memory, and remembers of a large one's that the checkpoint has them.

    Attributes
    ----------
    on_disk : bool
        Whether keeping them takes a checkpoint.
    """

    def __init__(self, module: nn.Module) -> None:
        tensors = [value for value in module.state_dict().values() if isinstance(value, Tensor)]
        self.on_disk = sum(value.numel() * value.element_size() for value in tensors) > _MOST_BYTES
        self._kept: dict[str, Tensor] | None = None
        self._changed = False

    def keep(self, module: nn.Module) -> None:
        """Take the weights of the best epoch so far."""
        if not self.on_disk:
            self._kept = {name: value.clone() for name, value in weights_of(module).items()}
        self._changed = True

    def to_write(self) -> dict[str, Tensor] | None:
        """Return what a checkpoint has to write: None for nothing new, an empty dict for the model's own weights."""
        if not self._changed:
            return None
        return {} if self.on_disk else self._kept

    def written(self) -> None:
        """They are in the checkpoint."""
        self._changed = False

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take them over from a checkpoint."""
        if not self.on_disk:
            self._kept = checkpoint.best()

    def restore(self, module: nn.Module, checkpoint: Checkpoint | None) -> bool:
        """Put them into the module; say whether there were any."""
        best = self._kept
        if best is None and self.on_disk and checkpoint is not None:
            best = checkpoint.best()
        if best is None:
            return False
        with torch.no_grad():
            module.load_state_dict({**_extra(module), **best})
        return True


def _extra(module: nn.Module) -> dict[str, object]:
    return {name: value for name, value in module.state_dict().items() if not isinstance(value, Tensor)}
