"""From the losses of one or more batches to an optimizer step."""

from __future__ import annotations

from torch import Tensor, nn

from maas_jupyter.training.options import TrainingOptions
from maas_jupyter.training.plan import TrainingPlan


class Update:
    """Gathers gradients and makes a step of them.

    Several batches give the gradient of the mean over all that they hold, as one batch of all their rows would: a batch
    of fewer rows, or of fewer learned tokens, counts less, and so does a last group of fewer batches.

    Parameters
    ----------
    plan : TrainingPlan
    options : TrainingOptions

    Attributes
    ----------
    pending : int
        Batches since the last step.
    norm : Tensor or None
        The last gradient's norm before it was clipped.
    """

    def __init__(self, plan: TrainingPlan, options: TrainingOptions) -> None:
        self._plan, self._clip, self._batches = plan, options.clip, options.accumulate
        self._parameters = [parameter for group in plan.optimizer.param_groups for parameter in group["params"]]
        self._first: Tensor | int = 1
        self._share: Tensor | float = 0.0
        self.pending = 0
        self.norm: Tensor | None = None

    def clear(self) -> None:
        """Forget the gradients of the last step, before the first batch of the next."""
        for parameter in self._parameters:
            parameter.grad = None
        self.pending = 0
        self._share = 0.0

    def add(self, loss: Tensor, targets: Tensor) -> None:
        """Add a batch's gradients."""
        if self._batches > 1:
            weight = len(targets) if self._plan.weigh is None else self._plan.weigh(targets).clamp(min=1)
            if not self.pending:
                self._first = weight
            # Of the size of a single batch's throughout, so that fp16 does not overflow.
            share = weight / self._first
            self._share = self._share + share
            loss = loss * (share / self._batches)
        self._plan.precision.backward(loss)
        self.pending += 1

    def step(self) -> None:
        """Make the optimizer's step, and the schedule's."""
        plan, scaler = self._plan, self._plan.precision.scaler
        if self._batches > 1 and (isinstance(self._share, Tensor) or self._share != self._batches):
            factor = self._batches / self._share
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.grad *= factor
        if self._clip is not None:
            if scaler is not None:
                scaler.unscale_(plan.optimizer)
            self.norm = nn.utils.clip_grad_norm_(self._parameters, self._clip)
        if scaler is None:
            plan.optimizer.step()
        else:
            scaler.step(plan.optimizer)
            scaler.update()
        if plan.schedule is not None:
            plan.schedule.after_step()
        self.pending = 0
