import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Widget } from '@lumino/widgets';
import React, { act } from 'react';
import { createRoot } from 'react-dom/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Announcer } from '../src/alerts/announcer';
import { Badge } from '../src/alerts/badge';
import { AlertList } from '../src/alerts/list';
import { AlertMarks } from '../src/alerts/marks';
import { alertsPlugin, SLOW } from '../src/alerts/plugin';
import { RuleForm } from '../src/alerts/ruleForm';
import { condition, finding, KINDS } from '../src/alerts/words';
import { EndpointsSection } from '../src/endpoints';
import { Locale } from '../src/locale';
import { INTERVAL, MaasModel } from '../src/model';
import type { AlertEvent, AlertRow, Snapshot } from '../src/schema';
import { snapshot, watched } from './samples';

const locale = new Locale(nullTranslator);
const KEY = 'maas-jupyter:alerts:test';

function alert(changes: Partial<AlertRow> = {}): AlertRow {
  return {
    target: 'local',
    name: 'digits',
    kind: 'p95_above',
    threshold: 250,
    for_seconds: 60,
    state: 'firing',
    since: 1000,
    value: 312.5,
    reason: '',
    ...changes
  };
}

function fired(changes: Partial<AlertEvent> = {}): AlertEvent {
  const { target, name, kind, threshold, for_seconds, value, reason } = alert();
  return { time: 1000, change: 'fired', target, name, kind, threshold, for_seconds, value, reason, ...changes };
}

/** What is notified of now, oldest first. */
function notices(): [string, string][] {
  return Notification.manager.notifications.map((each): [string, string] => [each.type, each.message]).reverse();
}

function text(): string {
  return document.body.textContent ?? '';
}

beforeEach(() => {
  window.localStorage.clear();
});

afterEach(() => {
  Notification.dismiss();
  document.body.replaceChildren();
  vi.restoreAllMocks();
});

describe('words', () => {
  it('say what a rule watches for and what was found', () => {
    const said = KINDS.map(kind => {
      const share = kind === 'error_rate_above' || kind === 'shadow_disagreement_above';
      const compared = share ? { threshold: 0.05, value: 0.125 } : kind === 'p95_above' ? {} : { threshold: null, value: null };
      const rule = alert({ kind, ...compared });
      return [condition(rule, locale), finding(rule, locale)];
    });
    expect(said).toEqual([
      ['Latency (p95) above 250 ms for 1m', 'p95 was 313 ms, above 250 ms'],
      ['Share of errors above 5% for 1m', '12.5% of the requests failed, more than 5%'],
      ['Endpoint down for 1m', 'the endpoint is down'],
      ['No traffic for 1m', 'no requests came'],
      ['Shadow differs in more than 5% for 1m', '12.5% of the answers of the shadow differed, more than 5%']
    ]);
    expect(condition(alert({ for_seconds: 0 }), locale)).toBe('Latency (p95) above 250 ms');
    const down = alert({ kind: 'endpoint_down', threshold: null, reason: 'The server is gone.' });
    expect(finding(down, locale)).toBe('the endpoint is down: The server is gone.');
  });
});

describe('notifications', () => {
  const FIRED = ['error', 'digits on local: p95 was 313 ms, above 250 ms'];
  const CLEARED = ['success', 'digits on local is well again: Latency (p95) above'];
  const more = vi.fn();
  const tab = (): Announcer => new Announcer(locale, KEY, more);

  it('come once when an alert fires and once when it clears', () => {
    const announcer = tab();
    announcer.announce([alert({ state: 'pending' })]);
    expect(notices()).toEqual([]);
    announcer.announce([alert()]);
    announcer.announce([alert()]);
    expect(notices()).toEqual([FIRED]);
    announcer.announce([alert({ state: 'inactive', since: 1100, value: null })]);
    announcer.announce([alert({ state: 'inactive', since: 1100, value: null })]);
    expect(notices()).toEqual([CLEARED]);
    announcer.announce([alert({ since: 1200 })]);
    expect(notices()).toEqual([CLEARED, FIRED]);
  });

  it('come once for all tabs, and not again after a reload', () => {
    const [one, other] = [tab(), tab()];
    one.announce([alert()]);
    other.announce([alert()]);
    tab().announce([alert()]);
    expect(notices()).toEqual([FIRED]);
    other.announce([alert({ state: 'inactive', since: 1100 })]);
    one.announce([alert({ state: 'inactive', since: 1100 })]);
    expect(notices()).toEqual([CLEARED]);
  });

  it('go with their rule, and others stay', () => {
    const announcer = tab();
    announcer.announce([alert(), alert({ kind: 'no_traffic', threshold: null })]);
    announcer.announce([alert({ kind: 'no_traffic', threshold: null })]);
    expect(notices()).toEqual([['error', 'digits on local: no requests came']]);
  });

  it('lead to the rules', () => {
    tab().announce([alert()]);
    const [action] = Notification.manager.notifications[0].options.actions ?? [];
    action.callback(new MouseEvent('click'));
    expect(more).toHaveBeenCalledTimes(1);
  });

  it.each(['no json', '[1]', 'null'])('come in spite of %s in the storage', words => {
    window.localStorage.setItem(KEY, words);
    tab().announce([alert()]);
    expect(notices()).toEqual([FIRED]);
  });
});

