"""Explain rows with one method."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from maas_jupyter import plugins
from maas_jupyter.errors import InvalidInput, UsageError, nearest
from maas_jupyter.explanation.report import Explanation, RowExplanation
from maas_jupyter.explanation.row import Row
from maas_jupyter.explanation.subject import ModuleSubject, Subject

if TYPE_CHECKING:
    from maas_jupyter.explanation.methods import Found


def explain_rows(
    subject: Subject,
    rows: list[Row],
    *,
    method: str | None = None,
    target: str | int | None = None,
    samples: int | None = None,
    seed: int = 0,
    on_step: Callable[[str], None] = lambda what: None,
) -> Explanation:
    """Say what each feature of each row adds to one output of a model.

    Parameters
    ----------
    subject : Subject
        A `ModuleSubject` has gradients.
    rows : list of Row
    method : {'integrated_gradients', 'lime', 'kernel_shap'}, optional
        By default integrated gradients where there are gradients, else KernelSHAP.
    target : str or int, optional
        Label, or number of the output; by default the class that is predicted for the row.
    samples : int, optional
        Steps of the integral, or perturbed rows per row.
    seed : int
        Draws the samples.
    on_step : callable
        Told what is being done.

    Returns
    -------
    Explanation
        Of the rows that were done where it is interrupted after the first one.

    Raises
    ------
    UsageError
        If the target or the method is unknown, or does not fit the subject.
    InvalidInput
        If a row cannot be explained so.
    MissingDependency
        If captum is not installed.
    """
    method = method or ("integrated_gradients" if isinstance(subject, ModuleSubject) else "kernel_shap")
    explain = plugins.load("explainer", method)
    if samples is not None and samples < 1:
        raise UsageError("--samples is at least 1.", hint="Leave it out for the usual number.")
    outputs = np.concatenate([subject.outputs(row.raw) for row in rows])
    if not np.isfinite(outputs).all():
        raise InvalidInput(
            f"{subject.name} answers row {int(np.argwhere(~np.isfinite(outputs))[0][0])} with NaN or infinity.",
            hint="Look for NaN in that row.",
        )
    targets = [_target(subject, output, target) for output in outputs]
    done: list[RowExplanation] = []
    found: list[Found] = []
    notes: list[str] = []
    try:
        for index, (row, output, chosen) in enumerate(zip(rows, outputs, targets, strict=True)):
            on_step(f"{method}, row {index + 1} of {len(rows)}")
            found.append(explain(subject, row, chosen, samples, seed))
            done.append(_explained(subject, row, index, output, chosen, found[-1]))
    except KeyboardInterrupt:
        if not done:
            raise
        notes.append(f"interrupted after {len(done)} of {len(rows)} rows")
    return Explanation(
        subject=subject.name,
        method=method,
        kind=rows[0].kind,
        task=subject.task,
        baseline="; ".join(dict.fromkeys(each.baseline for each in found)),
        samples=max(each.samples for each in found),
        seed=seed,
        rows=done,
        notes=notes,
    )


def _target(subject: Subject, output: np.ndarray, asked: str | int | None) -> int:
    """Return the number of the output that is to be explained."""
    if asked is not None:
        if str(asked) not in subject.labels:
            what = "classes" if subject.task == "classification" else "outputs"
            raise UsageError(
                f"{subject.name} has no {'class' if subject.task == 'classification' else 'output'} '{asked}'.",
                hint=nearest(str(asked), subject.labels, what=what, otherwise=""),
            )
        return subject.labels.index(str(asked))
    if subject.task == "classification":
        return int(output.argmax())
    if len(output) > 1:
        raise UsageError(
            f"{subject.name} gives {len(output)} numbers a row.", hint=f"Name one: --target {subject.labels[0]}"
        )
    return 0


def _explained(subject: Subject, row: Row, index: int, output: np.ndarray, target: int, found: Found) -> RowExplanation:
    classes = subject.task == "classification"
    best = int(output.argmax()) if classes else target
    return RowExplanation(
        row=index,
        prediction=subject.labels[best] if classes else float(output[best]),
        probability=float(output[best]) if classes else None,
        target=subject.labels[target],
        output=float(output[target]),
        baseline_output=found.baseline_output,
        names=row.names,
        values=row.values,
        attributions=found.attributions,
        error=found.error,
        r2=found.r2,
        sampling_error=found.sampling_error,
        warnings=found.warnings,
        picture=None if row.picture is None else row.picture.picture,
        text=None if row.words is None else row.words.text,
        spans=None if row.words is None else row.words.spans,
    )
