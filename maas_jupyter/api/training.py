"""Training: ``train``."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from maas_jupyter import config, plugins
from maas_jupyter.api.registry import as_labels, register_prepared
from maas_jupyter.api.subjects import is_run, open_complete_registry
from maas_jupyter.arguments import (
    DataArgument,
    Kind,
    NameOrObject,
    RunArgument,
    TrainableArgument,
    ValueOrWord,
    line_of,
)
from maas_jupyter.errors import Conflict, MaasError, Unavailable, UsageError

if TYPE_CHECKING:
    from maas_jupyter.runs import RunFolder
    from maas_jupyter.training import Run


def train(
    model: TrainableArgument,
    *,
    data: DataArgument,
    val: DataArgument = None,
    target: str | None = None,
    text: str | None = None,
    task: str | None = None,
    params: ValueOrWord = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    loss: NameOrObject = None,
    optimizer: NameOrObject = None,
    schedule: NameOrObject = None,
    warmup: float | None = None,
    patience: int | None = None,
    watch: str | None = None,
    clip: float | None = None,
    accumulate: int | None = None,
    precision: str | None = None,
    class_weights: ValueOrWord = None,
    tokenizer: ValueOrWord = None,
    max_length: int | None = None,
    image_size: int | None = None,
    lora: str | None = None,
    name: str | None = None,
    labels: DataArgument = None,
    seed: int | None = None,
    device: str | None = None,
    checkpoint_seconds: float | None = None,
    resume: RunArgument = None,
    background: bool = False,
    source: Annotated[str | None, Kind.SOURCE] = None,
) -> Run:
    """Train a model on any form of data; with a name, register what will be served.

    Interrupting it (the notebook's stop button) keeps a checkpoint and returns the run as interrupted. With validation
    rows the module has the weights of its best epoch at the end; those of the last one are in the checkpoint.

    Parameters
    ----------
    model : torch.nn.Module, callable or str
        A module or a model of transformers, trained in place; a function that makes one from hyper-parameters (its
        arguments features and classes are answered by the data, and for a regression its last linear layer is made to
        answer in the units of targets that are far from 0 and 1); or the folder or hub id (OWNER/NAME) of a model of
        transformers.
    data : (X, y), DataFrame, texts, images, Dataset, DataLoader or path
        Training rows; of a table the columns that the model may use, and the target. What is done to them (numbers
        standardised, categories encoded, texts tokenized) becomes a part of the model that is served.
    val : the same, or float
        Validation rows, scored after every epoch; or the share of the training rows that is taken for them, such as
        0.2, drawn by the seed, each class evenly.
    target : str
        The table's column to predict.
    text : str
        The table's column of texts.
    task : str
        classification, regression or text-generation; seen in the targets by default.
    params : dict or str
        Hyper-parameters for a function that makes the module: hidden=64 dropout=0.1
    epochs : int
        Passes over the data; 10 by default.
    steps : int
        Optimizer steps instead of epochs.
    batch_size : int
        Rows per step, 32 by default; a DataLoader keeps its own.
    lr : float
        Learning rate of an optimizer given by name; 1e-3 by default.
    loss : str or callable
        cross_entropy, nll, mse, l1, huber, or a function of (output, targets).
    optimizer : str, torch.optim.Optimizer or callable
        adam (the default), adamw, sgd, rmsprop, adagrad, nadam, adamax, an optimizer of the module's parameters, or a
        function that makes one from them.
    schedule : str, LRScheduler or callable
        constant (the default), linear, cosine, onecycle, step, plateau, a torch scheduler, or a function that makes
        one from the optimizer.
    warmup : float
        Steps in which the learning rate grows from 0; below 1 a share of the training.
    patience : int
        Stop when the watched metric has not improved for as many epochs.
    watch : str
        val_loss (the default where there are validation rows), loss, accuracy, val_accuracy, mae or val_mae.
    clip : float
        Largest norm of the gradient.
    accumulate : int
        Batches whose gradients make one step; 1 by default.
    precision : str
        fp32 (the default), bf16 or fp16, where the device gains from it.
    class_weights : str or list of float
        balanced, or a weight for each class: 1,2.5,1
    tokenizer : tokenizer or str
        For texts: a fast tokenizer, a tokenizer.json, a folder or a hub id; that of a loaded model by default.
    max_length : int
        The most tokens of a text.
    image_size : int
        Pixels that images are resized to, on both sides; the size of the rows by default.
    lora : str
        Train low-rank adapters of a causal language model instead of all its weights: r=8,alpha=16,dropout=0.05
    name : str
        Register the trained model under this name.
    labels : list of str or int
        A name for each class, in the order of the model's outputs.
    seed : int
        Orders the rows and drives dropout, 0 by default: the same seed on the same machine gives the same weights.
    device : str
        cpu, cuda, cuda:1, mps; the best one there is by default.
    checkpoint_seconds : float
        Least time between two checkpoints on the way; 10 by default.
    resume : Run or str
        Go on with an earlier run: a run, the beginning of its id, or last. Options that are not given are the run's;
        the result is the one of a run without a break.
    background : bool
        Return at once and train in a thread: run.wait(), run.stop(). Cells that draw random numbers of torch meanwhile
        change the result.
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
    TrainingError
        If the loss becomes NaN or infinite, or the memory is used up.
    ExportError
        If it was trained but cannot be registered; the trained run is kept: %maas register RUN --name NAME.
    Unavailable
        If the registry does not answer, or its disk takes nothing more; what was trained by then is kept as well.
    """
    view = plugins.load("view", "training")(name or "train")
    with view.preparing(), ExitStack() as entered:
        folder = None if resume is None else _resumable(resume)
        if folder is not None:
            # Before all that takes seconds: whoever looks, or wants it stopped, finds it under way.
            entered.enter_context(folder.taken_up())
        from maas_jupyter.pretrained import is_language_model
        from maas_jupyter.schema import check_name
        from maas_jupyter.training import Asked, Checkpoint, TrainingOptions, TrainingPlan, take_in
        from maas_jupyter.training.intake import chosen
        from maas_jupyter.training.job import TrainingJob
        from maas_jupyter.training.resume import resumed_options
        from maas_jupyter.training.run import keep_unregistered, trained_by

        given = {
            "epochs": epochs,
            "steps": steps,
            "batch_size": batch_size,
            "lr": lr,
            "loss": loss,
            "optimizer": optimizer,
            "schedule": schedule,
            "warmup": warmup,
            "patience": patience,
            "watch": watch,
            "clip": clip,
            "accumulate": accumulate,
            "precision": precision,
            "class_weights": as_class_weights(class_weights),
            "seed": seed,
            "device": device,
            "checkpoint_seconds": checkpoint_seconds,
        }
        given = {option: value for option, value in given.items() if value is not None}
        home = config.current().home_path
        checkpoint = None if folder is None else Checkpoint(folder.path)
        options = TrainingOptions(**given) if checkpoint is None else resumed_options(checkpoint, given)
        if name is not None:
            check_name(name)
        asked = Asked(
            target=target,
            text=text,
            task=task,
            labels=as_labels(labels, None),
            tokenizer=model.tokenizer if tokenizer is None and is_run(model) else tokenizer,
            max_length=max_length,
            image_size=image_size,
            lora=lora,
            params=as_params(params),
            seed=options.seed,
        )
        meant = chosen(model.model if is_run(model) else model, task)
        if name is not None and is_language_model(meant):
            raise UsageError(
                "A language model cannot be registered: no runtime serves it yet.",
                hint="Leave --name out; run.save(FOLDER) keeps it as transformers loads it.",
            )
        subject = take_in(meant, data, val, asked)
        other = trained_by(subject.module)
        if other is not None:
            raise Conflict(
                f"The model is being trained by run {other.run_id[:8]} in the background.",
                hint=f"Wait for it: run.wait(), or stop it: %maas interrupt {other.run_id[:8]}",
            )
        registry = open_complete_registry()
        plan = TrainingPlan.make(
            subject.module, subject.data, options, val=subject.val, task=subject.task, classes=subject.classes
        )
        title = name or (checkpoint.state.run.name if checkpoint else subject.name)
        job = TrainingJob.make(registry, home, title, subject, plan, options, resume=checkpoint, source=source)
    run = job.run
    run.state.line = line_of("train") or run.state.line
    view.title = title

    def work() -> None:
        job.train([view])
        if name is None or run.status not in ("finished", "stopped_early"):
            return
        try:
            run.version = register_prepared(registry, run, subject.required(), subject.held_out, name, run.run_id)
        except KeyboardInterrupt:
            keep_unregistered(run)
            run.warnings.append(f"interrupted before it was registered: %maas register {run.run_id[:8]} --name {name}")
        except (MaasError, OSError) as error:
            keep_unregistered(run)
            told = error if isinstance(error, MaasError) else Unavailable(f"It cannot be registered: {error}")
            if background:
                # Nobody waits for it: the view has to tell.
                run.warnings.append(f"not registered as {name}: {told.message}")
                job.recorder.write()
                view.update(run.state, final=True)
            file = f"in {run.checkpoint}" if run.checkpoint else "in no file, since the disk did not take them"
            kept = (
                f"The module is trained and run {run.run_id[:8]} is kept in this kernel; its weights are {file}. "
                f"Register it later: %maas register {run.run_id[:8]} --name {name}"
            )
            raise type(told)(told.message, hint=f"{told.hint} {kept}".strip()) from error

    if background:
        run.in_background(work)
    else:
        work()
    return run


def as_params(params: Any) -> dict[str, Any]:
    """Return hyper-parameters as a dict: ``hidden=64 dropout=0.1``.

    Raises
    ------
    UsageError
        If they do not parse, or name more than one value.
    """
    if params is None or isinstance(params, dict):
        return dict(params or {})
    from maas_jupyter.tuning.space import Choice, parse_space

    try:
        space = parse_space(str(params))
    except UsageError as error:
        message = error.message.replace("The search space does", "The hyper-parameters do", 1)
        raise UsageError(message, hint="Write them as hidden=64 dropout=0.1, or name a dict.") from error
    found = {}
    for dimension in space:
        if not isinstance(dimension, Choice) or len(dimension.options) != 1:
            raise UsageError(f"'{dimension}' is more than one value.", hint="To search, use %maas tune.")
        found[dimension.name] = dimension.options[0]
    return found


def tell_how_to_resume(run: Any, missing: str) -> NoReturn:
    """Say what an earlier run is resumed with: its model and its rows are in the notebook, not in its folder.

    Raises
    ------
    UsageError
        Always; the hint is the whole line, where it is known.
    NotFound
        If there is no such run.
    """
    from maas_jupyter.runs import find_training

    state = find_training(config.current().home_path, run).read()
    asked = f"--resume {run if isinstance(run, str) else run.run_id[:8]}"
    line = state.resume_line if state is not None and state.line else f"%maas train MODEL --data ROWS {asked}"
    raise UsageError(
        f"{missing} {'are' if ' and ' in missing else 'is'} missing: a run keeps weights and options, while the model "
        "and the rows come from the notebook.",
        hint=f"Give those that it was trained with: {line}",
    )


def _resumable(run: Any) -> RunFolder:
    """Return the folder of the run that is meant, which has to be over."""
    from maas_jupyter.runs import find_training

    folder = find_training(config.current().home_path, run)
    state = folder.read()
    if state is not None and state.status == "training":
        raise Conflict(f"Run {folder.run_id[:8]} goes on.", hint=f"Stop it first: %maas interrupt {folder.run_id[:8]}")
    return folder


def as_class_weights(weights: Any) -> Any:
    """Read ``1,2.5,1`` as numbers."""
    if not isinstance(weights, str) or weights == "balanced":
        return weights
    try:
        return [float(word) for word in weights.split(",")]
    except ValueError as error:
        raise UsageError(
            f"'{weights}' are no class weights.", hint="Write balanced, or a number for each class: 1,2.5,1"
        ) from error
