import type { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import { StateDB } from '@jupyterlab/statedb';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';
import { Panel, Widget } from '@lumino/widgets';
import { act } from 'react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import schema from '../schema/panel.json';
import { Locale } from '../src/locale';
import type { MaasModel } from '../src/model';
import { panelPlugin } from '../src/panelPlugin';
import { preferencesOf, USUAL } from '../src/preferences';
import { model as row, sample, sent, snapshot, version } from './samples';
import { served } from './servers';

/** Settings as the registry has them. */
class Settings {
  readonly changed = new Signal<this, void>(this);
  composite: ReadonlyPartialJSONObject = {};

  set(composite: ReadonlyPartialJSONObject): void {
    this.composite = composite;
    this.changed.emit();
  }
}

let left: Panel;
let settings: Settings;
let database: StateDB;
let commands: CommandRegistry;
let locale: Locale;
let model: MaasModel;
let asked: string[];

/** Start JupyterLab, or reload it, and look at the panel. */
async function started(): Promise<void> {
  act(() => left?.dispose());
  left = new Panel();
  locale = new Locale(nullTranslator);
  commands = new CommandRegistry();
  ({ model, asked } = served({
    snapshot: () => snapshot({ samples: { 'local/digits': sent(sample(98), sample(100)) } }),
    models: () => ({ number: 1, total: 1, offset: 0, rows: [row()] }),
    'models/digits': () => ({ name: 'digits', updated: 0, versions: [version(), version({ version: '2' })] })
  }));
  const shell = { add: (widget: Widget) => left.addWidget(widget), activateById: () => undefined };
  const app = { commands, shell } as unknown as JupyterFrontEnd;
  const registry = { load: () => Promise.resolve(settings) } as unknown as ISettingRegistry;
  const palette = { addItem: () => undefined } as unknown as ICommandPalette;
  const restorer = { add: () => undefined } as unknown as ILayoutRestorer;
  await act(async () => {
    void panelPlugin.activate(app, { model, locale }, palette, restorer, registry, database);
    Widget.attach(left, document.body);
    await Promise.resolve();
  });
  await until('[data-model="digits"]', 1);
}

/** Wait until so many are drawn. */
async function until(selector: string, count: number): Promise<void> {
  await vi.waitFor(async () => {
    await act(() => Promise.resolve());
    expect(all(selector), selector).toHaveLength(count);
  });
}

function all(selector: string): HTMLElement[] {
  return [...left.node.querySelectorAll<HTMLElement>(selector)];
}

const words = (selector: string): (string | null)[] => all(selector).map(node => node.textContent);

const click = (selector: string): Promise<void> =>
  act(async () => {
    all(selector)[0].click();
    await Promise.resolve();
  });

const set = (composite: ReadonlyPartialJSONObject): Promise<void> =>
  act(async () => {
    settings.set(composite);
    await Promise.resolve();
  });

beforeEach(() => {
  settings = new Settings();
  database = new StateDB();
});

afterEach(() => {
  act(() => left?.dispose());
  document.body.replaceChildren();
});

describe('the schema', () => {
  const defaults = (part: { properties: object }): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(part.properties).map(([name, each]) => [name, each.properties ? defaults(each) : each.default])
    );

  it('has the same settings and the same defaults', () => {
    expect(defaults(schema)).toEqual(USUAL);
  });

  it('leaves what was not chosen as it is', () => {
    const { models, ...others } = preferencesOf({ sizes: 'binary', models: { size: true } });
    expect(models).toEqual({ ...USUAL.models, size: true });
    expect(others).toEqual({ ...USUAL, models: undefined, sizes: 'binary' });
  });
});

describe('a setting', () => {
  it('counts from the start, and from when it changes', async () => {
    settings.composite = { refreshInterval: 5 };
    await started();
    expect(model.interval).toBe(5_000);
    await set({ refreshInterval: 1 });
    expect(model.interval).toBe(1_000);
  });

  it('changes the units in place', async () => {
    await started();
    expect(words('[data-stat="memory"] dd')).toEqual(['80 MB']);
    await set({ sizes: 'binary' });
    expect(words('[data-stat="memory"] dd')).toEqual(['76.3 MiB']);
    expect(locale.format.latency(12_000)).toBe('12 s');
    await set({ latencies: 'milliseconds' });
    expect(locale.format.latency(12_000)).toBe('12,000 ms');
  });

  it('hides and shows columns of models', async () => {
    await started();
    expect(words('.maas-under .maas-details')).toEqual(['2 versions · classification · int8']);
    const none = Object.fromEntries(Object.keys(USUAL.models).map(name => [name, false]));
    await set({ models: { ...none, size: true } });
    expect(words('.maas-model-row')).toEqual(['digits12.3 kB']);
  });

  it('hides and shows what is told of endpoints', async () => {
    await started();
    const none = Object.fromEntries(Object.keys(USUAL.endpoints).map(name => [name, false]));
    await set({ endpoints: { ...none, p95_ms: true } });
    expect(words('.maas-endpoint')).toEqual(['digitslocalreadyp953.18 ms']);
    expect(words('.maas-endpoint .maas-stat dt')).toEqual(['p95']);
  });
});

describe('a reload', () => {
  it('brings back the search, the sorting, what is folded and what is unfolded', async () => {
    await started();
    await click('[data-section="runs"] h2 button');
    await click('[data-model="digits"] > button');
    await click('.maas-order');
    await until('.maas-version', 2);
    await started();
    await until('.maas-version', 2);
    expect(all('[data-section="runs"] .maas-section-body')[0].hidden).toBe(true);
    expect(asked.filter(each => each.startsWith('models?')).at(-1)).toContain('order=asc');
  });

  it.each([['nothing at all'], [{ folded: 'runs', unfolded: [1, null], query: { search: 1 } }], [[]]])(
    'takes from another version what it knows: %o',
    async saved => {
      await database.save('maas-jupyter:panel', saved);
      await started();
      expect(all('[data-section] .maas-section-body').map(node => node.hidden)).toEqual([false, false, false]);
      expect(asked.filter(each => each.startsWith('models?')).at(-1)).toContain('search&sort=updated&order=desc');
    }
  );
});

it('opens the settings of JupyterLab, where it has an editor', async () => {
  await started();
  expect(commands.isEnabled('maas:open-settings')).toBe(false);
  const opened = vi.fn();
  commands.addCommand('settingeditor:open', { execute: opened });
  await commands.execute('maas:open-settings');
  expect(opened).toHaveBeenCalledWith({ query: 'MaaS' });
});

it('says what was typed at once, however long the registry takes', async () => {
  await started();
  const search = all('input[type="search"]')[0] as HTMLInputElement;
  act(() => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')?.set?.call(search, 'dig');
    search.dispatchEvent(new Event('input', { bubbles: true }));
  });
  expect(search.value).toBe('dig');
});
