/**
 * What the server extension answers: the mirror of the structs in maas_jupyter/monitoring/rows.py, field by field.
 *
 * A Python test compares the two, so a field that is added there and forgotten here fails it.
 */

export type VersionState = 'loading' | 'ready' | 'failed' | 'unloaded';

export type EndpointState = 'ready' | 'loading' | 'failed' | 'unavailable' | 'stopped';

/** Interrupted means stopped by hand, stopped_early by the training itself because nothing improved any more. */
export type RunStatus = 'training' | 'finished' | 'stopped_early' | 'interrupted' | 'failed';

/**
 * One version of a registered model; `size` in bytes, `created` in epoch seconds, `change` the metric's difference from the
 * parent's, null where there is none to compare with.
 */
export interface VersionRow {
  readonly version: string;
  readonly aliases: readonly string[];
  readonly task: string;
  readonly precision: string;
  readonly size: number;
  readonly metric_name: string | null;
  readonly metric: number | null;
  readonly change: number | null;
  readonly parent: string | null;
  readonly created: number;
}

/** One registered model: its newest version, how many there are, where its aliases point; `updated` in epoch seconds. */
export interface ModelRow {
  readonly name: string;
  readonly updated: number;
  readonly versions: number;
  readonly newest: VersionRow;
  readonly aliases: Readonly<Record<string, string>>;
}

/** A part of the list of models, of the state of the registry with this `number`; `total` of them match. */
export interface ModelPage {
  readonly number: number;
  readonly total: number;
  readonly offset: number;
  readonly rows: readonly ModelRow[];
}

/** One registered model with all its versions, newest first. */
export interface ModelVersions {
  readonly name: string;
  readonly updated: number;
  readonly versions: readonly VersionRow[];
}

/**
 * One point of an endpoint's series: `time` in epoch seconds, latencies in milliseconds (null without requests),
 * `waiting` requests, `batch_rows` of a run on average, `memory` in bytes and `cpu` in cores of the whole server, and the
 * requests per second by version and by HTTP status code.
 */
export interface Sample {
  readonly time: number;
  readonly requests_per_second: number;
  readonly errors_per_second: number;
  readonly p50_ms: number | null;
  readonly p95_ms: number | null;
  readonly p99_ms: number | null;
  readonly waiting: number;
  readonly batch_rows: number | null;
  readonly memory: number | null;
  readonly cpu: number | null;
  readonly versions: Readonly<Record<string, number>>;
  readonly codes: Readonly<Record<string, number>>;
  readonly mean_ms: number | null;
}

/**
 * What is known of an endpoint's past, oldest first: `source` is where it comes from, empty for what the Jupyter server saw
 * itself; `trouble` why it does not come from where it should, else empty.
 */
export interface Past {
  readonly samples: readonly SampleValues[];
  readonly source: string;
  readonly trouble: string;
}

/** The order in which the values of a sample are sent. */
export const SAMPLE_FIELDS = [
  'time',
  'requests_per_second',
  'errors_per_second',
  'p50_ms',
  'p95_ms',
  'p99_ms',
  'waiting',
  'batch_rows',
  'memory',
  'cpu',
  'versions',
  'codes',
  'mean_ms'
] as const satisfies readonly (keyof Sample)[];

/** A sample as it is sent. */
export type SampleValues = readonly unknown[];

/**
 * What became of the copies of requests that a shadow got: `disagreed` of the `compared` answers differed from the
 * client's; `failed` copies it could not answer, `dropped` ones it was spared.
 */
export interface ShadowCounts {
  readonly compared: number;
  readonly disagreed: number;
  readonly failed: number;
  readonly dropped: number;
}

/** One version behind an endpoint; weights are relative to their sum, `shadow` is null for a version that is none. */
export interface TrafficRow {
  readonly version: string;
  readonly weight: number;
  readonly state: VersionState;
  readonly shadow: ShadowCounts | null;
}

/**
 * One endpoint; its series is told apart from it. `kind` is what serves it where that is no server of ours, such as `Triton`,
 * and `untold` are the fields of `Sample` that such a server tells nothing of.
 */
export interface EndpointRow {
  readonly name: string;
  readonly target: string;
  readonly url: string;
  readonly state: EndpointState;
  readonly reason: string;
  readonly traffic: readonly TrafficRow[];
  readonly requests_total: number;
  readonly errors_total: number;
  readonly kind: string;
  readonly untold: readonly string[];
}

/**
 * One training on this machine: `fraction` of the work that is done, `remaining` an estimate in seconds, `metric` at its
 * best so far, `loss` from the start until now in a few points, `started` and `updated` in epoch seconds.
 */
export interface RunRow {
  readonly run_id: string;
  readonly name: string;
  readonly verb: string;
  readonly status: RunStatus;
  readonly fraction: number;
  readonly epoch: number;
  readonly epochs: number;
  readonly rows_per_second: number | null;
  readonly remaining: number | null;
  readonly metric_name: string | null;
  readonly metric: number | null;
  readonly loss: readonly number[];
  readonly started: number;
  readonly updated: number;
  readonly error: string;
  readonly stopping: boolean;
}

/** What an alert watches for. */
export type AlertKind = 'p95_above' | 'error_rate_above' | 'no_traffic' | 'endpoint_down' | 'shadow_disagreement_above';

/** Pending means that the condition holds, but not yet for as long as the rule asks for. */
export type AlertState = 'inactive' | 'pending' | 'firing';

export type AlertChange = 'fired' | 'cleared';

/**
 * One alert rule and its state; an endpoint has one of a kind at most. `threshold` in milliseconds or as a share from 0 to 1,
 * `since` when it came into this state in epoch seconds, `value` what was compared with the threshold then, `reason` why the
 * endpoint was down.
 */
export interface AlertRow {
  readonly target: string;
  readonly name: string;
  readonly kind: AlertKind;
  readonly threshold: number | null;
  readonly for_seconds: number;
  readonly state: AlertState;
  readonly since: number | null;
  readonly value: number | null;
  readonly reason: string;
}

/** An alert fired or cleared at a `time`, in epoch seconds; the other fields are those of AlertRow. */
export interface AlertEvent {
  readonly time: number;
  readonly change: AlertChange;
  readonly target: string;
  readonly name: string;
  readonly kind: AlertKind;
  readonly threshold: number | null;
  readonly for_seconds: number;
  readonly value: number | null;
  readonly reason: string;
}

/**
 * What the panel shows, as far as it changed since the cursor: `models` how many there are (null until the registry has
 * answered), `models_number` another one whenever one changed, `endpoints`, `runs` and `alerts` null while nothing did, `samples` by
 * `target/name`.
 */
export interface Snapshot {
  readonly cursor: string;
  readonly models: number | null;
  readonly models_number: number;
  readonly endpoints: readonly EndpointRow[] | null;
  readonly samples: Readonly<Record<string, readonly SampleValues[]>>;
  readonly runs: readonly RunRow[] | null;
  readonly registry_error: string | null;
  readonly runs_error: string | null;
  readonly alerts: readonly AlertRow[] | null;
  readonly alerts_error: string | null;
}
