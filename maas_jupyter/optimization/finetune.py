"""Training inside a method: the loop and the view of ``train``, on the rows that the model learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
from torch import nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Data
from maas_jupyter.modules import device_of
from maas_jupyter.optimization.original import Original, Trained
from maas_jupyter.packaging import package_prepared
from maas_jupyter.runs import RunState
from maas_jupyter.training import TrainingOptions, TrainingPlan, fit


def finetune(
    trained: Trained, module: nn.Module, options: TrainingOptions, *, title: str, data: Data | None = None
) -> RunState:
    """Train a module in place, drawn as every training is.

    Parameters
    ----------
    trained : Trained
        Whose training and validation rows it learns from.
    module : torch.nn.Module
        A smaller or sparser one; with validation rows it has the weights of its best epoch afterwards.
    options : TrainingOptions
        Without a loss it learns by the one that the model was trained with; without a device it is trained where it is.
    title : str
        What the view is called.
    data : Data, optional
        Other batches of the same rows.

    Raises
    ------
    KeyboardInterrupt
        If it was stopped.
    TrainingError
        If the loss becomes NaN or infinite, or the memory is used up.
    """
    prepared, held_out = trained.prepared, trained.held_out
    rows = prepared.data if data is None else data
    val = None if held_out is None else held_out.data
    task = None if prepared.task == "tensor" else prepared.task
    loss = trained.loss if options.loss is None else options.loss
    options = replace(options, device=options.device or str(device_of(module)), loss=loss)
    plan = TrainingPlan.make(module, rows, options, val=val, task=task)
    state = RunState(run_id="", name=title)
    fit(module, rows, plan, val=val, options=options, state=state, observers=[trained.watch(title)])
    if state.status == "interrupted":
        raise KeyboardInterrupt
    return state


def packaged(original: Original, module: nn.Module, folder: Path) -> Bundle:
    """Make the bundle of a module that took the original's place.

    Raises
    ------
    ExportError
        If the module cannot be exported, or its export computes something else.
    """
    made = package_prepared(module, original.required_trained().prepared, folder).bundle
    manifest = msgspec.structs.replace(made.manifest, parent=original.bundle.digest)
    return Bundle.seal(folder, manifest, made.manifest.files)
