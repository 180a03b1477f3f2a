"""Making a trained model smaller: ``prune`` and ``distil``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from maas_jupyter.api.candidates import Asked, compared
from maas_jupyter.api.options import documented
from maas_jupyter.api.subjects import is_run, open_registry, to_version
from maas_jupyter.arguments import DataArgument, Kind, NameOrObject, ReferenceArgument, several
from maas_jupyter.errors import UsageError, nearest

if TYPE_CHECKING:
    from maas_jupyter.optimization import Comparison, Optimizer

_METHODS = ("structured", "magnitude")


@documented
def prune(
    model: ReferenceArgument,
    *,
    data: DataArgument,
    target: tuple[str, ...] = (),
    text: str | None = None,
    method: str = "structured",
    amount: tuple[float, ...] = (),
    importance: str | None = None,
    scope: str | None = None,
    steps: int = 1,
    epochs: int | None = None,
    lr: float | None = None,
    max_drop: float = 0.01,
    require: tuple[str, ...] = (),
    seed: int = 0,
    source: Annotated[str | None, Kind.SOURCE] = None,
) -> Comparison:
    """Remove what a trained model can do without, fine-tune the rest, and compare with the original.

    Structured pruning removes whole channels, neurons and attention heads, so that the model becomes smaller and
    faster everywhere; magnitude pruning sets single weights to 0, which by itself makes nothing faster. The module of
    the run is left as it is; the winner is registered as a new version.

    Parameters
    ----------
    model : Run
        A registered run of this notebook: its module is pruned, its training rows fine-tune it.
    %(data)s
    target : str
        What a candidate has to reach, such as size<50kB or p50<2ms; may be repeated. Without an amount, so much is
        removed that the first bound of size or p50 is kept. Of a table also the column to predict.
    %(text)s
    method : str
        structured or magnitude.
    amount : float
        Share of the channels (of the weights, for magnitude) that is removed; may be repeated: a candidate for each.
        0.5 by default.
    importance : str
        What makes a channel important: l2 (the default), l1 or taylor; for magnitude the norm, l1 or l2, which
        rank single weights alike.
    scope : str
        layer: the same share of each layer; global: the least important ones of the whole model.
    steps : int
        In how many steps, with fine-tuning after each.
    epochs : int
        Of fine-tuning after each step.
    lr : float
        Learning rate of the fine-tuning.
    %(max_drop)s
    %(require)s
    %(seed)s
    %(source)s

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidInput
        If the data does not fit the model, or it has nothing to prune.
    UsageError
        If it is no run, or an option cannot be.
    """
    from maas_jupyter.optimization.prune import MagnitudePruning, StructuredPruning

    asked = Asked.read(data, target, text, None, max_drop, require, source)
    shares = [float(share) for share in several(amount)]
    given = {"steps": steps, "lr": lr, "seed": seed, "epochs": epochs, "scope": scope}
    training: dict[str, Any] = {option: value for option, value in given.items() if value is not None}
    made: list[Optimizer]
    if method == "magnitude":
        training |= {} if importance is None else {"norm": importance}
        made = [_named(MagnitudePruning(sparsity=share, **training), share) for share in shares or [0.5]]
    elif method == "structured":
        training |= {} if importance is None else {"importance": importance}
        bounds = {"size": "size", "p50": "latency"}
        bound = next((goal for goal in asked.goals if goal.quantity in bounds), None)
        if shares or bound is None:
            made = [_named(StructuredPruning(amount=share, **training), share) for share in shares or [0.5]]
        else:
            training[bounds[bound.quantity]] = bound.bound
            made = [StructuredPruning(**training)]
    else:
        raise UsageError(
            f"There is no pruning called '{method}'.", hint=nearest(method, _METHODS, what="methods", otherwise="")
        )
    return _of_run("prune", model, asked, made)


@documented
def distil(
    model: ReferenceArgument,
    *,
    data: DataArgument,
    target: tuple[str, ...] = (),
    text: str | None = None,
    student: NameOrObject = None,
    temperature: float = 2.0,
    soft: float = 0.5,
    hidden: float | None = None,
    epochs: int = 10,
    lr: float | None = None,
    batch_size: int = 32,
    max_drop: float = 0.02,
    require: tuple[str, ...] = (),
    seed: int = 0,
    source: Annotated[str | None, Kind.SOURCE] = None,
) -> Comparison:
    """Train a smaller student on the answers of a trained model, and compare the two.

    The winner is registered as a new version of the model.

    Parameters
    ----------
    model : Run
        A registered run of this notebook: its module is the teacher, its training rows are the lesson.
    %(data)s
    %(target)s
    %(text)s
    student : str or torch.nn.Module
        What is made of a transformers encoder: layers=3, also heads, hidden and intermediate; half of the layers by
        default. Or a module, which is copied.
    temperature : float
        Above 1 the wrong answers that the teacher takes for likely count more.
    soft : float
        Share of the teacher's answers in the loss, from 0 to 1; the rest are the right ones.
    hidden : float
        Weight of the hidden states in the loss: 1 between two transformers, else 0.
    epochs : int
        Passes over the training rows.
    lr : float
        Learning rate: 1e-3, for transformers 5e-4.
    batch_size : int
        Rows per step.
    %(max_drop)s
    %(require)s
    %(seed)s
    %(source)s

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidInput
        If the data or the student does not fit the model.
    UsageError
        If it is no run, or an option cannot be.
    """
    from maas_jupyter.optimization.distil import Distillation

    asked = Asked.read(data, target, text, None, max_drop, require, source)
    made = Distillation(
        student=student,
        temperature=temperature,
        soft=soft,
        hidden=hidden,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        seed=seed,
    )
    if is_run(model):
        made.check(model.model)
    return _of_run("distil", model, asked, [made])


def _named(method: Optimizer, share: float) -> Optimizer:
    """Tell candidates of several amounts apart."""
    method.name = f"{method.name} {share:.0%}"
    return method


def _of_run(verb: str, model: Any, asked: Asked, methods: list[Optimizer]) -> Comparison:
    if not is_run(model):
        shown = f"'{model}'" if isinstance(model, str) else f"A {type(model).__name__}"
        raise UsageError(
            f"{shown} is not a run of this notebook, and a registered version has no torch module to {verb}.",
            hint=f"Name the run that trained it: run = %maas train ... --name MODEL, then %maas {verb} run --data val",
        )
    registry = open_registry()
    return compared(verb, model, to_version(model, registry), registry, asked, lambda: methods, named=True)
