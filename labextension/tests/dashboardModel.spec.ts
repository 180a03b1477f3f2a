import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { DashboardModel } from '../src/dashboard/dashboardModel';
import { HOUR, LONGEST } from '../src/dashboard/timeline';
import { INTERVAL } from '../src/model';
import type { Past, Sample, Snapshot } from '../src/schema';
import { endpoint, past, sample, sent, snapshot } from './samples';
import { served } from './servers';

const PAST = 'endpoints/local/digits/samples';

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(1);
const nextTurn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(INTERVAL);
const every = (step: number, from: number, to: number): Sample[] =>
  Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => sample(from + index * step));
const times = (model: DashboardModel): number[] => model.samples.map(each => each.time);

/** A dashboard of `local/digits`, whose server answers with snapshots in turn and with this past. */
function made(
  before: (seconds: number) => Sample[] | Response | Promise<Past>,
  ...snapshots: Partial<Snapshot>[]
): { dashboard: DashboardModel; asked: string[] } {
  let turn = 0;
  const { model, asked } = served({
    snapshot: () => snapshot(snapshots[Math.min(turn++, snapshots.length - 1)]),
    [PAST]: url => {
      const found = before(Number(url.searchParams.get('seconds')));
      return Array.isArray(found) ? past(found) : found;
    }
  });
  return { dashboard: new DashboardModel(model, 'local', 'digits'), asked };
}

const live = (...at: number[]): Partial<Snapshot> => ({
  samples: { 'local/digits': sent(...at.map(time => sample(time))) }
});

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('asking', () => {
  it('asks for nothing until it is shown, then for the past once and for the rest live', async () => {
    const { dashboard, asked } = made(() => every(2, 1000, 1010), live(1010, 1012), live(1014), live(1016));
    await nextTurn();
    expect(asked).toEqual([]);
    dashboard.show();
    dashboard.show();
    await settle();
    expect(asked.sort()).toEqual([`${PAST}?seconds=300`, 'snapshot']);
    await nextTurn();
    await nextTurn();
    expect(times(dashboard)).toEqual([1000, 1002, 1004, 1006, 1008, 1010, 1012, 1014, 1016]);
    expect(asked.filter(route => route.startsWith(PAST))).toHaveLength(1);
  });

  it('asks for names that cannot leave their place in the address', async () => {
    const { model, asked } = served({ 'endpoints/..%2Fgpu/a%20b/samples': () => past([sample(7)]) });
    expect((await model.past('../gpu', 'a b', 300)).samples.map(each => each.time)).toEqual([7]);
    expect(asked).toEqual(['endpoints/..%2Fgpu/a%20b/samples?seconds=300']);
  });

  it('rests while it is hidden, and fetches what it missed when it is shown again', async () => {
    let kept = every(2, 1000, 1010);
    const { dashboard, asked } = made(() => kept, live(1010), live(1050));
    dashboard.show();
    await settle();
    dashboard.hide();
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(5 * INTERVAL);
    expect(asked).toHaveLength(before);
    kept = every(2, 1000, 1048);
    dashboard.show();
    await settle();
    expect(times(dashboard)).toEqual([...kept.map(each => each.time), 1050]);
  });

  it('shows what is live although the past cannot be read, and can ask again', async () => {
    const words = JSON.stringify({ message: 'No disk.', hint: 'Free some.' });
    let answer: Sample[] | Response = new Response(words, { status: 503 });
    const { dashboard } = made(() => answer, live(1010));
    dashboard.show();
    await settle();
    expect(dashboard.pastProblem?.message).toBe('No disk. Free some.');
    expect(times(dashboard)).toEqual([1010]);
    answer = every(2, 1000, 1008);
    void dashboard.load();
    await settle();
    expect(dashboard.pastProblem).toBeNull();
    expect(times(dashboard)).toEqual([1000, 1002, 1004, 1006, 1008, 1010]);
  });

  it('goes on with its past after it was disposed without a word', async () => {
    const { dashboard } = made(() => every(2, 0, 10), live(1010));
    const changed = vi.fn();
    dashboard.show();
    dashboard.changed.connect(changed);
    dashboard.dispose();
    await settle();
    expect(changed).not.toHaveBeenCalled();
    expect(dashboard.isDisposed).toBe(true);
  });
});

describe('the endpoint', () => {
  it('is told to be gone, and what it had is kept', async () => {
    const { dashboard } = made(() => [], live(1000, 1002), { endpoints: [], samples: {} });
    dashboard.show();
    await settle();
    expect(dashboard.absence).toBeNull();
    await nextTurn();
    expect(dashboard.absence).toEqual({ kind: 'gone' });
    expect(dashboard.endpoint?.name).toBe('digits');
    expect(times(dashboard)).toEqual([1000, 1002]);
    expect(dashboard.span).toEqual([702, 1002]);
  });

  it('is not taken for gone where its target does not answer', async () => {
    const silent = endpoint({ name: '*', state: 'unavailable', reason: 'Connection refused.' });
    const { dashboard } = made(() => [], { endpoints: [silent], samples: {} });
    dashboard.show();
    await settle();
    expect(dashboard.absence).toEqual({ kind: 'silent', reason: 'Connection refused.' });
  });

  it('is another one on another target', async () => {
    const elsewhere = { endpoints: [endpoint({ target: 'gpu' })], samples: { 'gpu/digits': sent(sample(5)) } };
    const { dashboard } = made(() => [], elsewhere);
    dashboard.show();
    await settle();
    expect(dashboard.absence).toEqual({ kind: 'gone' });
    expect(times(dashboard)).toEqual([]);
  });
});

