import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import React, { act } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Locale } from '../src/locale';
import { MaasModel, type MaasState, type ModelQuery, NOTHING_YET, RequestError } from '../src/model';
import { ModelPages } from '../src/pages';
import { MaasPanel, PanelView } from '../src/panel';
import { PanelState } from '../src/panelState';
import type { ModelPage, ModelRow, ModelVersions } from '../src/schema';
import { model, run, sample, traffic, version, watched } from './samples';

let host: HTMLElement;
let root: Root;
const onRetry = vi.fn();
const onStop = vi.fn<(runId: string) => Promise<void>>();

const LIVE: MaasState = { ...NOTHING_YET, models: 1, modelsNumber: 1, endpoints: [watched()], runs: [] };

/** The registry. */
let registered: ModelRow[];
let pages: ModelPages;
let panel: PanelState;
const bring = vi.fn((query: ModelQuery, offset: number, limit: number): Promise<ModelPage> => {
  const found = registered.filter(row => row.name.includes(query.search));
  return Promise.resolve({ number: 1, total: found.length, offset, rows: found.slice(offset, offset + limit) });
});
const versionsOf = vi.fn<(name: string) => Promise<ModelVersions>>();

function draw(state: MaasState): void {
  act(() =>
    root.render(
      <PanelView state={state} panel={panel} onRetry={onRetry} onStop={onStop} pages={pages} versionsOf={versionsOf} />
    )
  );
}

/** Draw, and let the page of models arrive. */
async function drawn(state: MaasState): Promise<void> {
  draw(state);
  await act(() => Promise.resolve());
}

function all(selector: string): Element[] {
  return [...host.querySelectorAll(selector)];
}

function one(selector: string): HTMLElement {
  const found = all(selector);
  expect(found, selector).toHaveLength(1);
  return found[0] as HTMLElement;
}

beforeEach(() => {
  host = document.body.appendChild(document.createElement('div'));
  root = createRoot(host);
  registered = [model()];
  pages = new ModelPages(bring);
  panel = new PanelState();
  versionsOf.mockImplementation(name =>
    Promise.resolve({
      name,
      updated: 0,
      versions: [version(), version({ version: '2', aliases: [], precision: 'fp32', parent: null, change: null })]
    })
  );
});

afterEach(() => {
  act(() => root.unmount());
  host.remove();
  onRetry.mockReset();
  onStop.mockReset();
  bring.mockClear();
});

describe('the state of the whole', () => {
  it('shows skeletons until the first answer', async () => {
    await drawn(NOTHING_YET);
    expect(one('.maas-panel').dataset.status).toBe('loading');
    expect(all('[role="status"]').map(node => node.getAttribute('aria-label'))).toEqual([
      'Loading endpoints',
      'Loading runs',
      'Loading models'
    ]);
  });

  it('says what to type where there is nothing', async () => {
    await drawn({ ...NOTHING_YET, models: 0, endpoints: [], runs: [] });
    expect(one('[data-section="runs"]').textContent).toContain('No runs yet. Start one: %maas train ');
    expect(one('[data-section="models"]').textContent).toContain('No models yet. Train one: %maas train ');
    expect(one('[data-section="endpoints"]').textContent).toContain('No endpoints yet. Publish a model: %maas publish ');
  });

  it('says that the server does not answer and when it tries again, and keeps what it had', async () => {
    await drawn({ ...LIVE, problem: new RequestError('unreachable', ''), retryAt: Date.now() + 7_500 });
    expect(one('.maas-panel').dataset.status).toBe('unreachable');
    expect(one('[role="alert"]').textContent).toBe('The Jupyter server does not answer.');
    expect(one('.maas-retry-at').textContent).toBe('Trying again in 8 s.');
    expect(all('[data-endpoint="digits"], [data-model="digits"]')).toHaveLength(2);
    act(() => one('.maas-retry').click());
    expect(onRetry).toHaveBeenCalledTimes(1);
  });

  it('shows only the notice where it never had anything', async () => {
    await drawn({ ...NOTHING_YET, problem: new RequestError('server', 'disk full'), retryAt: null });
    expect(one('[data-notice="server"]').textContent).toContain('disk full');
    expect(one('.maas-retry-at').textContent).toBe('Trying again…');
    expect(all('[data-section]')).toHaveLength(0);
  });

  it.each([
    ['forbidden', 'refused'],
    ['missing', 'without the maas_jupyter extension']
  ] as const)('has words for a server that is %s', async (kind, words) => {
    await drawn({ ...NOTHING_YET, problem: new RequestError(kind, '') });
    expect(one('[role="alert"]').textContent).toContain(words);
  });

  it('shows what the registry said beside the models that it had', async () => {
    await drawn({ ...LIVE, registryError: 'http://mlflow:5000 did not answer' });
    expect(one('[data-notice="registry"]').textContent).toContain('http://mlflow:5000 did not answer');
    expect(all('[data-model]')).toHaveLength(1);
    await drawn({ ...NOTHING_YET, endpoints: [], registryError: 'no answer' });
    expect(all('[data-section="models"] [role="status"]')).toHaveLength(0);
  });

  it('folds a section', async () => {
    await drawn(LIVE);
    const header = one('[data-section="endpoints"] h2 button');
    const body = one('[data-section="endpoints"] .maas-section-body');
    expect(header.getAttribute('aria-controls')).toBe(body.id);
    act(() => header.click());
    expect([header.getAttribute('aria-expanded'), body.hidden]).toEqual(['false', true]);
  });
});

