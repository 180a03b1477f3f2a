"""Tuning: ``tune``."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from maas_jupyter import config, plugins
from maas_jupyter.api.registry import as_labels
from maas_jupyter.api.subjects import open_complete_registry
from maas_jupyter.api.training import as_class_weights, train
from maas_jupyter.arguments import DataArgument, Kind, NameOrObject, TrainableArgument, ValueOrWord, line_of
from maas_jupyter.errors import UsageError

if TYPE_CHECKING:
    from maas_jupyter.training import Asked
    from maas_jupyter.tuning import Trials, Tuning


def tune(
    model: TrainableArgument,
    *,
    data: DataArgument,
    space: tuple[str, ...],
    val: DataArgument = None,
    folds: int | None = None,
    target: str | None = None,
    text: str | None = None,
    task: str | None = None,
    trials: int = 20,
    minutes: float | None = None,
    sampler: str = "tpe",
    no_pruning: bool = False,
    watch: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    loss: NameOrObject = None,
    optimizer: NameOrObject = None,
    schedule: NameOrObject = None,
    patience: int | None = None,
    class_weights: ValueOrWord = None,
    tokenizer: ValueOrWord = None,
    max_length: int | None = None,
    image_size: int | None = None,
    labels: DataArgument = None,
    name: str | None = None,
    study: str | None = None,
    resume: bool = False,
    seed: int = 0,
    device: str | None = None,
    source: Annotated[str | None, Kind.SOURCE] = None,
) -> Tuning:
    """Search for hyper-parameters; with a name, train the best ones again and register the result.

    Each trial trains anew and counts with its best epoch; after folds the best one is trained on all rows for the mean
    of their best epochs, where the learning rate follows no schedule. The study is on disk after every trial: the stop
    button ends the search and keeps what is complete, --resume goes on.

    Parameters
    ----------
    model : callable or torch.nn.Module
        A function that makes a module from hyper-parameters, such as def net(hidden=64, dropout=0.0). Of a module,
        options of the training alone can be searched.
    data : (X, y), DataFrame, texts, images or path
        Training rows.
    space : str
        Where to search: "lr=1e-4..1e-1:log batch=16,32,64 hidden=16..128:16". Options of the training, and arguments
        of the function.
    val : the same, or float
        Validation rows, or the share of the training rows that is taken for them; 0.2 by default.
    folds : int
        Score each trial by k-fold cross-validation instead: the mean over the folds, with its spread.
    target : str
        The table's column to predict.
    text : str
        The table's column of texts.
    task : str
        classification or regression; seen in the targets by default.
    trials : int
        How many in all.
    minutes : float
        No trial begins after so many.
    sampler : str
        tpe, random or grid.
    no_pruning : bool
        Train every trial to its end; without it one that is worse than half of the others at the same epoch is given
        up.
    watch : str
        What is compared: val_loss (the default), val_accuracy or val_mae.
    epochs : int
        Passes over the data of each trial; 10 by default.
    batch_size : int
        Rows per step, 32 by default.
    lr : float
        Learning rate; 1e-3 by default.
    loss : str or callable
        As for train.
    optimizer : str or callable
        As for train; an optimizer object belongs to one module and cannot be used.
    schedule : str or callable
        As for train.
    patience : int
        Stop a trial when the watched metric has not improved for as many epochs.
    class_weights : str or list of float
        balanced, or a weight for each class: 1,2.5,1
    tokenizer : tokenizer or str
        For texts.
    max_length : int
        The most tokens of a text.
    image_size : int
        Pixels that images are resized to.
    labels : list of str or int
        A name for each class, in the order of the model's outputs.
    name : str
        Train the best hyper-parameters again and register the model under this name.
    study : str
        What the study is called; the model's name and the time by default.
    resume : bool
        Go on with the study of this name.
    seed : int
        Draws trials, folds and rows.
    device : str
        cpu, cuda, cuda:1, mps; the best one there is by default.
    source : str
        Code that is kept with the run.

    Returns
    -------
    Tuning

    Raises
    ------
    UsageError
        If the space does not parse (points at the character), or names what cannot be searched.
    InvalidInput
        If model and data do not fit each other; where every trial fails, the reason.
    MissingDependency
        If optuna is not installed.
    """
    from maas_jupyter.schema import check_name
    from maas_jupyter.training import Asked
    from maas_jupyter.tuning import (
        SearchRecord,
        Study,
        first_values,
        fitted_space,
        merged_options,
        read_space,
        split_params,
    )

    dimensions = fitted_space(read_space(space), model)
    if folds is not None and val is not None:
        raise UsageError("--folds and --val exclude each other.", hint="Folds take their validation rows themselves.")
    if resume and study is None:
        raise UsageError("It is not said which study to go on with.", hint="Add --study NAME.")
    if trials < 1 or (minutes is not None and minutes <= 0):
        raise UsageError("--trials is at least 1, and --minutes above 0.", hint="Leave them out for 20 trials.")
    for given in (name, study):
        if given is not None:
            check_name(given, what="study" if given is study else "model")
    options = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "loss": loss,
        "optimizer": optimizer,
        "schedule": schedule,
        "patience": patience,
        "class_weights": as_class_weights(class_weights),
        "device": device,
        "seed": seed,
        "watch": watch,
    }
    options = {option: value for option, value in options.items() if value is not None}
    asked = Asked(
        target=target,
        text=text,
        task=task,
        labels=as_labels(labels, None),
        tokenizer=tokenizer,
        max_length=max_length,
        image_size=image_size,
        seed=seed,
    )
    sample = first_values(dimensions, model)
    search, warnings = _trials(
        model, data, val if val is not None or folds else 0.2, folds, replace(asked, params=sample), options
    )
    metric, maximize = search.metric()
    title = study or _new_title(search.name)
    tuning = Study(
        config.current().home_path / "studies",
        title,
        metric=metric,
        maximize=maximize,
        space=dimensions,
        sampler=sampler,  # type: ignore[arg-type]  # checked there
        prune=not no_pruning,
        seed=seed,
        folds=folds or 1,
        resume=resume,
    )
    view = plugins.load("view", "tuning")()
    tuning.tuning.warnings += warnings
    chosen_words = {"space": " ".join(map(str, dimensions)), "sampler": sampler, "trials": trials, "metric": metric}
    record = SearchRecord(
        open_complete_registry(),
        config.current().home_path,
        tuning.tuning,
        goal=trials,
        params={**chosen_words, "folds": folds or 1, "model": search.name},
        run_id=tuning.run_id,
        line=line_of("tune"),
        source=source,
    )
    tuning.keep_run(record.state.run_id)
    tuning.tuning.run_id, tuning.tuning.line = record.state.run_id, record.state.resume_line

    def watch_both(found: Tuning) -> None:
        record.update()
        view.update(found)

    try:
        with record:
            found = tuning.run(
                replace(search, stop=record),
                trials=trials,
                seconds=None if minutes is None else minutes * 60,
                watch=watch_both,
                stopped=record.is_set,
            )
    except BaseException:
        view.update(tuning.tuning, final=True)
        raise
    if name is not None and found.best is not None and found.status == "finished":
        chosen, hyper = split_params(found.params)
        again = merged_options({option: value for option, value in options.items() if option != "watch"}, chosen)
        if folds is None:
            again["watch"] = watch
        elif again.get("schedule") in (None, "constant", "plateau") and "steps" not in again:
            # No rows are left that could tell the best epoch; a schedule, though, belongs to its number of epochs.
            again["epochs"] = found.best.epochs
        found.run = train(
            search.fresh(),
            data=data,
            val=val if val is not None or folds else 0.2,
            target=target,
            text=text,
            task=task,
            params=hyper,
            tokenizer=tokenizer,
            max_length=max_length,
            image_size=image_size,
            labels=labels,
            name=name,
            source=source,
            **again,
        )
    view.update(found, final=True)
    return found


def _new_title(name: str) -> str:
    """Return a name for a study that no other has, made of a model's: ``<lambda>`` is none that --study takes."""
    word = re.sub(r"[^A-Za-z0-9_.-]", "", name).strip("._-") or "study"
    return f"{word}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def _trials(
    model: Any, data: Any, val: Any, folds: int | None, asked: Asked, options: dict[str, Any]
) -> tuple[Trials, list[str]]:
    """Prepare the rows that all trials share; and what looks wrong with them."""
    from maas_jupyter.pretrained import is_language_model
    from maas_jupyter.training.intake import chosen, fit_module, name_of, take_apart
    from maas_jupyter.tuning import Trials, cross_validation

    model = chosen(model, asked.task)
    if is_language_model(model):
        raise UsageError(
            "A language model has no hyper-parameters that are searched.",
            hint="Train it: %maas train MODEL --data ROWS",
        )
    rows, held, _, warnings = take_apart(data, val, asked)
    pairs = [(rows, held)]
    if folds is not None:
        _, whole, _ = fit_module(model, rows, asked)
        # A fold alone may look like another task.
        asked = replace(asked, task=None if whole.task == "tensor" else whole.task)
        pairs = list(cross_validation(rows, folds, seed=asked.seed, classes=whole.task == "classification"))
    parts = []
    for train_rows, val_rows in pairs:
        _, prepared, _ = fit_module(model, train_rows, asked)
        assert val_rows is not None
        parts.append((prepared, prepared.like(val_rows)))
    trials = Trials(model=model, name=name_of(model), parts=parts, options=options, sample=dict(asked.params))
    return trials, warnings
