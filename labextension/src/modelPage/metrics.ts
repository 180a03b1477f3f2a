import type { VersionDetails } from './schema';

/** Numbers of an optimisation, in the order in which they are shown. */
export const MEASUREMENTS = ['p50_ms', 'p95_ms', 'rows_per_second', 'best_batch_size', 'memory_mb', 'agreement', 'max_difference'];

/** Metrics that come first; the others follow as they were measured. */
const FIRST = ['accuracy', 'r2', 'rmse', 'mae', 'perplexity', 'f1', 'balanced_accuracy', 'precision', 'recall'];

const LOWER_IS_BETTER = /loss$|error$|^mae$|^rmse$|^perplexity$|_ms$|^memory_mb$|difference$/;

/** Where a metric was measured: in the last evaluation, or before the version was registered. */
export type Source = 'evaluation' | 'registered';

/** A number of a version, with its change against the parent's where both were measured alike. */
export interface Measured {
  readonly value: number;
  /** The ends of its 95 % interval. */
  readonly interval: readonly number[] | null;
  /** Null where there is nothing to compare with. */
  readonly change: number | null;
  /** Whether the change is more than the intervals allow for. */
  readonly clear: boolean;
}

/** Metrics of quality that any of these versions has, each once. */
export function metricNames(source: Source, all: readonly VersionDetails[]): string[] {
  const names = new Set<string>();
  // What the evaluations say of all of them is not said twice.
  const said = (name: string): boolean => all.every(details => details.evaluation?.metrics[name] !== undefined);
  for (const details of all) {
    for (const name of Object.keys(metricsOf(source, details))) {
      if (!MEASUREMENTS.includes(name) && !isChange(name, details.metrics) && !(source === 'registered' && said(name))) {
        names.add(name);
      }
    }
  }
  const place = (name: string): number => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...names].sort((one, other) => place(one) - place(other));
}

/** Measurements of an optimisation that any of these versions has. */
export function measurementNames(all: readonly VersionDetails[]): string[] {
  return MEASUREMENTS.filter(name => all.some(details => name in details.metrics));
}

/** @param parent - What is known of the parent; null where there is none, or it has not come. */
export function measured(
  source: Source,
  name: string,
  details: VersionDetails,
  parent: VersionDetails | null
): Measured | null {
  const value = metricsOf(source, details)[name];
  if (value === undefined) {
    return null;
  }
  const interval = source === 'evaluation' ? (details.evaluation?.intervals[name] ?? null) : null;
  const change = changeOf(source, name, value, details, parent);
  const clear = change === null || interval === null || value - change < interval[0] || value - change > interval[1];
  return { value, interval, change, clear };
}

/** Whether a change of a metric is one for the better; null where nothing changed. */
export function isBetter(name: string, change: number): boolean | null {
  if (change === 0) {
    return null;
  }
  return LOWER_IS_BETTER.test(name) ? change < 0 : change > 0;
}

function changeOf(
  source: Source,
  name: string,
  value: number,
  details: VersionDetails,
  parent: VersionDetails | null
): number | null {
  if (details.parent === null) {
    return null;
  }
  if (source === 'registered') {
    // An optimisation measured the parent again, on the same rows.
    const told = details.metrics[`${name}_change`];
    const before = parent?.metrics[name];
    return told ?? (before === undefined ? null : value - before);
  }
  const before = parent?.evaluation?.metrics[name];
  const onSameRows = parent?.evaluation?.rows === details.evaluation?.rows;
  return before === undefined || !onSameRows ? null : value - before;
}

function metricsOf(source: Source, details: VersionDetails): Readonly<Record<string, number>> {
  return source === 'registered' ? details.metrics : (details.evaluation?.metrics ?? {});
}

function isChange(name: string, metrics: Readonly<Record<string, number>>): boolean {
  return name.endsWith('_change') && name.slice(0, -'_change'.length) in metrics;
}
