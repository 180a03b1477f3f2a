"""Makes candidates of a model, measures them against it, and judges: the one comparison behind every verb."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import MaasError
from maas_jupyter.evaluation import Evaluation, Gate, Predictions, compare, judge
from maas_jupyter.evaluation import Verdict as GateVerdict
from maas_jupyter.evaluation.predict import main_output, predict_served, served_inputs
from maas_jupyter.optimization import verdicts
from maas_jupyter.optimization.comparison import Candidate, Comparison, Verdict
from maas_jupyter.optimization.goals import Goal
from maas_jupyter.optimization.measure import Stand, measure_speeds, seconds_to_time
from maas_jupyter.optimization.measurement import Measurement, Quality
from maas_jupyter.optimization.optimizer import Optimizer
from maas_jupyter.optimization.original import Original
from maas_jupyter.optimization.verdicts import NOISE, Limits

METRICS = {"classification": "accuracy", "regression": "r2"}

#: Rows that candidates are timed with.
_TIMED_ROWS = 64
#: Outputs of a regression nearer than this are the same answer.
_RTOL, _ATOL = 1e-2, 1e-3
#: Of a short trial: seconds, and rows of its batch.
_TRIAL_SECONDS, _TRIAL_BATCH = 0.03, 16
#: What is so much slower than the original, for one row and in batches, is not timed; noise is not as large.
_HOPELESS = 1.5
#: A method is not expected to take more or less than it says by more than this.
_MOST_FACTOR = 5.0
#: With how many quantizers, the fastest in the trial, what was trained smaller is combined.
_COMBINED = 2


@dataclass
class _Row:
    """A candidate on its way through a search."""

    method: str
    description: str
    bundle: Bundle | None = None
    stand: Stand | None = None
    measured: Measurement | None = None
    single: float = 0.0
    batch: float = 0.0
    verdict: Verdict = "failed"
    reason: str = ""
    optimizer: Optimizer | None = None

    @property
    def runs(self) -> bool:
        """Whether nothing speaks against it so far."""
        return self.stand is not None and not self.reason

    @property
    def family(self) -> str:
        """Of its method."""
        return self.optimizer.family if self.optimizer is not None else ""

    def candidate(self) -> Candidate:
        """Return what the comparison shows."""
        precision = self.bundle.manifest.precision if self.bundle is not None else ""
        return Candidate(self.method, self.description, precision, self.measured, self.verdict, self.reason)


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
    """

    original: Original
    limits: Limits
    gates: list[Gate]
    folder: Path
    budget: float | None = None
    _rows: list[_Row] = field(default_factory=list)
    _interrupted: bool = False
    _reference: Predictions | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _started: float = 0.0
    _taken: list[float] = field(default_factory=list)

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
        """
        self._started = time.monotonic()
        with self._stack:
            first = _Row("original", self.original.reference, self.original.bundle)
            self._rows = [first]
            self._measure(first)  # what fails here fails the search
            first.verdict = "original"
            try:
                for optimizer in optimizers:
                    if optimizer.applies_to(self.original):
                        self._try(optimizer, self.original)
                if combine:
                    self._combine()
                self._time()
            except KeyboardInterrupt:
                self._interrupted = True
        return self._conclude()

    # -- trying -------------------------------------------------------------------------------------------------------

    def _try(self, optimizer: Optimizer, original: Original, before: _Row | None = None) -> None:
        method = f"{before.method} + {optimizer.name}" if before else optimizer.name
        description = f"{before.description}; {optimizer.description}" if before else optimizer.description
        row = _Row(method, description, optimizer=optimizer)
        left = self._left()
        timing = seconds_to_time(1 + sum(each.runs for each in self._rows))
        if left is not None and self._expected(optimizer) + timing > left:
            row.verdict, row.reason = "skipped", f"it would not fit into what was left of {self.budget:.0f} s"
            self._rows.append(row)
            return
        self.original.on_step(f"making {method}: {description}")
        started = time.monotonic()
        folder = self.folder / f"{len(self._rows)}-{optimizer.name}"
        folder.mkdir()
        try:
            row.bundle = optimizer.run(original, folder)
            self._taken.append((time.monotonic() - started) / optimizer.seconds)
            self._measure(row)
        except MaasError as error:
            self._fail(row, error)
        self._rows.append(row)

    def _fail(self, row: _Row, error: MaasError) -> None:
        row.verdict, row.reason = "failed", error.message
        if row.stand is not None:
            row.stand.close()
            row.stand = None

    def _measure(self, row: _Row) -> None:
        """Load a candidate in a process of its own and look at its answers."""
        assert row.bundle is not None
        original = self.original
        original.on_step(f"loading {row.method} and looking at its answers")
        stand = self._stack.enter_context(Stand(row.bundle, original.threads))
        row.stand = stand
        manifest = row.bundle.manifest
        output = main_output(manifest)
        found = predict_served(
            lambda inputs: stand.run(inputs, output), manifest, original.rows, subject=f"'{row.method}'"
        )
        stand.hold(served_inputs(manifest, original.rows, _TIMED_ROWS))
        if self._reference is None:
            self._reference = found
        row.measured, verdict = self._judged(row, stand, found)
        rejected = None if row.method == "original" else verdicts.rejected(row.measured, verdict, self.limits)
        if rejected is None:
            row.single = float(np.median(stand.time(1, _TRIAL_SECONDS)))
            row.batch = float(np.median(stand.time(_TRIAL_BATCH, _TRIAL_SECONDS)))
            rejected = self._hopeless(row)
        if rejected is not None:
            row.verdict, row.reason = rejected
            stand.close()
            row.stand = None

    def _hopeless(self, row: _Row) -> tuple[Verdict, str] | None:
        """Say why a candidate need not be timed."""
        first = self._rows[0]
        factors = row.single / first.single, row.batch / first.batch
        if self.limits.wants_size or min(factors) < _HOPELESS:
            return None
        return "slower", f"about {factors[0]:.1f}x slower for one row, {factors[1]:.1f}x in batches: not timed further"

    def _judged(self, row: _Row, stand: Stand, found: Predictions) -> tuple[Measurement, GateVerdict | None]:
        assert row.bundle is not None
        assert self._reference is not None
        evaluation = Evaluation.of(found, subject=row.method)
        quality = _quality(self._reference, found, evaluation, self.limits.metric_name)
        measured = Measurement(row.bundle.manifest.size, stand.memory, quality, None)
        return measured, judge(evaluation, self.gates) if self.gates else None

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
                if quantizer.optimizer.applies_to(original):
                    self._try(quantizer.optimizer, original, row)

    def _expected(self, optimizer: Optimizer) -> float:
        """Return how long a method should take: as much more or less than it says as those before did."""
        factor = statistics.median(self._taken) if self._taken else 1.0
        return optimizer.seconds * min(max(factor, 1 / _MOST_FACTOR), _MOST_FACTOR)

    def _left(self) -> float | None:
        return None if self.budget is None else self.budget - (time.monotonic() - self._started)

    # -- timing -------------------------------------------------------------------------------------------------------

    def _time(self) -> None:
        stands = {row.method: row.stand for row in self._rows if row.stand is not None}
        speeds, failed = measure_speeds(
            stands, largest_batch=self.original.bundle.manifest.max_batch, on_step=self.original.on_step
        )
        if "original" in failed:
            raise failed["original"]
        for row in self._rows:
            if row.method in failed:
                self._fail(row, failed[row.method])
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
        )
        winner = comparison.winner
        if winner is None:
            return replace(comparison, closest=verdicts.closest(candidates, self.limits)), None
        bundle = next(row.bundle for row in self._rows if row.method == winner.method)
        assert bundle is not None
        assert winner.measured is not None
        manifest = msgspec.structs.replace(
            bundle.manifest, measurements=winner.measured.as_metrics(self.limits.metric_name)
        )
        return comparison, Bundle.seal(bundle.folder, manifest, bundle.manifest.files)


def _quality(reference: Predictions, found: Predictions, evaluation: Evaluation, metric: str) -> Quality:
    # R2 needs more than one row; without it no candidate can pass.
    value = evaluation.metrics.get(metric, float("nan"))
    change, interval = float("nan"), None
    pair = compare([("original", reference), ("candidate", found)]).pairs[0]
    for difference in pair.differences:
        if difference.metric == metric:
            change, interval = difference.change, difference.interval
    differences = np.abs(found.output - reference.output)
    if found.task == "classification":
        agreement = float((found.predicted == reference.predicted).mean())
    else:
        agreement = float(np.isclose(found.output, reference.output, rtol=_RTOL, atol=_ATOL).mean())
    return Quality(
        value,
        evaluation.intervals.get(metric),
        change,
        interval,
        float(differences.max()),
        float(differences.mean()),
        agreement,
    )


def limits_of(task: str, max_drop: float, goals: list[Goal]) -> Limits:
    """Return the limits of a task's comparisons."""
    return Limits(METRICS[task], max_drop, goals)
