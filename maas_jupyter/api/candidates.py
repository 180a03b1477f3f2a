"""Candidates of a registered model: made, compared, kept with their code, and the winner registered."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maas_jupyter import plugins
from maas_jupyter.api.picking import registering
from maas_jupyter.api.progress import progress
from maas_jupyter.api.subjects import is_run
from maas_jupyter.arguments import line_of, several
from maas_jupyter.errors import Conflict, Unavailable, UsageError

if TYPE_CHECKING:
    from maas_jupyter.bundle import Bundle
    from maas_jupyter.data import Source
    from maas_jupyter.evaluation import Gate
    from maas_jupyter.optimization import Comparison, Goal, Optimizer, Trained
    from maas_jupyter.registry import ModelVersion, Registry


@dataclass(frozen=True)
class Asked:
    """What every verb that makes candidates is asked for.

    Attributes
    ----------
    rows : Source
        What candidates are judged by.
    calibration : Source or None
        Rows that ranges are taken from; None where the run's, or those of ``rows``, have to do.
    goals : list of Goal
        Of size and speed.
    gates : list of Gate
        Of metrics.
    max_drop : float
    budget : float or None
        Seconds.
    source : str or None
        Code that is kept with the comparison.
    """

    rows: Source
    calibration: Source | None
    goals: list[Goal]
    gates: list[Gate]
    max_drop: float
    budget: float | None
    source: str | None

    @classmethod
    def read(
        cls,
        data: Any,
        target: tuple[str, ...],
        text: str | None,
        calibrate: Any,
        max_drop: float,
        require: tuple[str, ...],
        source: str | None,
        budget: float | None = None,
    ) -> Asked:
        """Read what a user gave.

        Raises
        ------
        InvalidInput
            If the data cannot be read.
        UsageError
            If a target or a gate cannot be read.
        """
        from maas_jupyter.data import as_source
        from maas_jupyter.evaluation import parse_gate
        from maas_jupyter.optimization import parse_goal

        if not isfinite(max_drop):
            raise UsageError(f"--max-drop is {max_drop}.", hint="Give what may be lost, such as --max-drop 0.01.")
        words = several(target)
        # What looks like a bound is one, or a mistake in one: no column that nobody has.
        columns = [word for word in words if not re.search("[<>=≤≥]", word)]
        if len(columns) > 1:
            raise UsageError(f"There are two target columns, {columns[0]} and {columns[1]}.", hint="Name one.")
        column = columns[0] if columns else None
        return cls(
            as_source(data, target=column, text=text, name="data"),
            None if calibrate is None else as_source(calibrate, target=column, text=text, name="calibrate"),
            [parse_goal(word) for word in words if word not in columns],
            [parse_gate(gate) for gate in several(require)],
            max_drop,
            budget,
            source,
        )


def compared(
    verb: str,
    model: Any,
    version: ModelVersion,
    registry: Registry,
    asked: Asked,
    methods: Callable[[], list[Optimizer]],
    *,
    combine: bool = False,
    named: bool = False,
) -> Comparison:
    """Search, keep the comparison, and register the winner.

    Parameters
    ----------
    verb : str
        Which one it is for.
    model : object
        As it was given: a run brings its module.
    methods : callable
        Gives the optimizers, in the order in which they are tried.
    combine : bool
        Whether what was trained smaller is quantized too.
    named : bool
        Whether just these methods were asked for.

    Raises
    ------
    InvalidInput
        If the model's task has no metric, or the data does not fit it.
    """
    from maas_jupyter.evaluation.predict import main_output
    from maas_jupyter.optimization import KeptCandidates, Original, Search, limits_of
    from maas_jupyter.serving.options import cores

    trained = _trained(model)
    with progress(f"{verb} {version.reference}") as step, tempfile.TemporaryDirectory(prefix="maas-") as scratch:
        step("fetching the bundle")
        bundle = registry.fetch(version)
        main_output(bundle.manifest)
        calibration, note = _calibration(asked, trained)
        original = Original(version.reference, bundle, asked.rows, calibration, trained, cores(), step)
        limits = limits_of(bundle.manifest.task, asked.max_drop, asked.goals)
        folder = Path(scratch) / "candidates"
        folder.mkdir()
        search = Search(original, limits, asked.gates, folder, asked.budget, named)
        optimizers = methods()
        comparison, winner = search.run(optimizers, combine=combine)
        calibrated = {each.name for each in optimizers if getattr(each, "calibrates", False)}
        taken = {name for each in comparison.candidates for name in each.method.split(" + ")}
        notes = [*comparison.notes, *([note] if note and taken & calibrated else [])]
        comparison = replace(comparison, notes=notes, command=_command(verb, model, version, asked.source))
        step("keeping the comparison")
        comparison = _kept(verb, comparison, winner, version, registry, Path(scratch), step)
        bundles = (
            search.bundles
            if winner is None or comparison.winner is None
            else {
                **search.bundles,
                comparison.winner.method: winner,
            }
        )
        return replace(comparison, kept=KeptCandidates(bundles, registering(comparison, version, registry)))


def _command(verb: str, model: Any, version: ModelVersion, source: str | None) -> str:
    """Return what does the same again: the line that was typed, with the version that the reference means now."""
    line = line_of(verb)
    if not line:
        return source or ""
    if isinstance(model, str):
        words = re.split(r"(\s+)", line)
        for place in range(4, len(words), 2):
            if words[place].strip("\"'") == model and not words[place - 2].startswith("--"):
                words[place] = version.reference
                break
        line = "".join(words)
    return f"{line}\n{source}" if source else line


def _kept(
    verb: str,
    comparison: Comparison,
    winner: Bundle | None,
    version: ModelVersion,
    registry: Registry,
    scratch: Path,
    step: Callable[[str], None],
) -> Comparison:
    """Keep a comparison and register its winner; what was measured is returned where that cannot be done."""
    try:
        return _registered(verb, comparison, winner, version, registry, scratch, step)
    except Unavailable as error:
        return replace(comparison, notes=[*comparison.notes, f"it could not be kept: {error.message}"])
    except KeyboardInterrupt:
        return replace(comparison, interrupted=True)


def _registered(
    verb: str,
    comparison: Comparison,
    winner: Bundle | None,
    version: ModelVersion,
    registry: Registry,
    scratch: Path,
    step: Callable[[str], None],
) -> Comparison:
    from maas_jupyter.registry.tracking import Tracker

    params = {
        "model": version.reference,
        "method": "" if comparison.winner is None else comparison.winner.method,
        "max_drop": comparison.max_drop,
        "targets": " ".join(comparison.targets),
        "gates": " ".join(comparison.gates),
        "rows": comparison.rows,
        "threads": comparison.threads,
        "command": comparison.command,
    }
    tracker = Tracker(registry, f"{verb} {version.reference}", params, {"maas.verb": verb})
    try:
        report = scratch / "comparison"
        report.mkdir()
        (report / "comparison.txt").write_text(f"{comparison!r}\n", encoding="utf-8")
        if comparison.command:
            (report / "command.txt").write_text(comparison.command, encoding="utf-8")
        tracker.log_files(report, "comparison")
        if winner is not None:
            step("registering the winner")
            measurements = winner.manifest.measurements
            made = registry.register(
                version.name, winner, run_id=tracker.run_id, metrics=measurements, parent=version.reference
            )
            comparison = comparison.registered(made)
            tracker.log(measurements, step=0)
    except KeyboardInterrupt:
        tracker.end("KILLED")
        if comparison.version is None:
            raise
        return comparison  # the winner is registered: only its numbers are missing from the run
    except BaseException:
        tracker.end("FAILED")
        raise
    tracker.end("KILLED" if comparison.interrupted else "FINISHED")
    if tracker.warning:
        return replace(comparison, notes=[*comparison.notes, f"not everything could be kept: {tracker.warning}"])
    return comparison


def _trained(model: Any) -> Trained | None:
    """Return the torch model of a run."""
    from maas_jupyter.optimization import Trained

    if not is_run(model) or model.prepared is None:
        return None
    if model.status == "training":
        raise Conflict("The run goes on.", hint="Wait for it, run.wait(), or stop it, run.stop().")
    return Trained(
        model.model, model.prepared, model.held_out, lambda title: plugins.load("view", "training")(title), model.loss
    )


def _calibration(asked: Asked, trained: Trained | None) -> tuple[Source, str]:
    """Return the rows that ranges are taken from, and what is worth knowing of them."""
    if asked.calibration is not None:
        return asked.calibration, ""
    if trained is not None and trained.prepared.source.form != "loader":
        return trained.prepared.source, ""
    return asked.rows, "ranges of activations were taken from rows of data; other rows can be named with --calibrate"
