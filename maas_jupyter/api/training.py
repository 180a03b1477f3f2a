"""Training and evaluating: ``train`` and ``evaluate``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from maas_jupyter import config, plugins
from maas_jupyter.api.registry import as_labels, register_module
from maas_jupyter.api.subjects import is_module, is_run, open_registry, to_module, to_version
from maas_jupyter.arguments import DataArgument, Kind, ModelArgument, ModuleArgument, NameOrObject
from maas_jupyter.errors import MaasError, UsageError

if TYPE_CHECKING:
    from maas_jupyter.evaluation import Evaluation
    from maas_jupyter.registry import Registry, Tracker
    from maas_jupyter.training import Run


def train(
    model: ModuleArgument,
    *,
    data: DataArgument,
    val: DataArgument = None,
    epochs: int = 10,
    batch_size: int = 32,
    lr: float = 1e-3,
    loss: NameOrObject = None,
    optimizer: NameOrObject = "adam",
    name: str | None = None,
    labels: DataArgument = None,
    seed: int = 0,
    device: str | None = None,
    source: Annotated[str | None, Kind.SOURCE] = None,
) -> Run:
    """Train a torch module; with a name, register the result.

    Interrupting it (the notebook's stop button) keeps a checkpoint and returns the run as interrupted.

    Parameters
    ----------
    model : torch.nn.Module
        The module; it is trained in place.
    data : (X, y), Dataset or DataLoader
        Training rows. Integer targets mean classification, floats regression.
    val : (X, y), Dataset or DataLoader
        Validation rows, scored after every epoch.
    epochs : int
        Passes over the data.
    batch_size : int
        Rows per step; a DataLoader keeps its own.
    lr : float
        Learning rate of an optimizer given by name.
    loss : str or callable
        cross_entropy, nll, mse, l1, huber, or a function of (output, targets).
    optimizer : str or torch.optim.Optimizer
        adam, adamw, sgd, rmsprop, or an optimizer of the module's parameters.
    name : str
        Register the trained model under this name.
    labels : list of str or int
        A name for each class, in the order of the model's outputs.
    seed : int
        Orders the rows and drives dropout.
    device : str
        cpu, cuda, cuda:1, ...; the best one there is by default.
    source : str
        Code that is kept with the run.

    Returns
    -------
    Run
        What came of it; its module is trained.

    Raises
    ------
    InvalidInput
        If the data does not fit the model, or labels lie outside its classes.
    ExportError
        If it was trained but cannot be registered; the trained run is kept.
    Unavailable
        If the registry does not answer.
    """
    from maas_jupyter.data import as_data
    from maas_jupyter.registry.tracking import Tracker
    from maas_jupyter.schema import check_name
    from maas_jupyter.training import Run, TrainingPlan, fit
    from maas_jupyter.training.checkpoint import save_checkpoint

    if epochs < 1 or batch_size < 1:
        raise UsageError("--epochs and --batch-size are at least 1.", hint="Leave them out for 10 and 32.")
    module = to_module(model)
    if name is not None:
        check_name(name)
    rows, held_out = as_data(data, name="data"), None if val is None else as_data(val, name="val")
    registry = open_registry()
    plan = TrainingPlan.make(module, rows, loss=loss, optimizer=optimizer, lr=lr, device=device)
    class_labels = as_labels(labels, plan.classes)
    title = name or type(module).__name__
    params = {
        "model": type(module).__name__,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": plan.optimizer.param_groups[0]["lr"],
        "optimizer": type(plan.optimizer).__name__,
        "loss": getattr(plan.loss, "__name__", type(plan.loss).__name__),
        "seed": seed,
        "device": str(plan.device),
        "rows": rows.rows,
    }
    tracker = Tracker(registry, title, params, {"maas.verb": "train"})
    view = plugins.load("view", "training")(title)
    observer = _TrackedEpochs(tracker)
    try:
        status, history, seconds = fit(
            module,
            rows,
            plan,
            val=held_out,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            observers=[view, observer],
        )
        folder = config.current().home_path / "runs" / tracker.run_id
        checkpoint = save_checkpoint(module, folder, epoch=len(history))
        if source:
            (folder / "source.py").write_text(source, encoding="utf-8")
        tracker.log_files(folder, "training")
    except BaseException:
        tracker.end("FAILED")
        raise
    tracker.end("FINISHED" if status == "finished" else "KILLED")
    run = Run(tracker.run_id, title, status, module, history, epochs, seconds, checkpoint)
    if tracker.warning:
        run.warnings.append(f"not everything was written to the registry: {tracker.warning}")
    if name is not None and status == "finished":
        try:
            run.version = register_module(registry, run, rows, held_out, plan.task, class_labels, name, run.run_id)
        except KeyboardInterrupt:
            run.warnings.append(f"interrupted before it was registered: %maas register run --name {name} --data train")
        except MaasError as error:
            kept = f"The training is kept: run {run.run_id[:8]}, weights in {checkpoint}, and in the module itself."
            raise type(error)(error.message, hint=f"{error.hint} {kept}".strip()) from error
    return run


def evaluate(model: ModelArgument, *, data: DataArgument) -> Evaluation:
    """Evaluate a model: accuracy, precision, recall, F1 and the confusion matrix.

    A registered model is evaluated as it will be served, and the result is logged to its run.

    Parameters
    ----------
    model : str, torch.nn.Module, Run or ModelVersion
        What to evaluate.
    data : (X, y), Dataset or DataLoader
        Rows with targets.

    Returns
    -------
    Evaluation

    Raises
    ------
    NotFound
        If there is no such model.
    InvalidInput
        If the data does not fit the model, or labels lie outside its classes.
    """
    from maas_jupyter.data import as_data
    from maas_jupyter.evaluation import evaluate_bundle, evaluate_module

    rows = as_data(data, name="data")
    run_id: str | None
    if is_module(model) or is_run(model):
        subject = model.name if is_run(model) else type(model).__name__
        evaluation = evaluate_module(to_module(model), rows, subject=subject)
        run_id = model.run_id if is_run(model) else None
        registry = open_registry() if run_id else None
    else:
        registry = open_registry()
        version = to_version(model, registry)
        evaluation = evaluate_bundle(registry.fetch(version), rows, subject=version.reference)
        run_id = version.run_id
    if registry is not None and run_id is not None:
        _log_evaluation(registry, run_id, evaluation)
    return evaluation


class _TrackedEpochs:
    """Writes every epoch's metrics to the run."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def update(self, progress: Any, *, final: bool = False) -> None:
        pass

    def epoch(self, metrics: dict[str, float]) -> None:
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        self._tracker.log(values, step=int(metrics["epoch"]))


def _log_evaluation(registry: Registry, run_id: str, evaluation: Evaluation) -> None:
    import time

    import msgspec

    from maas_jupyter.evaluation.figures import confusion_figure

    now = time.time_ns() // 1_000_000
    registry.log_metrics(run_id, [(f"eval_{name}", value, now, 0) for name, value in evaluation.metrics.items()])
    with tempfile.TemporaryDirectory(prefix="maas-") as scratch:
        folder = Path(scratch)
        report = {"subject": evaluation.subject, "rows": evaluation.rows, "metrics": evaluation.metrics}
        report["classes"] = evaluation.classes
        (folder / "evaluation.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
        if evaluation.confusion is not None:
            confusion_figure(evaluation).savefig(folder / "confusion_matrix.png", dpi=110)
        registry.log_files(run_id, folder, "evaluation")
