"""Taking a candidate that did not win: ``pick``."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING

import msgspec

from maas_jupyter.arguments import DataArgument
from maas_jupyter.errors import UsageError

if TYPE_CHECKING:
    from maas_jupyter.bundle import Bundle
    from maas_jupyter.optimization import Candidate, Comparison
    from maas_jupyter.registry import ModelVersion, Registry


def pick(comparison: DataArgument, method: str, *, name: str | None = None) -> ModelVersion:
    """Register a candidate of a comparison that did not win.

    The files of all candidates that were measured are kept as long as the comparison, and are gone with the kernel.

    Parameters
    ----------
    comparison : Comparison
        What quantize, prune, distil or optimize returned in this notebook.
    method : str
        The candidate, as it is called in the comparison's table.
    name : str
        Name of the model; the original's by default, whose next version it becomes.

    Returns
    -------
    ModelVersion

    Raises
    ------
    NotFound
        If there is no such candidate, or its files are gone.
    InvalidInput
        If it could not be measured, or is registered already.
    """
    if type(comparison).__name__ != "Comparison":
        shown = f"'{comparison}'" if isinstance(comparison, str) else f"A {type(comparison).__name__}"
        raise UsageError(
            f"{shown} is no comparison of candidates.",
            hint="Assign one: comparison = %maas quantize MODEL --data ROWS",
        )
    picked: ModelVersion = comparison.pick(method, name=name)
    return picked


def registering(
    comparison: Comparison, original: ModelVersion, registry: Registry
) -> Callable[[Candidate, Bundle, str | None], ModelVersion]:
    """Return what registers a candidate of a comparison, with its parent and its measurements."""

    def register(candidate: Candidate, bundle: Bundle, name: str | None) -> ModelVersion:
        from maas_jupyter.bundle import Bundle
        from maas_jupyter.registry.tracking import Tracker
        from maas_jupyter.schema import check_name

        assert candidate.measured is not None
        measured = candidate.measured.as_metrics(comparison.metric_name)
        measurements = {key: value for key, value in measured.items() if isfinite(value)}
        manifest = msgspec.structs.replace(bundle.manifest, parent=original.digest, measurements=measurements)
        sealed = Bundle.seal(bundle.folder, manifest, bundle.manifest.files)
        params = {
            "model": original.reference,
            "method": candidate.method,
            "verdict": f"{candidate.verdict}: {candidate.reason}",
            "command": comparison.command,
        }
        name = check_name(name) if name is not None else original.name
        tracker = Tracker(registry, f"pick {candidate.method} of {original.reference}", params, {"maas.verb": "pick"})
        try:
            version = registry.register(
                name, sealed, run_id=tracker.run_id, metrics=measurements, parent=original.reference
            )
        except BaseException:
            tracker.end("FAILED")
            raise
        tracker.log(measurements, step=0)
        tracker.end("FINISHED")
        return version

    return register