describe('endpoints', () => {
  const stat = (name: string): string | null | undefined => one(`[data-stat="${name}"] dd`).textContent;

  it('shows name, target, state, traffic, rates, latencies and totals', async () => {
    const shares = [
      traffic({ weight: 270 }),
      traffic({ version: '2', weight: 30, state: 'loading' })
    ];
    const latest = sample(100, {
      requests_per_second: 7.041,
      errors_per_second: 0.25,
      p95_ms: null,
      waiting: 3,
      versions: { '3': 6.337 }
    });
    await drawn({ ...LIVE, endpoints: [watched({ traffic: shares, latest })] });
    const row = one('[data-endpoint="digits"]');
    expect([row.dataset.state, row.dataset.target]).toEqual(['ready', 'local']);
    expect(one('.maas-state').textContent).toBe('ready');
    expect(all('.maas-share').map(node => node.textContent)).toEqual(['v3 90% 6.34 req/s', 'v2 10% 0 req/s loading']);
    expect([stat('requests_per_second'), stat('p50_ms'), stat('p95_ms'), stat('p99_ms')]).toEqual([
      '7.04',
      '0.42 ms',
      '–',
      '5.5 ms'
    ]);
    expect([stat('errors_per_second'), stat('waiting'), stat('batch_rows'), stat('memory')]).toEqual([
      '0.25',
      '3',
      '1.5',
      '80 MB'
    ]);
    expect(one('[data-stat="errors_per_second"]').className).toContain('maas-mod-unwell');
    expect(one('[data-stat="requests_total"]').textContent).toBe('1,204 requests');
    expect(one('[data-stat="requests_total"]').dataset.value).toBe('1204');
    expect(one('[data-stat="errors_total"]').textContent).toBe('1 error');
  });

  it('shows no rate of a version that is alone', async () => {
    await drawn(LIVE);
    expect(one('.maas-share').textContent).toBe('v3 100%');
  });

  it.each([
    [{ compared: 0, disagreed: 0, failed: 0, dropped: 0 }, 'v4 shadow, nothing compared yet', false],
    [{ compared: 1200, disagreed: 0, failed: 0, dropped: 3 }, 'v4 shadow, 0 of 1,200 differ (0%)', false],
    [{ compared: 1200, disagreed: 30, failed: 2, dropped: 3 }, 'v4 shadow, 30 of 1,200 differ (2.5%), 2 failed', true]
  ])('says how the answers of a shadow compared: %o', async (shadow, words, unwell) => {
    const copied = traffic({ version: '4', weight: 0, shadow });
    await drawn({ ...LIVE, endpoints: [watched({ traffic: [traffic(), copied] })] });
    expect(all('.maas-share').map(node => node.textContent)).toEqual(['v3 100% 12 req/s', words]);
    const node = one('.maas-shadow');
    expect([node.dataset.compared, node.dataset.disagreed]).toEqual([String(shadow.compared), String(shadow.disagreed)]);
    expect(node.className.includes('maas-mod-unwell')).toBe(unwell);
    expect(node.title).toContain(`${shadow.dropped} were dropped`);
  });

  it.each(['loading', 'failed', 'unavailable', 'stopped'] as const)('gives the reason of one that is %s', async state => {
    await drawn({ ...LIVE, endpoints: [watched({ state, reason: 'because of this', latest: null, samples: [] })] });
    expect(one('.maas-state').textContent).toBe(state);
    expect(one('.maas-reason').textContent).toBe('because of this');
    expect(all('.maas-stats')).toHaveLength(0);
  });

  it('names a target of which no endpoint is known after itself', async () => {
    const row = watched({ name: '*', target: 'gpu', state: 'unavailable', reason: 'set VAR', traffic: [], latest: null });
    await drawn({ ...LIVE, endpoints: [row] });
    expect(one('.maas-endpoint').textContent).toBe('gpuunavailableset VAR');
    expect(all('.maas-totals')).toHaveLength(0);
  });

  it('draws the requests of the last five minutes as a line', async () => {
    const times = [0, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300];
    const samples = times.map(time => sample(time, { requests_per_second: time }));
    await drawn({ ...LIVE, endpoints: [watched({ samples })] });
    const points = one('.maas-sparkline-line').getAttribute('points')?.split(' ') ?? [];
    expect([points[0], points[5], points[10]]).toEqual(['0,23', '50,12', '100,1']);
    expect(one('.maas-sparkline title').textContent).toBe('Requests per second over five minutes, now 12');
  });

  it('leaves a gap in the line where nobody looked', async () => {
    const samples = [100, 102, 104, 298, 300].map(time => sample(time, { requests_per_second: 0 }));
    await drawn({ ...LIVE, endpoints: [watched({ samples })] });
    const lines = all('.maas-sparkline-line').map(line => line.getAttribute('points'));
    expect(lines).toEqual(['33.33,23 34,23 34.67,23', '99.33,23 100,23']);
  });

  it.each([
    ['nothing', []],
    ['one point', [sample(1)]]
  ])('draws a flat base for %s', async (_, samples) => {
    await drawn({ ...LIVE, endpoints: [watched({ samples })] });
    expect(all('.maas-sparkline-base')).toHaveLength(1);
    expect(all('.maas-sparkline-line')).toHaveLength(0);
  });

  it('keeps the line on the base without requests', async () => {
    const samples = [sample(1, { requests_per_second: 0 }), sample(3, { requests_per_second: 0 })];
    await drawn({ ...LIVE, endpoints: [watched({ samples })] });
    expect(one('.maas-sparkline-line').getAttribute('points')).toBe('99.33,23 100,23');
  });
});

