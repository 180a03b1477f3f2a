"""All that is known of one registered version: its bundle, the run it came from, its last evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from maas_jupyter.errors import MaasError
from maas_jupyter.registry.connection import translated
from maas_jupyter.registry.copies import Copies
from maas_jupyter.registry.last_evaluation import LastEvaluation, last_evaluation
from maas_jupyter.registry.origin import Origin, Origins, ancestors_of, parameters_of
from maas_jupyter.registry.run_files import RunFiles
from maas_jupyter.schema import MANIFEST_NAME, UNREADABLE, Manifest, TensorSpec, decode, decoder

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from maas_jupyter.registry.nouns import ModelVersion

_ENVIRONMENT, _COMPARISON = "training/environment.json", "comparison/comparison.txt"
#: Packages that a card names where a training had them in memory.
_PACKAGES = (
    "torch", "transformers", "peft", "numpy", "pandas", "sklearn", "datasets", "onnx", "onnxruntime", "mlflow",
    "maas_jupyter",
)  # fmt: skip


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


class _Environment(Struct, frozen=True):
    """The parts of ``environment.json`` that are shown."""

    python: str = ""
    platform: str = ""
    packages: dict[str, str] = field(default_factory=dict)


def read_details(
    client: MlflowClient, uri: str, copies: Copies, version: ModelVersion, versions: Sequence[ModelVersion]
) -> VersionDetails:
    """Read what the registry keeps of a version.

    Parameters
    ----------
    client, uri, copies
        The registry's.
    version : ModelVersion
    versions : sequence of ModelVersion
        All of its model, among which its ancestors are looked for.

    Raises
    ------
    Unavailable
        If the registry does not answer.
    """
    files = RunFiles(client, uri)
    origins = Origins(files)
    with translated(uri):
        # MLflow says None where nobody wrote any.
        about_model = client.get_registered_model(version.name).description or ""
        about_version = client.get_model_version(version.name, version.version).description or ""
    first, ancestors = ancestors_of(version, versions)
    origin = origins.of(version)
    training = origin if first is version else origins.of(first)
    manifest = _manifest(files, copies, version)
    environment = _environment(files, first.run_id)
    packages = {name: environment.packages[name] for name in _PACKAGES if name in environment.packages}
    comparison = ""
    if origin is not None and origin.verb not in ("train", "tune", "register"):
        comparison = files.text(version.run_id, _COMPARISON) or ""
    return VersionDetails(
        name=version.name,
        version=version.version,
        aliases=version.aliases,
        task=version.task,
        precision=version.precision,
        size=version.size,
        parameters=parameters_of(origins.of(each) for each in (version, *ancestors)),
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
        evaluation=last_evaluation(files, version),
        passed=None if version.verdict is None else version.verdict.passed,
        gates=[] if version.verdict is None else version.verdict.gates,
        comparison=comparison,
        troubles=files.troubles,
    )


def _manifest(files: RunFiles, copies: Copies, version: ModelVersion) -> Manifest | None:
    """Return the manifest of a version's bundle; None where it cannot be had."""
    where = f"The manifest of {version.reference}"
    try:
        data = copies.manifest(version.digest)
        data = files.download(f"{version.source}/{MANIFEST_NAME}") if data is None else data
        if hashlib.sha256(data).hexdigest() != version.digest:
            files.troubles.append(f"{where} is not the one that was registered: its digest is another.")
            return None
        return decode(data, Manifest, where=where)
    except MaasError as error:
        files.troubles.append(f"{where} cannot be read: {error.message}")
    except OSError as error:
        files.troubles.append(f"{where} cannot be read: {error.strerror or error}")
    return None


def _environment(files: RunFiles, run_id: str | None) -> _Environment:
    """Return what a run was trained with, as far as that is known."""
    text = files.text(run_id, _ENVIRONMENT, most=None)
    try:
        return _Environment() if text is None else decoder(_Environment).decode(text)
    except UNREADABLE as error:
        files.troubles.append(f"The packages of run {str(run_id)[:8]} cannot be read: {error}")
        return _Environment()


def _prepared(given: Any) -> str:
    kind = type(given).__name__
    if kind == "TextInput":
        return f"text, tokenized, at most {given.max_length} tokens"
    channels = "grey" if len(given.mean) == 1 else "colour"
    return f"PNG or JPEG file, decoded to {given.width} x {given.height} pixels, {channels}"
