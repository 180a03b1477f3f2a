import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { ContextMenu } from '@lumino/widgets';
import React, { act } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { attachPlugin } from '../src/attach/attachPlugin';
import { UNWATCH_ENDPOINT, WATCH_ENDPOINT } from '../src/attach/commands';
import { WatchDialog } from '../src/attach/watchDialog';
import { EndpointsSection } from '../src/endpoints';
import { ExecuteContext } from '../src/execute';
import { Locale } from '../src/locale';
import { type AttachedServer, MaasModel, RequestError, type WantedEndpoint } from '../src/model';
import { sample, watched } from './samples';

const locale = new Locale(nullTranslator);
const SERVER: AttachedServer = { name: 'triton', url: 'http://gpu-box:8000', kind: 'Triton' };

/** What JupyterLab draws is not drawn by a test. */
function drawnByJupyterLab(): void {
  beforeAll(() => void Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: false }));
  afterAll(() => void Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true }));
}

function within<T extends Element>(parent: ParentNode, selector: string): T {
  const found = parent.querySelector<T>(selector);
  if (found === null) {
    throw new Error(`There is no ${selector}.`);
  }
  return found;
}

describe('the model', () => {
  interface Asked {
    readonly method: string;
    readonly path: string;
    readonly body: unknown;
  }

  function made(status: number, answer: unknown): { model: MaasModel; asked: Asked[] } {
    const asked: Asked[] = [];
    const settings = ServerConnection.makeSettings({
      baseUrl: 'http://hub.example/user/ada/',
      wsUrl: 'ws://hub.example/user/ada/',
      // jsdom's AbortSignal is none that Node's Request knows.
      Request: class {
        readonly headers = new Headers();

        constructor(
          readonly url: string,
          readonly init: RequestInit
        ) {}
      } as unknown as typeof Request,
      fetch: (request: RequestInfo | URL) => {
        const { url, init } = request as unknown as { url: string; init: RequestInit };
        const path = new URL(url).pathname.replace('/user/ada/maas-jupyter/', '');
        if (path === 'snapshot') {
          return Promise.resolve(new Response('{}'));
        }
        const body: unknown = typeof init.body === 'string' ? JSON.parse(init.body) : null;
        asked.push({ method: init.method ?? 'GET', path, body });
        const text = answer === null ? null : JSON.stringify(answer);
        return Promise.resolve(new Response(text, { status }));
      }
    });
    return { model: new MaasModel(settings), asked };
  }

  const wanted: WantedEndpoint = { url: SERVER.url, name: '', metrics: '', token_env: '', ca_file: '', insecure: false };

  it('attaches', async () => {
    const { model, asked } = made(201, SERVER);
    expect(await model.attachEndpoint(wanted)).toEqual(SERVER);
    expect(asked).toEqual([{ method: 'POST', path: 'attached', body: wanted }]);
    model.dispose();
  });

  it('says why it could not', async () => {
    const { model } = made(400, { message: 'It is of no kind that is known.', hint: 'Known are Triton.' });
    await expect(model.attachEndpoint(wanted)).rejects.toEqual(
      new RequestError('server', 'It is of no kind that is known. Known are Triton.')
    );
    model.dispose();
  });

  it('detaches by name', async () => {
    const { model, asked } = made(204, null);
    await model.detachEndpoint('my box');
    expect(asked).toEqual([{ method: 'DELETE', path: 'attached/my%20box', body: null }]);
    model.dispose();
  });
});

