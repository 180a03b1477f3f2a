"""Metrics of quality, scikit-learn's."""

from __future__ import annotations

import numpy as np

from maas_jupyter.evaluation.report import ClassReport, Evaluation


def classification(subject: str, truth: np.ndarray, predicted: np.ndarray, labels: list[str]) -> Evaluation:
    """Evaluate predicted classes.

    Parameters
    ----------
    subject : str
        What is evaluated.
    truth, predicted : ndarray of int64, shape (rows,)
        Class indices.
    labels : list of str
        A name for each class.
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

    indices = np.arange(len(labels))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=indices, zero_division=0.0
    )
    # Macro means run over the classes that occur, as scikit-learn's do when it is given no labels.
    present = np.union1d(truth, predicted)
    metrics = {
        "accuracy": float(accuracy_score(truth, predicted)),
        "precision": float(precision[present].mean()),
        "recall": float(recall[present].mean()),
        "f1": float(f1[present].mean()),
    }
    classes = [
        ClassReport(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
        for i, label in enumerate(labels)
    ]
    confusion = confusion_matrix(truth, predicted, labels=indices)
    return Evaluation(subject, "classification", len(truth), metrics, classes, confusion)


def regression(subject: str, truth: np.ndarray, predicted: np.ndarray) -> Evaluation:
    """Evaluate predicted numbers; shapes must be equal. R2 takes at least two rows and is left out for one."""
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    truth, predicted = truth.reshape(len(truth), -1), predicted.reshape(len(predicted), -1)
    metrics = {
        "mae": float(mean_absolute_error(truth, predicted)),
        "rmse": float(root_mean_squared_error(truth, predicted)),
    }
    if len(truth) > 1:
        metrics["r2"] = float(r2_score(truth, predicted))
    return Evaluation(subject, "regression", len(truth), metrics)
