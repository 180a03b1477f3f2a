"""All that is known of one registered version: its bundle, the run it came from, its last evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct, field

from maas_jupyter import plugins
from maas_jupyter.errors import MaasError
from maas_jupyter.registry.connection import translated, without_progress_bar
from maas_jupyter.schema import MANIFEST_NAME, UNREADABLE, Manifest, TensorSpec, decode, decoder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

    from maas_jupyter.registry.nouns import ModelVersion

#: Classes that a confusion matrix is shown of, and characters of code and of reports.
MOST_CLASSES, _MOST_TEXT = 30, 20_000
#: Optimizers that leave a model with another number of parameters.
_RESHAPING = ("structured-pruning", "distillation")
_EVALUATION, _ENVIRONMENT = "evaluation/evaluation.json", "training/environment.json"
_SOURCE, _COMPARISON = "training/source.py", "comparison/comparison.txt"
#: Packages that a card names where a training had them in memory.
_PACKAGES = (
    "torch", "transformers", "peft", "numpy", "pandas", "sklearn", "datasets", "onnx", "onnxruntime", "mlflow",
    "maas_jupyter",
)  # fmt: skip


class ClassScores(Struct, frozen=True):
    """How well one class was told; ``support`` is how many rows belong to it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class Confusion(Struct, frozen=True):
    """How often each class was taken for which: a row for each true class, a column for each predicted one.

    Of many classes only those are there that were confused most; ``left_out`` says how many are not.
    """

    labels: list[str]
    counts: list[list[int]]
    left_out: int


class LastEvaluation(Struct, frozen=True):
    """What a version's last evaluation found; intervals are the ends of 95 % ones, ``time`` in epoch seconds."""

    subject: str
    rows: int
    time: float | None
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    classes: list[ClassScores]
    confusion: Confusion | None
    notes: list[str]


class Origin(Struct, frozen=True):
    """The run that a version came from: ``verb`` what was done, ``method`` how, ``command`` what was typed.

    ``commit`` is that of the folder in which it was done, ``uncommitted`` whether there was more than that;
    ``started`` in epoch seconds.
    """

    run_id: str
    verb: str
    name: str
    method: str
    command: str
    started: float
    commit: str
    uncommitted: bool
    params: dict[str, str]


class VersionDetails(Struct, frozen=True):
    """All that is known of one version.

    ``origin`` is the run that it came from, and ``training`` the one that its first ancestor ``trained_as`` was
    trained in; both are null where no such run is known. ``preprocessing`` says by input what the server makes of it.
    ``troubles`` say what could not be read, and why.
    """

    name: str
    version: str
    aliases: list[str]
    task: str
    precision: str
    size: int
    parameters: int | None
    created: float
    digest: str
    parent: str | None
    metrics: dict[str, float]
    model_description: str
    description: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    labels: list[str]
    preprocessing: dict[str, str]
    runtime: str
    origin: Origin | None
    training: Origin | None
    trained_as: str
    packages: dict[str, str]
    evaluation: LastEvaluation | None
    passed: bool | None
    gates: list[str]
    comparison: str
    troubles: list[str]

    @property
    def reference(self) -> str:
        """``digits/3``."""
        return f"{self.name}/{self.version}"


class _KeptEvaluation(Struct, frozen=True):
    """The parts of ``evaluation.json`` that are shown."""

    subject: str
    rows: int
    metrics: dict[str, float | None]
    intervals: dict[str, list[float | None] | None] = field(default_factory=dict)
    classes: list[ClassScores] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    notes: list[str] = field(default_factory=list)


class _Environment(Struct, frozen=True):
    """The parts of ``environment.json`` that are shown."""

    python: str = ""
    platform: str = ""
    packages: dict[str, str] = field(default_factory=dict)


