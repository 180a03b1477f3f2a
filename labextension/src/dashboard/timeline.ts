import type { Sample } from '../schema';

/** Seconds for which samples are kept as they come, and those for which means of minutes are. */
export const HOUR = 3_600;
export const LONGEST = 6 * HOUR;

const MINUTE = 60;

/** Seconds without a sample that are no gap however often samples come: one slow answer is none. */
const LEAST_GAP = 6;

/** So many times the usual distance between two samples is a gap. */
const GAP = 3;

/** Samples to each side that say which distance is usual there: the older ones are minutes apart. */
const NEAR = 4;

/** An endpoint's samples, oldest first: an hour as they came, before that a mean for each minute, six hours at most. */
export class Timeline {
  get samples(): readonly Sample[] {
    return this._samples;
  }

  /** Epoch seconds; null while there is no sample. */
  get newest(): number | null {
    return this._samples.length ? this._samples[this._samples.length - 1].time : null;
  }

  /** Take what the server has on disk: between its ends it knows better than what is here. */
  put(past: readonly Sample[]): void {
    if (past.length === 0) {
      return;
    }
    const first = past[0].time;
    const last = past[past.length - 1].time;
    const before = this._samples.filter(sample => sample.time < first);
    const after = this._samples.filter(sample => sample.time > last);
    this._samples = folded([...before, ...past, ...after]);
  }

  /** Take what is newer than everything that is here. */
  append(live: readonly Sample[]): void {
    const newest = this.newest ?? -Infinity;
    const newer = live.filter(sample => sample.time > newest);
    if (newer.length > 0) {
      this._samples = folded([...this._samples, ...newer]);
    }
  }

  private _samples: readonly Sample[] = [];
}

/** Samples that are drawn at the same times in all charts; null at a time stands for a gap. */
export interface Table {
  readonly times: readonly number[];
  readonly rows: readonly (Sample | null)[];
}

/**
 * The samples of a window, with the ones next to it, at most so many rows: where there are more, those that are close
 * together become their mean. A row without a sample separates those between which samples are missing.
 *
 * @param from - Epoch seconds. @param to - Epoch seconds, later.
 */
export function thinned(samples: readonly Sample[], from: number, to: number, most: number): Table {
  // Three rows are for the neighbours and for the part of a bucket at the end.
  const width = (to - from) / Math.max(1, most - 3);
  // Buckets begin at multiples of their width: while the window moves on, each keeps its samples.
  const bucketOf = (time: number): number => Math.floor(time / width);
  const start = bucketOf(from) * width;
  const firstInside = firstAfter(samples, start);
  const part = samples.slice(Math.max(0, firstInside - 1), firstAfter(samples, to) + 1);
  const steps = part.map((sample, place) => (place === 0 ? 0 : sample.time - part[place - 1].time));
  const times: number[] = [];
  const rows: (Sample | null)[] = [];
  let bucket: Sample[] = [];
  const close = (): void => {
    if (bucket.length > 0) {
      const row = mean(bucket);
      times.push(row.time);
      rows.push(row);
      bucket = [];
    }
  };
  part.forEach((sample, place) => {
    const before = part[place - 1] as Sample | undefined;
    if (before !== undefined && (bucketOf(before.time) !== bucketOf(sample.time) || before.time < start)) {
      close();
      // Narrower than two buckets, a gap could not be seen.
      if (steps[place] > 2 * width && steps[place] > gapAt(steps, place)) {
        times.push((before.time + sample.time) / 2);
        rows.push(null);
      }
    }
    bucket.push(sample);
  });
  close();
  return { times, rows };
}

/** The sample that stands for several: the mean of each value, of those that were measured. */
export function mean(samples: readonly Sample[]): Sample {
  if (samples.length === 1) {
    return samples[0];
  }
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const of = (pick: (sample: Sample) => number): number => sum(samples.map(pick)) / samples.length;
  const measured = (pick: (sample: Sample) => number | null): number | null => {
    const values = samples.map(pick).filter(value => value !== null);
    return values.length > 0 ? sum(values) / values.length : null;
  };
  const rates = (pick: (sample: Sample) => Readonly<Record<string, number>>): Record<string, number> => {
    const names = new Set(samples.flatMap(sample => Object.keys(pick(sample))));
    return Object.fromEntries([...names].map(name => [name, of(sample => pick(sample)[name] ?? 0)]));
  };
  return {
    time: of(sample => sample.time),
    requests_per_second: of(sample => sample.requests_per_second),
    errors_per_second: of(sample => sample.errors_per_second),
    p50_ms: measured(sample => sample.p50_ms),
    p95_ms: measured(sample => sample.p95_ms),
    p99_ms: measured(sample => sample.p99_ms),
    waiting: of(sample => sample.waiting),
    batch_rows: measured(sample => sample.batch_rows),
    memory: measured(sample => sample.memory),
    cpu: measured(sample => sample.cpu),
    versions: rates(sample => sample.versions),
    codes: rates(sample => sample.codes),
    mean_ms: measured(sample => sample.mean_ms)
  };
}

/** Index of the row nearest to a time that is no gap; null without rows. */
export function nearest(table: Table, time: number): number | null {
  let best: number | null = null;
  table.times.forEach((each, index) => {
    if (table.rows[index] !== null && (best === null || Math.abs(each - time) < Math.abs(table.times[best] - time))) {
      best = index;
    }
  });
  return best;
}

/** Samples with means in place of whole minutes that are older than an hour, and without what is too old. */
function folded(samples: readonly Sample[]): readonly Sample[] {
  const newest = samples[samples.length - 1].time;
  const edge = Math.floor((newest - HOUR) / MINUTE) * MINUTE;
  if (samples[0].time >= edge) {
    return samples;
  }
  const split = firstAfter(samples, edge);
  const old = samples.slice(firstAfter(samples, newest - LONGEST), split);
  const means: Sample[] = [];
  for (let start = 0; start < old.length; ) {
    const minute = Math.floor(old[start].time / MINUTE);
    let end = start + 1;
    while (end < old.length && Math.floor(old[end].time / MINUTE) === minute) {
      end += 1;
    }
    means.push(mean(old.slice(start, end)));
    start = end;
  }
  return [...means, ...samples.slice(split)];
}

/** Index of the first sample that is not earlier than a time. */
function firstAfter(samples: readonly Sample[], time: number): number {
  let low = 0;
  let high = samples.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (samples[middle].time < time) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** Above how many seconds the step to a sample is a gap. @param steps - To each sample, from the one before it. */
export function gapAt(steps: readonly number[], place: number): number {
  const near = steps.slice(Math.max(1, place - NEAR), place + NEAR + 1).sort((one, other) => one - other);
  return Math.max(LEAST_GAP, GAP * Math.min(MINUTE, near[(near.length - 1) >> 1]));
}