describe('the dialog', () => {
  drawnByJupyterLab();

  const attach = vi.fn<(wanted: WantedEndpoint) => Promise<AttachedServer>>();
  let dialog: WatchDialog;
  let closed: Promise<unknown>;

  async function open(url = ''): Promise<void> {
    dialog = new WatchDialog(locale, attach, url);
    closed = dialog.launch();
    await vi.waitFor(() => input('url'));
    await dialog.ready;
  }

  const input = (name: string): HTMLInputElement => within(dialog.node, `input[name="${name}"]`);
  const accept = (): HTMLButtonElement => within(dialog.node, 'button.jp-mod-accept');
  const problem = (): string | null => within(dialog.node, '[role="alert"]').textContent;
  const status = (): string | null => within(dialog.node, '[role="status"]').textContent;

  afterEach(async () => {
    dialog.reject();
    await closed;
    attach.mockReset();
  });

  it('begins at the address, and every field has a label', async () => {
    await open('http://here:8000');
    expect(input('url').value).toBe('http://here:8000');
    await vi.waitFor(() => expect(document.activeElement).toBe(input('url')));
    const fields = [...dialog.node.querySelectorAll<HTMLInputElement>('input')];
    expect(fields.map(field => field.labels?.[0]?.textContent?.trim())).not.toContain(undefined);
  });

  it('closes once the endpoint is watched', async () => {
    attach.mockResolvedValue(SERVER);
    await open();
    input('url').value = ' http://gpu-box:8000 ';
    input('name').value = 'gpu';
    input('token_env').value = 'GPU_TOKEN';
    accept().click();
    await closed;
    expect(dialog.attached).toEqual(SERVER);
    expect(attach).toHaveBeenCalledExactlyOnceWith({
      url: 'http://gpu-box:8000',
      name: 'gpu',
      metrics: '',
      token_env: 'GPU_TOKEN',
      ca_file: '',
      insecure: false
    });
  });

  it('shows that it is at work, and asks once', async () => {
    let finish: (server: AttachedServer) => void = () => undefined;
    attach.mockReturnValue(new Promise(resolve => (finish = resolve)));
    await open('http://gpu-box:8000');
    accept().click();
    await vi.waitFor(() => expect(status()).toBe('Finding out what answers there…'));
    expect(accept().getAttribute('aria-disabled')).toBe('true');
    accept().click();
    expect(attach).toHaveBeenCalledTimes(1);
    finish(SERVER);
    await closed;
  });

  it('stays open with the reason, and tries again with what was typed', async () => {
    attach.mockRejectedValueOnce(new RequestError('server', 'Nothing answers.')).mockResolvedValueOnce(SERVER);
    await open();
    input('url').value = 'http://gpu-box:8000';
    accept().click();
    await vi.waitFor(() => expect(problem()).toBe('Nothing answers.'));
    expect(status()).toBe('');
    expect(input('url').getAttribute('aria-invalid')).toBe('true');
    expect(input('url').value).toBe('http://gpu-box:8000');
    expect(dialog.isAttached).toBe(true);
    accept().click();
    await closed;
    expect(dialog.attached).toEqual(SERVER);
  });

  it('wants an address', async () => {
    await open();
    dialog.resolve();
    await vi.waitFor(() => expect(problem()).toBe('Type the address of the server.'));
    expect(attach).not.toHaveBeenCalled();
  });

  it('is given up', async () => {
    await open();
    within<HTMLButtonElement>(dialog.node, 'button.jp-mod-reject').click();
    await closed;
    expect(dialog.attached).toBeNull();
    expect(attach).not.toHaveBeenCalled();
  });
});

describe('the commands', () => {
  drawnByJupyterLab();

  const model = { attachEndpoint: vi.fn(), detachEndpoint: vi.fn() };
  let commands: CommandRegistry;
  let clicked: HTMLElement | null;
  let menu: ContextMenu;

  beforeEach(() => {
    commands = new CommandRegistry();
    menu = new ContextMenu({ commands });
    clicked = null;
    const app = {
      commands,
      contextMenu: menu,
      contextMenuHitTest: (test: (node: HTMLElement) => boolean) =>
        clicked !== null && test(clicked) ? clicked : undefined
    } as unknown as JupyterFrontEnd;
    void attachPlugin.activate(app, { model: model as unknown as MaasModel, locale }, null);
    model.attachEndpoint.mockReset().mockResolvedValue(SERVER);
    model.detachEndpoint.mockReset().mockResolvedValue(undefined);
  });

  it('watch asks, and says what it found', async () => {
    const done = commands.execute(WATCH_ENDPOINT, { url: 'http://gpu-box:8000' });
    await vi.waitFor(() => within(document, '.maas-watch-dialog input[name="url"]'));
    within<HTMLButtonElement>(document, '.maas-watch-dialog button.jp-mod-accept').click();
    await done;
    expect(Notification.manager.notifications.map(each => each.message)).toContain(
      'triton is watched: Triton at http://gpu-box:8000'
    );
    Notification.dismiss();
  });

  it('unwatch means the row that was clicked', async () => {
    expect(commands.isEnabled(UNWATCH_ENDPOINT)).toBe(false);
    clicked = document.createElement('li');
    Object.assign(clicked.dataset, { endpoint: 'resnet', target: 'triton', kind: 'Triton' });
    expect(commands.isEnabled(UNWATCH_ENDPOINT)).toBe(true);
    await commands.execute(UNWATCH_ENDPOINT);
    expect(model.detachEndpoint).toHaveBeenCalledExactlyOnceWith('triton');
  });

  it('unwatch is offered for rows of other servers only', () => {
    const host = document.body.appendChild(document.createElement('ul'));
    host.innerHTML = '<li data-endpoint="resnet" data-target="gpu" data-kind="Triton"></li><li data-endpoint="digits"></li>';
    let shown = false;
    host.addEventListener('contextmenu', event => (shown = menu.open(event)));
    const offered = (name: string): boolean => {
      const row = within<HTMLElement>(host, `[data-endpoint="${name}"]`);
      clicked = row;
      row.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true }));
      menu.menu.close();
      return shown;
    };
    expect(offered('resnet')).toBe(true);
    expect(offered('digits')).toBe(false);
    host.remove();
  });

  it('says why one is still watched', async () => {
    model.detachEndpoint.mockRejectedValue(new Error('The disk is full.'));
    await commands.execute(UNWATCH_ENDPOINT, { target: 'triton' });
    expect(Notification.manager.notifications.map(each => each.message)).toContain(
      "'triton' is still watched: The disk is full."
    );
    Notification.dismiss();
  });
});

