"""Makes candidates of a model, measures them against it, and judges: the one comparison behind every verb."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import msgspec
import numpy as np

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Source
from maas_jupyter.errors import InvalidInput, MaasError, counted
from maas_jupyter.evaluation import Evaluation, Gate, Predictions, judge
from maas_jupyter.evaluation.predict import main_output, predict_served, served_inputs
from maas_jupyter.evaluation.raw import as_tensors
from maas_jupyter.optimization import verdicts
from maas_jupyter.optimization.budget import Budget
from maas_jupyter.optimization.comparison import Candidate, Comparison
from maas_jupyter.optimization.contender import TRIAL_BATCH, Contender
from maas_jupyter.optimization.deadline import Deadline
from maas_jupyter.optimization.goals import Goal
from maas_jupyter.optimization.measure import Stand, measure_speeds, seconds_to_time
from maas_jupyter.optimization.measure.stand import PATIENCE
from maas_jupyter.optimization.measurement import Measurement, Quality
from maas_jupyter.optimization.optimizer import Optimizer
from maas_jupyter.optimization.original import Original
from maas_jupyter.optimization.verdicts import NOISE, Limits

METRICS = {"classification": "accuracy", "regression": "r2"}

#: Rows that candidates are timed with.
_TIMED_ROWS = 64
#: A candidate hangs that takes so many times as long for an answer as the original did for all; and seconds at least.
_PATIENCE_FACTOR, _LEAST_PATIENCE = 20.0, 60.0
#: With how many quantizers, the fastest in the trial, what was trained smaller is combined.
_COMBINED = 2


@dataclass
class Search:
    """One search.

    Parameters
    ----------
    original : Original
    limits : Limits
        What is asked of a candidate.
    gates : list of Gate
        What its metrics have to reach.
    folder : Path
        Existing and empty; the candidates are made in it.
    budget : float or None
        Seconds; methods that would not fit into what is left of them are not tried.
    named : bool
        Whether somebody asked for just these methods: one that does not apply is tried all the same, and its row says
        why it failed.
    """

    original: Original
    limits: Limits
    gates: list[Gate]
    folder: Path
    budget: float | None = None
    named: bool = False
    _rows: list[Contender] = field(default_factory=list)
    _interrupted: bool = False
    _reference: Predictions | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _patience: float = PATIENCE
    _time_given: Budget = field(default_factory=lambda: Budget(None))

    def run(self, optimizers: list[Optimizer], *, combine: bool = False) -> tuple[Comparison, Bundle | None]:
        """Try methods one after the other, then time side by side those that may win.

        Parameters
        ----------
        optimizers : list of Optimizer
            In the order in which they are tried; those that do not apply are left out.
        combine : bool
            Whether what was trained smaller is quantized too.

        Returns
        -------
        comparison : Comparison
            Nothing is registered yet. After an interrupt: what was finished.
        winner : Bundle or None
            With its measurements in the manifest.

        Raises
        ------
        InvalidInput
            If the rows do not fit the model, are others each time, or do not give the metric.
        """
        self._time_given = Budget(self.budget)
        _check_repeatable(self.original.rows)
        with self._stack:
            first = Contender("original", self.original.reference, self.original.bundle)
            self._rows = [first]
            self._measure(first)  # what fails here fails the search
            self._patience = min(max(_LEAST_PATIENCE, _PATIENCE_FACTOR * self._time_given.used), PATIENCE)
            first.verdict = "original"
            try:
                for optimizer in optimizers:
                    self._try(optimizer, self.original)
                if combine:
                    self._combine()
                self._time()
            except KeyboardInterrupt:
                self._interrupted = True
        return self._conclude()

    @property
    def bundles(self) -> dict[str, Bundle]:
        """The bundles in the folder of those candidates that were measured and ran to the end, by method."""
        return {
            row.method: row.bundle
            for row in self._rows[1:]
            if row.measured and row.verdict != "failed" and row.bundle and self.folder in row.bundle.folder.parents
        }

    # -- trying -------------------------------------------------------------------------------------------------------

    def _try(self, optimizer: Optimizer, original: Original, before: Contender | None = None) -> None:
        method = f"{before.method} + {optimizer.name}" if before else optimizer.name
        description = f"{before.description}; {optimizer.description}" if before else optimizer.description
        row = Contender(self._unused(method), description, optimizer=optimizer)
        try:
            if not self.named and not optimizer.applies_to(original):
                return
            if not self._fits(optimizer):
                row.verdict, row.reason = "skipped", f"it would not fit into what was left of {self.budget:.0f} s"
            else:
                self._make(row, original)
        except MaasError as error:
            row.fail(error)
        except Exception as error:  # noqa: BLE001  whoever wrote the method: its row says so, and the others go on
            said = (str(error).splitlines() or [""])[0]
            row.fail(MaasError(f"{type(error).__name__}: {said}" if said else type(error).__name__))
        self._rows.append(row)

    def _make(self, row: Contender, original: Original) -> None:
        assert row.optimizer is not None
        self.original.on_step(f"making {row.method}: {row.description}")
        started = time.monotonic()
        folder = self.folder / str(len(self._rows))
        folder.mkdir()
        if original.trained is not None and self.budget is not None:
            end = self._time_given.started + self.budget - self._seconds_to_time()
            watch = Deadline(original.trained.watch, end, self.budget)
            original = replace(original, trained=replace(original.trained, watch=watch))
        row.bundle = row.optimizer.run(original, folder)
        self._time_given.note(row.optimizer, self.original, time.monotonic() - started)
        self._measure(row)

    def _unused(self, method: str) -> str:
        """Tell rows apart whose methods have one name."""
        taken = {row.method for row in self._rows}
        names = (method if number == 1 else f"{method} ({number})" for number in count(1))
        return next(name for name in names if name not in taken)

    def _measure(self, row: Contender) -> None:
        """Load a candidate in a process of its own and look at its answers."""
        assert row.bundle is not None
        original = self.original
        original.on_step(f"loading {row.method} and looking at its answers")
        stand = self._stack.enter_context(Stand(row.bundle, original.threads, patience=self._patience))
        row.stand = stand
        manifest = row.bundle.manifest
        output = main_output(manifest)
        found = predict_served(
            lambda inputs: stand.run(inputs, output), manifest, original.rows, subject=f"'{row.method}'"
        )
        stand.hold(served_inputs(manifest, original.rows, _TIMED_ROWS))
        if self._reference is None:
            self._reference = found
        evaluation = self._evaluated(row, found)
        quality = Quality.of(found, self._reference, evaluation, self.limits.metric_name)
        row.measured = Measurement(manifest.size, stand.memory, quality, None)
        verdict = judge(evaluation, self.gates) if self.gates else None
        row.shortfall = verdicts.shortfall(self.gates, verdict)
        rejected = None if row.method == "original" else verdicts.rejected(row.measured, verdict, self.limits)
        if rejected is None:
            slow = row.try_out(self._rows[0])
            rejected = None if self.limits.wants_size else slow
        if rejected is not None:
            row.drop(*rejected)

    def _evaluated(self, row: Contender, found: Predictions) -> Evaluation:
        """Measure a candidate's answers.

        Raises
        ------
        InvalidInput
            If the metric cannot be computed on these rows.
        """
        evaluation = Evaluation.of(found, subject=row.method)
        metric = self.limits.metric_name
        if metric not in evaluation.metrics:
            why = next((f": {note}" for note in evaluation.notes if metric in note), ".")
            raise InvalidInput(
                f"Candidates are judged by {metric}, which {counted(len(found), 'row')} do not give{why}",
                hint="Give --data with more rows, whose targets vary.",
            )
        return evaluation

    def _combine(self) -> None:
        """Quantize what was trained smaller, with the methods that made the original fastest."""
        first = self._rows[0]
        assert first.measured is not None
        smaller = [
            row
            for row in self._rows
            if row.runs
            and row.family in ("prune", "distil")
            and row.measured is not None
            and (row.single < first.single / (1 + NOISE) or row.measured.size < first.measured.size / (1 + NOISE))
        ]
        quantizers = sorted(
            (row for row in self._rows if row.runs and row.family == "quantize"), key=lambda row: row.single
        )
        for row in smaller:
            assert row.bundle is not None
            original = self.original.followed_by(row.bundle)
            for quantizer in quantizers[:_COMBINED]:
                assert quantizer.optimizer is not None
                self._try(quantizer.optimizer, original, row)

    def _fits(self, optimizer: Optimizer) -> bool:
        left = self._time_given.left
        return self._time_given.expected(optimizer, self.original) + self._seconds_to_time(one_more=True) <= left

    def _seconds_to_time(self, *, one_more: bool = False) -> float:
        """Return how long it takes to time what runs, and one more that is as fast as the original."""
        rows = [row for row in self._rows if row.runs] + ([self._rows[0]] if one_more else [])
        largest = self.original.bundle.manifest.max_batch / TRIAL_BATCH
        return seconds_to_time([(row.single, row.batch * max(largest, 1.0)) for row in rows])

    # -- timing -------------------------------------------------------------------------------------------------------

    def _time(self) -> None:
        stands = {row.method: row.stand for row in self._rows if row.stand is not None}
        speeds, failed = measure_speeds(
            stands,
            largest_batch=self.original.bundle.manifest.max_batch,
            on_step=self.original.on_step,
            seconds=self._time_given.left,
        )
        if "original" in failed:
            raise failed["original"]
        for row in self._rows:
            if row.method in failed:
                row.fail(failed[row.method])
            elif row.method in speeds:
                assert row.measured is not None
                row.measured = replace(row.measured, speed=speeds[row.method])
        original = self._rows[0].measured
        assert original is not None
        for row in self._rows[1:]:
            if row.runs and row.measured is not None:
                row.verdict, row.reason = verdicts.judge(original, row.measured, self.limits)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _conclude(self) -> tuple[Comparison, Bundle | None]:
        if self._interrupted:
            for row in self._rows[1:]:
                if not row.reason:
                    row.verdict, row.reason = "skipped", "interrupted before it was timed"
        candidates = [row.candidate() for row in self._rows]
        if not self._interrupted:
            candidates = verdicts.crowned(candidates, self.limits)
        assert self._reference is not None
        comparison = Comparison(
            subject=self.original.reference,
            metric_name=self.limits.metric_name,
            max_drop=self.limits.max_drop,
            targets=[str(goal) for goal in self.limits.goals],
            gates=[str(gate) for gate in self.gates],
            rows=len(self._reference),
            threads=self.original.threads,
            candidates=candidates,
            interrupted=self._interrupted,
            notes=self._notes(candidates),
        )
        winner = comparison.winner
        if winner is None:
            return replace(comparison, closest=verdicts.closest(candidates, self.limits)), None
        bundle = next(row.bundle for row in self._rows if row.method == winner.method)
        assert bundle is not None
        assert winner.measured is not None
        manifest = msgspec.structs.replace(
            bundle.manifest,
            # What lies between the two, of methods that were combined, is not registered.
            parent=self.original.bundle.digest,
            measurements=winner.measured.as_metrics(self.limits.metric_name),
        )
        return comparison, Bundle.seal(bundle.folder, manifest, bundle.manifest.files)

    def _notes(self, candidates: list[Candidate]) -> list[str]:
        """Say what the rows cannot tell."""
        assert self._reference is not None
        rows, limits = len(self._reference), self.limits
        if self._reference.task == "classification" and 0 <= limits.max_drop < 1 / rows:
            one = f"one of {counted(rows, 'row')} is {1 / rows:.2g} of {limits.metric_name}"
            return [f"{one}, more than may be lost ({limits.max_drop:g}): more rows would tell more"]
        for each in candidates:
            if each.verdict == "winner" and each.measured is not None:
                span = each.measured.quality.change_interval
                if span is not None and -span.low > limits.max_drop:
                    return [
                        f"{each.method} may lose more than {limits.max_drop:g} of {limits.metric_name}: "
                        f"its change is [{span.low:+.3f}, {span.high:+.3f}] (95 %); more rows would tell more"
                    ]
        return []


def _check_repeatable(rows: Source) -> None:
    """Check that a loader gives the same rows each time: every candidate is asked about them anew.

    Raises
    ------
    InvalidInput
        If it does not.
    """
    data = as_tensors(rows) if rows.form == "loader" else None
    if data is None:
        return
    first, second = ([*batch.inputs, batch.required_targets()] for batch in (data.head(_TIMED_ROWS) for _ in range(2)))
    for one, other in zip(first, second, strict=True):
        if not np.array_equal(one.cpu().numpy(), other.cpu().numpy(), equal_nan=True):
            raise InvalidInput(
                f"'{rows.name}' gives other rows each time it is read, and candidates are judged by the same ones.",
                hint="Make the DataLoader with shuffle=False, without random changes of its rows; or give (X, y).",
            )


def limits_of(task: str, max_drop: float, goals: list[Goal]) -> Limits:
    """Return the limits of a task's comparisons."""
    return Limits(METRICS[task], max_drop, goals)
