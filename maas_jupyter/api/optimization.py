"""Optimising: ``quantize``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from maas_jupyter import plugins
from maas_jupyter.api.progress import progress
from maas_jupyter.api.subjects import open_registry, to_version
from maas_jupyter.arguments import DataArgument, ReferenceArgument

if TYPE_CHECKING:
    from maas_jupyter.optimization import Comparison


def quantize(
    model: ReferenceArgument, *, data: DataArgument, max_drop: float = 0.01, method: tuple[str, ...] = ()
) -> Comparison:
    """Quantize a registered model to int8 and compare the candidates with it.

    Size, speed, quality and numbers are measured side by side. The winner is registered as a new version; a candidate
    that is slower or worse is shown as such and is not registered.

    Parameters
    ----------
    model : str, Run or ModelVersion
        What to quantize.
    data : (X, y), Dataset or DataLoader
        Rows with targets, for the metric and the numeric difference.
    max_drop : float
        How much accuracy (R2 for regression) a candidate may lose.
    method : str
        Only this one; may be repeated. All that apply by default: dynamic-int8, dynamic-int8-conv.

    Returns
    -------
    Comparison

    Raises
    ------
    NotFound
        If there is no such model or method.
    """
    from maas_jupyter.data import as_data
    from maas_jupyter.optimization import compare
    from maas_jupyter.optimization.comparison import registered
    from maas_jupyter.registry.tracking import Tracker

    rows = as_data(data, name="data")
    registry = open_registry()
    version = to_version(model, registry)
    with progress(f"quantize {version.reference}") as step, tempfile.TemporaryDirectory(prefix="maas-") as scratch:
        step("fetching the bundle")
        original = registry.fetch(version)
        comparison, winner = compare(
            original,
            rows,
            list(method or plugins.BUILTIN["optimizer"]),
            Path(scratch),
            subject=version.reference,
            max_drop=max_drop,
            on_step=step,
        )
        step("keeping the comparison")
        params = {"model": version.reference, "max_drop": max_drop, "rows": comparison.rows}
        tracker = Tracker(registry, f"quantize {version.reference}", params, {"maas.verb": "quantize"})
        try:
            report = Path(scratch) / "comparison"
            report.mkdir()
            (report / "comparison.txt").write_text(f"{comparison!r}\n", encoding="utf-8")
            tracker.log_files(report, "comparison")
            if winner is not None:
                step("registering the winner")
                made = registry.register(
                    version.name,
                    winner,
                    run_id=tracker.run_id,
                    metrics=winner.manifest.measurements,
                    parent=version.reference,
                )
                comparison = registered(comparison, made)
                tracker.log(winner.manifest.measurements, step=0)
        except BaseException:
            tracker.end("FAILED")
            raise
        tracker.end("FINISHED")
    return comparison
