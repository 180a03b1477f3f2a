"""Evaluating: ``evaluate`` and ``compare``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from maas_jupyter import plugins
from maas_jupyter.api.progress import progress
from maas_jupyter.api.subjects import is_endpoint, is_module, is_run, open_registry, to_module, to_version
from maas_jupyter.arguments import DataArgument, Kind, ModelArgument, ReferenceArgument
from maas_jupyter.errors import Conflict, GateError, InvalidInput, NotFound, UsageError

if TYPE_CHECKING:
    from maas_jupyter.data import Source
    from maas_jupyter.evaluation import Evaluation, PairedComparison, Predictions, Verdict
    from maas_jupyter.evaluation.gates import Gate
    from maas_jupyter.evaluation.report import ModuleDifference
    from maas_jupyter.registry import ModelVersion, Registry
    from maas_jupyter.targets import Endpoint
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

    gates = [parse_gate(text) for text in require]
    if is_run(model) and model.language is not None:
        for option, asked in (("slice", slice), ("no_worse_than", no_worse_than), ("target", target)):
            if asked:
                raise UsageError(
                    f"--{option.replace('_', '-')} is not for a language model.",
                    hint='Leave it out; a gate is written as --require "perplexity<=20".',
                )
        return _evaluate_language(model, data, text, gates, report_only=report_only, seed=seed)
    rows = as_source(data, target=target, text=text, name="data")
    registry = _Lazy()
    with progress("evaluate") as step:
        answered = _answer(model, rows, registry, step)
        step("measuring")
        evaluation = Evaluation.of(answered.predictions, subject=answered.subject, seed=seed)
        notes = [*evaluation.notes, *_seen_in_training(_run_of(model, answered, registry), rows)]
        evaluation = replace(evaluation, module_difference=answered.difference, notes=notes)
        if slice:
            table = sliceable(data, rows)
            for by in slice if isinstance(slice, tuple | list) else (slice,):
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
    registry = _Lazy()
    with progress("compare") as step:
        answers = [_answer(each, rows, registry, step) for each in (model, other, *more)]
        step("measuring")
        named = [(name, each.predictions) for name, each in zip(_names(answers), answers, strict=True)]
        comparison = compare_predictions(named, metric=metric, seed=seed)
        if registry.opened:
            step("keeping the comparison")
            _keep_comparison(registry(), comparison)
    return comparison


# -- what a model says ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Answered:
    """A model's predictions, and what it is: the run and the version where it has them.

    ``name`` is the model's, where it has one; ``subject`` says more.
    """

    subject: str
    name: str
    predictions: Predictions
    run_id: str | None = None
    version: ModelVersion | None = None
    difference: ModuleDifference | None = None


class _Lazy:
    """The registry, opened when it is first needed: a mere module is evaluated without one."""

    def __init__(self) -> None:
        self._registry: Registry | None = None

    @property
    def opened(self) -> bool:
        return self._registry is not None

    def __call__(self) -> Registry:
        self._registry = self._registry or open_registry()
        return self._registry


def _answer(model: Any, rows: Source, registry: _Lazy, step: Callable[[str], None]) -> _Answered:
    from maas_jupyter.evaluation import difference
    from maas_jupyter.evaluation.predict import predict_bundle

    if is_run(model) and model.language is not None:
        raise UsageError(
            f"'{model.name}' is a language model, and those are not compared on rows.",
            hint="Evaluate each on the same texts, and compare their intervals: %maas evaluate RUN --data TEXTS",
        )
    if is_module(model) or (is_run(model) and model.version is None):
        subject = model.name if is_run(model) else type(model).__name__
        if is_run(model) and model.status == "training":
            raise Conflict(f"The run '{model.name}' is still training.", hint="Wait for it: run.wait()")
        step(f"running {subject}")
        run_id = model.run_id if is_run(model) else None
        return _Answered(subject, subject, _module_answers(model, rows, subject), run_id)
    if is_endpoint(model):
        step(f"asking {model.name} on {model.target}")
        return _Answered(f"{model.name} on {model.target}", model.name, _endpoint_answers(model, rows, registry()))
    version = to_version(model, registry())
    step(f"fetching {version.reference}")
    bundle = registry().fetch(version)
    step(f"running {version.reference}")
    served = predict_bundle(bundle, rows, subject=version.reference)
    apart = None
    if is_run(model):
        step("running its torch module")
        apart = difference(served, _module_answers(model, rows, model.name))
    return _Answered(version.reference, version.name, served, version.run_id, version, apart)


def _endpoint_answers(endpoint: Endpoint, rows: Source, registry: Registry) -> Predictions:
    """Ask an endpoint, as its clients do; what its classes are called is told by the registered version."""
    from maas_jupyter.evaluation.predict import main_output, predict_served

    serving = next((row.version for row in endpoint.traffic if row.weight), None)
    manifest = registry.fetch(registry.resolve(f"{endpoint.name}/{serving}" if serving else endpoint.name)).manifest
    output = main_output(manifest)
    return predict_served(
        lambda inputs: endpoint.predict(inputs).outputs[output], manifest, rows, subject=endpoint.name
    )


def _module_answers(model: Any, rows: Source, subject: str) -> Predictions:
    """Run a module on tensors, or a run's on what it was trained with: raw rows are prepared as the training's were."""
    from maas_jupyter.evaluation.predict import label_texts, predict_module, required_tensors

    prepared = model.prepared if is_run(model) else None
    if prepared is None:
        return predict_module(to_module(model), required_tensors(rows), subject=subject)
    held = prepared.like(rows)
    return predict_module(to_module(model), held.data, subject=subject, labels=label_texts(held.labels))


def _run_of(model: Any, answered: _Answered, registry: _Lazy) -> Run | None:
    """Return the run of this kernel that a model was trained in, or the version that it was made from."""
    from maas_jupyter.training.run import known_run

    if is_run(model):
        found: Run = model
        return found
    version, run = answered.version, known_run(answered.run_id)
    while run is None and version is not None and version.parent:
        try:
            version = registry().resolve(version.parent)
        except NotFound:
            # It was deleted since.
            return None
        run = known_run(version.run_id)
    return run


def _seen_in_training(run: Run | None, rows: Source) -> list[str]:
    """Say how many of the rows a run was trained on, and what in them no training row has."""
    from maas_jupyter.data import TablePreprocessing, shared_rows

    if run is None or run.prepared is None:
        return []
    preprocessing = run.prepared.preprocessing
    notes = preprocessing.unknown_values(rows) if isinstance(preprocessing, TablePreprocessing) else []
    shared = shared_rows(preprocessing.source(rows), run.prepared.source)
    if shared:
        notes.append(
            f"{shared:,} of the {rows.rows:,} rows are training rows of run {run.run_id[:8]}: what is measured on them "
            "says nothing about new rows"
        )
    return notes


def _names(answers: list[_Answered]) -> list[str]:
    """Return names that differ: two modules of one class are told apart by a number."""
    names: list[str] = []
    for answered in answers:
        count = 2
        name = answered.subject
        while name in names:
            name, count = f"{answered.subject} ({count})", count + 1
        names.append(name)
    return names


# -- gates ------------------------------------------------------------------------------------------------------------


def _against(
    reference: Any, answered: _Answered, rows: Source, registry: _Lazy, step: Callable[[str], None], seed: int
) -> PairedComparison:
    """Compare the evaluated model with the version that it must not be worse than."""
    from maas_jupyter.evaluation import compare as compare_predictions

    rival = _rival(reference, answered, registry())
    if answered.version is not None and rival.digest == answered.version.digest:
        # A model is compared with itself: the same numbers, and no difference.
        return compare_predictions([(rival.reference, answered.predictions), (answered.subject, answered.predictions)])
    base = _answer(rival, rows, registry, step)
    return compare_predictions([(base.subject, base.predictions), (answered.subject, answered.predictions)], seed=seed)


def _rival(reference: Any, answered: _Answered, registry: Registry) -> ModelVersion:
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
