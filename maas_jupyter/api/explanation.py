"""Explaining: ``explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from maas_jupyter.api.progress import progress
from maas_jupyter.api.subjects import is_module, is_run, open_registry, to_module, to_version
from maas_jupyter.arguments import DataArgument, Kind, ModelArgument
from maas_jupyter.errors import UsageError

if TYPE_CHECKING:
    from maas_jupyter.explanation import Explanation


def explain(
    model: ModelArgument,
    rows: DataArgument,
    *,
    method: str | None = None,
    target: str | None = None,
    baseline: Annotated[Any, Kind.VALUE_OR_WORD] = None,
    samples: int | None = None,
    seed: int = 0,
) -> Explanation:
    """Explain what a model answers for some rows: what each column, word or place of a picture adds to it.

    A run or a module is explained with its gradients; a registered version as it will be served, by leaving features
    out. Method, baseline and the error that remains are stated with the result.

    Parameters
    ----------
    model : str, torch.nn.Module, Run or ModelVersion
        What to explain.
    rows : array, DataFrame, dict, texts, or PNG and JPEG files
        A few rows as the model takes them, at most 20.
    method : str
        integrated_gradients (where there are gradients, by default), kernel_shap (by default elsewhere) or lime.
    target : str
        The class that is explained; by default the one that is predicted for the row.
    baseline : str, float, array or DataFrame
        What stands for a feature that is absent: a number, a row, rows whose mean is taken, mean (of a picture), mask
        or pad or another token (of a text). By default zeros, black, and the mask or padding token.
    samples : int
        Steps of integrated gradients (by default 50, or more until they add up), or perturbed rows of the other methods
        (by default 1,000 for lime, about 2,100 for kernel_shap).
    seed : int
        Draws the perturbed rows.

    Returns
    -------
    Explanation
        One for each row in it.

    Raises
    ------
    NotFound
        If there is no such model or method.
    InvalidInput
        If the rows do not fit the model, or are too many.
    UsageError
        If the class is unknown, or the method needs gradients that a registered version does not have.
    MissingDependency
        If captum is not installed.
    """
    from maas_jupyter import explanation as room

    if is_run(model) and model.language is not None:
        raise UsageError(
            f"'{model.name}' is a language model, and those are not explained.",
            hint="Measure what it learned: %maas evaluate RUN --data TEXTS",
        )
    if is_module(model) or is_run(model):
        module = to_module(model)
        name = model.name if is_run(model) else type(module).__name__
        prepared = model.prepared if is_run(model) else None
        preprocessing = None if prepared is None else prepared.preprocessing
        intake = room.intake_of(preprocessing)
        raw, columns = room.read_rows(rows, intake, module)
        split = room.split_rows(raw, columns, intake, baseline)
        subject = room.ModuleSubject(
            module,
            name,
            room.tensors_of(preprocessing),
            raw,
            preprocessing=preprocessing,
            task=None if prepared is None else prepared.task,
            labels=None if prepared is None else prepared.labels,
        )
        with progress(f"explain {name}") as step:
            return room.explain_rows(
                subject, split, method=method, target=target, samples=samples, seed=seed, on_step=step
            )
    registry = open_registry()
    version = to_version(model, registry)
    with progress(f"explain {version.reference}") as step:
        step("fetching the bundle")
        bundle = registry.fetch(version)
        intake = room.intake_of_bundle(bundle)
        raw, columns = room.read_rows(rows, intake)
        split = room.split_rows(raw, columns, intake, baseline)
        with room.BundleSubject(bundle, version.reference) as served:
            return room.explain_rows(
                served, split, method=method, target=target, samples=samples, seed=seed, on_step=step
            )
