"""Whether a score of 0.8 is right in eight of ten cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maas_jupyter.evaluation.predictions import Predictions

_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """The reliability curve: bins of the score of the predicted class that hold rows.

    Attributes
    ----------
    confidence, accuracy : ndarray of float, shape (bins,)
        Mean score of the predicted class, and the share of rows where it is the true one.
    rows : ndarray of int64, shape (bins,)
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    rows: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of accuracy and confidence, by rows: 0 is perfect."""
        return float(np.average(np.abs(self.accuracy - self.confidence), weights=self.rows))


def reliability(predictions: Predictions) -> Reliability:
    """Compute the reliability curve in 15 bins of equal width.

    The expected calibration error that follows from it has no interval: it is a sum of absolute values, which
    resampling makes larger, so that resamples do not scatter around it.

    References
    ----------
    Guo, C., Pleiss, G., Sun, Y. and Weinberger, K. Q. (2017). On Calibration of Modern Neural Networks. ICML.
    """
    confidence = predictions.output.max(axis=1).astype(np.float64)
    right = predictions.predicted == predictions.truth
    places = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    rows = np.bincount(places, minlength=_BINS)
    held = rows > 0
    return Reliability(
        (np.bincount(places, confidence, _BINS)[held]) / rows[held],
        (np.bincount(places, right, _BINS)[held]) / rows[held],
        rows[held],
    )
