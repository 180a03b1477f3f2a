"""Training of torch models: the loop, its run and its checkpoints."""

from maas_jupyter.training.checkpoint import Checkpoint
from maas_jupyter.training.intake import Asked, Subject, take_in
from maas_jupyter.training.loop import TrainingObserver, fit
from maas_jupyter.training.options import TrainingOptions
from maas_jupyter.training.plan import TrainingPlan
from maas_jupyter.training.run import Run

__all__ = [
    "Asked",
    "Checkpoint",
    "Run",
    "Subject",
    "TrainingObserver",
    "TrainingOptions",
    "TrainingPlan",
    "fit",
    "take_in",
]
