import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import React, { act } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { DashboardModel, type Span } from '../src/dashboard/dashboardModel';
import { DashboardView } from '../src/dashboard/dashboardView';
import type { PlotFactory, PlotOptions } from '../src/dashboard/plot';
import { Locale, LocaleContext } from '../src/locale';
import { INTERVAL } from '../src/model';
import type { Snapshot } from '../src/schema';
import { endpoint, past, sample, sent, snapshot, traffic } from './samples';
import { served } from './servers';

/** A plot that keeps what it was told. */
interface Drawn {
  readonly options: PlotOptions;
  times: readonly number[];
  lines: readonly (readonly (number | null)[])[];
  span: Span;
  pointed: number | null;
  recolored: number;
}

let host: HTMLElement;
let root: Root;
let plots: Drawn[];
let dashboard: DashboardModel;
const theme = new Signal<object, unknown>({});

const makePlot: PlotFactory = (_, options) => {
  const drawn: Drawn = { options, times: [], lines: [], span: [0, 0], pointed: null, recolored: 0 };
  plots.push(drawn);
  return {
    draw: (times, lines, span) => Object.assign(drawn, { times, lines, span }),
    point: time => (drawn.pointed = time),
    resize: () => undefined,
    recolor: () => (drawn.recolored += 1),
    dispose: () => plots.splice(plots.indexOf(drawn), 1)
  };
};

async function turns(count = 1): Promise<void> {
  await act(() => vi.advanceTimersByTimeAsync(1 + (count - 1) * INTERVAL));
}

/** Show the dashboard of `local/digits`, for snapshots in turn. */
async function shown(...snapshots: Partial<Snapshot>[]): Promise<void> {
  let turn = 0;
  const { model } = served({
    snapshot: () => snapshot(snapshots[Math.min(turn++, snapshots.length - 1)]),
    'endpoints/local/digits/samples': () => past([sample(1000), sample(1002), sample(1004)])
  });
  dashboard = new DashboardModel(model, 'local', 'digits');
  dashboard.show();
  await vi.advanceTimersByTimeAsync(1);
  act(() =>
    root.render(
      <LocaleContext.Provider value={new Locale(nullTranslator)}>
        <DashboardView model={dashboard} makePlot={makePlot} themeChanged={theme} />
      </LocaleContext.Provider>
    )
  );
}

const all = (selector: string): HTMLElement[] => [...host.querySelectorAll<HTMLElement>(selector)];

function one(selector: string): HTMLElement {
  const found = all(selector);
  expect(found, selector).toHaveLength(1);
  return found[0];
}

const click = (tool: string): void => act(() => one(`[data-tool="${tool}"]`).click());

const press = (key: string, shiftKey = false): boolean => {
  const event = new KeyboardEvent('keydown', { key, shiftKey, bubbles: true, cancelable: true });
  act(() => void one('.maas-charts').dispatchEvent(event));
  return event.defaultPrevented;
};

const LATER: Partial<Snapshot> = {
  samples: { 'local/digits': sent(sample(1006, { p50_ms: 1.25, codes: { '503': 2 } })) }
};

beforeEach(() => {
  vi.useFakeTimers();
  plots = [];
  host = document.body.appendChild(document.createElement('div'));
  root = createRoot(host);
});

afterEach(() => {
  act(() => root.unmount());
  host.remove();
  dashboard.dispose();
  vi.useRealTimers();
});

