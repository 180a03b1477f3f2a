"""Training of torch models: the loop, its run and its checkpoints."""

from maas_jupyter.training.loop import Progress, TrainingObserver, fit
from maas_jupyter.training.plan import TrainingPlan
from maas_jupyter.training.run import Run

__all__ = ["Progress", "Run", "TrainingObserver", "TrainingPlan", "fit"]
