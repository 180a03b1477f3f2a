"""How long the intervals of an evaluation and of a comparison take.

    python tests/benchmarks/evaluation.py

Prints seconds for 10,000 and 100,000 rows: all numbers with 1,000 resamples (200 for the larger), without running a
model.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from maas_jupyter.evaluation import Evaluation, Predictions, compare

_TURNS = 3


def main() -> None:
    for rows in (10_000, 100_000):
        _measure(rows, np.random.default_rng(0))


def _measure(rows: int, generator: np.random.Generator) -> None:
    two, ten = (_classes(rows, count, generator) for count in (2, 10))
    numbers = Predictions.of_numbers(*_numbers(rows, generator), subject="benchmark")
    _report(f"{rows:>7,} rows, 2 classes", lambda: Evaluation.of(two, subject="benchmark"))
    _report(f"{rows:>7,} rows, 10 classes", lambda: Evaluation.of(ten, subject="benchmark"))
    _report(f"{rows:>7,} rows, numbers", lambda: Evaluation.of(numbers, subject="benchmark"))
    _report(f"{rows:>7,} rows, 10 classes compared", lambda: compare([("a", ten), ("b", ten)]))


def _classes(rows: int, classes: int, generator: np.random.Generator) -> Predictions:
    truth = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes)).astype("float32")
    logits[np.arange(rows), truth] += 3
    scores = np.exp(logits)
    return Predictions.of_classes(truth, scores / scores.sum(axis=1, keepdims=True), None, subject="benchmark")


def _numbers(rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    truth = generator.normal(size=(rows, 1))
    return truth, truth + generator.normal(size=(rows, 1)) / 2


def _report(what: str, work: Callable[[], object]) -> None:
    taken = []
    for _ in range(_TURNS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    print(f"{what:<38} {min(taken):6.2f} s")


if __name__ == "__main__":
    main()
