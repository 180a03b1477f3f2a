import { nullTranslator } from '@jupyterlab/translation';
import React, { act } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { DashboardModel } from '../src/dashboard/dashboardModel';
import { DashboardView } from '../src/dashboard/dashboardView';
import type { Episode } from '../src/dashboard/episodes';
import type { PlotFactory, PlotMark, PlotOptions } from '../src/dashboard/plot';
import { type Execute, ExecuteContext } from '../src/execute';
import { Locale, LocaleContext } from '../src/locale';
import { INTERVAL } from '../src/model';
import type { AlertEvent, Snapshot } from '../src/schema';
import { alertEvent as event, alertRule as rule, past, sample, sent, snapshot } from './samples';
import { served } from './servers';

const ends = (episodes: readonly Episode[]): unknown => episodes.map(({ from, to }) => [from, to]);

let host: HTMLElement;
let root: Root;
let dashboard: DashboardModel;
let marks: readonly PlotMark[][];
let options: PlotOptions[];
let events: AlertEvent[] | Response;
let asked: string[];
const execute = vi.fn<Execute>();

const makePlot: PlotFactory = (_, given) => {
  options.push(given);
  return {
    draw: (_times, _lines, _span, drawn = []) => (marks = [...marks, [...drawn]]),
    point: () => undefined,
    resize: () => undefined,
    recolor: () => undefined,
    dispose: () => undefined
  };
};

async function shown(...snapshots: Partial<Snapshot>[]): Promise<void> {
  let turn = 0;
  const server = served({
    snapshot: () => snapshot({ samples: {}, ...snapshots[Math.min(turn++, snapshots.length - 1)] }),
    'endpoints/local/digits/samples': () => past([1000, 1010, 1020, 1030].map(time => sample(time))),
    'alerts/history': () => events
  });
  asked = server.asked;
  dashboard = new DashboardModel(server.model, 'local', 'digits');
  dashboard.show();
  await vi.advanceTimersByTimeAsync(1);
  act(() =>
    root.render(
      <LocaleContext.Provider value={new Locale(nullTranslator)}>
        <ExecuteContext.Provider value={execute}>
          <DashboardView model={dashboard} makePlot={makePlot} />
        </ExecuteContext.Provider>
      </LocaleContext.Provider>
    )
  );
}

const all = (selector: string): HTMLElement[] => [...host.querySelectorAll<HTMLElement>(selector)];
const texts = (selector: string): string[] => all(selector).map(each => (each.textContent ?? '').trim());
const histories = (): string[] => asked.filter(route => route.startsWith('alerts/history'));

beforeEach(() => {
  vi.useFakeTimers();
  [marks, options, events] = [[], [], [event(1020, 'cleared'), event(1010, 'fired')]];
  execute.mockClear();
  host = document.body.appendChild(document.createElement('div'));
  root = createRoot(host);
});

afterEach(() => {
  act(() => root.unmount());
  host.remove();
  dashboard.dispose();
  vi.useRealTimers();
});

describe('alerts in the dashboard', () => {
  it('are asked for once the rules are known, and again when one changes', async () => {
    await shown({ alerts: null }, { alerts: [rule('inactive', 1020)] }, { alerts: [rule('inactive', 1020)] }, { alerts: [rule('firing', 1030)] });
    expect(histories()).toEqual([]);
    await act(() => vi.advanceTimersByTimeAsync(2 * INTERVAL));
    expect(histories()).toEqual(['alerts/history?target=local&name=digits&limit=500']);
    await act(() => vi.advanceTimersByTimeAsync(INTERVAL));
    expect(histories()).toHaveLength(2);
    expect(ends(dashboard.episodes)).toEqual([[1010, 1020], [1030, null]]);
  });

  it('mark the time in which they fired in every chart', async () => {
    await shown({ alerts: [rule('inactive', 1020)] });
    const charts = all('[data-chart]').length;
    expect(ends(marks.slice(-charts)[0] as unknown as Episode[])).toEqual([[1010, 1020]]);
    expect(new Set(marks.slice(-charts).map(each => JSON.stringify(each))).size).toBe(1);
  });

  it('are listed with what they found, and the list points at their time', async () => {
    await shown({ alerts: [rule('inactive', 1020), rule('firing', 5, { name: 'other' })] });
    expect(texts('.maas-alert-rules li')).toEqual(['Latency (p95) above 250 ms well']);
    const [line] = all('.maas-alert-events button');
    expect(line.textContent).toContain('p95 was 400 ms, above 250 ms');
    act(() => line.click());
    expect(texts('.maas-tooltip-alert')).toEqual(['Alert fired p95 was 400 ms, above 250 ms']);
    act(() => options[0].onPoint(1015));
    expect(texts('.maas-tooltip-alert')).toEqual(['Alert fires p95 was 400 ms, above 250 ms']);
    act(() => options[0].onPoint(1000));
    expect(texts('.maas-tooltip-alert')).toEqual([]);
  });

  it('can be added from here', async () => {
    await shown({ alerts: [] });
    expect(texts('.maas-alert-log p')).toEqual(['No alert watches this endpoint.']);
    act(() => all('[data-tool="add-alert"]')[0].click());
    expect(execute).toHaveBeenCalledExactlyOnceWith('maas:add-alert', { target: 'local', name: 'digits' });
  });

  it('say why they cannot be shown, and are asked for again', async () => {
    events = new Response(JSON.stringify({ message: 'No disk.', hint: '' }), { status: 503 });
    await shown({ alerts: [rule('inactive', 1020)] }, { alerts: [rule('inactive', 1020)] });
    expect(texts('[data-notice="alerts"]')).toEqual(['Alerts cannot be shown: No disk.']);
    events = [];
    await act(() => vi.advanceTimersByTimeAsync(INTERVAL));
    expect(all('[data-notice="alerts"]')).toEqual([]);
  });
});

describe('where the past comes from', () => {
  async function from(source: string, trouble: string): Promise<void> {
    const { model } = served({
      snapshot: () => snapshot({ samples: { 'local/digits': sent(sample(1006)) } }),
      'endpoints/local/digits/samples': () => past([sample(1000)], source, trouble)
    });
    dashboard = new DashboardModel(model, 'local', 'digits');
    dashboard.show();
    await vi.advanceTimersByTimeAsync(1);
    act(() => root.render(<DashboardView model={dashboard} makePlot={makePlot} />));
  }

  it('is said', async () => {
    await from('Prometheus at http://prom:9090', '');
    expect(texts('.maas-origin')).toEqual(['Past: Prometheus at http://prom:9090']);
    expect(all('[data-notice]')).toEqual([]);
  });

  it('is said with the reason where it is not where it should come from', async () => {
    await from('', 'Prometheus at http://prom:9090 answers 503: starting.');
    expect(texts('.maas-origin')).toEqual(['Past: seen by this Jupyter server']);
    expect(texts('[data-notice="fallback"]')[0]).toContain('answers 503: starting.');
    expect(all('[data-tool="retry"]')).toHaveLength(1);
  });
});
