"""What the registry holds: model versions and runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite

import msgspec
from msgspec import Struct

from maas_jupyter.errors import GateError
from maas_jupyter.plugins import Displayed
from maas_jupyter.runs import RunState
from maas_jupyter.schema import UNREADABLE, Manifest, decoder

VERDICT_TAG = "maas.verdict"

_MOST_METRICS = 8
_FIRST = ("val_loss", "val_accuracy", "val_mae", "loss", "accuracy", "mae", "r2")
_LAST = ("step_loss",)


class VersionVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept with a version of its last evaluation against gates: the tag ``maas.verdict``.

    ``gates`` are in words, each with what was measured; ``time`` in epoch seconds.
    """

    passed: bool
    gates: list[str]
    rows: int
    time: float


@dataclass(frozen=True, repr=False)
class ModelVersion(Displayed):
    """A registered bundle.

    Attributes
    ----------
    name, version : str
        ``digits`` and ``"3"``.
    aliases : list of str
        Aliases that point here, such as ``champion``.
    task, precision : str
        From the bundle's manifest.
    size : int
        Bytes of the bundle.
    metrics : dict of str to float
        What was measured before it was registered.
    parent : str or None
        The reference of the version that this one was made from.
    created : float
        Seconds since the epoch.
    digest : str
        sha256 of the bundle's manifest.
    run_id : str or None
        The MLflow run that it belongs to.
    source : str
        The MLflow artifact URI of its files.
    verdict : VersionVerdict or None
        Whether it passed its gates the last time; None where it was never held against any.
    refused : str
        Why this machine's server does not load it, as far as `maas_jupyter.models` knows; else empty.
    """

    name: str
    version: str
    aliases: list[str]
    task: str
    precision: str
    size: int
    metrics: dict[str, float]
    parent: str | None
    created: float
    digest: str
    run_id: str | None
    source: str
    verdict: VersionVerdict | None = None
    refused: str = field(default="", compare=False)

    @property
    def reference(self) -> str:
        """``digits/3``."""
        return f"{self.name}/{self.version}"

    @property
    def headline(self) -> tuple[str, float] | None:
        """Name and value of the metric that stands for this version, if anything was measured."""
        for name in ("accuracy", "val_accuracy", "r2", "val_loss", "loss"):
            if name in self.metrics:
                return name, self.metrics[name]
        return None

    def __repr__(self) -> str:
        aliases = f" @{' @'.join(self.aliases)}" if self.aliases else ""
        measured = f", {self.headline[0]} {self.headline[1]:.4f}" if self.headline else ""
        parent = f", from {self.parent}" if self.parent else ""
        refused = f", does not load: {self.refused}" if self.refused else ""
        size = f"{self.size / 1000:,.0f} kB"
        return f"{self.reference}{aliases}: {self.task}, {self.precision}, {size}{measured}{parent}{refused}"


@dataclass(frozen=True)
class RegisteredModel:
    """A model and its versions, newest first."""

    name: str
    updated: float
    versions: list[ModelVersion]


class ModelList(list[RegisteredModel], Displayed):
    """Registered models, most recently changed first."""

    def __repr__(self) -> str:
        if not self:
            return "No models yet. Train one: %maas train net --data train --name digits"
        return "\n".join(repr(version) for model in self for version in model.versions)


@dataclass(frozen=True, repr=False)
class RunRecord:
    """One tracked run.

    Attributes
    ----------
    run_id, name, status : str
        As the registry knows them; the status of a run of this machine is the one that its own folder tells.
    started : float
        Epoch seconds.
    duration : float or None
        Seconds; None while it is not over.
    metrics, params : dict
        The last values.
    state : RunState or None
        What its folder tells, where it ran on this machine.
    """

    run_id: str
    name: str
    status: str
    started: float
    duration: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    state: RunState | None = None

    @property
    def progress(self) -> str:
        """``epoch 3 of 20``; empty once it is over."""
        state = self.state
        if state is None or state.status != "training":
            return ""
        return state.place

    def __repr__(self) -> str:
        metrics = [f"{name} {value:.4f}" for name, value in by_importance(self.metrics)[:_MOST_METRICS]]
        parts = [f"{self.run_id[:8]} {self.name}: {self.status.replace('_', ' ')}", self.progress, *metrics]
        return ", ".join(part for part in parts if part)


class NestedRun(Struct, kw_only=True):
    """A run within another one that has ended: a trial of a search.

    Attributes
    ----------
    key : str
        Tells it from the others of its parent.
    status : str
        MLflow's: ``FINISHED``, ``KILLED`` or ``FAILED``.
    started, ended : int
        Epoch milliseconds.
    """

    key: str
    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    status: str
    started: int
    ended: int


class RunList(list[RunRecord], Displayed):
    """Tracked runs, newest first."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "No such runs. Start one: %maas train net --data train"


def by_importance(metrics: dict[str, float]) -> list[tuple[str, float]]:
    """Return metrics with what tells most of a run first: of validation rows, of training rows, then by the name."""
    first = [name for name in _FIRST if name in metrics]
    rest = sorted(metrics.keys() - {*first, *_LAST}) + [name for name in _LAST if name in metrics]
    return [(name, metrics[name]) for name in [*first, *rest]]


def version_tags(manifest: Manifest, digest: str, metrics: dict[str, float], parent: str | None) -> dict[str, str]:
    """Build the tags that let versions be listed without opening their bundles; what is not a number is left out."""
    tags = {
        "maas.task": manifest.task,
        "maas.precision": manifest.precision,
        "maas.size": str(manifest.size),
        "maas.digest": digest,
        "maas.metrics": msgspec.json.encode(
            {name: value for name, value in metrics.items() if isfinite(value)}
        ).decode(),
    }
    return {**tags, "maas.parent": parent} if parent else tags


def verdict_of(tags: dict[str, str]) -> VersionVerdict | None:
    """Read the verdict among a version's tags; one that somebody else wrote and cannot be read is none."""
    try:
        verdict: VersionVerdict = decoder(VersionVerdict).decode(tags[VERDICT_TAG])
        return verdict
    except (KeyError, *UNREADABLE):
        return None


def require_verdict(version: ModelVersion) -> VersionVerdict:
    """Demand that a version has passed its gates.

    Raises
    ------
    GateError
        If it was never judged, or not passed the last time.
    """
    advice = f'%maas evaluate {version.reference} --data test --require "accuracy>=0.9"'
    if version.verdict is None:
        raise GateError(f"{version.reference} was never held against gates.", hint=f"Do it first: {advice}")
    if not version.verdict.passed:
        failed = [gate.removeprefix("✗ ") for gate in version.verdict.gates if gate.startswith("✗")]
        raise GateError(
            f"{version.reference} did not pass its gates: {'; '.join(failed)}.",
            hint=f"Train a better one, or judge it again: {advice}",
        )
    return version.verdict
