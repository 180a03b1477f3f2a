"""Small models and real data for the tests."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits, load_wine
from torch import nn


def digits(rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits as (rows, 64) floats from 0 to 1, and their classes."""
    X, y = load_digits(return_X_y=True)
    return (X[:rows] / 16).astype("float32"), y[:rows]


def wine() -> tuple[np.ndarray, np.ndarray]:
    """178 wines with 13 standardised features in 3 classes."""
    X, y = load_wine(return_X_y=True)
    return ((X - X.mean(0)) / X.std(0)).astype("float32"), y


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """442 patients with 10 features, and a standardised progression of shape (rows, 1)."""
    X, y = load_diabetes(return_X_y=True)
    return X.astype("float32"), ((y - y.mean()) / y.std()).astype("float32").reshape(-1, 1)


def mlp(inputs: int = 64, classes: int = 10, hidden: int = 64) -> nn.Module:
    """A fresh perceptron, the same at every call."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def cnn() -> nn.Module:
    """A fresh small CNN on images of (1, 8, 8)."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 512),
        nn.ReLU(),
        nn.Linear(512, 10),
    )
