"""What is optimised: the model as it is served, rows to judge by, and what methods that train need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Source
from maas_jupyter.errors import InvalidInput

if TYPE_CHECKING:
    from torch import nn

    from maas_jupyter.data import Prepared
    from maas_jupyter.training import TrainingObserver
    from maas_jupyter.training.losses import LossFunction

#: Is told what is being done.
OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """The torch model that a bundle was made of, and the rows that it learned from.

    Attributes
    ----------
    module : torch.nn.Module
        Methods work on copies of it.
    prepared : Prepared
        Its training rows, as it takes them.
    held_out : Prepared or None
        Validation rows.
    watch : callable
        Gives what draws a training of this title.
    loss : callable or None
        What it was trained with, class weights included: a function of (output, targets). None for the usual one of
        its task.
    """

    module: nn.Module
    prepared: Prepared
    held_out: Prepared | None
    watch: Callable[[str], TrainingObserver]
    loss: LossFunction | None = None

    @property
    def criterion(self) -> LossFunction:
        """The loss that it learned by."""
        if self.loss is not None:
            return self.loss
        from torch.nn import functional

        return functional.cross_entropy if self.prepared.task == "classification" else functional.mse_loss


@dataclass(frozen=True)
class Original:
    """What optimizers get.

    Attributes
    ----------
    reference : str
        How messages call it: ``digits/1``.
    bundle : Bundle
        What is served now; for a combination of methods, what the first of them made.
    rows : Source
        With targets: what candidates are judged by. Nothing may be learned from them.
    calibration : Source
        Rows, as clients send them, that ranges of activations are taken from.
    trained : Trained or None
        None for a registered version of which only the bundle is there.
    threads : int
        Of one run, as it is measured.
    on_step : callable
        To be told of what takes long.
    """

    reference: str
    bundle: Bundle
    rows: Source
    calibration: Source
    trained: Trained | None
    threads: int
    on_step: OnStep

    def required_trained(self) -> Trained:
        """Return the torch model and its rows.

        Raises
        ------
        InvalidInput
            If only the bundle is there.
        """
        if self.trained is None:
            raise InvalidInput(
                f"{self.reference} is only there as a bundle; its torch model and its training rows are needed.",
                hint="Pass the run that trained it instead of its name: run = %maas train ...",
            )
        return self.trained

    def followed_by(self, bundle: Bundle) -> Original:
        """Return the same with what a first method made, for a second one."""
        return replace(self, bundle=bundle, trained=None)
