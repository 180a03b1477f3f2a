"""What the panel is told, as JSON: rows of models, endpoints and runs, and the snapshot that holds them.

The panel has a mirror of these structs, ``labextension/src/schema.ts``, field by field.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from maas_jupyter.runs import RunStatus
from maas_jupyter.schema import EndpointState, VersionState

#: What an alert watches for.
AlertKind = Literal["p95_above", "error_rate_above", "no_traffic", "endpoint_down", "shadow_disagreement_above"]

#: Pending means that the condition holds, but not yet for as long as the rule asks for.
AlertState = Literal["inactive", "pending", "firing"]

AlertChange = Literal["fired", "cleared"]


class VersionRow(Struct, frozen=True):
    """One version of a registered model, as the panel lists it.

    Attributes
    ----------
    size : int
        Bytes.
    metric_name, metric : str, float or None
        What stands for it.
    change : float or None
        How far the metric is from the parent's; None where it has none, or none that was measured alike.
    created : float
        Epoch seconds.
    """

    version: str
    aliases: list[str]
    task: str
    precision: str
    size: int
    metric_name: str | None
    metric: float | None
    change: float | None
    parent: str | None
    created: float


class ModelRow(Struct, frozen=True):
    """One registered model: its newest version, how many there are, and where its aliases point."""

    name: str
    updated: float
    versions: int
    newest: VersionRow
    aliases: dict[str, str]


class ModelPage(Struct, frozen=True):
    """A part of the list of models.

    Attributes
    ----------
    number : int
        Of the state of the registry that it shows, as in `Snapshot`.
    total : int
        How many models match.
    offset : int
        Of the first row among them.
    """

    number: int
    total: int
    offset: int
    rows: list[ModelRow]


class ModelVersions(Struct, frozen=True):
    """One registered model with all its versions, newest first; ``updated`` in epoch seconds."""

    name: str
    updated: float
    versions: list[VersionRow]


class Sample(Struct, frozen=True, array_like=True):
    """One point of an endpoint's series, sent as an array: what was counted since the one before.

    Attributes
    ----------
    time : float
        Epoch seconds.
    requests_per_second, errors_per_second : float
    p50_ms, p95_ms, p99_ms : float or None
        Latencies; None without requests.
    waiting : int
        Requests that wait for their batch.
    batch_rows : float or None
        Rows of a run, on average; None without a run.
    memory : int or None
        Resident bytes of the server, which may serve other endpoints too.
    cpu : float or None
        Cores that the server uses.
    versions : dict of str to float
        Requests per second of each version that had any.
    codes : dict of str to float
        Requests per second by HTTP status code, of those that came up.
    mean_ms : float or None
        Mean latency; None without requests.
    """

    time: float
    requests_per_second: float
    errors_per_second: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    waiting: int
    batch_rows: float | None
    memory: int | None
    cpu: float | None
    versions: dict[str, float]
    codes: dict[str, float]
    mean_ms: float | None = None


class Past(Struct, frozen=True):
    """What is known of an endpoint's past.

    Attributes
    ----------
    samples : list of Sample
        Oldest first.
    source : str
        Where they come from: ``"Prometheus at http://..."``; empty for what this Jupyter server saw itself.
    trouble : str
        Why they do not come from where they should; empty while all is well.
    """

    samples: list[Sample]
    source: str = ""
    trouble: str = ""


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

    ``shadow`` is null for a version that is none.
    """

    version: str
    weight: int
    state: VersionState
    shadow: ShadowCounts | None


class EndpointRow(Struct, frozen=True):
    """One endpoint; its series is told apart from it.

    Attributes
    ----------
    kind : str
        What serves it, where that is no server of ours: ``"Triton"``.
    untold : list of str
        Fields of `Sample` that such a server tells nothing of.
    """

    name: str
    target: str
    url: str
    state: EndpointState
    reason: str
    traffic: list[TrafficRow]
    requests_total: int
    errors_total: int
    kind: str = ""
    untold: list[str] = field(default_factory=list)


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


class AlertRow(Struct, frozen=True):
    """One alert rule and its state.

    Attributes
    ----------
    target, name : str
        The endpoint; it has one rule of a kind at most.
    threshold : float or None
        Milliseconds for a latency, a share from 0 to 1 for the other kinds that have one.
    for_seconds : int
        How long the condition has to hold until the alert fires.
    since : float or None
        When it came into this state, in epoch seconds; null if it has always been inactive.
    value : float or None
        What was compared with the threshold then.
    reason : str
        Why the endpoint was down then.
    """

    target: str
    name: str
    kind: AlertKind
    threshold: float | None
    for_seconds: int
    state: AlertState
    since: float | None
    value: float | None
    reason: str


class AlertEvent(Struct, frozen=True):
    """An alert fired or cleared at a ``time``, in epoch seconds; the other fields are those of `AlertRow`."""

    time: float
    change: AlertChange
    target: str
    name: str
    kind: AlertKind
    threshold: float | None
    for_seconds: int
    value: float | None
    reason: str


class Snapshot(Struct, frozen=True):
    """What the panel shows, as far as it changed since the cursor.

    Attributes
    ----------
    cursor : str
        Asks for what comes after.
    models : int or None
        How many are registered; null until the registry has answered. They are listed by pages.
    models_number : int
        Another one whenever a model changed.
    endpoints, runs, alerts : list or None
        Null while nothing changed.
    samples : dict of str to list of Sample
        By ``target/name`` of the endpoint, oldest first.
    registry_error, runs_error, alerts_error : str or None
    """

    cursor: str
    models: int | None
    models_number: int
    endpoints: list[EndpointRow] | None
    samples: dict[str, list[Sample]]
    runs: list[RunRow] | None
    registry_error: str | None
    runs_error: str | None
    alerts: list[AlertRow] | None
    alerts_error: str | None
