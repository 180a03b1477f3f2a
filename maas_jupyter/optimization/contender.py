"""A candidate on its way through a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import MaasError
from maas_jupyter.optimization.comparison import Candidate, Verdict
from maas_jupyter.optimization.deadline import OutOfTime
from maas_jupyter.optimization.measure import Stand
from maas_jupyter.optimization.measurement import Measurement
from maas_jupyter.optimization.optimizer import Optimizer

#: Rows of the batch of a short trial, and its seconds.
TRIAL_BATCH, _TRIAL_SECONDS = 16, 0.03
#: What is so much slower than the original, for one row and in batches, is not timed; noise is not as large.
_HOPELESS = 1.5


@dataclass
class Contender:
    """What is known of a candidate so far; ``single`` and ``batch`` are the seconds of its short trial."""

    method: str
    description: str
    bundle: Bundle | None = None
    stand: Stand | None = None
    measured: Measurement | None = None
    shortfall: float = 0.0
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

    def try_out(self, original: Contender) -> tuple[Verdict, str] | None:
        """Time it roughly, and say why it need not be timed further; None where it may win.

        Parameters
        ----------
        original : Contender
            What it is compared with; may be itself.
        """
        self.single, self.batch = self._trial()
        if self._factors(original) is not None:
            # The machine may have stalled just then.
            again = self._trial()
            self.single, self.batch = min(self.single, again[0]), min(self.batch, again[1])
        factors = self._factors(original)
        if factors is None:
            return None
        return "slower", f"about {factors[0]:.1f}x slower for one row, {factors[1]:.1f}x in batches: not timed further"

    def _factors(self, original: Contender) -> tuple[float, float] | None:
        """Return how many times slower it is than the original; None where that is not hopeless."""
        factors = self.single / original.single, self.batch / original.batch
        return factors if min(factors) >= _HOPELESS else None

    def _trial(self) -> tuple[float, float]:
        """Return the seconds of a run of one row and of a batch, roughly."""
        assert self.stand is not None
        stand = self.stand
        single, batch = (float(np.median(stand.time(rows, _TRIAL_SECONDS))) for rows in (1, TRIAL_BATCH))
        return single, batch

    def drop(self, verdict: Verdict, reason: str) -> None:
        """Give it up, and end its process."""
        self.verdict, self.reason = verdict, reason
        if self.stand is not None:
            self.stand.close()
            self.stand = None

    def fail(self, error: MaasError) -> None:
        """Give it up because of an error."""
        self.drop("skipped" if isinstance(error, OutOfTime) else "failed", error.message)

    def candidate(self) -> Candidate:
        """Return what the comparison shows."""
        precision = self.bundle.manifest.precision if self.bundle is not None else ""
        return Candidate(
            self.method, self.description, precision, self.measured, self.verdict, self.reason, self.shortfall
        )
