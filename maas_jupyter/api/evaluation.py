"""Evaluating: ``evaluate`` and ``compare``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from maas_jupyter import plugins
from maas_jupyter.api.answers import Answered, LazyRegistry, answer, names_of, run_of, seen_in_training
from maas_jupyter.api.progress import progress
from maas_jupyter.api.subjects import is_run, open_registry, to_version
from maas_jupyter.arguments import DataArgument, Kind, ModelArgument, ReferenceArgument, several
from maas_jupyter.errors import GateError, InvalidInput, NotFound, UsageError

if TYPE_CHECKING:
    from maas_jupyter.data import Source
    from maas_jupyter.evaluation import Evaluation, PairedComparison, Verdict
    from maas_jupyter.evaluation.gates import Gate
    from maas_jupyter.registry import ModelVersion, Registry
    from maas_jupyter.training import Run


def evaluate(
    model: ModelArgument,
    *,
    data: DataArgument,
    target: str | None = None,
    text: str | None = None,
    slice: Annotated[tuple[Any, ...], Kind.NAME_OR_OBJECT] = (),
    require: tuple[str, ...] = (),
    no_worse_than: ReferenceArgument = None,
    report_only: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a model: metrics with confidence intervals, tables and pictures; and hold it against gates.

    A registered model is evaluated as it will be served; for a run that was registered its torch module too, and the
    result says if they differ. The result is logged to the model's run. A gate that is not passed stops Run All: the
    result is kept and shown, then the verb fails.

    Parameters
    ----------
    model : str, torch.nn.Module, Run, ModelVersion or Endpoint
        What to evaluate.
    data : (X, y), Dataset, DataLoader, DataFrame, path, texts or images
        Rows with targets, in the form that the model takes.
    target : str
        The column with the targets, where the data is a table.
    text : str
        The column with the texts, where the data is a table.
    slice : str, array or callable
        Score parts of the rows too: by a column, or by a function of the rows that gives a value for each; may be
        repeated. Numbers are cut into quartiles.
    require : str
        A gate, such as accuracy>=0.97, recall[malignant]>=0.95 or accuracy[sex=female]>=0.9; may be repeated.
    no_worse_than : str or ModelVersion
        A gate: fail where this version, such as champion, is better on the same rows and the difference is significant.
    report_only : bool
        Do not fail where a gate is not passed.
    seed : int
        Of the resamples that the intervals are made of.

    Returns
    -------
    Evaluation

    Raises
    ------
    NotFound
        If there is no such model or column.
    InvalidInput
        If the data does not fit the model, or labels lie outside its classes.
    UsageError
        If a gate cannot be read, or asks for a number that is not there.
    GateError
        If a gate is not passed; its ``evaluation`` is what was measured.
    """
    from maas_jupyter.data import as_source
    from maas_jupyter.evaluation import Evaluation, judge, parse_gate
    from maas_jupyter.evaluation.slices import slice_table, slice_values, sliceable

    gates = [parse_gate(text) for text in several(require)]
    if is_run(model) and model.language is not None:
        for option, asked in (("slice", several(slice)), ("no_worse_than", no_worse_than), ("target", target)):
            if asked:
                raise UsageError(
                    f"--{option.replace('_', '-')} is not for a language model.",
                    hint='Leave it out; a gate is written as --require "perplexity<=20".',
                )
        return _evaluate_language(model, data, text, gates, report_only=report_only, seed=seed)
    rows = as_source(data, target=target, text=text, name="data")
    registry = LazyRegistry()
    with progress("evaluate") as step:
        answered = answer(model, rows, registry, step)
        step("measuring")
        evaluation = Evaluation.of(answered.predictions, subject=answered.subject, seed=seed)
        notes = [*evaluation.notes, *seen_in_training(run_of(model, answered, registry), rows)]
        evaluation = replace(evaluation, module_difference=answered.difference, notes=notes)
        if parts := several(slice):
            table = sliceable(data, rows)
            for by in parts:
                column, values = slice_values(by, table, len(answered.predictions))
                evaluation.slices.append(slice_table(answered.predictions, column, values, seed=seed))
        rival = None
        if no_worse_than is not None:
            rival = _against(no_worse_than, answered, rows, registry, step, seed)
        if gates or rival is not None:
            evaluation = replace(evaluation, verdict=judge(evaluation, gates, rival))
        if answered.run_id is not None:
            step("keeping the result")
            _keep(registry(), evaluation, answered.run_id, answered.version)
    if evaluation.verdict is not None and not report_only:
        _enforce(evaluation, evaluation.verdict)
    return evaluation


def _evaluate_language(
    run: Run, data: Any, text: str | None, gates: list[Gate], *, report_only: bool, seed: int
) -> Evaluation:
    """Measure the perplexity of a run's language model, and keep it with the run."""
    from maas_jupyter.evaluation import judge
    from maas_jupyter.evaluation.language import evaluate_language

    assert run.language is not None
    with progress(f"evaluate {run.name}") as step:
        intake = run.language if text is None else replace(run.language, text=text)
        evaluation = evaluate_language(run.model, intake(data), subject=run.name, seed=seed)
        if gates:
            evaluation = replace(evaluation, verdict=judge(evaluation, gates, None))
        step("keeping the result")
        _keep(open_registry(), evaluation, run.run_id, None)
    if evaluation.verdict is not None and not report_only:
        _enforce(evaluation, evaluation.verdict)
    return evaluation