function drawn(element: React.ReactElement): { host: HTMLElement; root: Root } {
  const host = document.body.appendChild(document.createElement('div'));
  const root = createRoot(host);
  act(() => root.render(element));
  return { host, root };
}

function erase(host: HTMLElement, root: Root): void {
  act(() => root.unmount());
  host.remove();
}

describe('the row', () => {
  const TRITON = watched({
    name: 'resnet',
    target: 'gpu',
    kind: 'Triton',
    untold: ['p50_ms', 'p95_ms', 'p99_ms', 'memory', 'cpu'],
    latest: sample(100, { p50_ms: null, p95_ms: null, p99_ms: null, mean_ms: 2.5, memory: null })
  });
  let host: HTMLElement;
  let root: Root;

  const stats = (): (string | undefined)[] =>
    [...host.querySelectorAll<HTMLElement>('.maas-stats [data-stat]')].map(node => node.dataset.stat);

  afterEach(() => erase(host, root));

  it('says what serves, and shows what that tells', () => {
    ({ host, root } = drawn(<EndpointsSection rows={[TRITON]} />));
    expect(host.querySelector('.maas-kind')?.textContent).toBe('Triton');
    expect(host.querySelector<HTMLElement>('[data-endpoint="resnet"]')?.dataset.kind).toBe('Triton');
    expect(stats()).toEqual(['requests_per_second', 'mean_ms', 'errors_per_second', 'waiting', 'batch_rows']);
    expect(host.querySelector('[data-stat="mean_ms"] dd')?.textContent).toBe('2.5 ms');
  });

  it('counts no errors where they are not told', () => {
    const row = watched({ kind: 'KServe', untold: ['errors_per_second', 'waiting', 'batch_rows', 'codes'] });
    ({ host, root } = drawn(<EndpointsSection rows={[row]} />));
    expect(stats()).toEqual(['requests_per_second', 'p50_ms', 'p95_ms', 'p99_ms', 'memory']);
    expect(host.querySelector('[data-stat="errors_total"]')).toBeNull();
    expect(host.querySelector('[data-stat="requests_total"]')?.textContent).toBe('1,204 requests');
  });

  it('says nothing of our own servers, which tell everything', () => {
    ({ host, root } = drawn(<EndpointsSection rows={[watched()]} />));
    expect(host.querySelector('.maas-kind')).toBeNull();
    expect(host.querySelector<HTMLElement>('[data-endpoint="digits"]')?.dataset.kind).toBeUndefined();
    expect(stats()).not.toContain('mean_ms');
    expect(stats()).toHaveLength(8);
  });

  it('says why a server shows no models', () => {
    const row = watched({ name: '*', target: 'gpu', kind: 'Triton', reason: 'It serves no model.', samples: [] });
    ({ host, root } = drawn(<EndpointsSection rows={[row]} />));
    expect(host.querySelector('.maas-reason')?.textContent).toBe('It serves no model.');
    expect(stats()).toEqual([]);
  });

  it('has a button in the header that asks for one', () => {
    const execute = vi.fn();
    ({ host, root } = drawn(
      <ExecuteContext.Provider value={execute}>
        <EndpointsSection rows={[]} />
      </ExecuteContext.Provider>
    ));
    const button = within<HTMLButtonElement>(host, '.maas-watch');
    expect(button.getAttribute('aria-label')).toBe('Watch an endpoint that was not started here');
    button.click();
    expect(execute).toHaveBeenCalledExactlyOnceWith(WATCH_ENDPOINT, {});
  });
});
