import type { EndpointRow, ModelRow, Sample, Snapshot, VersionRow } from '../src/schema';

export function sample(time: number, changes: Partial<Sample> = {}): Sample {
  return { time, requests_per_second: 12, errors_per_second: 0, p50_ms: 0.42, p95_ms: 3.18, ...changes };
}

export function endpoint(changes: Partial<EndpointRow> = {}): EndpointRow {
  return {
    name: 'digits',
    target: 'local',
    url: 'http://127.0.0.1:4000/v2/models/digits',
    state: 'ready',
    reason: '',
    traffic: [{ version: '3', weight: 100, state: 'ready' }],
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
  return { cursor: 'c1', models: [model()], endpoints: [endpoint()], registry_error: null, ...changes };
}
