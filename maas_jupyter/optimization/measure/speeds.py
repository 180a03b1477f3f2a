"""The speed of several candidates: in turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

import numpy as np

from maas_jupyter.errors import BundleError
from maas_jupyter.optimization.measure.stand import Stand
from maas_jupyter.optimization.measurement import Speed
from maas_jupyter.optimization.original import OnStep

#: Turns of each candidate, in so many sittings of fresh processes; at least so many turns where time is short.
TURNS, _SITTINGS, _FEWEST_TURNS = 14, 2, 5
#: Which share of the turns is quiet: those say what a candidate takes.
_QUIET = 1 / 3
#: How often the best size of a batch is looked for.
_LOOKS = 2
#: Seconds of a turn and of a trial; either has at least three runs, and a trial two more before them.
_SECONDS = 0.06
_SECONDS_OF_A_TRIAL = 0.02
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
    rates: dict[str, dict[int, float]] = {name: {} for name in stands}
    # Not one right after the other: what slows a machine down for a moment meets one of them.
    for _ in range(_LOOKS):
        for name in [name for name in stands if name not in failed]:
            on_step(f"looking for the best batch size of {name}")
            try:
                _look(stands[name], largest_batch, rates[name])
            except BundleError as error:
                failed[name] = error
    sizes = {name: _best_batch(found) for name, found in rates.items() if name not in failed}
    singles: dict[str, list[np.ndarray]] = {name: [] for name in sizes}
    batches: dict[str, list[np.ndarray]] = {name: [] for name in sizes}
    longest = 0.0
    for turn in range(TURNS):
        started = time.monotonic()
        if turn >= _FEWEST_TURNS and started + longest > end:
            break
        if turn and turn % (TURNS // _SITTINGS) == 0:
            # Where its memory and its threads lie may slow one process down for all of its life.
            failed |= _renew({name: stands[name] for name in sizes if name not in failed}, end - started - longest)
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
        + _LOOKS * max(_SIZES * _SECONDS_OF_A_TRIAL, 2 * _RUNS_OF_A_TRIAL * pair[1])
        for pair in runs
    )


def _renew(stands: Mapping[str, Stand], seconds: float) -> dict[str, BundleError]:
    """Give each a fresh process, where there is time to load them all; return those that failed."""
    failed: dict[str, BundleError] = {}
    if sum(stand.seconds_to_load for stand in stands.values()) > seconds:
        return failed
    for stand in stands.values():
        stand.restart()
    for name, stand in stands.items():
        try:
            stand.reload()
        except BundleError as error:
            failed[name] = error
    return failed


def _look(stand: Stand, largest: int, rates: dict[int, float]) -> None:
    """Time larger and larger batches as long as that may gain, and keep the best rates that were seen."""
    size = 1
    while size <= largest and size < 8 * _best_batch(rates):
        rate = size / float(np.median(stand.time(size, _SECONDS_OF_A_TRIAL)))
        rates[size] = max(rate, rates.get(size, 0.0))
        size *= 2


def _best_batch(rates: Mapping[int, float]) -> int:
    best = 1
    for size in sorted(rates):
        if rates[size] > rates[best] * _GAIN:
            best = size
    return best


def _speed(singles: list[np.ndarray], batches: list[np.ndarray], size: int) -> Speed:
    medians = np.array([np.median(turn) for turn in singles])
    # What slows a machine down comes in bursts: whole turns are slow then. The quieter ones say what the candidate
    # takes, and are the same from one comparison to the next.
    count = math.ceil(len(medians) * _QUIET)
    quiet = np.argsort(medians)[:count]
    p50 = float(np.median(medians[quiet]))
    lower, upper = np.quantile(medians, [0.25, 0.75])
    rates = np.sort([np.median(turn) for turn in batches])[:count]
    return Speed(
        p50_ms=p50 * 1000,
        p95_ms=float(np.quantile(np.concatenate([singles[turn] for turn in quiet]), 0.95)) * 1000,
        spread=float(upper - lower) / 2 / p50,
        rows_per_second=size / float(np.median(rates)),
        batch_size=size,
    )