describe('the badge', () => {
  it('shows the number, and says it in words', () => {
    const { title } = new Widget();
    title.caption = 'MaaS';
    title.dataset = { id: 'maas-panel' };
    const badge = new Badge(title, locale.trans);
    badge.show(2);
    expect(title.dataset).toEqual({ id: 'maas-panel', 'maas-firing': '2' });
    expect(title.caption).toBe('MaaS\n2 alerts fire');
    badge.show(0);
    expect(title.dataset).toEqual({ id: 'maas-panel' });
    expect(title.caption).toBe('MaaS');
  });
});

describe('the mark in the row', () => {
  it('is there for each alert that fires, with its reason', () => {
    const root = createRoot(document.body.appendChild(document.createElement('div')));
    const alerts = [alert(), alert({ kind: 'no_traffic', state: 'pending' }), alert({ kind: 'endpoint_down', state: 'inactive' })];
    act(() => root.render(<AlertMarks alerts={alerts} />));
    expect([...document.querySelectorAll<HTMLElement>('[data-alert]')].map(mark => mark.dataset.alert)).toEqual(['p95_above']);
    expect(text()).toBe('Alert: p95 was 313 ms, above 250 ms');
    act(() => root.unmount());
  });
});

describe('the section of endpoints', () => {
  it('marks the endpoint whose alert fires, and says when alerts do not work', () => {
    const root = createRoot(document.body.appendChild(document.createElement('div')));
    const rows = [watched(), watched({ name: 'wine' }), watched({ target: 'lab' })];
    act(() => root.render(<EndpointsSection rows={rows} alerts={[alert({ name: 'wine' })]} alertsError="Disk full." />));
    const marked = [...document.querySelectorAll('[data-alert]')].map(mark => mark.closest('li')?.dataset.endpoint);
    expect(marked).toEqual(['wine']);
    expect(document.querySelector('[data-notice="alerts"]')?.textContent).toContain('Disk full.');
    act(() => root.unmount());
  });
});

describe('the form', () => {
  const subject = { target: 'local', name: 'digits' };

  it.each([
    ['p95_above', '100.5', 100.5],
    ['error_rate_above', '2.5', 0.025],
    ['shadow_disagreement_above', '0', 0]
  ] as const)('makes a rule of %s with its unit', (kind, typed, threshold) => {
    const form = new RuleForm(subject, locale, kind);
    form.field('threshold').value = typed;
    form.field('for_seconds').value = '30';
    expect(form.rule(form.getValue())).toEqual({ ...subject, kind, threshold, for_seconds: 30 });
    expect((form.node as HTMLFormElement).checkValidity()).toBe(true);
    form.field('threshold').value = '-1';
    expect((form.node as HTMLFormElement).checkValidity()).toBe(false);
  });

  it('asks for a threshold only where there is one, in its unit', () => {
    const form = new RuleForm(subject, locale);
    const line = form.field('threshold').parentElement as HTMLElement;
    const choose = (kind: string): void => {
      form.field('kind').value = kind;
      form.field('kind').dispatchEvent(new Event('change'));
    };
    expect([line.textContent, form.field('threshold').value]).toEqual(['Milliseconds', '250']);
    choose('endpoint_down');
    expect(line.hidden).toBe(true);
    expect(form.rule(form.getValue())).toEqual({ ...subject, kind: 'endpoint_down', threshold: null, for_seconds: 60 });
    choose('error_rate_above');
    expect([line.hidden, line.textContent, form.field('threshold').value]).toEqual([false, 'Percent', '5']);
    form.field('threshold').value = '7';
    choose('shadow_disagreement_above');
    expect(form.field('threshold').value).toBe('7');
  });
});

