"""Rows that ranges of activations are taken from, as the server would feed them to the graph."""

from __future__ import annotations

import numpy as np

from maas_jupyter.errors import InvalidInput
from maas_jupyter.evaluation.predict import served_inputs
from maas_jupyter.optimization.original import Original
from maas_jupyter.serving.servable import Servable

#: Fewer rows say too little about how far activations reach.
LEAST_ROWS = 16

_MOST_ROWS = 256
_BATCH = 8


def calibration_batches(original: Original, *, uniform: bool = False) -> list[dict[str, np.ndarray]]:
    """Return the graph's inputs for calibration rows, texts tokenized and images decoded as in the server.

    Parameters
    ----------
    original : Original
    uniform : bool
        Whether all batches have to be of one shape: texts are padded to the longest of all then.

    Returns
    -------
    list of dict of str to ndarray
        Batches of 8 rows, 256 rows at the most.

    Raises
    ------
    InvalidInput
        If there are fewer than 16 rows, they do not fit the model, or its answer for one of them is not finite.
    """
    inputs = served_inputs(original.bundle.manifest, original.calibration, _MOST_ROWS)
    rows = min((len(array) for array in inputs.values()), default=0)
    if rows < LEAST_ROWS:
        raise InvalidInput(
            f"{rows} rows are too few to calibrate with; {LEAST_ROWS} are the least, some hundred are good.",
            hint="Pass more rows that are like those that the model gets, or use dynamic-int8, which needs none.",
        )
    servable = Servable.load(original.bundle, original.threads)
    try:
        batches = []
        whole = servable.preprocess(inputs) if uniform else {}
        for start in range(0, rows - rows % _BATCH if uniform else rows, _BATCH):
            part = slice(start, start + _BATCH)
            if uniform:
                batch = {name: array[part] for name, array in whole.items()}
            else:
                batch = servable.preprocess({name: array[part] for name, array in inputs.items()})
            _require_finite(servable.runtime.run(batch), start, original.calibration.name)
            batches.append(batch)
    finally:
        servable.unload()
    return batches


def _require_finite(outputs: dict[str, np.ndarray], start: int, name: str) -> None:
    for output, numbers in outputs.items():
        if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
            row = start + int(np.argwhere(~np.isfinite(numbers))[0][0])
            raise InvalidInput(
                f"Row {row} of '{name}' cannot be calibrated with: the model's '{output}' for it is not finite.",
                hint="Look for missing values or numbers out of all proportion in that row.",
            )


class Reader:
    """Gives batches one by one, as onnxruntime asks for them."""

    def __init__(self, batches: list[dict[str, np.ndarray]]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch; None at the end."""
        return next(self._left, None)
