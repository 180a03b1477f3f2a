"""What a run leaves on this machine: its state and curves for whoever looks, and the wish that it stop."""

from maas_jupyter.runs.comparison import ComparedRun, RunComparison, less_is_better
from maas_jupyter.runs.curves import Curve
from maas_jupyter.runs.folder import RunFolder, run_folders
from maas_jupyter.runs.life import lives
from maas_jupyter.runs.lookup import LAST, beginning_with, find_training, last_run
from maas_jupyter.runs.state import Best, RunState, RunStatus

__all__ = [
    "LAST",
    "Best",
    "ComparedRun",
    "Curve",
    "RunComparison",
    "RunFolder",
    "RunState",
    "RunStatus",
    "beginning_with",
    "find_training",
    "last_run",
    "less_is_better",
    "lives",
    "run_folders",
]
