import type { WatchedEndpoint } from '../src/model';
import {
  SAMPLE_FIELDS,
  type AlertEvent,
  type AlertRow,
  type EndpointRow,
  type ModelRow,
  type Past,
  type RunRow,
  type Sample,
  type SampleValues,
  type Snapshot,
  type TrafficRow,
  type VersionRow
} from '../src/schema';

export function sample(time: number, changes: Partial<Sample> = {}): Sample {
  return {
    time,
    requests_per_second: 12,
    errors_per_second: 0,
    p50_ms: 0.42,
    p95_ms: 3.18,
    p99_ms: 5.5,
    waiting: 0,
    batch_rows: 1.5,
    memory: 80_000_000,
    cpu: 0.25,
    versions: { '3': 12 },
    codes: { '200': 12 },
    mean_ms: 0.8,
    ...changes
  };
}

/** As they are sent. */
export function sent(...samples: Sample[]): SampleValues[] {
  return samples.map(each => SAMPLE_FIELDS.map(field => each[field]));
}

/** What was kept of an endpoint, as it is sent. */
export function past(samples: readonly Sample[], source = '', trouble = ''): Past {
  return { samples: sent(...samples), source, trouble };
}

export function traffic(changes: Partial<TrafficRow> = {}): TrafficRow {
  return {
    version: '3',
    weight: 100,
    state: 'ready',
    shadow: null,
    ...changes
  };
}

export function run(changes: Partial<RunRow> = {}): RunRow {
  return {
    run_id: 'abc123',
    name: 'digits',
    verb: 'train',
    status: 'training',
    fraction: 0.525,
    epoch: 10,
    epochs: 20,
    rows_per_second: 1234.5,
    remaining: 65.2,
    metric_name: 'val_accuracy',
    metric: 0.97222,
    loss: [3, 2, 1],
    started: Date.now() / 1000 - 60,
    updated: Date.now() / 1000,
    error: '',
    stopping: false,
    ...changes
  };
}

export function endpoint(changes: Partial<EndpointRow> = {}): EndpointRow {
  return {
    name: 'digits',
    target: 'local',
    url: 'http://127.0.0.1:4000/v2/models/digits',
    state: 'ready',
    reason: '',
    traffic: [traffic()],
    requests_total: 1204,
    errors_total: 1,
    kind: '',
    untold: [],
    ...changes
  };
}

export function watched(changes: Partial<WatchedEndpoint> = {}): WatchedEndpoint {
  return { ...endpoint(), latest: sample(100), samples: [sample(98), sample(100)], ...changes };
}

export function version(changes: Partial<VersionRow> = {}): VersionRow {
  return {
    version: '3',
    aliases: ['champion'],
    task: 'classification',
    precision: 'int8',
    size: 12_345,
    metric_name: 'accuracy',
    metric: 0.98222,
    change: -0.0042,
    parent: 'digits/2',
    created: Date.now() / 1000 - 130,
    ...changes
  };
}

export function model(changes: Partial<ModelRow> = {}): ModelRow {
  return {
    name: 'digits',
    updated: Date.now() / 1000 - 130,
    versions: 2,
    newest: version(),
    aliases: { champion: '3' },
    ...changes
  };
}

export function snapshot(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    cursor: 'c1',
    models: 1,
    models_number: 1,
    endpoints: [endpoint()],
    samples: { 'local/digits': sent(sample(98), sample(100)) },
    runs: [],
    registry_error: null,
    runs_error: null,
    alerts: null,
    alerts_error: null,
    ...changes
  };
}

export function alertEvent(time: number, change: AlertEvent['change'], changes: Partial<AlertEvent> = {}): AlertEvent {
  return {
    time,
    change,
    target: 'local',
    name: 'digits',
    kind: 'p95_above',
    threshold: 250,
    for_seconds: 0,
    value: change === 'fired' ? 400 : 20,
    reason: '',
    ...changes
  };
}

export function alertRule(state: AlertRow['state'], since: number | null, changes: Partial<AlertRow> = {}): AlertRow {
  const { target, name, kind, threshold, for_seconds, value, reason } = alertEvent(0, 'fired');
  return { target, name, kind, threshold, for_seconds, state, since, value, reason, ...changes };
}