def read_details(
    client: MlflowClient, uri: str, cache: Path, version: ModelVersion, versions: Sequence[ModelVersion]
) -> VersionDetails:
    """Read what the registry keeps of a version.

    Parameters
    ----------
    client, uri, cache
        The registry's, and where bundles are kept on this machine.
    version : ModelVersion
    versions : sequence of ModelVersion
        All of its model, among which its ancestors are looked for.

    Raises
    ------
    Unavailable
        If the registry does not answer.
    """
    reader = _Reader(client, uri)
    with translated(uri):
        # MLflow says None where nobody wrote any.
        about_model = client.get_registered_model(version.name).description or ""
        about_version = client.get_model_version(version.name, version.version).description or ""
    first, ancestors = _ancestors(version, versions)
    origin = reader.origin(version)
    training = origin if first is version else reader.origin(first)
    manifest = reader.manifest(version, cache)
    environment = reader.environment(first.run_id)
    packages = {name: environment.packages[name] for name in _PACKAGES if name in environment.packages}
    comparison = ""
    if origin is not None and origin.verb not in ("train", "tune", "register"):
        comparison = reader.text(version.run_id, _COMPARISON) or ""
    return VersionDetails(
        name=version.name,
        version=version.version,
        aliases=version.aliases,
        task=version.task,
        precision=version.precision,
        size=version.size,
        parameters=_parameters([origin, *(reader.origin(each) for each in ancestors)]),
        created=version.created,
        digest=version.digest,
        parent=version.parent,
        metrics=version.metrics,
        model_description=about_model,
        description=about_version,
        inputs=manifest.signature.inputs if manifest else [],
        outputs=manifest.signature.outputs if manifest else [],
        labels=[str(label) for label in manifest.labels or []] if manifest else [],
        preprocessing={name: _prepared(each) for name, each in manifest.preprocessing.items()} if manifest else {},
        runtime=manifest.runtime if manifest else "",
        origin=origin,
        training=training,
        trained_as=first.reference,
        packages={**({"python": environment.python} if environment.python else {}), **packages},
        evaluation=reader.evaluation(version),
        passed=None if version.verdict is None else version.verdict.passed,
        gates=[] if version.verdict is None else version.verdict.gates,
        comparison=comparison,
        troubles=reader.troubles,
    )


class _Reader:
    """Reads a version's runs and files, each once; what one of them hides is told, and the rest is read."""

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client = client
        self._uri = uri
        self._origins: dict[str, Origin | None] = {}
        self._runs: dict[str, MlflowRun | None] = {}
        self.troubles: list[str] = []

    def origin(self, version: ModelVersion) -> Origin | None:
        """Return the run that a version came from; None where that is gone."""
        run_id = version.run_id
        if not run_id:
            return None
        if run_id not in self._origins:
            self._origins[run_id] = self._origin(run_id)
        return self._origins[run_id]

    def _run(self, run_id: str) -> MlflowRun | None:
        if run_id not in self._runs:
            self._runs[run_id] = None
            try:
                with translated(self._uri):
                    self._runs[run_id] = self._client.get_run(run_id)
            except MaasError as error:
                self.troubles.append(f"The run {run_id[:8]} that it came from cannot be read: {error.message}")
        return self._runs[run_id]

    def _origin(self, run_id: str) -> Origin | None:
        run = self._run(run_id)
        if run is None:
            return None
        params, tags = dict(run.data.params), run.data.tags
        verb = tags.get("maas.verb", "train" if "optimizer" in params else "")
        command = params.pop("command", "")
        if not command and verb in ("train", "tune", ""):
            command = (self.text(run_id, _SOURCE) or "").strip()
        return Origin(
            run_id=run_id,
            verb=verb,
            name=run.info.run_name or "",
            method=params.pop("method", ""),
            command=command[:_MOST_TEXT],
            started=run.info.start_time / 1000,
            commit=tags.get("mlflow.source.git.commit", ""),
            uncommitted=tags.get("maas.git.dirty") == "true",
            params=params,
        )

    def manifest(self, version: ModelVersion, cache: Path) -> Manifest | None:
        """Return the manifest of a version's bundle; None where it cannot be had."""
        kept = cache / version.digest / MANIFEST_NAME
        where = f"The manifest of {version.reference}"
        try:
            data = kept.read_bytes() if kept.is_file() else self._download(f"{version.source}/{MANIFEST_NAME}")
            if hashlib.sha256(data).hexdigest() != version.digest:
                self.troubles.append(f"{where} is not the one that was registered: its digest is another.")
                return None
            return decode(data, Manifest, where=where)
        except MaasError as error:
            self.troubles.append(f"{where} cannot be read: {error.message}")
        except OSError as error:
            self.troubles.append(f"{where} cannot be read: {error.strerror or error}")
        return None

    def evaluation(self, version: ModelVersion) -> LastEvaluation | None:
        """Return the last evaluation of a version's run."""
        text = self.text(version.run_id, _EVALUATION, most=None)
        if text is None:
            return None
        try:
            found: _KeptEvaluation = decoder(_KeptEvaluation).decode(text)
        except UNREADABLE as error:
            self.troubles.append(f"The last evaluation of {version.reference} cannot be read: {error}")
            return None
        return LastEvaluation(
            subject=found.subject,
            rows=found.rows,
            time=self._measured(version.run_id, [f"eval_{name}" for name in found.metrics]),
            metrics={name: value for name, value in found.metrics.items() if value is not None and isfinite(value)},
            intervals={
                name: [float(low), float(high)]
                for name, ends in found.intervals.items()
                if ends is not None
                for low, high in [ends]
                if low is not None and high is not None
            },
            classes=found.classes[:_MOST_TEXT],
            confusion=None if found.confusion is None else confusion_of(found.classes, found.confusion),
            notes=found.notes,
        )

    def environment(self, run_id: str | None) -> _Environment:
        """Return what a run was trained with, as far as that is known."""
        text = self.text(run_id, _ENVIRONMENT, most=None)
        try:
            return _Environment() if text is None else decoder(_Environment).decode(text)
        except UNREADABLE as error:
            self.troubles.append(f"The packages of run {str(run_id)[:8]} cannot be read: {error}")
            return _Environment()

    def text(self, run_id: str | None, path: str, *, most: int | None = _MOST_TEXT) -> str | None:
        """Return the beginning of one of a run's files; None where it has no such file."""
        run = self._run(run_id) if run_id else None
        if run is None or run_id is None:
            return None
        source = f"{run.info.artifact_uri}/{path}"
        try:
            if not self._is_there(run_id, path, source):
                return None
            return self._download(source).decode("utf-8", "replace")[:most]
        except MaasError as error:
            self.troubles.append(f"{path} of run {run_id[:8]} cannot be read: {error.message}")
        except OSError as error:
            self.troubles.append(f"{path} of run {run_id[:8]} cannot be read: {error.strerror or error}")
        return None

    def _is_there(self, run_id: str, path: str, source: str) -> bool:
        local = _local(source)
        if local is not None:
            return local.is_file()
        with translated(self._uri):
            return any(each.path == path for each in self._client.list_artifacts(run_id, path.rpartition("/")[0]))

    def _download(self, source: str) -> bytes:
        local = _local(source)
        if local is not None:
            return local.read_bytes()
        import tempfile

        from mlflow.artifacts import download_artifacts

        with translated(self._uri), without_progress_bar(), tempfile.TemporaryDirectory(prefix="maas-") as scratch:
            return Path(download_artifacts(source, tracking_uri=self._uri, dst_path=scratch)).read_bytes()

    def _measured(self, run_id: str | None, names: list[str]) -> float | None:
        with suppress(MaasError), translated(self._uri):
            for name in names[:1]:
                points = self._client.get_metric_history(run_id or "", name)
                return max((point.timestamp for point in points), default=0) / 1000 or None
        return None


