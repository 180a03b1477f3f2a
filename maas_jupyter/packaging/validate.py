"""Numeric validation: what was exported against the torch model, on real rows and on random shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from maas_jupyter.data import Batch
from maas_jupyter.errors import ExportError, InvalidInput
from maas_jupyter.modules import run_module
from maas_jupyter.packaging.divergence import Make, Run, parting_of
from maas_jupyter.packaging.export import Axes
from maas_jupyter.schema import Task

if TYPE_CHECKING:
    from onnx import ModelProto

#: A row agrees where |a - b| <= ATOL + RTOL * |b|, numpy's own rule.
ATOL = 1e-4
RTOL = 1e-3
#: The same for models that compute in 16 bits.
HALF_ATOL = 1e-2
HALF_RTOL = 1e-2

#: Sizes of the random batches; one is what is baked in most often, and one is odd.
_BATCHES = (1, 3, 16)
_REFUSED = (
    "Look for a batch size or a shape that is fixed in the model's forward: len(x) and int(x.shape[0]) fix the number "
    "of rows, x.shape[0] does not."
)


@dataclass(frozen=True)
class Agreement:
    """How near two models' numbers are over the same rows; differences are absolute.

    Attributes
    ----------
    rows : int
        Real rows.
    max_difference, mean_difference : float
        Over these.
    agreement : float
        The share of them with the same prediction: the same class, or numbers within the tolerance.
    random_shapes : tuple of tuple of int
        Sizes of the free axes, first the rows, of the random batches that were compared too.
    random_max_difference : float
        Over these.
    """

    rows: int
    max_difference: float
    mean_difference: float
    agreement: float
    random_shapes: tuple[tuple[int, ...], ...] = ()
    random_max_difference: float = 0.0


def graph_runner(graph: ModelProto, names: Sequence[str], folder: Path | None = None) -> Run:
    """Return what runs a graph in this process on tensors, and gives all its outputs.

    Parameters
    ----------
    graph : onnx.ModelProto
    names : sequence of str
        Of its inputs, in the order of the tensors.
    folder : Path, optional
        Holds its weights, where these are not in it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    taken = {each.name for each in session.get_inputs()}

    def run(tensors: tuple[Tensor, ...]) -> list[Tensor]:
        arrays = {name: tensor.cpu().numpy() for name, tensor in zip(names, tensors, strict=True) if name in taken}
        return [torch.from_numpy(np.asarray(output)) for output in session.run(None, arrays)]

    return run


