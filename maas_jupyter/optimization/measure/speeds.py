"""The speed of several candidates: in turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import numpy as np

from maas_jupyter.errors import BundleError
from maas_jupyter.optimization.measure.stand import Stand
from maas_jupyter.optimization.measurement import Speed
from maas_jupyter.optimization.original import OnStep

#: Turns of each candidate; at least so many where time is short.
TURNS, _FEWEST_TURNS = 15, 5
#: Seconds of a turn and of a trial; either has at least three runs, and a trial two more before them.
_SECONDS = 0.06
_SECONDS_OF_A_TRIAL = 0.04
_FEWEST_RUNS, _RUNS_OF_A_TRIAL = 3, 5
#: Sizes that are tried of the batch, about; all of them together take twice as long as the largest one.
_SIZES = 7
#: A larger batch is tried as long as it gives so much more than the best smaller one.
_GAIN = 1.02


def measure_speeds(
    stands: Mapping[str, Stand], *, largest_batch: int, on_step: OnStep, seconds: float = float("inf")
) -> tuple[dict[str, Speed], dict[str, BundleError]]:
    """Measure candidates that hold their rows.

    Parameters
    ----------
    stands : mapping of str to Stand
        By the candidate's name.
    largest_batch : int
        Batches up to this size are tried.
    on_step : callable
        Is told what is being done.
    seconds : float
        There are fewer turns where they would take longer, but five in any case.

    Returns
    -------
    speeds : dict of str to Speed
    failed : dict of str to BundleError
        Those that crashed meanwhile.
    """
    end = time.monotonic() + seconds
    failed: dict[str, BundleError] = {}
    sizes: dict[str, int] = {}
    for name, stand in stands.items():
        on_step(f"looking for the best batch size of {name}")
        try:
            sizes[name] = _best_batch(stand, largest_batch)
        except BundleError as error:
            failed[name] = error
    singles: dict[str, list[np.ndarray]] = {name: [] for name in sizes}
    batches: dict[str, list[np.ndarray]] = {name: [] for name in sizes}
    longest = 0.0
    for turn in range(TURNS):
        started = time.monotonic()
        if turn >= _FEWEST_TURNS and started + longest > end:
            break
        on_step(f"timing {len(sizes)} candidates in turns, {turn + 1} of {TURNS}")
        # Every other turn backwards: none of them always comes after the same neighbour.
        order = list(sizes)[:: 1 if turn % 2 else -1]
        for name in order:
            if name in failed:
                continue
            try:
                singles[name].append(stands[name].time(1, _SECONDS))
                batches[name].append(stands[name].time(sizes[name], _SECONDS))
            except BundleError as error:
                failed[name] = error
        longest = max(longest, time.monotonic() - started)
    speeds = {name: _speed(singles[name], batches[name], sizes[name]) for name in sizes if name not in failed}
    return speeds, failed


def seconds_to_time(runs: Iterable[tuple[float, float]]) -> float:
    """Return about how many seconds it takes to measure candidates in as few turns as there may be.

    Parameters
    ----------
    runs : iterable of (float, float)
        Seconds that each takes for one row, and for the largest batch.
    """
    return sum(
        _FEWEST_TURNS * sum(max(_SECONDS, _FEWEST_RUNS * run) for run in pair)
        + max(_SIZES * _SECONDS_OF_A_TRIAL, 2 * _RUNS_OF_A_TRIAL * pair[1])
        for pair in runs
    )


def _best_batch(stand: Stand, largest: int) -> int:
    best, rate, size = 1, 0.0, 1
    while size <= largest:
        found = size / float(np.median(stand.time(size, _SECONDS_OF_A_TRIAL)))
        if found > rate * _GAIN:
            best, rate = size, found
        elif size >= 4 * best:
            break
        size *= 2
    return best


def _speed(singles: list[np.ndarray], batches: list[np.ndarray], size: int) -> Speed:
    medians = np.array([np.median(turn) for turn in singles])
    # What slows a machine down comes in bursts: whole turns are slow then. The quieter half of them says what the
    # candidate takes, and is the same from one comparison to the next.
    quiet = np.argsort(medians)[: -(-len(medians) // 2)]
    p50 = float(np.median(medians[quiet]))
    lower, upper = np.quantile(medians, [0.25, 0.75])
    rates = np.sort([np.median(turn) for turn in batches])[: -(-len(batches) // 2)]
    return Speed(
        p50_ms=p50 * 1000,
        p95_ms=float(np.quantile(np.concatenate([singles[turn] for turn in quiet]), 0.95)) * 1000,
        spread=float(upper - lower) / 2 / p50,
        rows_per_second=size / float(np.median(rates)),
        batch_size=size,
    )
