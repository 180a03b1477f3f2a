/**
 * What the server extension answers: the mirror of the structs in maas_jupyter/monitoring/rows.py, field by field.
 *
 * A Python test compares the two, so a field that is added there and forgotten here fails it.
 */

export type VersionState = 'loading' | 'ready' | 'failed' | 'unloaded';

export type EndpointState = 'ready' | 'loading' | 'failed' | 'unavailable' | 'stopped';

/** Interrupted means stopped by hand, stopped_early by the training itself because nothing improved any more. */
export type RunStatus = 'training' | 'finished' | 'stopped_early' | 'interrupted' | 'failed';

/** One version of a registered model; `size` in bytes, `created` in epoch seconds. */
export interface VersionRow {
  readonly version: string;
  readonly aliases: readonly string[];
  readonly task: string;
  readonly precision: string;
  readonly size: number;
  readonly metric_name: string | null;
  readonly metric: number | null;
  readonly parent: string | null;
  readonly created: number;
}

/** One registered model with its versions, newest first; `updated` in epoch seconds. */
export interface ModelRow {
  readonly name: string;
  readonly updated: number;
  readonly versions: readonly VersionRow[];
}

/** One point of an endpoint's series: `time` in epoch seconds, latencies in milliseconds (null without requests). */
export interface Sample {
  readonly time: number;
  readonly requests_per_second: number;
  readonly errors_per_second: number;
  readonly p50_ms: number | null;
  readonly p95_ms: number | null;
}

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

/**
 * One version behind an endpoint; weights are relative to their sum. `requests_per_second` is null while it is not
 * known, `shadow` for a version that is none.
 */
export interface TrafficRow {
  readonly version: string;
  readonly weight: number;
  readonly state: VersionState;
  readonly requests_total: number;
  readonly requests_per_second: number | null;
  readonly shadow: ShadowCounts | null;
}

/** One endpoint; `samples` holds only what is newer than the request's cursor. */
export interface EndpointRow {
  readonly name: string;
  readonly target: string;
  readonly url: string;
  readonly state: EndpointState;
  readonly reason: string;
  readonly traffic: readonly TrafficRow[];
  readonly requests_total: number;
  readonly errors_total: number;
  readonly latest: Sample | null;
  readonly samples: readonly Sample[];
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

/** Everything that the panel shows; `models` and `runs` are null while nothing changed since the cursor. */
export interface Snapshot {
  readonly cursor: string;
  readonly models: readonly ModelRow[] | null;
  readonly endpoints: readonly EndpointRow[];
  readonly runs: readonly RunRow[] | null;
  readonly registry_error: string | null;
  readonly runs_error: string | null;
}
