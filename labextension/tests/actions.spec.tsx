import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { ContextMenu } from '@lumino/widgets';
import React from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { actionsPlugin } from '../src/actions/plugin';
import { Locale } from '../src/locale';
import { MaasModel } from '../src/model';
import { RowMenu } from '../src/rowMenu';
import type { EndpointRow, RunRow } from '../src/schema';
import type { IMaas } from '../src/tokens';
import { endpoint, model as modelRow, run, snapshot, traffic, version } from './samples';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly confirm: string | null;
  readonly body: unknown;
}

let asked: Asked[];
let answers: Record<string, () => Response>;
let rows: EndpointRow[];
let runs: RunRow[];
let commands: CommandRegistry;
let contextMenu: ContextMenu;
let maas: IMaas;
let currentWidget: unknown;
let opened: Element | null;
let root: Root | null;
let listed: { command: string; args?: unknown }[];

const json = (body: unknown, status = 200): Response => new Response(JSON.stringify(body), { status });
const base = 'http://hub.example/user/ada/';

function settings(): ServerConnection.ISettings {
  return ServerConnection.makeSettings({
    baseUrl: base,
    wsUrl: 'ws://hub.example/user/ada/',
    Request: class {
      readonly headers = new Headers();
      constructor(
        readonly url: string,
        readonly init: RequestInit
      ) {}
    } as unknown as typeof Request,
    fetch: (request: RequestInfo | URL) => {
      const { url, init } = request as unknown as { url: string; init: RequestInit };
      const { pathname, searchParams } = new URL(url);
      const path = decodeURIComponent(pathname.replace('/user/ada/maas-jupyter/', ''));
      const method = init.method ?? 'GET';
      if (path !== 'snapshot') {
        asked.push({ method, path, confirm: searchParams.get('confirm'), body: init.body ? JSON.parse(init.body as string) : null });
      }
      return Promise.resolve((answers[`${method} ${path}`] ?? (() => json({ message: 'Done.' })))());
    }
  });
}

/** As JupyterLab does: the menu opens on the event, and what is hit is looked for from its target. */
function activated(): JupyterFrontEnd {
  const app = {
    commands,
    contextMenu,
    contextMenuHitTest: (fits: (node: HTMLElement) => boolean) => {
      for (let node = opened; node !== null; node = node.parentElement) {
        if (fits(node as HTMLElement)) {
          return node;
        }
      }
      return undefined;
    },
    shell: {
      get currentWidget() {
        return currentWidget;
      },
      activateById: vi.fn()
    }
  } as unknown as JupyterFrontEnd;
  void actionsPlugin.activate(app, maas, { addItem: (item: { command: string }) => listed.push(item) });
  return app;
}

function onContextMenu(event: Event): void {
  opened = event.target as Element;
  contextMenu.open(event as MouseEvent);
}

/** Rows as the panel draws them. */
function drawn(html: string): HTMLElement {
  const host = document.body.appendChild(document.createElement('div'));
  host.className = 'rows';
  host.innerHTML = html;
  return host;
}

function openOn(selector: string): void {
  document.querySelector(selector)?.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true }));
}

function menuOf(selector: string): string[] {
  openOn(selector);
  const shown = contextMenu.menu.items.filter(item => item.isVisible);
  return shown.map(item => `${item.label}${item.isEnabled ? '' : ' ✗'}`);
}

const dialog = (): HTMLElement => document.querySelector('.jp-Dialog') as HTMLElement;
const accept = (): HTMLButtonElement => dialog().querySelector('button.jp-mod-accept') as HTMLButtonElement;
const field = (name: string): HTMLInputElement => dialog().querySelector(`[name="${name}"]`) as HTMLInputElement;
const shown = (): Promise<void> => vi.waitFor(() => expect(dialog()).not.toBeNull());
const notes = (): string[] => Notification.manager.notifications.map(each => `${each.type}: ${each.message}`);

function type(name: string, text: string): void {
  field(name).value = text;
  field(name).dispatchEvent(new Event('input', { bubbles: true }));
  field(name).dispatchEvent(new Event('change', { bubbles: true }));
}

async function looked(): Promise<void> {
  const watching = maas.model.watch();
  await vi.waitFor(() => expect(maas.model.state.endpoints).not.toBeNull());
  await vi.waitFor(() => expect(asked.some(each => each.path === 'targets')).toBe(true));
  watching.dispose();
  await Promise.resolve();
  asked.length = 0;
}

