"""Checkpoints on disk: safetensors and a small state file, complete or not there at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import struct
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from maas_jupyter.errors import BundleError, InvalidInput, NotFound
from maas_jupyter.runs import RunState
from maas_jupyter.schema import decode, encode
from maas_jupyter.training.trees import from_tree, to_tree

FOLDER, MODEL, OPTIMIZER, STATE, BEST = (
    "checkpoint",
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
    "best.safetensors",
)
_OLD = ".checkpoint.old"
#: What a disk that is full, or not there any more, makes of a write.
WRITE_ERRORS = (OSError, SafetensorError)


class CheckpointState(Struct, kw_only=True):
    """Where a training stands.

    Attributes
    ----------
    format : int
    architecture : str
        Digest of the names, shapes and types of the model's tensors.
    options : dict
        `TrainingOptions.described`.
    data : str
        Digest of the training rows.
    val : str
        Digest of the validation rows; empty where there are none.
    run : RunState
        As the views know it.
    batches : int
        Batches of this epoch that are done.
    waited : int
        Epochs since the watched metric improved.
    totals : dict
        Sums of this epoch.
    states : any
        Optimizer, schedule, gradient scaler and random states, as `trees.to_tree` gives them; the tensors are in
        ``optimizer.safetensors``.
    """

    architecture: str
    options: dict[str, Any]
    data: str
    val: str = ""
    run: RunState
    batches: int = 0
    waited: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    states: Any = None
    format: int = 1


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module as safetensors takes them: contiguous, those that share memory copied."""
    # A module's extra state can be anything; safetensors holds tensors.
    state = {name: value.detach() for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    return _separate({name: value.cpu().contiguous() for name, value in state.items()})


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        pointer = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if pointer in seen else tensor
        seen.add(pointer)
    return found


def architecture_of(module: nn.Module) -> str:
    """Return the digest of the names, shapes and types of a module's tensors."""
    rows = [
        f"{name} {list(value.shape)} {value.dtype}"
        for name, value in module.state_dict().items()
        if isinstance(value, Tensor)
    ]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def write_checkpoint(
    folder: Path, module: nn.Module, state: CheckpointState, states: dict[str, Any], best: dict[str, Tensor] | None
) -> None:
    """Write a checkpoint beside the last one and put it in its place; the last one stays until this one is complete.

    Parameters
    ----------
    folder : Path
        The run's; holds ``checkpoint/`` afterwards.
    states : dict
        Of the optimizer, the schedule and the rest; becomes ``state.states``.
    best : dict of Tensor or None
        The best weights; None keeps those of the last checkpoint, and an empty dict means that they are the model's.

    Raises
    ------
    OSError, SafetensorError
        If the disk does not take it; nothing is left behind.
    """
    target = folder / FOLDER
    beside = folder / f".{FOLDER}.{secrets.token_hex(4)}"
    beside.mkdir(parents=True)
    try:
        save_file(weights_of(module), beside / MODEL)
        tensors: dict[str, Tensor] = {}
        state.states = to_tree(states, "state", tensors)
        save_file(_separate(tensors), beside / OPTIMIZER)
        if best:
            save_file(best, beside / BEST)
        elif best is not None:
            _link(beside / MODEL, beside / BEST)
        elif (target / BEST).exists():
            _link(target / BEST, beside / BEST)
        (beside / STATE).write_bytes(encode(state))
        for path in beside.iterdir():
            _flush(path)
        _put(beside, target, folder / _OLD)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _link(existing: Path, new: Path) -> None:
    try:
        os.link(existing, new)
    except OSError:
        # Not every file system has hard links.
        shutil.copyfile(existing, new)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _put(beside: Path, target: Path, old: Path) -> None:
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    beside.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Clear away what a process that was killed while it wrote has left, and put back the checkpoint it took away."""
    if (folder / _OLD).exists() and not (folder / FOLDER).exists():
        (folder / _OLD).rename(folder / FOLDER)
    for path in folder.glob(f".{FOLDER}.*"):
        shutil.rmtree(path, ignore_errors=True)


class Checkpoint:
    """A checkpoint that was read.

    Parameters
    ----------
    folder : Path
        The run's.

    Raises
    ------
    NotFound
        If there is none.
    BundleError
        If it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        tidy(folder)
        self.path = folder / FOLDER
        path = self.path / STATE
        if not path.exists():
            raise NotFound(
                f"The run {folder.name[:8]} has no checkpoint.", hint="Runs on this machine: %maas runs. Train it anew."
            )
        self.state = decode(path.read_bytes(), CheckpointState, where=str(path))

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that were reached last."""
        return self._read(MODEL)

    def best(self) -> dict[str, Tensor] | None:
        """Return the best weights; None where none were kept."""
        return self._read(BEST) if (self.path / BEST).exists() else None

    def states(self) -> dict[str, Any]:
        """Return the states of the optimizer, the schedule and the rest."""
        states: dict[str, Any] = from_tree(self.state.states, self._read(OPTIMIZER))
        return states

    def check_architecture(self, module: nn.Module) -> None:
        """Compare the checkpoint's tensors with a module's.

        Raises
        ------
        InvalidInput
            If they differ; names the first tensor that does.
        """
        if architecture_of(module) == self.state.architecture:
            return
        theirs = _shapes(self.path / MODEL)
        mine = {
            name: (list(value.shape), str(value.dtype)[6:])
            for name, value in module.state_dict().items()
            if isinstance(value, Tensor)
        }
        for name in [*mine, *theirs]:
            if theirs.get(name) != mine.get(name):
                raise InvalidInput(
                    f"The checkpoint is of another architecture: {_difference(name, theirs, mine)}.",
                    hint=f"Build the model as it was when run {self.state.run.run_id[:8]} was trained.",
                )

    def _read(self, name: str) -> dict[str, Tensor]:
        try:
            return load_file(self.path / name)
        except WRITE_ERRORS as error:
            raise BundleError(
                f"The checkpoint's file {self.path / name} cannot be read: {error}", hint="Train the model anew."
            ) from error


_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I64": "int64", "I32": "int32"}


def _shapes(path: Path) -> dict[str, tuple[list[int], str]]:
    """Read the names, shapes and types of a file's tensors from its header."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = msgspec.json.decode(file.read(length))
    return {
        name: (entry["shape"], _NAMES.get(entry["dtype"], entry["dtype"].lower()))
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _difference(name: str, theirs: dict[str, tuple[list[int], str]], mine: dict[str, tuple[list[int], str]]) -> str:
    if name not in mine:
        return f"it has '{name}' of shape {theirs[name][0]}, the model has no such parameter"
    if name not in theirs:
        return f"the model has '{name}' of shape {mine[name][0]}, which is not in it"
    (shape, dtype), (my_shape, my_dtype) = theirs[name], mine[name]
    if shape == my_shape:
        return f"'{name}' is {dtype} in it and {my_dtype} in the model"
    return f"'{name}' has the shape {shape} in it and {my_shape} in the model"
