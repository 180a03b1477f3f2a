import type { EndpointRow, ModelRow, RunRow, Sample, Snapshot, TrafficRow, VersionRow } from '../src/schema';

export function sample(time: number, changes: Partial<Sample> = {}): Sample {
  return { time, requests_per_second: 12, errors_per_second: 0, p50_ms: 0.42, p95_ms: 3.18, ...changes };
}

export function traffic(changes: Partial<TrafficRow> = {}): TrafficRow {
  return {
    version: '3',
    weight: 100,
    state: 'ready',
    requests_total: 1204,
    requests_per_second: 12,
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
    latest: sample(100),
    samples: [sample(98), sample(100)],
    ...changes
  };
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
    parent: 'digits/2',
    created: Date.now() / 1000 - 130,
    ...changes
  };
}

export function model(changes: Partial<ModelRow> = {}): ModelRow {
  return {
    name: 'digits',
    updated: Date.now() / 1000 - 130,
    versions: [version(), version({ version: '2', aliases: [], precision: 'fp32', parent: null })],
    ...changes
  };
}

export function snapshot(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    cursor: 'c1',
    models: [model()],
    endpoints: [endpoint()],
    runs: [],
    registry_error: null,
    runs_error: null,
    ...changes
  };
}
