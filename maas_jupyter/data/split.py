"""Splitting rows for validation: seeded, and stratified where the targets are classes."""

from __future__ import annotations

import numpy as np

from maas_jupyter.data.labels import are_classes
from maas_jupyter.data.source import Source
from maas_jupyter.errors import InvalidInput, UsageError


def split(source: Source, share: float, *, seed: int) -> tuple[Source, Source]:
    """Split rows at random into a part for training and one for validation.

    The rows of each class are shared out evenly: its number in the validation part is ``share`` of it to within one
    row. Every class keeps a row for training. Both parts keep the order of the rows.

    Parameters
    ----------
    source : Source
    share : float
        Of the rows for validation, between 0 and 1.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    train, val : Source

    Raises
    ------
    UsageError
        If the share is not between 0 and 1.
    InvalidInput
        If the rows cannot be taken apart, or too few would be in one part.
    """
    if not 0 < share < 1:
        raise UsageError(f"A share of {share:g} rows is not between 0 and 1.", hint="For a fifth of them: 0.2")
    rows = source.rows
    if rows is None:
        source.select([])  # says why not
        raise InvalidInput(f"'{source.name}' does not say how many rows it has.", hint="Pass the two parts yourself.")
    targets = source.targets()
    order = np.random.default_rng(seed).permutation(rows)
    groups = np.zeros(rows, dtype=np.int64)
    if targets is not None and targets.ndim == 1 and are_classes(targets, source.form):
        groups = np.unique(targets, return_inverse=True)[1]
        order = order[np.argsort(groups[order], kind="stable")]
    # Every 1/share-th row in the order of the classes: systematic sampling. The only row of a class stays for training.
    sizes = np.bincount(groups)
    order = order[sizes[groups[order]] > 1]
    chosen = np.zeros(rows, dtype=bool)
    chosen[order] = np.diff(np.floor(np.arange(len(order) + 1) * share + 0.5)) > 0
    for group in np.flatnonzero((np.bincount(groups[~chosen], minlength=len(sizes)) == 0) & (sizes > 0)):
        chosen[np.flatnonzero(groups == group)[0]] = False
    if not chosen.any():
        raise InvalidInput(
            f"'{source.name}' has {rows} rows: a share of {share:g} leaves none for validation.",
            hint="Choose another share, or pass the two parts yourself.",
        )
    return source.select(np.flatnonzero(~chosen)), source.select(np.flatnonzero(chosen))