describe('the headline', () => {
  it('names endpoint, state, traffic and the newest numbers as the panel does', async () => {
    await shown(LATER);
    expect(one('.maas-headline .maas-name').textContent).toBe('digits');
    expect(one('.maas-headline .maas-state').dataset.state).toBe('ready');
    expect(one('.maas-headline [data-version="3"]').textContent).toContain('100%');
    expect(one('[data-stat="p50_ms"] dd').textContent).toBe('1.25 ms');
  });

  it('gives the reason in words', async () => {
    await shown({ endpoints: [endpoint({ state: 'failed', reason: 'The model is broken.' })] });
    expect(one('.maas-headline .maas-reason').textContent).toBe('The model is broken.');
    expect(one('.maas-headline .maas-state').textContent).toBe('failed');
  });

  it('says that the endpoint is gone and keeps what was drawn', async () => {
    await shown(LATER, { endpoints: [], samples: {} });
    await turns(3);
    expect(one('[data-notice="gone"]').textContent).toContain("no endpoint 'digits' on 'local' any more");
    expect(all('.maas-headline .maas-state')).toHaveLength(0);
    expect(one('.maas-mode').textContent).toBe('Nothing new comes');
    expect(one('[data-stat="p50_ms"] dd').textContent).toBe('–');
    expect(plots[0].times).toEqual([1000, 1002, 1004, 1006]);
  });

  it('says where there is nothing', async () => {
    const { model } = served({ snapshot: () => snapshot({ samples: {} }), 'endpoints/local/digits/samples': () => past([]) });
    dashboard = new DashboardModel(model, 'local', 'digits');
    dashboard.show();
    await vi.advanceTimersByTimeAsync(1);
    act(() => root.render(<DashboardView model={dashboard} makePlot={makePlot} />));
    expect(one('[data-notice="nothing"]').textContent).toBe('Nothing was measured in this time.');
  });

  it('says that the server does not answer', async () => {
    const { model } = served({
      snapshot: () => Promise.reject(new TypeError('Failed to fetch')),
      'endpoints/local/digits/samples': () => past([])
    });
    dashboard = new DashboardModel(model, 'local', 'digits');
    dashboard.show();
    await vi.advanceTimersByTimeAsync(1);
    act(() => root.render(<DashboardView model={dashboard} makePlot={makePlot} />));
    expect(one('[data-notice="server"]').textContent).toContain('Failed to fetch');
  });
});

describe('the charts', () => {
  it('are seven with the same times and the same span', async () => {
    await shown(LATER);
    expect(all('[data-chart]').map(chart => chart.dataset.chart)).toEqual([
      'traffic',
      'latency',
      'errors',
      'batch',
      'queue',
      'cpu',
      'memory'
    ]);
    expect(plots.map(plot => plot.times)).toEqual(Array(7).fill([1000, 1002, 1004, 1006]));
    expect(plots.map(plot => plot.span)).toEqual(Array(7).fill([706, 1006]));
    expect(plots[1].lines[0]).toEqual([0.42, 0.42, 0.42, 1.25]);
  });

  it('have a legend with values, whose lines differ in more than colour', async () => {
    const versions = ['1', '2', '3', '4', '5', '6', '7', '8'];
    await shown({ endpoints: [endpoint({ traffic: versions.map(version => traffic({ version })) })] });
    const legend = all('[data-chart="traffic"] .maas-legend li');
    expect(legend.map(item => item.textContent?.trim())).toContain('v3 12');
    const looks = legend.map(item => {
      const line = item.querySelector('line') as SVGLineElement;
      return [line.getAttribute('stroke-dasharray'), line.style.stroke];
    });
    expect(new Set(looks.slice(0, 7).map(([dashes]) => dashes)).size).toBe(7);
    expect(new Set(looks.map(String)).size).toBe(8);
  });

  it('get another plot when lines come or go', async () => {
    await shown(LATER, { endpoints: [endpoint({ traffic: [traffic(), traffic({ version: '4' })] })], samples: {} });
    expect(plots.map(plot => plot.options.lines).sort()).toEqual([1, 1, 1, 1, 1, 1, 3]);
    await turns(2);
    expect(plots.map(plot => plot.options.lines).sort()).toEqual([1, 1, 1, 1, 1, 2, 3]);
    expect(plots.every(plot => plot.times.length === 4)).toBe(true);
  });

  it('say what a server does not tell', async () => {
    await shown({ endpoints: [endpoint({ untold: ['batch_rows'] })] });
    expect(one('[data-chart="batch"]').textContent).toContain('This server does not tell.');
    expect(plots).toHaveLength(6);
  });

  it('take the colours again when the theme is another', async () => {
    await shown(LATER);
    theme.emit(null);
    expect(plots.map(plot => plot.recolored)).toEqual(Array(7).fill(1));
  });

  it('leave nothing behind', async () => {
    await shown(LATER);
    act(() => root.render(<></>));
    expect(plots).toEqual([]);
    expect(() => theme.emit(null)).not.toThrow();
  });

  it('can be read as a table', async () => {
    await shown(LATER);
    const details = one('.maas-values') as HTMLDetailsElement;
    await act(() => {
      details.open = true;
      return vi.advanceTimersByTimeAsync(1);
    });
    const rows = all('.maas-values tbody tr').map(row => [...row.children].map(cell => cell.textContent));
    expect(rows).toContainEqual(['Latency', 'p50', '1.25 ms', '0.63 ms', '0.42 ms', '1.25 ms']);
    expect(rows).toContainEqual(['Errors (per second)', '503', '2', '0.5', '0', '2']);
  });
});

