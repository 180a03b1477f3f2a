"""Search for hyper-parameters."""

from maas_jupyter.tuning.record import SearchRecord
from maas_jupyter.tuning.report import TrialRow, Tuning
from maas_jupyter.tuning.space import Choice, Range, parse_space
from maas_jupyter.tuning.study import Score, Study, read_space
from maas_jupyter.tuning.trial import (
    Trials,
    cross_validation,
    first_values,
    fitted_space,
    merged_options,
    split_params,
)

__all__ = [
    "Choice",
    "Range",
    "Score",
    "SearchRecord",
    "Study",
    "TrialRow",
    "Trials",
    "Tuning",
    "cross_validation",
    "first_values",
    "fitted_space",
    "merged_options",
    "parse_space",
    "read_space",
    "split_params",
]