describe('what is looked at', () => {
  /** One that has an hour behind it and gets a sample at each turn. */
  async function running(): Promise<DashboardModel> {
    const ahead = Array.from({ length: 50 }, (_, turn) => live(20_002 + 2 * turn));
    const { dashboard } = made(seconds => every(2, 20_000 - seconds, 20_000), ...ahead);
    dashboard.show();
    await settle();
    return dashboard;
  }

  it('ends with the newest sample and goes on with it', async () => {
    const dashboard = await running();
    expect(dashboard.span).toEqual([19_702, 20_002]);
    await nextTurn();
    expect(dashboard.span).toEqual([19_704, 20_004]);
  });

  it.each([300, HOUR, LONGEST] as const)('spans %i seconds, which are asked for', async range => {
    const dashboard = await running();
    dashboard.setRange(range);
    expect(dashboard.isLoading).toBe(true);
    await settle();
    expect(dashboard.isLoading).toBe(false);
    expect(dashboard.span).toEqual([20_002 - range, 20_002]);
    expect(times(dashboard)[0]).toBeLessThanOrEqual(20_000 - range + 60);
  });

  it('stands still while it is paused, and goes on where it is then', async () => {
    const dashboard = await running();
    dashboard.setPaused(true);
    const before = [times(dashboard), dashboard.span];
    await nextTurn();
    await nextTurn();
    expect([times(dashboard), dashboard.span]).toEqual(before);
    dashboard.setPaused(false);
    expect(dashboard.span).toEqual([19_706, 20_006]);
    expect(times(dashboard).slice(-3)).toEqual([20_002, 20_004, 20_006]);
  });

  it('can have another range while it is paused, up to where it stands', async () => {
    const dashboard = await running();
    dashboard.setPaused(true);
    await nextTurn();
    dashboard.setRange(HOUR);
    await settle();
    expect(dashboard.span).toEqual([20_002 - HOUR, 20_002]);
    expect(times(dashboard)[0]).toBeLessThanOrEqual(20_000 - HOUR + 60);
    expect(times(dashboard).slice(-1)).toEqual([20_002]);
  });

  it('stays where it was zoomed to, and is live again after that', async () => {
    const dashboard = await running();
    dashboard.zoomTo(19_900, 19_800);
    await nextTurn();
    expect([dashboard.isZoomed, dashboard.span]).toEqual([true, [19_800, 19_900]]);
    dashboard.resetZoom();
    expect([dashboard.isZoomed, dashboard.span]).toEqual([false, [19_704, 20_004]]);
  });

  it('zooms within the range only, and not to nothing', async () => {
    const dashboard = await running();
    dashboard.zoomTo(19_900, 19_901);
    expect(dashboard.span).toEqual([19_895.5, 19_905.5]);
    dashboard.zoomTo(19_960, 20_100);
    expect(dashboard.span).toEqual([19_862, 20_002]);
    dashboard.zoomTo(0, 30_000);
    expect(dashboard.isZoomed).toBe(false);
  });

  it('zooms by a factor around a time, moves, and zooms out to the whole', async () => {
    const dashboard = await running();
    dashboard.zoomBy(0.5, 19_702);
    expect(dashboard.span).toEqual([19_702, 19_852]);
    dashboard.zoomBy(0.5);
    expect(dashboard.span).toEqual([19_739.5, 19_814.5]);
    dashboard.pan(1);
    expect(dashboard.span).toEqual([19_814.5, 19_889.5]);
    dashboard.pan(100);
    expect(dashboard.span).toEqual([19_927, 20_002]);
    dashboard.zoomBy(10);
    expect(dashboard.isZoomed).toBe(false);
  });

  it('keeps what is paused as it was drawn, however long that is, and no more', async () => {
    const turns = Array.from({ length: 200 }, (_, turn) =>
      live(...every(2, 2_000 + turn * 200, 2_198 + turn * 200).map(each => each.time))
    );
    const { dashboard } = made(() => [], ...turns);
    dashboard.show();
    await settle();
    dashboard.setPaused(true);
    const before = times(dashboard);
    for (let turn = 0; turn < 199; turn++) {
      await nextTurn();
    }
    expect(times(dashboard)).toEqual(before);
    dashboard.setPaused(false);
    expect(times(dashboard).length).toBeLessThan(HOUR / 2 + LONGEST / 60 + 32);
    expect(times(dashboard).slice(-1)[0]).toBeGreaterThan(40_000);
  });
});
