"""Why a model answers as it does: what each feature of a row adds to the answer (captum)."""

from maas_jupyter.explanation.explain import explain_rows
from maas_jupyter.explanation.intake import Intake, intake_of, intake_of_bundle, tensors_of
from maas_jupyter.explanation.report import Explanation, RowExplanation
from maas_jupyter.explanation.rows import MOST_ROWS, read_rows, split_rows
from maas_jupyter.explanation.subject import BundleSubject, ModuleSubject

__all__ = [
    "MOST_ROWS",
    "BundleSubject",
    "Explanation",
    "Intake",
    "ModuleSubject",
    "RowExplanation",
    "explain_rows",
    "intake_of",
    "intake_of_bundle",
    "read_rows",
    "split_rows",
    "tensors_of",
]
