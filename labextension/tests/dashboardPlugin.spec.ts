import type { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { type ICommandPalette, Notification, type WidgetTracker } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { ContextMenu, Panel, Widget } from '@lumino/widgets';
import { CommandRegistry } from '@lumino/commands';
import React, { act } from 'react';
import { createRoot } from 'react-dom/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { dashboardPlugin } from '../src/dashboard/dashboardPlugin';
import type { DashboardWidget } from '../src/dashboard/dashboardWidget';
import { OPEN_DASHBOARD } from '../src/dashboard/open';
import { EndpointsSection } from '../src/endpoints';
import { ExecuteContext } from '../src/execute';
import { Locale } from '../src/locale';
import { endpoint, past, snapshot, watched } from './samples';
import { served } from './servers';

vi.mock('../src/dashboard/plot', async original => ({
  ...(await original<object>()),
  uplot: () => ({
    draw: () => undefined,
    point: () => undefined,
    resize: () => undefined,
    recolor: () => undefined,
    dispose: () => undefined
  })
}));

interface Restored {
  readonly command: string;
  readonly args: (widget: Widget) => unknown;
  readonly name: (widget: Widget) => string;
}

let main: Panel;
let commands: CommandRegistry;
let hit: HTMLElement | undefined;
let areas: string[];
let takes: (area: string) => boolean;
let restored: { tracker: WidgetTracker<DashboardWidget>; options: Restored };
const palette = { addItem: vi.fn() };
const activated = vi.fn();

/** Start the plugin in what it needs of JupyterLab, for a server with these endpoints. */
function started(...endpoints: ReturnType<typeof endpoint>[]): { contextMenu: ContextMenu; asked: string[] } {
  const { model, asked } = served({
    snapshot: () => snapshot({ endpoints, samples: {} }),
    'endpoints/local/digits/samples': () => past([]),
    'endpoints/gpu/digits/samples': () => past([])
  });
  commands = new CommandRegistry();
  const contextMenu = new ContextMenu({ commands });
  const app = {
    commands,
    contextMenu,
    contextMenuHitTest: (test: (node: HTMLElement) => boolean) => (hit && test(hit) ? hit : undefined),
    shell: {
      add: (widget: Widget, area: string) => {
        areas.push(area);
        if (takes(area)) {
          main.addWidget(widget);
        }
      },
      activateById: activated
    }
  } as unknown as JupyterFrontEnd;
  const restorer = {
    restore: (tracker: WidgetTracker<DashboardWidget>, options: Restored) => {
      restored = { tracker, options };
      return Promise.resolve();
    }
  } as unknown as ILayoutRestorer;
  const maas = { model, locale: new Locale(nullTranslator) };
  void dashboardPlugin.activate(app, maas, palette as unknown as ICommandPalette, restorer, null);
  return { contextMenu, asked };
}

const run = async (args: Record<string, string | boolean | number> = {}): Promise<void> =>
  act(() => commands.execute(OPEN_DASHBOARD, args));

const shown = (): DashboardWidget[] => [...main.widgets] as DashboardWidget[];

beforeEach(() => {
  main = new Panel();
  Widget.attach(main, document.body);
  hit = undefined;
  areas = [];
  takes = () => true;
});

afterEach(() => {
  act(() => main.dispose());
  palette.addItem.mockReset();
  activated.mockReset();
  vi.restoreAllMocks();
  document.body.replaceChildren();
});

describe('opening', () => {
  it('opens one dashboard for each endpoint in the main area', async () => {
    started(endpoint());
    await run({ target: 'local', name: 'digits' });
    await run({ target: 'gpu', name: 'digits' });
    await run({ target: 'local', name: 'digits' });
    expect(shown().map(widget => [widget.title.label, widget.title.caption, widget.title.closable])).toEqual([
      ['digits', "Dashboard of 'digits' on 'local'", true],
      ['digits', "Dashboard of 'digits' on 'gpu'", true]
    ]);
    expect(new Set(shown().map(widget => widget.id)).size).toBe(2);
    expect(shown()[0].title.icon).toBeDefined();
    expect(activated.mock.calls.map(([id]) => id as string)).toEqual([shown()[0].id, shown()[1].id, shown()[0].id]);
  });

  it('goes to the side where the main area takes nothing, as in Jupyter Notebook', async () => {
    started(endpoint());
    takes = area => area !== 'main';
    await run({ target: 'local', name: 'digits' });
    expect(areas).toEqual(['main', 'right']);
    expect(shown()).toHaveLength(1);
  });

  it('asks only while it can be seen', async () => {
    const { asked } = started(endpoint());
    await run({ target: 'local', name: 'digits' });
    await vi.waitFor(() => expect(asked).toContain('endpoints/local/digits/samples?seconds=300'));
    const [widget] = shown();
    const watching = vi.spyOn(widget.model, 'hide');
    act(() => widget.hide());
    expect(watching).toHaveBeenCalled();
    act(() => widget.dispose());
    expect(widget.model.isDisposed).toBe(true);
  });

  it('takes the row of the context menu, and none of a target that is silent', async () => {
    const { contextMenu } = started();
    hit = document.createElement('li');
    hit.className = 'maas-endpoint';
    Object.assign(hit.dataset, { endpoint: 'digits', target: 'gpu' });
    await run();
    expect(shown().map(widget => widget.model.target)).toEqual(['gpu']);
    document.body.append(hit);
    const opened: boolean[] = [];
    const open = (event: MouseEvent): number => opened.push(contextMenu.open(event));
    document.body.addEventListener('contextmenu', open);
    hit.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true }));
    expect(contextMenu.menu.items.map(item => item.command)).toEqual([OPEN_DASHBOARD]);
    contextMenu.menu.close();
    hit.dataset.endpoint = '*';
    hit.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true }));
    expect(opened).toEqual([true, false]);
    document.body.removeEventListener('contextmenu', open);
  });

  it('asks which one from the palette, whatever was clicked before', async () => {
    started(endpoint(), endpoint({ target: 'gpu' }), endpoint({ name: '*', target: 'far' }));
    const [{ args }] = palette.addItem.mock.calls[0] as [{ args: Record<string, boolean> }];
    hit = document.createElement('li');
    hit.className = 'maas-endpoint';
    Object.assign(hit.dataset, { endpoint: 'other', target: 'gpu' });
    const done = run(args);
    const select = await vi.waitFor(() => {
      const found = document.querySelector<HTMLSelectElement>('.jp-Dialog select');
      expect(found).not.toBeNull();
      return found as HTMLSelectElement;
    });
    expect([...select.options].map(option => option.value)).toEqual(['local/digits', 'gpu/digits']);
    select.value = 'gpu/digits';
    document.querySelector<HTMLElement>('.jp-Dialog .jp-mod-accept')?.click();
    await done;
    expect(shown().map(widget => widget.model.target)).toEqual(['gpu']);
  });

  it('says what to type where there are no endpoints', async () => {
    started();
    const told = vi.spyOn(Notification, 'info');
    await run({ choose: true });
    expect(told.mock.calls[0][0]).toContain('%maas publish');
    expect(shown()).toEqual([]);
  });
});

