"""The words for the options that several verbs share, each written once."""

from __future__ import annotations

import re
from collections.abc import Callable
from textwrap import indent
from typing import TypeVar

Verb = TypeVar("Verb", bound=Callable[..., object])

#: Entries of a numpy docstring's Parameters section.
_OPTIONS = """\
data : (X, y), DataFrame, texts, images, Dataset, DataLoader or path
    Rows with targets, which candidates are judged by.
target : str
    What a candidate has to reach, such as p95<5ms, size<10MB, memory<200MB or rows/s>1000; may be repeated. Of a
    table also the column to predict.
text : str
    The column with the texts, where the data is a table.
calibrate : the same as data, targets not needed
    Rows that ranges of activations are taken from; the run's training rows, else those of data, by default.
max_drop : float
    How much accuracy (R2 for regression) a candidate may lose.
require : str
    A gate that it has to pass, such as recall[malignant]>=0.95; may be repeated.
method : str, class or Optimizer
    Only this one; may be repeated. All that apply by default. Methods of one's own are classes like
    maas_jupyter.optimization.Optimizer.
seed : int
    The same seed on the same machine gives the same weights.
source : str
    Code that is kept with the comparison.
model : str or Endpoint
    Name of the endpoint.
on : str
    Where it is published: a target's name; local by default.
reason : str
    Why, for the history.
"""


def documented(verb: Verb) -> Verb:
    """Put the words for shared options into a verb's docstring, where it says ``%(name)s``."""
    entries = {entry.partition(" : ")[0]: entry.rstrip() for entry in re.split(r"^(?=\w)", _OPTIONS, flags=re.M)}
    verb.__doc__ = re.sub(
        r"^( *)%\((\w+)\)s$",
        lambda found: indent(entries[found[2]], found[1]),
        verb.__doc__ or "",  # there is none under python -OO
        flags=re.M,
    )
    return verb