def confusion_of(classes: list[ClassScores], counts: list[list[int]]) -> Confusion | None:
    """Return a confusion matrix, of many classes the part in which most is confused; None where it fits no classes."""
    size = len(counts)
    if size == 0 or len(classes) != size or any(len(row) != size for row in counts):
        return None
    wrong = [sum(counts[place]) + sum(row[place] for row in counts) - 2 * counts[place][place] for place in range(size)]
    chosen = sorted(sorted(range(size), key=lambda place: -wrong[place])[:MOST_CLASSES])
    return Confusion(
        labels=[classes[place].label for place in chosen],
        counts=[[counts[row][column] for column in chosen] for row in chosen],
        left_out=size - len(chosen),
    )


def _local(source: str) -> Path | None:
    """Return the path of what lies on this machine's disk."""
    parts = urlsplit(source)
    return Path(unquote(parts.path)) if parts.scheme == "file" and not parts.netloc else None


def _ancestors(version: ModelVersion, versions: Sequence[ModelVersion]) -> tuple[ModelVersion, list[ModelVersion]]:
    """Return the first ancestor that is still there, and all of them, the parent first."""
    known = {each.reference: each for each in versions}
    found: list[ModelVersion] = []
    latest = version
    # A tag that somebody wrote by hand may make a circle.
    while latest.parent in known and known[latest.parent] not in (version, *found):
        latest = known[latest.parent]
        found.append(latest)
    return latest, found


def _parameters(origins: list[Origin | None]) -> int | None:
    """Return how many parameters a version has: its own run says it, or that of an ancestor with as many."""
    for origin in origins:
        if origin is None:
            return None
        said = origin.params.get("parameters", "")
        if said.isdigit():
            return int(said)
        keeping = plugins.BUILTIN["optimizer"].keys() - set(_RESHAPING)
        if not origin.method or not set(origin.method.split(" + ")) <= keeping:
            return None
    return None


def _prepared(given: Any) -> str:
    kind = type(given).__name__
    if kind == "TextInput":
        return f"text, tokenized, at most {given.max_length} tokens"
    channels = "grey" if len(given.mean) == 1 else "colour"
    return f"PNG or JPEG file, decoded to {given.width} x {given.height} pixels, {channels}"
