"""The loss of a student: the right answers, and the teacher's."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def soft_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return how far a student's answers are from its teacher's.

    For classes the cross entropy of both distributions at a temperature, less the teacher's entropy, times the
    temperature's square, so that its gradient is as large as that of the right answers (Hinton et al., Distilling the
    knowledge in a neural network, 2015).

    Parameters
    ----------
    student, teacher : Tensor, FP32 (rows, classes, ...)
        Scores before the softmax.
    temperature : float
        Above 1 the wrong answers that the teacher takes for likely count more.
    """
    wanted = F.log_softmax(teacher.float() / temperature, dim=1)
    found = F.log_softmax(student.float() / temperature, dim=1)
    places = max(1, student.numel() // student.shape[1])
    return F.kl_div(found, wanted, reduction="sum", log_target=True) * (temperature**2 / places)


def hidden_loss(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean squared difference of hidden states, each of its numbers in the teacher's scale.

    Parameters
    ----------
    student, teacher : Tensor, FP32 (rows, tokens, width)
    mask : Tensor or None, INT64 (rows, tokens)
        1 for tokens, 0 for padding, which counts for nothing.
    """
    difference = (student.float() - teacher.float()).square().mean(-1)
    scale = teacher.float().square().mean(-1)
    if mask is None:
        return difference.mean() / scale.mean().clamp(min=1e-12)
    weights = mask.to(difference.dtype)
    return (difference * weights).sum() / (scale * weights).sum().clamp(min=1e-12)
