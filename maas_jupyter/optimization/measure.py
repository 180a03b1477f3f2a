"""Measures bundles side by side: speed in turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Batch, Data
from maas_jupyter.evaluation import score_bundle
from maas_jupyter.evaluation.predict import Predictor, bundle_inputs, loaded
from maas_jupyter.optimization.comparison import Measurement
from maas_jupyter.serving.servable import Servable

METRICS = {"classification": "accuracy", "regression": "r2"}

_TURNS = 15
_SECONDS_PER_TURN = 0.02
_COMPARED_ROWS = 1024
_PART = 128


def measure(bundles: list[Bundle], data: Data, *, batch_size: int) -> list[Measurement]:
    """Measure bundles of one task on the same rows; differences are against the first.

    Parameters
    ----------
    bundles : list of Bundle
        The original first.
    data : Data
        Rows with targets.
    batch_size : int
        For rows per second; latency is of one row.

    Returns
    -------
    list of Measurement
        In the order of ``bundles``.
    """
    task = bundles[0].manifest.task
    rows = data.head(_COMPARED_ROWS)
    with ExitStack() as stack:
        outputs = [_outputs(stack.enter_context(loaded(bundle)), rows) for bundle in bundles]
    speeds = _speeds(bundles, data, batch_size)
    measured = []
    for bundle, output, (single, batches) in zip(bundles, outputs, speeds, strict=True):
        # R2 needs more than one row; without it no candidate can pass.
        metric = score_bundle(bundle, data, subject="candidate").get(METRICS[task], float("nan"))
        measured.append(
            Measurement(
                size=bundle.manifest.size,
                p50_ms=float(np.percentile(single, 50)) * 1000,
                p95_ms=float(np.percentile(single, 95)) * 1000,
                rows_per_second=batch_size / float(np.median(batches)),
                metric=metric,
                max_difference=float(np.abs(output - outputs[0]).max()),
                agreement=_agreement(outputs[0], output, task),
            )
        )
    return measured


def _outputs(predict: Predictor, rows: Batch) -> np.ndarray:
    """Run rows in parts: all of them at once may need more memory than serving ever does."""
    parts = [slice(start, start + _PART) for start in range(0, len(rows), _PART)]
    return np.concatenate([predict(Batch(tuple(tensor[part] for tensor in rows.inputs), None)) for part in parts])


def _agreement(original: np.ndarray, other: np.ndarray, task: str) -> float:
    if task == "classification":
        return float((original.argmax(1) == other.argmax(1)).mean())
    return float(np.isclose(other, original, rtol=1e-2, atol=1e-3).mean())


def _speeds(bundles: list[Bundle], data: Data, batch_size: int) -> list[tuple[list[float], list[float]]]:
    """Return the seconds of single rows and of batches for each bundle, taken in turns."""
    rows = data.head(batch_size)
    # A batch size that the data cannot fill is filled by repeating rows; the numbers do not matter for the time.
    repeats = -(-batch_size // len(rows))
    with ExitStack() as stack:
        turns: list[tuple[Callable[[], object], Callable[[], object]]] = []
        for bundle in bundles:
            servable = Servable.load(bundle)
            stack.callback(servable.unload)
            arrays = bundle_inputs(bundle, rows)
            batch = {name: np.concatenate([array] * repeats)[:batch_size] for name, array in arrays.items()}
            one = {name: array[:1] for name, array in arrays.items()}
            turns.append((_call(servable.run, one), _call(servable.run, batch)))
        taken: list[tuple[list[float], list[float]]] = [([], []) for _ in bundles]
        for turn in range(_TURNS + 1):
            for pair, times in zip(turns, taken, strict=True):
                for call, seconds in zip(pair, times, strict=True):
                    # The first turn warms up and is not counted.
                    found = _timed(call)
                    seconds.extend(found if turn else [])
        return taken


def _call(run: Callable[[dict[str, np.ndarray]], object], inputs: dict[str, np.ndarray]) -> Callable[[], object]:
    return lambda: run(inputs)


def _timed(call: Callable[[], object]) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + _SECONDS_PER_TURN
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times
