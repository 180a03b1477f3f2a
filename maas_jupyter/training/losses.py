"""Losses by name or as functions, weighted by class, checked against the task before the first step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maas_jupyter.data import Data
from maas_jupyter.data import class_weights as balanced_weights
from maas_jupyter.errors import InvalidInput, UsageError, nearest

LossFunction = Callable[[Tensor, Tensor], Tensor]
#: The weight of a batch by its targets.
Weigh = Callable[[Tensor], Tensor]
Task = Literal["classification", "regression", "text-generation"]

LOSSES: dict[str, type[nn.Module]] = {
    "cross_entropy": nn.CrossEntropyLoss,
    "nll": nn.NLLLoss,
    "mse": nn.MSELoss,
    "l1": nn.L1Loss,
    "huber": nn.HuberLoss,
}
_WEIGHTED = ("cross_entropy", "nll")
#: What takes targets of the output's shape; with classes it would broadcast to nonsense where the shapes allow it.
_OF_NUMBERS = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss, nn.BCELoss, nn.BCEWithLogitsLoss)


def next_token_loss(output: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy of each token given those before it.

    Parameters
    ----------
    output : Tensor, FP32 (rows, tokens, vocabulary)
    targets : Tensor, INT64 (rows, tokens)
        -100 where no loss is taken.
    """
    places = output[:, :-1].flatten(0, 1), targets[:, 1:].flatten()
    # A batch in which nothing is learned has the loss 0; a mean over nothing is no number.
    return nn.functional.cross_entropy(*places, reduction="sum") / learned_tokens(targets).clamp(min=1)


def learned_tokens(targets: Tensor) -> Tensor:
    """Count the tokens of INT64 ``(rows, tokens)`` that a loss is taken of: all but -100 and the first."""
    return (targets[:, 1:] != -100).sum()


def batch_weight(loss: LossFunction, task: Task) -> Weigh | None:
    """Say what the mean loss of a batch is a mean of, so that batches together give the mean over all.

    Returns
    -------
    callable or None
        Of a batch's targets: its learned tokens, or the sum of its rows' class weights; None for its rows.
    """
    if task == "text-generation":
        return learned_tokens
    if isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss) and loss.weight is not None and loss.reduction == "mean":
        weights = loss.weight
        return lambda targets: weights[targets].sum() if not targets.is_floating_point() else torch.tensor(len(targets))
    return None


def make_loss(loss: Any, task: Task, weights: Tensor | None) -> LossFunction:
    """Return the loss that is meant: the usual one of the task for None.

    Parameters
    ----------
    weights : Tensor or None
        One for each class.

    Raises
    ------
    UsageError
        If the name is not known, or the weights cannot be put into the loss.
    InvalidInput
        If the loss is for another task.
    """
    if weights is not None and (task != "classification" or not (loss is None or isinstance(loss, str))):
        raise UsageError(
            "Class weights go with a classification and a loss by name.",
            hint="Put them into the loss: nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0])).",
        )
    if task == "text-generation":
        if loss is not None:
            raise UsageError("A language model is trained on its next tokens.", hint="Leave --loss out.")
        return next_token_loss
    if loss is None:
        loss = "cross_entropy" if task == "classification" else "mse"
    if isinstance(loss, str):
        name = loss.lower()
        if name not in LOSSES:
            raise UsageError(
                f"There is no loss called '{loss}'.", hint=nearest(loss, LOSSES, what="losses", otherwise="")
            )
        if weights is not None and name not in _WEIGHTED:
            raise UsageError(f"The loss {name} takes no class weights.", hint="Use cross_entropy.")
        made = LOSSES[name](weight=weights) if weights is not None else LOSSES[name]()
    elif callable(loss):
        made = loss
    else:
        raise UsageError(
            f"The loss is a {type(loss).__name__}, not a function.", hint="Pass a name or a function (output, target)."
        )
    _check_task(made, task)
    function: LossFunction = made
    return function


def _check_task(loss: Any, task: Task) -> None:
    wrong = _OF_NUMBERS if task == "classification" else (nn.NLLLoss,)
    if isinstance(loss, wrong):
        what = "numbers" if task == "classification" else "classes"
        raise InvalidInput(
            f"The loss {type(loss).__name__} compares {what}, but this is a {task}.",
            hint="Leave --loss out for the usual one; integer targets mean classes, floats mean numbers.",
        )


def check_loss(loss: LossFunction, output: Tensor, targets: Tensor, task: Task) -> None:
    """Try the loss on a few rows.

    Raises
    ------
    InvalidInput
        If it does not take the model's output and the targets, or does not give one number.
    """
    try:
        value = loss(output, targets)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"The loss does not take the model's output and the targets: {reason}",
            hint=f"This looks like a {task}; leave --loss out for the usual one.",
        ) from error
    if not isinstance(value, Tensor) or value.ndim:
        got = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise InvalidInput(
            f"The loss gives {got} for a batch, not one number as a tensor.",
            hint="Compute it with torch and end it with .mean().",
        )
    if isinstance(loss, nn.CrossEntropyLoss) and targets.is_floating_point() and output.shape[1:2] == (1,):
        raise InvalidInput(
            "Cross entropy over a single output is always 0.",
            hint="Use mse for numbers; for classes pass integer targets and one output for each class.",
        )


def class_weights(weights: Any, classes: int | None, data: Data, device: torch.device) -> Tensor | None:
    """Return a weight for each class, or None where none are asked for.

    Raises
    ------
    UsageError
        If they are not one for each class, or the data cannot be counted.
    """
    if weights is None:
        return None
    if classes is None:
        raise UsageError("Class weights go with a classification.", hint="Leave --class-weights out.")
    if isinstance(weights, str):
        if weights != "balanced":
            raise UsageError(f"There are no class weights called '{weights}'.", hint="Use balanced, or a list.")
        if data.targets is None:
            raise UsageError(
                "The classes of a loader's rows cannot be counted before the training.",
                hint=f"Pass a list with {classes} weights.",
            )
        return balanced_weights(data.targets.cpu(), classes).to(device)
    if not isinstance(weights, Sequence) and not hasattr(weights, "tolist"):
        raise UsageError("The class weights are not a list.", hint="Pass balanced, or a list of numbers.")
    made = torch.as_tensor(weights, dtype=torch.float32).flatten()
    if len(made) != classes or not bool((made >= 0).all()):
        raise UsageError(
            f"There are {len(made)} class weights for {classes} classes."
            if len(made) != classes
            else "A class weight is negative or not a number.",
            hint="Give one number of at least 0 for each output of the model.",
        )
    return made.to(device)