describe('the list', () => {
  it('shows rules and history, and removes', async () => {
    const root = createRoot(document.body.appendChild(document.createElement('div')));
    const onRemove = vi.fn();
    const history = vi.fn(() => Promise.resolve([fired({ time: 1100, change: 'cleared', value: null }), fired()]));
    const rules = [alert()];
    await act(() => Promise.resolve(root.render(<AlertList rules={rules} problem={null} history={history} onRemove={onRemove} />)));
    const [rule] = document.querySelectorAll<HTMLElement>('li[data-alert]');
    expect(rule.textContent).toBe('digits on localLatency (p95) above 250 ms for 1mfiringRemove');
    expect([...document.querySelectorAll<HTMLElement>('li[data-change]')].map(each => each.dataset.change)).toEqual(['cleared', 'fired']);
    expect(text()).toContain('fired: p95 was 313 ms, above 250 ms');
    act(() => rule.querySelector('button')?.click());
    expect(onRemove).toHaveBeenCalledWith(rules[0]);
    await act(() => Promise.resolve(root.render(<AlertList rules={[]} problem="Disk full." history={history} onRemove={onRemove} />)));
    expect(history).toHaveBeenCalledTimes(2);
    expect(document.querySelector('[role="alert"]')?.textContent).toBe('Disk full.');
    act(() => root.unmount());
  });

  it('says why there is no history', async () => {
    const root = createRoot(document.body.appendChild(document.createElement('div')));
    const history = (): Promise<never> => Promise.reject(new Error('Disk full.'));
    await act(() => Promise.resolve(root.render(<AlertList rules={[]} problem={null} history={history} onRemove={vi.fn()} />)));
    expect(document.querySelector('[role="alert"]')?.textContent).toBe('Disk full.');
    act(() => root.unmount());
  });
});

