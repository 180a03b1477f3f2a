"""What the panel is told, as JSON: rows of models, endpoints and runs, and the snapshot that holds them.

The panel has a mirror of these structs, ``labextension/src/schema.ts``, field by field.
"""

from __future__ import annotations

from msgspec import Struct

from maas_jupyter.runs import RunStatus
from maas_jupyter.schema import EndpointState, VersionState


class VersionRow(Struct, frozen=True):
    """One version of a registered model, as the panel lists it. ``size`` in bytes, ``created`` in epoch seconds."""

    version: str
    aliases: list[str]
    task: str
    precision: str
    size: int
    metric_name: str | None
    metric: float | None
    parent: str | None
    created: float


class ModelRow(Struct, frozen=True):
    """One registered model with its versions, newest first."""

    name: str
    updated: float
    versions: list[VersionRow]


class Sample(Struct, frozen=True):
    """One point of an endpoint's series: rates per second, latencies in milliseconds (null without requests)."""

    time: float
    requests_per_second: float
    errors_per_second: float
    p50_ms: float | None
    p95_ms: float | None


class ShadowCounts(Struct, frozen=True):
    """What became of the copies of requests that a shadow got.

    Attributes
    ----------
    compared, disagreed : int
        Copies whose answer was compared with the one that the client got, and those of them that differed.
    failed, dropped : int
        Copies that the shadow could not answer, and those that it was spared because there was other work.
    """

    compared: int = 0
    disagreed: int = 0
    failed: int = 0
    dropped: int = 0

    @property
    def disagreement(self) -> float | None:
        """The share of the compared answers that differed, from 0 to 1; None while none was compared."""
        return self.disagreed / self.compared if self.compared else None


class TrafficRow(Struct, frozen=True):
    """One version behind an endpoint and its share of the traffic; weights are relative to their sum.

    ``requests_per_second`` is null while it is not known, ``shadow`` for a version that is none.
    """

    version: str
    weight: int
    state: VersionState
    requests_total: int
    requests_per_second: float | None
    shadow: ShadowCounts | None


class EndpointRow(Struct, frozen=True):
    """One endpoint. ``samples`` holds only what is newer than the request's cursor."""

    name: str
    target: str
    url: str
    state: EndpointState
    reason: str
    traffic: list[TrafficRow]
    requests_total: int
    errors_total: int
    latest: Sample | None
    samples: list[Sample]


class RunRow(Struct, frozen=True):
    """One training on this machine, in whichever kernel.

    Attributes
    ----------
    fraction : float
        The share of the work that is done, from 0 to 1.
    epoch, epochs : int
        Complete, and asked for.
    rows_per_second, remaining : float or None
        Of the last seconds, and an estimate of the seconds to the end.
    metric_name, metric : str, float or None
        What the run is judged by, at its best so far.
    loss : list of float
        Its course from the start until now, in a few points.
    started, updated : float
        Epoch seconds.
    error : str
        Why it failed.
    stopping : bool
        It was asked to stop and has not ended yet.
    """

    run_id: str
    name: str
    verb: str
    status: RunStatus
    fraction: float
    epoch: int
    epochs: int
    rows_per_second: float | None
    remaining: float | None
    metric_name: str | None
    metric: float | None
    loss: list[float]
    started: float
    updated: float
    error: str
    stopping: bool


class Snapshot(Struct, frozen=True):
    """Everything that the panel shows. ``models`` and ``runs`` are null while nothing changed since the cursor."""

    cursor: str
    models: list[ModelRow] | None
    endpoints: list[EndpointRow]
    runs: list[RunRow] | None
    registry_error: str | None
    runs_error: str | None
