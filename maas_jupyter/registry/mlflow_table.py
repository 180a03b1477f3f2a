"""Runs the bundle of a table for ``mlflow.pyfunc``: copied beside the model, so that it needs nothing of this package.

MLflow's own ``onnx`` flavor cannot give back scores of several classes for a DataFrame, and takes no integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Table:
    """A graph with one input per column.

    Parameters
    ----------
    path : str
        The ``model.onnx``.
    """

    def __init__(self, path: str) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def predict(self, frame: Any, params: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Return the outputs by name, first axis the rows of the DataFrame; missing values are as in training."""
        columns = {
            each.name: _texts(frame[each.name])
            if each.type == "tensor(string)"
            else frame[each.name].to_numpy(dtype=np.float32, na_value=np.nan)
            for each in self._session.get_inputs()
        }
        names = [each.name for each in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, columns), strict=True))


def _texts(column: Any) -> np.ndarray:
    texts: np.ndarray = column.astype(object).where(column.notna(), "").map(str).to_numpy(dtype=object)
    return texts


def _load_pyfunc(path: str) -> Table:
    """Load a model for ``mlflow.pyfunc``, which asks for a function of this name."""
    return Table(path)
