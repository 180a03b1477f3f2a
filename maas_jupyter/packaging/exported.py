"""Files for other systems: a module in one of three forms, or the graph of a registered bundle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.data import Batch
from maas_jupyter.errors import Conflict, InvalidInput, UsageError, nearest
from maas_jupyter.modules import run_module
from maas_jupyter.packaging.export import Axes, input_names, weight_files, weights_name
from maas_jupyter.packaging.failures import TITLES, Format
from maas_jupyter.packaging.formats import SUFFIXES, WRITERS
from maas_jupyter.packaging.validate import Agreement
from maas_jupyter.plugins import Displayed
from maas_jupyter.schema import Task

_GRAPH = SUFFIXES["onnx"][0]
_TRUSTED_ONLY = (
    "trusted only: a file of this form can hold code that runs when it is opened, so open it only where its maker is "
    "trusted. The model server never opens one."
)


@dataclass(frozen=True, repr=False)
class Exported(Displayed):
    """A file that a model was exported to.

    Attributes
    ----------
    subject : str
        What was exported.
    path : Path
    format : {'onnx', 'pt2', 'torchscript'}
    size : int
        Bytes, of the file with weights beside it too.
    inputs : list of str
        What it takes, in order.
    agreement : Agreement or None
        How near its numbers are to the module's; None of a registered graph, which was compared when it was made.
    """

    subject: str
    path: Path
    format: Format
    size: int
    inputs: list[str]
    agreement: Agreement | None

    @property
    def trusted_only(self) -> bool:
        """Whether the file can hold code that runs when it is opened."""
        return self.format != "onnx"

    @property
    def files(self) -> list[Path]:
        """The file, and the one with weights that are too large for it."""
        beside = self.path.with_name(weights_name(self.path))
        return [self.path, *([beside] if self.format == "onnx" and beside.exists() else [])]

    @property
    def facts(self) -> dict[str, str]:
        """What is worth knowing of it, in words."""
        found = {"format": TITLES[self.format], "takes": ", ".join(self.inputs)}
        agreement = self.agreement
        if agreement is None:
            found["numbers"] = "the registered graph itself, compared with the torch model when it was made"
        else:
            found["difference"] = (
                f"at most {agreement.max_difference:.2g}, {agreement.mean_difference:.2g} on average, over "
                f"{agreement.rows:,} real rows; at most {agreement.random_max_difference:.2g} over random ones "
                f"({', '.join(' x '.join(map(str, shape)) for shape in agreement.random_shapes)})"
            )
            found["same predictions"] = f"{agreement.agreement:.1%}"
        if len(self.files) > 1:
            found["weights"] = f"in {self.files[1].name}, which has to stay beside it"
        if self.trusted_only:
            found["note"] = _TRUSTED_ONLY
        return found

    def __repr__(self) -> str:
        head = f"{self.subject} -> {self.path} ({self.size / 1000:,.1f} kB)"
        return "\n".join([head, *(f"  {name}: {fact}" for name, fact in self.facts.items())])


def target_of(to: Path | str, form: str | None) -> tuple[Path, Format]:
    """Return the file and the form that a user means.

    Raises
    ------
    UsageError
        If the form is unknown, cannot be told from the name, or is another than the name says.
    """
    path = Path(to).expanduser()
    known = {suffix: each for each, suffixes in SUFFIXES.items() for suffix in suffixes}
    if form is None:
        if path.suffix not in known:
            raise UsageError(
                f"'{path.name}' does not say in which format.", hint=f"End it with {', '.join(known)}, or add --format."
            )
        return path, known[path.suffix]
    found = next((each for each in SUFFIXES if each == form), None)
    if found is None:
        raise UsageError(f"There is no format '{form}'.", hint=nearest(form, SUFFIXES, what="formats", otherwise=""))
    if path.suffix not in SUFFIXES[found]:
        if path.suffix in known:
            raise UsageError(
                f"'{path.name}' is the name of a file in {TITLES[known[path.suffix]]}, asked for is {TITLES[found]}.",
                hint=f"Name it {path.with_suffix(SUFFIXES[found][0]).name}.",
            )
        path = path.with_name(path.name + SUFFIXES[found][0])
    return path, found


def check_target(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be made.

    Raises
    ------
    Conflict
        If there is one and it may not be replaced, or a folder is in the way.
    InvalidInput
        If there is no such folder.
    """
    if path.is_dir():
        raise Conflict(f"{path} is a folder.", hint="Name a file in it.")
    if not path.parent.is_dir():
        raise InvalidInput(f"There is no folder {path.parent}.", hint="Make it first, or name another one.")
    made = [path, *([path.with_name(weights_name(path))] if path.suffix == _GRAPH else [])]
    there = next((each for each in made if each.exists()), None)
    if there is not None and not overwrite:
        raise Conflict(f"{there} exists already.", hint="Name another file, or add --overwrite.")