describe('the plugin', () => {
  let requests: [string, string, unknown][];
  let rules: AlertRow[];
  let answer: Partial<Snapshot>;
  let commands: CommandRegistry;
  let model: MaasModel;
  let panel: Widget;
  let status: number;

  const asked = (): string[] => requests.map(([method, path]) => `${method} ${path}`);
  const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(1);

  function start(): void {
    const settings = ServerConnection.makeSettings({
      baseUrl: 'http://hub.example/',
      wsUrl: 'ws://hub.example/',
      // jsdom's AbortSignal is none that Node's Request knows.
      Request: class {
        readonly headers = new Headers();
        constructor(
          readonly url: string,
          readonly init: RequestInit
        ) {}
      } as unknown as typeof Request,
      fetch: request => {
        const { url, init } = request as unknown as { url: string; init: RequestInit };
        const path = new URL(url).pathname.replace('/maas-jupyter/', '');
        requests.push([init.method ?? 'GET', path, init.body && JSON.parse(init.body as string)]);
        const bodies: Record<string, unknown> = { snapshot: snapshot(answer), 'alerts/rules': rules, 'alerts/history': [] };
        return Promise.resolve(new Response(JSON.stringify(bodies[path] ?? alert()), { status }));
      }
    });
    model = new MaasModel(settings);
    commands = new CommandRegistry();
    panel = new Widget();
    panel.id = 'maas-panel';
    const app = {
      commands,
      contextMenu: { addItem: vi.fn() },
      contextMenuHitTest: () => undefined,
      restored: Promise.resolve(),
      serviceManager: { serverSettings: settings },
      shell: { widgets: (side: string) => (side === 'left' ? [panel] : []) }
    };
    void alertsPlugin.activate(app as unknown as JupyterFrontEnd, { model, locale }, null);
  }

  beforeEach(() => {
    vi.useFakeTimers();
    // Dialogs are drawn by JupyterLab, when it wants to.
    vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', false);
    status = 200;
    requests = [];
    rules = [];
    answer = { alerts: [] };
  });

  afterEach(() => {
    model.dispose();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  it('asks once whether there are rules, and rests without', async () => {
    start();
    await vi.advanceTimersByTimeAsync(10 * SLOW);
    expect(asked()).toEqual(['GET alerts/rules']);
  });

  it('looks slowly while there are rules, quickly while somebody looks, and ends with the rules', async () => {
    rules = [alert({ state: 'inactive', since: null })];
    answer = { alerts: rules };
    start();
    await settle();
    expect(asked()).toEqual(['GET alerts/rules', 'GET snapshot']);
    await vi.advanceTimersByTimeAsync(3 * SLOW);
    expect(asked().length).toBe(5);
    const watching = model.watch();
    await settle();
    expect(asked().length).toBe(6);
    await vi.advanceTimersByTimeAsync(2 * INTERVAL);
    expect(asked().length).toBe(8);
    watching.dispose();
    await vi.advanceTimersByTimeAsync(2 * SLOW);
    expect(asked().length).toBeLessThanOrEqual(11);
    answer = { alerts: [] };
    await vi.advanceTimersByTimeAsync(SLOW);
    const before = asked().length;
    await vi.advanceTimersByTimeAsync(5 * SLOW);
    expect(asked().length).toBe(before);
  });

  it('tells what fires while the panel is hidden, and marks its tab', async () => {
    rules = [alert({ state: 'inactive', since: null })];
    answer = { alerts: rules };
    start();
    await settle();
    answer = { alerts: [alert()] };
    await vi.advanceTimersByTimeAsync(SLOW);
    expect(notices()).toEqual([['error', 'digits on local: p95 was 313 ms, above 250 ms']]);
    expect(panel.title.dataset).toEqual({ 'maas-firing': '1' });
    // Null: nothing changed.
    answer = { alerts: null };
    await vi.advanceTimersByTimeAsync(SLOW);
    expect(notices()).toHaveLength(1);
    expect(model.state.alerts).toHaveLength(1);
  });

  it('says nothing in the console where the extension is missing', async () => {
    const error = vi.spyOn(console, 'error');
    status = 404;
    start();
    await settle();
    expect(asked()).toEqual(['GET alerts/rules']);
    expect(error).not.toHaveBeenCalled();
  });

  it('adds a rule with a dialog', async () => {
    start();
    await settle();
    const done = commands.execute('maas:add-alert', { target: 'local', name: 'a/b', kind: 'error_rate_above' });
    await settle();
    expect(document.querySelector('.jp-Dialog-header')?.textContent).toContain('Alert for a/b on local');
    (document.querySelector('[name="threshold"]') as HTMLInputElement).value = '3';
    (document.querySelector('.jp-Dialog .jp-mod-accept') as HTMLElement).click();
    await vi.advanceTimersByTimeAsync(100);
    await done;
    expect(requests[requests.length - 1]).toEqual([
      'PUT',
      'alerts/rules/local/a%2Fb/error_rate_above',
      { threshold: 0.03, for_seconds: 60 }
    ]);
    expect(notices()[0][0]).toBe('success');
  });

  it('adds nothing when the dialog is dismissed', async () => {
    start();
    await settle();
    const done = commands.execute('maas:add-alert', { target: 'local', name: 'digits' });
    await settle();
    (document.querySelector('.jp-Dialog .jp-mod-reject') as HTMLElement).click();
    await vi.advanceTimersByTimeAsync(100);
    await done;
    expect(asked()).toEqual(['GET alerts/rules']);
  });

  it('removes a rule that is named', async () => {
    start();
    await settle();
    await commands.execute('maas:remove-alert', { target: 'local', name: 'digits', kind: 'p95_above' });
    expect(asked()).toContain('DELETE alerts/rules/local/digits/p95_above');
    expect(notices()).toEqual([['success', 'The alert of digits is removed.']]);
  });

  it('says in words what does not work', async () => {
    start();
    await settle();
    status = 503;
    await commands.execute('maas:remove-alert', { target: 'local', name: 'digits', kind: 'p95_above' });
    expect(notices()).toEqual([['error', expect.stringContaining('503')]]);
  });

  it('removes a rule that is chosen, and says where there is none', async () => {
    start();
    await settle();
    await commands.execute('maas:remove-alert');
    expect(notices()).toEqual([['error', 'There are no alerts.']]);
    rules = [alert(), alert({ kind: 'no_traffic', threshold: null })];
    const done = commands.execute('maas:remove-alert');
    await settle();
    const select = document.querySelector('.jp-Dialog select') as HTMLSelectElement;
    select.selectedIndex = 1;
    (document.querySelector('.jp-Dialog .jp-mod-accept') as HTMLElement).click();
    await vi.advanceTimersByTimeAsync(100);
    await done;
    expect(asked()).toContain('DELETE alerts/rules/local/digits/no_traffic');
  });

  it('shows rules and history in a dialog', async () => {
    answer = { alerts: [alert()] };
    start();
    await settle();
    const done = commands.execute('maas:show-alerts');
    await vi.advanceTimersByTimeAsync(100);
    expect(text()).toContain('Latency (p95) above 250 ms for 1m');
    expect(text()).toContain('Nothing has fired yet.');
    (document.querySelector('.jp-Dialog .jp-mod-accept') as HTMLElement).click();
    await vi.advanceTimersByTimeAsync(100);
    await done;
  });
});