beforeEach(() => {
  asked = [];
  listed = [];
  runs = [];
  opened = null;
  root = null;
  currentWidget = null;
  rows = [endpoint({ traffic: [traffic({ weight: 75 }), traffic({ version: '4', weight: 25 })] })];
  const versions = [version({ version: '5', aliases: [] }), version({ version: '4', aliases: [] }), version()];
  answers = {
    'GET snapshot': () => json(snapshot({ endpoints: rows, runs })),
    'GET targets': () => json({ targets: ['local', 'gpu'], default: 'local', mlflow_url: null, mlflow_command: 'mlflow ui' }),
    'GET models': () => json({ number: 1, total: 1, offset: 0, rows: [modelRow()] }),
    'GET models/digits': () => json({ name: 'digits', updated: 0, versions })
  };
  commands = new CommandRegistry();
  contextMenu = new ContextMenu({ commands });
  maas = { model: new MaasModel(settings()), locale: new Locale(nullTranslator) };
  document.addEventListener('contextmenu', onContextMenu);
  // JupyterLab draws its dialogs when it likes.
  vi.stubGlobal('IS_REACT_ACT_ENVIRONMENT', false);
});

afterEach(() => {
  root?.unmount();
  document.removeEventListener('contextmenu', onContextMenu);
  Notification.dismiss();
  contextMenu.menu.dispose();
  maas.model.dispose();
  document.body.replaceChildren();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const MODEL = '<li data-model="digits"><b>digits</b><ul><li class="old" data-version="3"></li><li class="new" data-version="5"></li></ul></li>';

it('offers in the menu of an endpoint what makes sense there', async () => {
  rows = [
    rows[0],
    endpoint({ name: 'alone' }),
    endpoint({ name: 'off', url: '', state: 'stopped', traffic: [] }),
    endpoint({ name: 'resting', state: 'stopped', traffic: [traffic({ state: 'unloaded' })] }),
    endpoint({ name: '*', target: 'gpu', url: '' }),
    endpoint({ name: 'foreign', target: 'elsewhere' })
  ];
  activated();
  drawn(rows.map(row => `<li data-endpoint="${row.name}" data-target="${row.target}"></li>`).join(''));
  await looked();
  const predict = 'Insert Cell That Asks It ✗';
  const moves = ['Roll Back…', 'Load… ✗', 'Unload…', 'Unpublish…'];
  const asleep = ['Roll Back…', 'Load… ✗', 'Unload… ✗', 'Unpublish…'];
  const stop = 'Stop Local Server…';
  expect(menuOf('[data-endpoint="digits"]')).toEqual(['Promote…', ...moves, 'Copy curl', stop, predict]);
  expect(menuOf('[data-endpoint="alone"]')[0]).toBe('Promote… ✗');
  const start = 'Start Local Server';
  expect(menuOf('[data-endpoint="resting"]').slice(2, 4)).toEqual(['Load…', 'Unload… ✗']);
  expect(menuOf('[data-endpoint="off"]')).toEqual(['Promote… ✗', ...asleep, 'Copy curl ✗', start, predict]);
  for (const name of ['*', 'foreign']) {
    expect(menuOf(`[data-endpoint="${name}"]`).every(label => label.endsWith('✗'))).toBe(true);
  }
});

it('never offers to delete what serves, and says where it does', async () => {
  activated();
  drawn(MODEL);
  await looked();
  expect(menuOf('.old')).toContain('Delete Version… (published on local) ✗');
  expect(menuOf('.new')).toContain('Delete Version…');
  expect(menuOf('.new')).toContain('Delete Model… (published on local) ✗');
  expect(menuOf('b').some(label => label.startsWith('Delete version'))).toBe(false);
});

it('asks before it moves traffic, shows progress and what came of it', async () => {
  activated();
  await looked();
  const done = commands.execute('maas:promote', { target: 'local', name: 'digits' });
  await shown();
  expect(dialog().textContent).toContain('All traffic of digits on local goes to version 4.');
  type('reason', 'better');
  accept().click();
  await done;
  expect(asked).toEqual([
    { method: 'POST', path: 'endpoints/local/digits/promote', confirm: null, body: { reason: 'better' } }
  ]);
  expect(notes()).toEqual(['success: Done.']);
});

it('stops a run from its row and from the palette, and offers it for nothing else', async () => {
  runs = [run({ run_id: 'abc', name: 'digits' }), run({ run_id: 'def', name: 'wines', status: 'finished' })];
  activated();
  drawn('<ul><li data-run="abc"><b>digits</b></li><li data-run="def"><i>wines</i></li></ul>');
  await looked();
  expect(menuOf('i')).toContain('Stop Run ✗');
  expect(menuOf('b')).toContain('Stop Run');
  await commands.execute('maas:stop-run', { row: true });
  expect(asked).toEqual([{ method: 'POST', path: 'runs/abc/stop', confirm: null, body: null }]);
  expect(notes()).toEqual(['success: digits was asked to stop.']);

  const done = commands.execute('maas:stop-run');
  await shown();
  expect([...dialog().querySelectorAll('option')].map(each => each.value)).toEqual(['digits (run abc)']);
  accept().click();
  await done;
  expect(asked).toHaveLength(2);
  runs = [];
  const watching = maas.model.watch();
  await vi.waitFor(() => expect(maas.model.state.runs).toEqual([]));
  watching.dispose();
  await commands.execute('maas:stop-run');
  expect(notes()).toContain('error: Nothing is training now.');
});

it('does nothing where the dialog is left', async () => {
  activated();
  const done = commands.execute('maas:unpublish', { target: 'local', name: 'digits' });
  await shown();
  expect(accept().classList).toContain('jp-mod-warn');
  (dialog().querySelector('button.jp-mod-reject') as HTMLButtonElement).click();
  await done;
  expect(asked).toEqual([]);
  expect(notes()).toEqual([]);
});

it('takes a model out of memory, and brings back one that is not there', async () => {
  activated();
  answers['POST endpoints/local/digits/unload'] = () => json({ message: 'digits is stopped on local' });
  await looked();
  const subject = { target: 'local', name: 'digits' };
  const done = commands.execute('maas:unload', subject);
  await shown();
  expect(dialog().textContent).toContain('digits on local is taken out of memory');
  expect(accept().classList).toContain('jp-mod-warn');
  type('reason', 'for the night');
  accept().click();
  await done;
  expect(asked).toEqual([expect.objectContaining({ body: { reason: 'for the night' } })]);
  expect(notes()).toContain('success: digits is stopped on local');
  expect([commands.isEnabled('maas:load', subject), commands.isEnabled('maas:unload', subject)]).toEqual([false, true]);
});

it('shows an error in its own words with the next step, the whole of a long one on demand', async () => {
  const words = 'x'.repeat(150);
  answers['POST endpoints/local/digits/rollback'] = () => json({ message: words, hint: 'Publish another.' }, 409);
  activated();
  const done = commands.execute('maas:roll-back', { target: 'local', name: 'digits' });
  await shown();
  accept().click();
  await done;
  const [note] = Notification.manager.notifications;
  expect(note.type).toBe('error');
  const [whole] = note.options.actions ?? [];
  whole.callback(new MouseEvent('click'));
  await shown();
  expect(dialog().textContent).toContain(`${words}. Publish another.`);
  accept().click();
});

it('publishes with a share within its bounds only', async () => {
  activated();
  await looked();
  const done = commands.execute('maas:publish', { model: 'digits', version: '5' });
  await shown();
  expect(field('version').value).toBe('5');
  expect(field('canary').disabled).toBe(true);
  type('share', 'canary');
  expect(field('canary').disabled).toBe(false);
  for (const percent of ['0', '100', '2.5', '']) {
    type('canary', percent);
    expect(accept().disabled).toBe(true);
    dialog().dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
  }
  expect(asked.some(each => each.method === 'POST')).toBe(false);
  type('canary', '99');
  field('passed').checked = true;
  type('reason', 'try it');
  accept().click();
  await done;
  expect(asked.at(-1)).toEqual({
    method: 'POST',
    path: 'endpoints/local/digits/publish',
    confirm: null,
    body: { version: '5', canary: 99, shadow: false, require_passed: true, reason: 'try it' }
  });
  expect(notes()).toEqual(['success: Done.']);
});

it('offers a canary and a shadow only beside something that serves', async () => {
  activated();
  await looked();
  void commands.execute('maas:publish', { model: 'digits' });
  await shown();
  const usable = (): string[] =>
    [...(field('share') as unknown as HTMLSelectElement).options].filter(each => !each.disabled).map(each => each.value);
  expect(usable()).toEqual(['all', 'canary', 'shadow']);
  type('share', 'shadow');
  type('target', 'gpu');
  expect([usable(), field('share').value]).toEqual([['all'], 'all']);
  (dialog().querySelector('button.jp-mod-reject') as HTMLButtonElement).click();
});

it('deletes once the name is typed, and names the aliases that go', async () => {
  activated();
  const done = commands.execute('maas:delete-version', { model: 'digits', version: '3' });
  await shown();
  expect(dialog().textContent).toContain('These aliases go with it: @champion');
  expect(accept().disabled).toBe(true);
  for (const typed of ['digits', 'digits/33', 'Digits/3', 'digits/3 or so']) {
    type('confirm', typed);
    expect(accept().disabled).toBe(true);
    dialog().dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
  }
  type('confirm', 'digits/3');
  expect(accept().disabled).toBe(false);
  accept().click();
  await done;
  expect(asked.filter(each => each.method === 'DELETE')).toEqual([
    { method: 'DELETE', path: 'models/digits/versions/3', confirm: 'digits/3', body: null }
  ]);
});

it('deletes a model with all its versions', async () => {
  activated();
  const done = commands.execute('maas:delete-model', { model: 'digits' });
  await shown();
  expect(dialog().textContent).toContain('digits with its 3 versions');
  type('confirm', 'digits');
  accept().click();
  await done;
  expect(asked.at(-1)).toMatchObject({ method: 'DELETE', path: 'models/digits/versions', confirm: 'digits' });
});

it('points an alias at a version', async () => {
  activated();
  const done = commands.execute('maas:set-alias', { model: 'digits', version: '4' });
  await shown();
  type('alias', '9 lives');
  expect(accept().disabled).toBe(true);
  type('alias', 'best');
  accept().click();
  await done;
  expect(asked.at(-1)).toMatchObject({ method: 'PUT', path: 'models/digits/aliases/best', body: { version: '4' } });
});

it('asks from the palette which one is meant', async () => {
  activated();
  const done = commands.execute('maas:promote');
  await shown();
  expect((dialog().querySelector('select') as HTMLSelectElement).options[0].text).toBe('digits on local');
  accept().click();
  await vi.waitFor(() => expect(dialog().textContent).toContain('All traffic of digits'));
  accept().click();
  await done;
  expect(asked.at(-1)?.path).toBe('endpoints/local/digits/promote');
  expect(listed.map(item => item.command)).toEqual(expect.arrayContaining(['maas:publish', 'maas:delete-model']));
});

it('says so where there is nothing to choose from', async () => {
  rows = [];
  answers['GET models'] = () => json({ number: 1, total: 0, offset: 0, rows: [] });
  activated();
  await commands.execute('maas:promote');
  await commands.execute('maas:publish');
  expect(notes().sort()).toEqual([
    'error: There are no models yet.',
    'error: There is no endpoint for which this makes sense now.'
  ]);
});

it('copies a reference, and the line for a shell that the server makes', async () => {
  answers['GET endpoints/local/digits/curl'] = () => json({ text: 'curl -s URL' });
  const copied = vi.spyOn(Clipboard, 'copyToSystem').mockImplementation(() => undefined);
  activated();
  await commands.execute('maas:copy-curl', { target: 'local', name: 'digits' });
  await commands.execute('maas:copy-reference', { model: 'digits', version: '3' });
  await commands.execute('maas:copy-reference', { model: 'digits' });
  expect(copied.mock.calls.flat()).toEqual(['curl -s URL', 'digits/3', 'digits']);
});

it("opens MLflow's page of a version where the registry is a server", async () => {
  answers['GET targets'] = () => json({ targets: ['local'], default: 'local', mlflow_url: 'https://mlflow.example', mlflow_command: null });
  const open = vi.spyOn(window, 'open').mockReturnValue(null);
  activated();
  drawn(MODEL);
  await looked();
  openOn('.old');
  await commands.execute('maas:open-mlflow', { row: true });
  expect(open.mock.calls[0][0]).toBe('https://mlflow.example/#/models/digits/versions/3');
});

it('says what shows the pages of a registry that is a file, to be copied', async () => {
  const copied = vi.spyOn(Clipboard, 'copyToSystem').mockReturnValue();
  activated();
  await looked();
  const done = commands.execute('maas:open-mlflow');
  await shown();
  expect(dialog().textContent).toContain('Typed into a terminal, this shows its pages: mlflow ui');
  accept().click();
  await done;
  expect(copied.mock.calls).toEqual([['mlflow ui']]);
});

it('starts and stops the local server, once it was said what stops', async () => {
  rows = [endpoint(), endpoint({ name: 'wines', state: 'stopped' }), endpoint({ name: 'far', target: 'gpu' })];
  activated();
  drawn(
    '<p data-endpoint="digits" data-target="local"><b>digits</b></p>' +
      '<p data-endpoint="wines" data-target="local"><i>wines</i></p>' +
      '<p data-endpoint="far" data-target="gpu"><u>far</u></p>'
  );
  await looked();
  const [start, stop] = ['Start Local Server', 'Stop Local Server…'];
  const offered = (row: string): string[] => menuOf(row).filter(label => label.includes('Local Server'));
  expect([offered('b'), offered('i'), offered('u')]).toEqual([[stop], [start], []]);
  const done = commands.execute('maas:stop-server');
  await shown();
  expect(dialog().textContent).toContain('1 endpoint answers no more: digits.');
  accept().click();
  await done;
  await commands.execute('maas:start-server');
  expect(asked.map(each => each.path)).toEqual(['targets/local/stop', 'targets/local/start']);
  expect(notes()).toEqual(['success: Done.', 'success: Done.']);
});

/** As much of a notebook as is used. */
function notebook(...sources: string[]): { content: { activeCell: unknown; widgets: unknown[] }; id: string } {
  const cell = (source: string): unknown => {
    let text = source;
    return { model: { sharedModel: { getSource: () => text, setSource: (changed: string) => (text = changed) } } };
  };
  const widgets = sources.map(cell);
  const made = { id: 'notebook', content: { activeCell: widgets[0], widgets } };
  commands.addCommand('notebook:insert-cell-below', {
    execute: () => {
      made.content.activeCell = cell('');
      widgets.splice(1, 0, made.content.activeCell);
    }
  });
  return made;
}

it.each([
  [['x = 1'], '%load_ext maas_jupyter\n%maas predict digits X --on gpu'],
  [['%load_ext maas_jupyter'], '%maas predict digits X --on gpu']
])('writes a cell below the active one of the open notebook', async (sources, written) => {
  const app = activated();
  expect(commands.isEnabled('maas:insert-cell', { kind: 'predict' })).toBe(false);
  const open = (currentWidget = notebook(...sources));
  await commands.execute('maas:insert-cell', { kind: 'predict', target: 'gpu', name: 'digits' });
  const cell = open.content.widgets[1] as { model: { sharedModel: { getSource(): string } } };
  expect(cell.model.sharedModel.getSource()).toBe(written);
  expect(app.shell.activateById).toHaveBeenCalledWith('notebook');
});

it('writes over nothing where no cell came', async () => {
  activated();
  const open = (currentWidget = notebook('x = 1'));
  vi.spyOn(commands, 'execute').mockResolvedValueOnce(undefined);
  const write = vi.spyOn(
    (open.content.widgets[0] as { model: { sharedModel: { setSource(text: string): void } } }).model.sharedModel,
    'setSource'
  );
  await CommandRegistry.prototype.execute.call(commands, 'maas:insert-cell', { kind: 'evaluate', model: 'digits' });
  expect(write).not.toHaveBeenCalled();
  expect(notes()[0]).toContain('Open a notebook first');
});

it('opens the menu of a row with its button and with Shift+F10, and gives the focus back', async () => {
  activated();
  const host = drawn('');
  root = createRoot(host);
  root.render(
    <li data-endpoint="digits" data-target="local">
      <RowMenu name="digits" />
    </li>
  );
  await looked();
  await vi.waitFor(() => expect(host.querySelector('.maas-row-menu')).not.toBeNull());
  const button = host.querySelector('.maas-row-menu') as HTMLElement;
  expect(button.getAttribute('aria-label')).toBe('Actions for digits');
  button.focus();
  button.click();
  expect(contextMenu.menu.isAttached).toBe(true);
  contextMenu.menu.close();
  await Promise.resolve();
  expect(document.activeElement).toBe(button);

  const pressed = new KeyboardEvent('keydown', { key: 'F10', shiftKey: true, bubbles: true, cancelable: true });
  button.dispatchEvent(pressed);
  expect([contextMenu.menu.isAttached, pressed.defaultPrevented]).toEqual([true, true]);
});
