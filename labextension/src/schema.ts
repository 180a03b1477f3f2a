/**
 * What the server extension answers: the mirror of the snapshot structs in maas_jupyter/schema.py, field by field.
 *
 * A Python test compares the two, so a field that is added there and forgotten here fails it.
 */

export type VersionState = 'loading' | 'ready' | 'failed' | 'unloaded';

export type EndpointState = 'ready' | 'loading' | 'failed' | 'unavailable' | 'stopped';

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

/** One version behind an endpoint; weights are relative to their sum. */
export interface TrafficRow {
  readonly version: string;
  readonly weight: number;
  readonly state: VersionState;
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

/** Everything that the panel shows; `models` is null while nothing changed since the request's cursor. */
export interface Snapshot {
  readonly cursor: string;
  readonly models: readonly ModelRow[] | null;
  readonly endpoints: readonly EndpointRow[];
  readonly registry_error: string | null;
}