def export_module(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    axes: tuple[Axes, ...],
    path: Path,
    form: Format,
    *,
    subject: str,
    task: Task,
) -> Exported:
    """Export a module to a file, once its numbers were compared; what is there is replaced.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : tuple of Tensor
        Real rows.
    axes : tuple of Axes
        The free axes of each input.
    path : Path
    form : {'onnx', 'pt2', 'torchscript'}
    subject : str
        How the result calls the model.
    task : {'classification', 'regression', 'tensor'}
        Says what a prediction is.

    Raises
    ------
    ExportError
        If it cannot be exported, or the export computes something else.
    InvalidInput
        If the module refuses the rows, or does not answer with one tensor that has a row for each.
    """
    run_module(model, Batch(inputs, None))  # says in other words than an exporter what does not fit
    agreement: list[Agreement] = []
    size = _written(path, lambda beside: agreement.append(WRITERS[form](model, inputs, axes, beside, task)))
    takes = [
        _shown(name, tensor, free)
        for name, tensor, free in zip(input_names(model, len(inputs)), inputs, axes, strict=True)
    ]
    return Exported(subject, path, form, size, takes, agreement[0])


def export_bundle(bundle: Bundle, path: Path, *, subject: str) -> Exported:
    """Copy the graph of a bundle to a file, with the files of its weights; what is there is replaced.

    Raises
    ------
    InvalidInput
        If the bundle holds no ONNX graph.
    """
    manifest = bundle.manifest
    if MODEL_FILE not in manifest.files or manifest.runtime != "onnx":
        raise InvalidInput(
            f"{subject} is run by {manifest.runtime}; it holds no ONNX graph.",
            hint="Export the version it was made from.",
        )
    size = _written(path, lambda beside: _copied(bundle, beside))
    from maas_jupyter.serving.inputs.base import runtime_inputs

    return Exported(subject, path, "onnx", size, [str(spec) for spec in runtime_inputs(manifest)], None)


def _copied(bundle: Bundle, path: Path) -> None:
    import onnx

    graph = onnx.load(str(bundle.folder / MODEL_FILE), load_external_data=False)
    held = weight_files(graph)
    if not held:
        shutil.copyfile(bundle.folder / MODEL_FILE, path)
        return
    if len(held) > 1:
        graph = onnx.load(str(bundle.folder / MODEL_FILE))
        onnx.save(graph, str(path), save_as_external_data=True, location=weights_name(path))
        return
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = weights_name(path)
    shutil.copyfile(bundle.folder / held[0], path.with_name(weights_name(path)))
    path.write_bytes(graph.SerializeToString())


def _written(path: Path, write: Callable[[Path], None]) -> int:
    """Let a file be written beside a place and move it there with what belongs to it; returns their bytes."""
    weights = path.with_name(weights_name(path))
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        beside = Path(scratch) / path.name
        write(beside)
        parts = [part for part in (beside.with_name(weights.name), beside) if part.exists()]
        size = sum(part.stat().st_size for part in parts)
        # The graph last: it is never there without its weights.
        _moved(parts, path.parent)
        if len(parts) == 1 and path.suffix == _GRAPH:
            weights.unlink(missing_ok=True)
    return size


def _moved(parts: Iterable[Path], folder: Path) -> None:
    for part in parts:
        part.replace(folder / part.name)


def _shown(name: str, tensor: Tensor, free: Axes) -> str:
    sizes = ["rows" if axis == 0 else "any" if axis in free else str(size) for axis, size in enumerate(tensor.shape)]
    return f"{name}: {str(tensor.dtype)[6:]}[{', '.join(sizes)}]"