describe('runs', () => {
  it('shows how far one is, how fast, and its loss', async () => {
    await drawn({ ...LIVE, runs: [run()] });
    expect(one('[data-run="abc123"]').dataset.status).toBe('training');
    expect(one('.maas-run .maas-state').textContent).toBe('training');
    const bar = one('[role="progressbar"]');
    expect(bar.getAttribute('aria-valuenow')).toBe('53');
    expect((bar.firstChild as HTMLElement).style.width).toBe('52.5%');
    expect(one('.maas-run .maas-details').textContent).toBe('epoch 10 of 20 · 1,235 rows/s · 1m 5s left · abc123');
    expect(one('.maas-run .maas-metric').textContent).toBe('val_accuracy 0.9722');
    expect(one('.maas-run .maas-sparkline-line').getAttribute('points')).toBe('0,1 50,12 100,23');
    expect(one('.maas-run .maas-sparkline title').textContent).toBe('Loss from the start until now: 1');
    expect(all('.maas-run .maas-age')).toHaveLength(0);
  });

  it('leaves out what is not known yet', async () => {
    await drawn({
      ...LIVE,
      runs: [run({ rows_per_second: null, remaining: null, metric: null, metric_name: null, loss: [2], fraction: 0, epoch: 0 })]
    });
    expect(one('.maas-run .maas-details').textContent).toBe('epoch 0 of 20 · abc123');
    expect(all('.maas-run .maas-sparkline, .maas-run .maas-metric')).toHaveLength(0);
  });

  it('draws a loss that stays as a line on the base', async () => {
    await drawn({ ...LIVE, runs: [run({ loss: [2, 2] })] });
    expect(one('.maas-run .maas-sparkline-line').getAttribute('points')).toBe('0,23 100,23');
  });

  it.each([
    ['finished', 'finished'],
    ['stopped_early', 'stopped early'],
    ['interrupted', 'interrupted'],
    ['failed', 'failed']
  ] as const)('shows what is left of one that is %s', async (status, words) => {
    const error = status === 'failed' ? 'The loss became NaN.' : '';
    await drawn({ ...LIVE, runs: [run({ status, error, updated: Date.now() / 1000 - 130, verb: 'tune' })] });
    expect(all('.maas-run .maas-row')[0].textContent).toBe(`digitstune${words}2m ago`);
    expect(one('.maas-run .maas-details').textContent).toBe('trial 10 of 20 · abc123');
    expect(one('.maas-run .maas-metric').textContent).toBe('val_accuracy 0.9722');
    expect(all('.maas-run .maas-reason').map(node => node.textContent)).toEqual(error ? [error] : []);
    expect(all('[role="progressbar"], .maas-stop')).toHaveLength(0);
  });

  it('says of one that did all its epochs how many they were', async () => {
    await drawn({ ...LIVE, runs: [run({ status: 'finished', epoch: 20 })] });
    expect(one('.maas-run .maas-details').textContent).toBe('20 epochs · abc123');
  });

  it('asks one to stop, once', async () => {
    onStop.mockReturnValue(Promise.resolve());
    await drawn({ ...LIVE, runs: [run()] });
    const button = one('.maas-stop') as HTMLButtonElement;
    expect(button.getAttribute('aria-label')).toBe('Stop digits');
    await act(() => Promise.resolve(button.click()));
    expect(onStop.mock.calls).toEqual([['abc123']]);
    expect(button.disabled).toBe(true);
    await drawn({ ...LIVE, runs: [run({ stopping: true })] });
    expect(one('.maas-run .maas-state').textContent).toBe('stopping');
    expect((one('.maas-stop') as HTMLButtonElement).disabled).toBe(true);
  });

  it('says why one could not be asked, and lets ask again', async () => {
    onStop.mockImplementation(() => Promise.reject(new RequestError('server', 'It has ended already.')));
    await drawn({ ...LIVE, runs: [run()] });
    const button = one('.maas-stop') as HTMLButtonElement;
    await act(() => Promise.resolve(button.click()));
    expect(one('.maas-stop-problem').textContent).toBe('It has ended already.');
    expect(button.disabled).toBe(false);
  });

  it('says that the runs cannot be read, beside those that it had', async () => {
    await drawn({ ...LIVE, runs: [run()], runsError: 'The folder of runs could not be looked at.' });
    expect(one('[data-notice="runs"]').textContent).toBe('The folder of runs could not be looked at.');
    expect(all('.maas-run')).toHaveLength(1);
  });
});

