import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';

import { chartsOf } from '../src/dashboard/charts';
import { HOUR, LONGEST, mean, nearest, thinned, Timeline } from '../src/dashboard/timeline';
import { Locale } from '../src/locale';
import type { Sample } from '../src/schema';
import { sample } from './samples';

const every = (step: number, from: number, to: number, changes: Partial<Sample> = {}): Sample[] =>
  Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => sample(from + index * step, changes));

const times = (samples: readonly Sample[]): number[] => samples.map(each => each.time);

describe('past and live', () => {
  it('takes live samples once and in order', () => {
    const timeline = new Timeline();
    timeline.append(every(2, 100, 106));
    timeline.append(every(2, 104, 110));
    expect(times(timeline.samples)).toEqual([100, 102, 104, 106, 108, 110]);
    expect(timeline.newest).toBe(110);
  });

  it('puts the past before what came live meanwhile, each sample once', () => {
    const timeline = new Timeline();
    timeline.append([sample(108), sample(110)]);
    timeline.put(every(2, 100, 108));
    expect(times(timeline.samples)).toEqual([100, 102, 104, 106, 108, 110]);
  });

  it('lets the past replace the means of minutes that were made here', () => {
    const timeline = new Timeline();
    timeline.append(every(2, 0, 2 * HOUR));
    timeline.put([sample(60.5), sample(120.5), ...every(2, HOUR, 2 * HOUR)]);
    expect(times(timeline.samples).filter(time => time > 59 && time < 130)).toEqual([60.5, 120.5]);
  });

  it('keeps what it has where there is no past', () => {
    const timeline = new Timeline();
    timeline.append([sample(1)]);
    timeline.put([]);
    expect(times(timeline.samples)).toEqual([1]);
  });

  it('holds an hour as it came and six hours of minutes, through a whole day', () => {
    const timeline = new Timeline();
    const counts: number[] = [];
    const day = 86_400;
    for (let now = 0; now <= day; now += 20) {
      timeline.append(every(2, now, now + 18, { requests_per_second: 7 }));
      counts.push(timeline.samples.length);
    }
    expect(Math.max(...counts)).toBeLessThanOrEqual(HOUR / 2 + 32 + LONGEST / 60);
    expect(counts[counts.length - 1]).toBeGreaterThan(HOUR / 2 + (LONGEST - HOUR) / 60 - 2);
    const kept = times(timeline.samples);
    expect(kept[0]).toBeGreaterThanOrEqual(day - LONGEST - 60);
    expect(kept).toEqual([...kept].sort((one, other) => one - other));
    expect(new Set(timeline.samples.map(each => each.requests_per_second))).toEqual(new Set([7]));
  });
});

describe('the mean of samples', () => {
  it('is that of what was measured; a version without traffic counts as none', () => {
    const result = mean([
      sample(100, { p50_ms: 2, waiting: 1, versions: { '1': 4 }, codes: { '200': 4 } }),
      sample(102, { p50_ms: null, waiting: 2, versions: { '2': 6 }, codes: { '200': 2, '503': 4 } })
    ]);
    expect(result).toMatchObject({
      time: 101,
      p50_ms: 2,
      waiting: 1.5,
      versions: { '1': 2, '2': 3 },
      codes: { '200': 3, '503': 2 }
    });
    expect(mean([sample(1, { cpu: null }), sample(2, { cpu: null })]).cpu).toBeNull();
  });
});

