import type { Locale } from '../locale';
import type { Sample } from '../schema';
import type { Table } from './timeline';

/** One line of a chart. */
export interface Curve {
  readonly label: string;
  /** One for each time of the table; null where nothing was measured. */
  readonly values: readonly (number | null)[];
}

/** What one chart shows. */
export interface Chart {
  readonly id: 'traffic' | 'latency' | 'errors' | 'batch' | 'queue' | 'cpu' | 'memory';
  /** With the unit, where the values do not name it. */
  readonly title: string;
  readonly format: (value: number | null) => string;
  /** None where the server tells nothing of it. */
  readonly curves: readonly Curve[];
}

/** What the charts say of an endpoint beside its samples. */
export interface Serving {
  /** Versions that are named even while they have no traffic. */
  readonly versions: readonly string[];
  /** Fields of `Sample` that its server tells nothing of. */
  readonly untold: readonly string[];
}

/** All charts of an endpoint. */
export function chartsOf(table: Table, serving: Serving, { trans, format }: Pick<Locale, 'trans' | 'format'>): readonly Chart[] {
  const curve = (label: string, field: keyof Sample, pick: (sample: Sample) => number | null): readonly Curve[] =>
    serving.untold.includes(field) ? [] : [{ label, values: table.rows.map(row => row && pick(row)) }];
  const versions = namesIn(table, sample => sample.versions, serving.versions);
  const codes = namesIn(table, sample => sample.codes).filter(code => /^[45]/.test(code));
  const rate = (value: number | null): string => format.rate(value);
  const means = curve(trans.__('mean'), 'mean_ms', sample => sample.mean_ms);
  const quantiles = [
    ...curve(trans.__('p50'), 'p50_ms', sample => sample.p50_ms),
    ...curve(trans.__('p95'), 'p95_ms', sample => sample.p95_ms),
    ...curve(trans.__('p99'), 'p99_ms', sample => sample.p99_ms)
  ];
  const byVersion = versions.flatMap(version =>
    curve(trans.__('v%1', version), 'versions', sample => sample.versions[version] ?? 0)
  );
  const byCode = codes.flatMap(code => curve(code, 'codes', sample => sample.codes[code] ?? 0));
  return [
    {
      id: 'traffic',
      title: trans.__('Traffic (requests/s)'),
      format: rate,
      curves: byVersion.length
        ? byVersion
        : curve(trans.__('all versions'), 'requests_per_second', sample => sample.requests_per_second)
    },
    {
      id: 'latency',
      title: trans.__('Latency'),
      format: value => format.latency(value),
      curves: quantiles.length ? quantiles : means
    },
    {
      id: 'errors',
      title: trans.__('Errors (per second)'),
      format: rate,
      curves: byCode.length
        ? byCode
        : curve(trans.__('all codes'), 'errors_per_second', sample => sample.errors_per_second)
    },
    {
      id: 'batch',
      title: trans.__('Batch size (rows)'),
      format: rate,
      curves: curve(trans.__('mean'), 'batch_rows', sample => sample.batch_rows)
    },
    {
      id: 'queue',
      title: trans.__('Queue (requests)'),
      format: rate,
      curves: curve(trans.__('waiting'), 'waiting', sample => sample.waiting)
    },
    {
      id: 'cpu',
      title: trans.__('CPU (cores)'),
      format: rate,
      curves: curve(trans.__('server'), 'cpu', sample => sample.cpu)
    },
    {
      id: 'memory',
      title: trans.__('Memory'),
      format: value => format.size(value),
      curves: curve(trans.__('server'), 'memory', sample => sample.memory)
    }
  ];
}

/** The names that come up, those of numbers by their value. */
function namesIn(
  table: Table,
  pick: (sample: Sample) => Readonly<Record<string, number>>,
  always: readonly string[] = []
): readonly string[] {
  const names = new Set(always);
  for (const row of table.rows) {
    for (const name of row === null ? [] : Object.keys(pick(row))) {
      names.add(name);
    }
  }
  return [...names].sort((one, other) => one.localeCompare(other, 'en', { numeric: true }));
}