describe('models', () => {
  it('has the newest version, aliases and the change of the metric in a row', async () => {
    await drawn(LIVE);
    const button = one('[data-model="digits"] > button');
    expect(button.textContent).toBe('digitschampion2m ago2 versions · classification · int8accuracy 0.9822 -0.0042');
    expect(one('[data-alias="champion"]').title).toBe('champion is version 3');
    expect(one('.maas-change').title).toBe('Against digits/2');
  });

  it('unfolds to versions with aliases, task, precision, size, metric and age', async () => {
    await drawn(LIVE);
    const button = one('[data-model="digits"] > button');
    expect(all('.maas-version')).toHaveLength(0);
    await act(() => Promise.resolve(button.click()));
    expect(button.getAttribute('aria-expanded')).toBe('true');
    expect(all('.maas-version')).toHaveLength(2);
    const row = one('.maas-version[data-version="3"]');
    expect(row.querySelector('[data-alias="champion"]')).not.toBeNull();
    expect(row.querySelector('.maas-details')?.textContent).toBe('int8 · 12.3 kB · classification');
    expect(row.querySelector('.maas-parent')?.textContent).toBe('from v2');
    expect(row.querySelector('.maas-parent')?.getAttribute('title')).toBe('Made from digits/2');
    expect(row.querySelector('.maas-metric')?.textContent).toBe('accuracy 0.9822 -0.0042');
    expect(row.querySelector('time')?.textContent).toBe('2m ago');
    await act(() => Promise.resolve(button.click()));
    expect(all('.maas-version')).toHaveLength(0);
  });

  it('says why versions did not come', async () => {
    versionsOf.mockImplementation(() => Promise.reject(new RequestError('missing', 'There is no model.')));
    await drawn(LIVE);
    await act(() => Promise.resolve(one('[data-model="digits"] > button').click()));
    expect(one('.maas-versions .maas-reason').textContent).toBe('There is no model.');
  });

  it('leaves out a metric that there is not', async () => {
    registered = [model({ versions: 1, newest: version({ metric: null, metric_name: null, change: null }) })];
    await drawn(LIVE);
    expect(all('.maas-metric')).toHaveLength(0);
    expect(one('.maas-versions-count').textContent).toBe('1 version');
  });

  it('searches and sorts where the registry is', async () => {
    registered = [model(), model({ name: 'wine' })];
    await drawn({ ...LIVE, models: 2 });
    expect(all('.maas-model')).toHaveLength(2);
    const search = one('input[type="search"]') as HTMLInputElement;
    await act(() => {
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')?.set?.call(search, 'win');
      search.dispatchEvent(new Event('input', { bubbles: true }));
      return Promise.resolve();
    });
    expect(all('.maas-model').map(node => node.getAttribute('data-model'))).toEqual(['wine']);
    expect(one('.maas-found').textContent).toBe('1 model matches');
    await act(() => Promise.resolve(one('.maas-order').click()));
    expect(bring.mock.calls.at(-1)?.[0]).toEqual({ search: 'win', sort: 'updated', order: 'asc' });
  });

  it('draws a part of ten thousand, and has room for all', async () => {
    registered = Array.from({ length: 10_000 }, (_, index) => model({ name: `m${index}` }));
    await drawn({ ...LIVE, models: 10_000 });
    expect(all('.maas-model').length).toBeLessThan(60);
    expect(one('.maas-models').style.height).toBe('440000px');
    expect(bring).toHaveBeenCalledTimes(1);
    expect(one('[data-model="m7"]').getAttribute('aria-posinset')).toBe('8');
  });

  it('brings the list again when a model changed, and keeps what it shows meanwhile', async () => {
    await drawn(LIVE);
    registered = [model({ name: 'wine' })];
    draw({ ...LIVE, modelsNumber: 2 });
    expect(all('[data-model="digits"]')).toHaveLength(1);
    await act(() => Promise.resolve());
    expect(all('[data-model="wine"]')).toHaveLength(1);
    expect(bring).toHaveBeenCalledTimes(2);
  });

  it('says why a page did not come', async () => {
    bring.mockImplementationOnce(() => Promise.reject(new RequestError('server', 'It is down.')));
    await drawn(LIVE);
    expect(one('[data-notice="models"]').textContent).toBe('It is down.');
  });
});

describe('the widget', () => {
  it('watches the model only while it can be seen', () => {
    const maas = new MaasModel(ServerConnection.makeSettings());
    const dispose = vi.fn();
    const watch = vi.spyOn(maas, 'watch').mockReturnValue({ dispose, isDisposed: false });
    const panel = new MaasPanel(maas, new Locale(nullTranslator));
    panel.hide();
    act(() => Widget.attach(panel, host));
    expect(watch).toHaveBeenCalledTimes(0);
    act(() => panel.show());
    expect(watch).toHaveBeenCalledTimes(1);
    act(() => panel.hide());
    expect(dispose).toHaveBeenCalledTimes(1);
    act(() => panel.show());
    act(() => panel.dispose());
    expect([watch.mock.calls.length, dispose.mock.calls.length]).toEqual([2, 2]);
  });
});
