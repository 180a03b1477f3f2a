"""Builds candidates from a bundle, measures them against it, and judges."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from maas_jupyter import plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Data
from maas_jupyter.errors import ExportError
from maas_jupyter.optimization.comparison import Candidate, Comparison, judge
from maas_jupyter.optimization.measure import METRICS, measure

_BATCH_SIZE = 32


class Optimizer(Protocol):
    """Makes a variant of a bundle; found by name through ``plugins``."""

    name: str
    description: str

    def applies_to(self, bundle: Bundle) -> bool:
        """Say whether there is anything to do in this bundle."""

    def run(self, bundle: Bundle, folder: Path) -> Bundle:
        """Write the variant into an empty folder; raises ExportError where it cannot."""


def compare(
    bundle: Bundle,
    data: Data,
    methods: list[str],
    folder: Path,
    *,
    subject: str,
    max_drop: float,
    on_step: Callable[[str], None],
) -> tuple[Comparison, Bundle | None]:
    """Make and measure candidates.

    Parameters
    ----------
    bundle : Bundle
        The original.
    data : Data
        Rows with targets, for the metric and the numeric difference.
    methods : list of str
        Names of optimizers; those that do not apply are left out.
    folder : Path
        Existing and empty; the candidates are made in it.
    subject : str
        Reference of the original.
    max_drop : float
        How much of the metric a candidate may lose.
    on_step : callable
        Is told what is being done.

    Returns
    -------
    comparison : Comparison
        Nothing is registered yet.
    winner : Bundle or None
        With its measurements in the manifest.
    """
    made: list[tuple[Optimizer, Bundle]] = []
    failed: list[Candidate] = []
    for method in methods:
        optimizer: Optimizer = plugins.load("optimizer", method)()
        if not optimizer.applies_to(bundle):
            continue
        on_step(f"making {optimizer.name}: {optimizer.description}")
        place = folder / optimizer.name
        place.mkdir()
        try:
            made.append((optimizer, optimizer.run(bundle, place)))
        except ExportError as error:
            shutil.rmtree(place)
            failed.append(Candidate(optimizer.name, optimizer.description, "", None, "failed", error.message))
    on_step(f"measuring {len(made) + 1} candidates side by side")
    original, *rest = measure([bundle, *(candidate for _, candidate in made)], data, batch_size=_BATCH_SIZE)
    metric_name = METRICS[bundle.manifest.task]
    candidates = [Candidate("original", subject, bundle.manifest.precision, original, "original", "")]
    for (optimizer, variant), measured in zip(made, rest, strict=True):
        verdict, reason = judge(original, measured, metric_name=metric_name, max_drop=max_drop)
        candidates.append(
            Candidate(optimizer.name, optimizer.description, variant.manifest.precision, measured, verdict, reason)
        )
    candidates, winner = _crown(candidates, {optimizer.name: variant for optimizer, variant in made}, metric_name)
    rows = data.rows if data.rows is not None else 0
    comparison = Comparison(subject, metric_name, max_drop, rows, _BATCH_SIZE, candidates + failed)
    return comparison, winner


def _crown(
    candidates: list[Candidate], variants: dict[str, Bundle], metric_name: str
) -> tuple[list[Candidate], Bundle | None]:
    """Make the fastest of the good ones the winner."""
    good = [candidate for candidate in candidates if candidate.verdict == "good"]
    if not good:
        return candidates, None
    best = min(good, key=lambda candidate: candidate.measured.p50_ms if candidate.measured else float("inf"))
    crowned = [replace(candidate, verdict="winner") if candidate is best else candidate for candidate in candidates]
    variant = variants[best.method]
    assert best.measured is not None
    manifest = msgspec.structs.replace(variant.manifest, measurements=best.measured.as_metrics(metric_name))
    return crowned, Bundle.seal(variant.folder, manifest, variant.manifest.files)
