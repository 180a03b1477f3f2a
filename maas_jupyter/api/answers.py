"""What a model answers to rows with targets, wherever it is: a module, a run, a registered version, an endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maas_jupyter.api.subjects import is_endpoint, is_module, is_run, open_registry, to_module, to_version
from maas_jupyter.errors import Conflict, NotFound, UsageError

if TYPE_CHECKING:
    from maas_jupyter.data import Source
    from maas_jupyter.evaluation import Predictions
    from maas_jupyter.evaluation.report import ModuleDifference
    from maas_jupyter.registry import ModelVersion, Registry
    from maas_jupyter.targets import Endpoint
    from maas_jupyter.training import Run


@dataclass(frozen=True)
class Answered:
    """A model's predictions, and what it is: the run and the version where it has them.

    ``name`` is the model's, where it has one; ``subject`` says more.
    """

    subject: str
    name: str
    predictions: Predictions
    run_id: str | None = None
    version: ModelVersion | None = None
    difference: ModuleDifference | None = None


class LazyRegistry:
    """The registry, opened when it is first needed: a mere module is evaluated without one."""

    def __init__(self) -> None:
        self._registry: Registry | None = None

    @property
    def opened(self) -> bool:
        """Whether it was needed."""
        return self._registry is not None

    def __call__(self) -> Registry:
        """Open it, unless it is open."""
        self._registry = self._registry or open_registry()
        return self._registry


def answer(model: Any, rows: Source, registry: LazyRegistry, step: Callable[[str], None]) -> Answered:
    """Ask a model; a registered one as it will be served.

    Parameters
    ----------
    model : str, torch.nn.Module, Run, ModelVersion or Endpoint
    rows : Source
    registry : LazyRegistry
    step : callable
        Is told what is done next.

    Raises
    ------
    UsageError
        If it is a language model.
    Conflict
        If it is a run that is still training.
    NotFound
        If there is no such model.
    InvalidInput
        If the rows do not fit it.
    """
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
        return Answered(subject, subject, _module_answers(model, rows, subject), run_id)
    if is_endpoint(model):
        step(f"asking {model.name} on {model.target}")
        return Answered(f"{model.name} on {model.target}", model.name, _endpoint_answers(model, rows, registry()))
    version = to_version(model, registry())
    step(f"fetching {version.reference}")
    bundle = registry().fetch(version)
    step(f"running {version.reference}")
    served = predict_bundle(bundle, rows, subject=version.reference)
    apart = None
    if is_run(model):
        step("running its torch module")
        apart = difference(served, _module_answers(model, rows, model.name))
    return Answered(version.reference, version.name, served, version.run_id, version, apart)


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


def run_of(model: Any, answered: Answered, registry: LazyRegistry) -> Run | None:
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


def seen_in_training(run: Run | None, rows: Source) -> list[str]:
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


def names_of(answers: list[Answered]) -> list[str]:
    """Return names that differ: two modules of one class are told apart by a number."""
    names: list[str] = []
    for answered in answers:
        count = 2
        name = answered.subject
        while name in names:
            name, count = f"{answered.subject} ({count})", count + 1
        names.append(name)
    return names