describe('a reload', () => {
  it('brings back what was open, by target and name', async () => {
    started(endpoint());
    await run({ target: 'local', name: 'digits' });
    const { tracker, options } = restored;
    const [widget] = shown();
    expect(tracker.size).toBe(1);
    expect(options.command).toBe(OPEN_DASHBOARD);
    expect(options.args(widget)).toEqual({ target: 'local', name: 'digits', range: 300 });
    expect(options.name(widget)).toBe('local/digits');
  });

  it('brings back the range that was chosen, where there is still such a one', async () => {
    started(endpoint());
    await run({ target: 'local', name: 'digits' });
    const { tracker, options } = restored;
    const saved = vi.spyOn(tracker, 'save');
    const [widget] = shown();
    act(() => widget.model.setRange(3600));
    expect(saved).toHaveBeenCalledWith(widget);
    const kept = options.args(widget) as { target: string; name: string; range: number };
    act(() => widget.dispose());
    await run(kept);
    expect(shown().map(each => each.model.range)).toEqual([3600]);
    act(() => shown()[0].dispose());
    await run({ ...kept, range: 86_400 });
    expect(shown().map(each => each.model.range)).toEqual([300]);
  });
});

describe('a row of the panel', () => {
  it('opens the dashboard by its button and by a double click', () => {
    const host = document.body.appendChild(document.createElement('div'));
    const root = createRoot(host);
    const execute = vi.fn();
    const rows = [watched(), watched({ name: '*', target: 'far', state: 'unavailable' })];
    act(() =>
      root.render(
        React.createElement(
          ExecuteContext.Provider,
          { value: execute },
          React.createElement(EndpointsSection, { rows })
        )
      )
    );
    const buttons = [...host.querySelectorAll<HTMLElement>('.maas-open-dashboard')];
    const names = buttons.map(button => button.getAttribute('aria-label'));
    expect(names).toEqual(["Open the dashboard of 'digits' on 'local'"]);
    act(() => buttons[0].click());
    act(() => void host.querySelector('.maas-endpoint')?.dispatchEvent(new MouseEvent('dblclick', { bubbles: true })));
    expect(execute.mock.calls).toEqual(Array(2).fill([OPEN_DASHBOARD, { target: 'local', name: 'digits' }]));
    act(() => root.unmount());
  });
});