def run_graph(graph: ModelProto, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Run a graph in this process and return its first output."""
    tensors = tuple(torch.from_numpy(array) for array in inputs.values())
    return graph_runner(graph, list(inputs))(tensors)[0].numpy()


def require_agreement(
    run: Callable[[], Run],
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    axes: Sequence[Axes],
    *,
    task: Task,
    make: Make,
) -> Agreement:
    """Check that what was exported computes what the torch model computes.

    All rows are run at once and the first one alone, then batches of several sizes, and lengths where another axis is
    free, with random values between those of the rows. Sizes that the module itself refuses are left out.

    Parameters
    ----------
    run : callable
        Loads what was exported, and returns what runs it.
    model : torch.nn.Module
    inputs : tuple of Tensor
        Real rows.
    axes : sequence of Axes
        The free axes of each input.
    task : {'classification', 'regression', 'tensor'}
        Says what a prediction is.
    make : callable
        Exports a part of the model in the same way; used to find the part that is to blame.

    Raises
    ------
    ExportError
        If a number differs by more than the tolerance; names the row, both numbers and the part of the module where
        they begin to differ.
    """
    reference = run_module(model, Batch(inputs, None)).cpu()
    shapes: list[tuple[int, ...]] = []
    largest = 0.0
    failing = inputs
    try:
        answers = _runner(run)
        whole = answers(inputs)
        _require_close(whole, reference)
        failing = tuple(tensor[:1] for tensor in inputs)
        alone = answers(failing)
        if _apart(alone, reference[:1]) and _agrees_with(model, failing, alone):
            require_independent(_array(alone), _array(reference[:1]), row=0)
        _require_close(alone, reference[:1])
        for shape, rows in random_rows(inputs, axes):
            try:
                expected = run_module(model, Batch(rows, None)).cpu()
            except InvalidInput:
                continue
            failing = rows
            output = answers(rows)
            _require_close(output, expected, random=True)
            largest = max(largest, _differences(output, expected)[0])
            shapes.append(shape)
    except ExportError as error:
        parting = parting_of(model, inputs, failing, make, differs=_apart)
        raise ExportError(f"{error.message} {parting}".strip(), hint=error.hint) from error
    most, mean = _differences(whole, reference)
    return Agreement(len(reference), most, mean, _agreeing(whole, reference, task), tuple(shapes), largest)


def random_rows(
    inputs: tuple[Tensor, ...], axes: Sequence[Axes]
) -> Iterator[tuple[tuple[int, ...], tuple[Tensor, ...]]]:
    """Give batches of several sizes, and lengths where another axis than that of the rows is free.

    Floats lie between those of two real rows, everything else is of a real row: an embedding has no other indices.

    Yields
    ------
    shape : tuple of int
        Sizes of the free axes, first the rows.
    rows : tuple of Tensor
    """
    generator = torch.Generator().manual_seed(0)
    count = len(inputs[0])
    free = max((len(each) for each in axes), default=1) > 1
    longest = {
        id(dim): tensor.shape[axis]
        for tensor, each in zip(inputs, axes, strict=True)
        for axis, dim in each.items()
        if axis
    }
    for index, size in enumerate(_BATCHES):
        first, second = torch.randint(count, (2, size), generator=generator)
        weight = torch.rand(size, generator=generator)
        lengths = {
            # The shortest, the longest and one between them.
            dim: min(2, most)
            if index == 0
            else most
            if index == 2
            else int(torch.randint(1, most + 1, (), generator=generator))
            for dim, most in longest.items()
        }
        rows = []
        for tensor, each in zip(inputs, axes, strict=True):
            mixed = _mixed(tensor.cpu(), first, second, weight)
            for axis, dim in each.items():
                if axis:
                    mixed = mixed.narrow(axis, 0, lengths[id(dim)])
            rows.append(mixed.contiguous())
        yield ((size, *lengths.values()) if free else (size,)), tuple(rows)


def _mixed(tensor: Tensor, first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor[first]
    share = weight.to(tensor.dtype).reshape(-1, *[1] * (tensor.ndim - 1))
    return tensor[first] * share + tensor[second] * (1 - share)


def _runner(run: Callable[[], Run]) -> Callable[[tuple[Tensor, ...]], Tensor]:
    """Return what answers with the first output, and says in words that it does not run."""
    loaded: list[Run] = []

    def answer(rows: tuple[Tensor, ...]) -> Tensor:
        try:
            if not loaded:
                loaded.append(run())
            return loaded[0](rows)[0]
        except Exception as error:
            # onnxruntime raises its own kinds for anything that a graph cannot do, torch those of its operations.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ExportError(
                f"The exported model does not run on {len(rows[0])} rows: {lines[0][:300]}", hint=_REFUSED
            ) from error

    return answer


def _require_close(output: Tensor, expected: Tensor, *, random: bool = False) -> None:
    half = expected.dtype in (torch.float16, torch.bfloat16)
    atol, rtol = (HALF_ATOL, HALF_RTOL) if half else (ATOL, RTOL)
    require_close(_array(output), _array(expected), atol=atol, rtol=rtol, row="random row" if random else "row")


def require_close(
    output: np.ndarray, expected: np.ndarray, *, atol: float = ATOL, rtol: float = RTOL, row: str = "row"
) -> None:
    """Check the numbers of an exported model.

    Raises
    ------
    ExportError
        If the shape differs, or a number by more than the tolerance; names the row and both numbers.
    """
    if output.shape != expected.shape:
        raise ExportError(
            f"The exported model gives the shape {list(output.shape)}, the torch model {list(expected.shape)}.",
            hint=_REFUSED,
        )
    wrong = ~np.isclose(output, expected, rtol=rtol, atol=atol, equal_nan=True)
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise ExportError(
            f"The exported model computes something else: {row} {place[0]} gives {output[place]:.6g}, the torch "
            f"model {expected[place]:.6g}; {np.unique(np.argwhere(wrong)[:, 0]).size} of {len(expected)} rows "
            f"differ by more than {atol:g} + {rtol:g} x the value.",
            hint="Look for code that runs differently while exporting, or that is random or keeps state in "
            "evaluation mode.",
        )


def require_independent(alone: np.ndarray, beside: np.ndarray, *, row: int, padded: bool = False) -> None:
    """Check that a row alone is answered as it is among others.

    Parameters
    ----------
    alone, beside : ndarray
        The two answers, each for one row.
    row : int
        Which of the rows it is.
    padded : bool
        Whether rows that are served together are padded to the longest.

    Raises
    ------
    ExportError
        If a number differs by more than the tolerance; names the row and both numbers.
    """
    if alone.shape == beside.shape and np.allclose(alone, beside, rtol=RTOL, atol=ATOL, equal_nan=True):
        return
    numbers = ""
    if alone.shape == beside.shape:
        place = np.unravel_index(int(np.argmax(np.abs(alone - beside))), alone.shape)
        numbers = f": {alone[place]:.6g} against {beside[place]:.6g}"
    why = ", where it is padded to the length of the longest" if padded else ""
    raise ExportError(
        f"Row {row} alone is answered otherwise than beside others{why}{numbers}.",
        hint="Take attention_mask as an argument of forward, and leave out the places where it is 0: they are padding."
        if padded
        else "An answer may not hang on the rows that are asked with it: take out of forward what is computed over the "
        "rows, such as their mean.",
    )


def _agrees_with(model: nn.Module, rows: tuple[Tensor, ...], output: Tensor) -> bool:
    try:
        return not _apart(output, run_module(model, Batch(rows, None)).cpu())
    except InvalidInput:
        # A module that takes no single row says nothing about one.
        return False


def _apart(output: Tensor, expected: Tensor) -> str:
    """Say in words how far two tensors are apart; empty where they are not, by more than the tolerance."""
    if output.shape != expected.shape:
        return f"gives the shape {list(output.shape)} instead of {list(expected.shape)}"
    try:
        _require_close(output, expected)
    except ExportError:
        return f"differs by up to {_differences(output, expected)[0]:.2g}"
    return ""


def _differences(output: Tensor, expected: Tensor) -> tuple[float, float]:
    """Return the largest and the mean absolute difference; what is NaN or infinite in both is left out."""
    given, wanted = _array(output), _array(expected)
    known = np.isfinite(given) & np.isfinite(wanted)
    difference = np.abs(given[known] - wanted[known])
    return float(difference.max(initial=0.0)), float(difference.mean()) if difference.size else 0.0


def _agreeing(output: Tensor, expected: Tensor, task: Task) -> float:
    if not len(expected):
        return 1.0
    if task == "classification" and expected.ndim > 1:
        return float((output.argmax(1) == expected.argmax(1)).double().mean())
    close = np.isclose(_array(output), _array(expected), rtol=RTOL, atol=ATOL, equal_nan=True)
    return float(close.reshape(len(expected), -1).all(1).mean())


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