describe('thinning', () => {
  it('leaves alone what there is room for, with a neighbour at each side', () => {
    const table = thinned(every(2, 0, 100), 20, 31, 500);
    expect(table.times).toEqual([18, 20, 22, 24, 26, 28, 30, 32]);
  });

  it('has no more rows than there is room for, and keeps the mean', () => {
    const samples = every(2, 0, HOUR).map((each, index) => ({ ...each, requests_per_second: index % 2 ? 10 : 0 }));
    const table = thinned(samples, 0, HOUR, 100);
    expect(table.times.length).toBeLessThanOrEqual(100);
    expect(table.times.length).toBeGreaterThan(80);
    expect(table.rows.slice(1, -1).every(row => Math.abs((row?.requests_per_second ?? 0) - 5) < 0.5)).toBe(true);
  });

  it('gives the same means while the window moves on', () => {
    const samples = every(2, 0, 2 * HOUR).map((each, index) => ({ ...each, requests_per_second: index % 7 }));
    const inside = (from: number): Map<number, unknown> => {
      const table = thinned(samples, from, from + HOUR, 100);
      return new Map(table.times.map((time, index) => [time, table.rows[index]?.requests_per_second]));
    };
    const before = inside(100);
    const after = inside(140);
    const shared = [...after.keys()].filter(time => time > 200 && time < HOUR);
    expect(shared.length).toBeGreaterThan(80);
    expect(shared.map(time => after.get(time))).toEqual(shared.map(time => before.get(time)));
  });

  it('shows what is missing as a gap, within samples, within minutes and between them', () => {
    const gapsOf = (samples: Sample[]): number[] => {
      const table = thinned(samples, 0, 4 * HOUR, 100_000);
      return table.times.filter((_, index) => table.rows[index] === null);
    };
    expect(gapsOf([...every(2, 0, 100), ...every(2, 200, 300)])).toEqual([150]);
    expect(gapsOf([...every(60, 0, 1200), ...every(60, 2400, 3600)])).toEqual([1800]);
    expect(gapsOf([...every(60, 0, 1200), ...every(2, 1202, 1300)])).toEqual([]);
    expect(gapsOf([...every(60, 0, 1200), ...every(2, 2200, 2300)])).toEqual([1700]);
    expect(gapsOf([sample(0), sample(4), sample(8), sample(9)])).toEqual([]);
    expect(gapsOf([sample(0), sample(1000)])).toEqual([500]);
  });

  it('has no row that could not be seen for a gap', () => {
    const table = thinned([...every(2, 0, 1000), ...every(2, 1020, LONGEST)], 0, LONGEST, 200);
    expect(table.rows).not.toContain(null);
    expect(table.times.length).toBeLessThanOrEqual(200);
  });

  it('has no rows where nothing was measured', () => {
    expect(thinned([], 0, 300, 100)).toEqual({ times: [], rows: [] });
  });

  it('finds the nearest row that is no gap', () => {
    const table = thinned([...every(2, 0, 100), ...every(2, 200, 300)], 0, 300, 10_000);
    expect(table.times[nearest(table, 149) ?? -1]).toBe(100);
    expect(table.times[nearest(table, 1e9) ?? -1]).toBe(300);
    expect(nearest({ times: [], rows: [] }, 5)).toBeNull();
  });
});

describe('charts', () => {
  const locale = new Locale(nullTranslator);
  type Told = Map<string, Record<string, unknown>>;
  const told = (samples: Sample[], versions: string[] = [], untold: string[] = []): Told =>
    new Map(
      chartsOf(thinned(samples, 0, 300, 1000), { versions, untold }, locale).map(chart => [
        chart.id,
        Object.fromEntries(chart.curves.map(curve => [curve.label, curve.values]))
      ])
    );

  it('draws every series of a sample', () => {
    const charts = told([
      sample(0, { versions: { '2': 3, '10': 1 }, codes: { '200': 4, '404': 1 }, p50_ms: null }),
      sample(2, { versions: { '10': 4 }, codes: { '200': 2, '503': 2 }, waiting: 5, cpu: null, batch_rows: 3 })
    ]);
    expect(Object.fromEntries(charts)).toEqual({
      traffic: { v2: [3, 0], v10: [1, 4] },
      latency: { p50: [null, 0.42], p95: [3.18, 3.18], p99: [5.5, 5.5] },
      errors: { '404': [1, 0], '503': [0, 2] },
      batch: { mean: [1.5, 3] },
      queue: { waiting: [0, 5] },
      cpu: { server: [0.25, null] },
      memory: { server: [80_000_000, 80_000_000] }
    });
    expect(Object.keys(charts.get('traffic') ?? {})).toEqual(['v2', 'v10']);
  });

  it('names a version that serves without traffic, and draws no line over a gap', () => {
    const charts = told([sample(0), sample(200)], ['4']);
    expect(charts.get('traffic')).toEqual({ v3: [12, null, 12], v4: [0, null, 0] });
  });

  it('draws the totals where there is nothing to tell apart', () => {
    const charts = told([sample(0, { versions: {}, codes: { '200': 1 }, errors_per_second: 0 })]);
    expect(charts.get('traffic')).toEqual({ 'all versions': [12] });
    expect(charts.get('errors')).toEqual({ 'all codes': [0] });
  });

  it('draws nothing of what a server does not tell, and its mean where it has no quantiles', () => {
    const charts = told([sample(0)], [], ['p50_ms', 'p95_ms', 'p99_ms', 'batch_rows', 'versions']);
    expect(charts.get('latency')).toEqual({ mean: [0.8] });
    expect(charts.get('batch')).toEqual({});
    expect(charts.get('traffic')).toEqual({ 'all versions': [12] });
  });
});