def compare(
    model: ModelArgument,
    other: ModelArgument,
    *more: ModelArgument,
    data: DataArgument,
    target: str | None = None,
    text: str | None = None,
    metric: str | None = None,
    seed: int = 0,
) -> PairedComparison:
    """Compare models on the same rows, each with the first: better, worse, or no evidence of a difference.

    Accuracy is decided on by McNemar's exact test, other metrics by paired bootstrap; p values of several comparisons
    are corrected by Holm's method.

    Parameters
    ----------
    model : str, torch.nn.Module, Run, ModelVersion or Endpoint
        What the others are compared with.
    other : str, torch.nn.Module, Run, ModelVersion or Endpoint
        What is compared with it.
    more : str, torch.nn.Module, Run, ModelVersion or Endpoint
        Further ones.
    data : (X, y), Dataset, DataLoader, DataFrame, path, texts or images
        Rows with targets, in the form that the models take.
    target : str
        The column with the targets, where the data is a table.
    text : str
        The column with the texts, where the data is a table.
    metric : str
        What to decide on: accuracy, balanced_accuracy, precision, recall, f1 or log_loss; rmse, mae or r2. Accuracy or
        RMSE by default.
    seed : int
        Of the resamples that the intervals are made of.

    Returns
    -------
    PairedComparison

    Raises
    ------
    NotFound
        If there is no such model.
    InvalidInput
        If the data does not fit a model, or they do not predict the same classes.
    """
    from maas_jupyter.data import as_source
    from maas_jupyter.evaluation import compare as compare_predictions

    rows = as_source(data, target=target, text=text, name="data")
    registry = LazyRegistry()
    with progress("compare") as step:
        answers = [answer(each, rows, registry, step) for each in (model, other, *more)]
        step("measuring")
        named = [(name, each.predictions) for name, each in zip(names_of(answers), answers, strict=True)]
        comparison = compare_predictions(named, metric=metric, seed=seed)
        if registry.opened:
            step("keeping the comparison")
            _keep_comparison(registry(), comparison)
    return comparison


# -- gates ------------------------------------------------------------------------------------------------------------


def _against(
    reference: Any, answered: Answered, rows: Source, registry: LazyRegistry, step: Callable[[str], None], seed: int
) -> PairedComparison:
    """Compare the evaluated model with the version that it must not be worse than."""
    from maas_jupyter.evaluation import compare as compare_predictions

    rival = _rival(reference, answered, registry())
    if answered.version is not None and rival.digest == answered.version.digest:
        # A model is compared with itself: the same numbers, and no difference.
        return compare_predictions([(rival.reference, answered.predictions), (answered.subject, answered.predictions)])
    base = answer(rival, rows, registry, step)
    return compare_predictions([(base.subject, base.predictions), (answered.subject, answered.predictions)], seed=seed)


def _rival(reference: Any, answered: Answered, registry: Registry) -> ModelVersion:
    """Resolve a reference; a mere word is first an alias of the evaluated model."""
    if not isinstance(reference, str) or any(mark in reference for mark in "/@:"):
        return to_version(reference, registry)
    try:
        return registry.resolve(f"{answered.name}@{reference}")
    except (InvalidInput, NotFound) as no_alias:
        try:
            return registry.resolve(reference)
        except NotFound as no_model:
            # What the evaluated model is called may be no name of a model, such as that of a module's class.
            known = registry.is_registered(answered.name)
            raise (no_alias if known else no_model) from None


def _enforce(evaluation: Evaluation, verdict: Verdict) -> None:
    try:
        verdict.require(evaluation.subject)
    except GateError as error:
        plugins.load("view", "result")(evaluation)
        raise GateError(error.message, error.hint, evaluation=evaluation) from None


# -- keeping ----------------------------------------------------------------------------------------------------------


def _keep(registry: Registry, evaluation: Evaluation, run_id: str, version: ModelVersion | None) -> None:
    from maas_jupyter.evaluation.gates import stored
    from maas_jupyter.evaluation.records import write_evaluation

    now = time.time_ns() // 1_000_000
    metrics = [(f"eval_{name}", value, now, 0) for name, value in evaluation.metrics.items()]
    registry.log_metrics(run_id, metrics)
    with tempfile.TemporaryDirectory(prefix="maas-") as scratch:
        write_evaluation(evaluation, Path(scratch))
        registry.log_files(run_id, Path(scratch), "evaluation")
    if evaluation.verdict is not None and version is not None:
        registry.keep_verdict(version, stored(evaluation, now / 1000))


def _keep_comparison(registry: Registry, comparison: PairedComparison) -> None:
    from maas_jupyter.evaluation.records import write_comparison
    from maas_jupyter.registry.tracking import Tracker

    names = [comparison.first, *(pair.other for pair in comparison.pairs)]
    params = {"models": ", ".join(names), "metric": comparison.metric, "rows": comparison.rows}
    tracker = Tracker(registry, f"compare {' '.join(names)}", params, {"maas.verb": "compare"})
    try:
        with tempfile.TemporaryDirectory(prefix="maas-") as scratch:
            write_comparison(comparison, Path(scratch))
            tracker.log_files(Path(scratch), "comparison")
    except BaseException:
        tracker.end("FAILED")
        raise
    tracker.end("FINISHED")