describe('pointing', () => {
  it('at one chart marks the time in all and tells the values of all', async () => {
    await shown(LATER);
    act(() => plots[1].options.onPoint(1005.6));
    expect(plots.map(plot => plot.pointed)).toEqual(Array(7).fill(1005.6));
    const told = one('.maas-tooltip').textContent;
    const values = ['v3 12', 'p50 1.25 ms', 'p99 5.5 ms', '503 2', 'waiting 0', '80 MB', 'mean 1.5', 'server 0.25'];
    for (const words of values) {
      expect(told).toContain(words);
    }
    act(() => plots[1].options.onPoint(null));
    expect(all('.maas-tooltip')).toHaveLength(0);
    expect(plots.map(plot => plot.pointed)).toEqual(Array(7).fill(null));
  });

  it('by keys goes from sample to sample, and is read out', async () => {
    await shown(LATER);
    expect(press('ArrowLeft')).toBe(true);
    expect(plots[0].pointed).toBe(1006);
    expect(one('.maas-tooltip-region').getAttribute('aria-live')).toBe('polite');
    press('ArrowLeft');
    expect(plots[0].pointed).toBe(1004);
    press('Home');
    press('ArrowLeft');
    expect(plots[0].pointed).toBe(1000);
    press('End');
    press('ArrowRight');
    expect(plots[0].pointed).toBe(1006);
    press('Escape');
    expect(plots[0].pointed).toBeNull();
    expect(press('Escape')).toBe(false);
    expect(press('x')).toBe(false);
  });
});

describe('zooming', () => {
  const spans = (): number[] => [...new Set(plots.map(plot => plot.span[1] - plot.span[0]))];

  it('by dragging in any chart zooms all, a double click shows all again', async () => {
    await shown(LATER);
    act(() => plots[4].options.onZoom(900, 1000));
    expect(plots.map(plot => plot.span)).toEqual(Array(7).fill([900, 1000]));
    expect(one('.maas-mode').textContent).toBe('Zoomed');
    act(() => plots[2].options.onReset());
    expect(plots.map(plot => plot.span)).toEqual(Array(7).fill([706, 1006]));
    expect(one('.maas-mode').textContent).toBe('Live');
  });

  it('works by keys, around what is pointed at', async () => {
    await shown(LATER);
    press('End');
    press('+');
    expect(plots[0].span).toEqual([856, 1006]);
    press('ArrowLeft', true);
    expect(plots[0].span).toEqual([818.5, 968.5]);
    press('Escape');
    press('-');
    expect(spans()).toEqual([300]);
    press('+');
    press('0');
    expect(spans()).toEqual([300]);
  });

  it('works by buttons', async () => {
    await shown(LATER);
    expect((one('[data-tool="reset"]') as HTMLButtonElement).disabled).toBe(true);
    click('zoom-in');
    click('zoom-in');
    expect(spans()).toEqual([75]);
    click('zoom-out');
    expect(spans()).toEqual([150]);
    click('reset');
    expect(spans()).toEqual([300]);
  });
});

describe('pausing and ranges', () => {
  it('pauses and goes on by button and by key', async () => {
    await shown(LATER, { samples: { 'local/digits': sent(sample(1008)) } });
    click('pause');
    expect(one('[data-tool="pause"]').textContent).toBe('Continue');
    expect(one('.maas-mode').textContent).toBe('Paused');
    await turns(2);
    expect(plots[0].span).toEqual([706, 1006]);
    press(' ');
    expect(plots[0].span).toEqual([708, 1008]);
    expect(one('[data-tool="pause"]').textContent).toBe('Pause');
  });

  it('changes the range', async () => {
    await shown(LATER);
    click('range-21600');
    await turns();
    expect(plots[3].span).toEqual([1006 - 21_600, 1006]);
    expect(all('[aria-pressed="true"]').map(button => button.textContent)).toEqual(['6 h']);
  });
});
