import type { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, type ICommandPalette, Notification, type WidgetTracker } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { MessageLoop } from '@lumino/messaging';
import { ContextMenu, Panel, Widget } from '@lumino/widgets';
import React, { act } from 'react';
import { createRoot } from 'react-dom/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { OPEN_DASHBOARD } from '../src/dashboard/open';
import { ExecuteContext } from '../src/execute';
import { Locale } from '../src/locale';
import { families } from '../src/modelPage/lineage';
import { isBetter, measured, metricNames } from '../src/modelPage/metrics';
import { modelPagePlugin } from '../src/modelPage/modelPagePlugin';
import type { ModelPageWidget } from '../src/modelPage/modelPageWidget';
import { OPEN_MODEL } from '../src/modelPage/open';
import { OpenModelPage } from '../src/modelPage/openButton';
import type { LastEvaluation, Origin, VersionDetails } from '../src/modelPage/schema';
import { endpoint, snapshot, traffic, version } from './samples';
import { type Route, served } from './servers';

function evaluation(changes: Partial<LastEvaluation> = {}): LastEvaluation {
  return {
    subject: 'digits/1',
    rows: 10,
    time: 1_700_000_000,
    metrics: { accuracy: 0.9, log_loss: 0.3 },
    intervals: { accuracy: [0.85, 0.95] },
    classes: [
      { label: 'cat', precision: 1, recall: 0.75, f1: 0.86, support: 4 },
      { label: 'dog', precision: 0.86, recall: 1, f1: 0.92, support: 6 }
    ],
    confusion: {
      labels: ['cat', 'dog'],
      counts: [
        [3, 1],
        [0, 6]
      ],
      left_out: 0
    },
    notes: [],
    ...changes
  };
}

const TRAINING: Origin = {
  run_id: 'abcdef0123',
  verb: 'train',
  name: 'digits',
  method: '',
  command: '',
  started: 1_700_000_000,
  commit: '',
  uncommitted: false,
  params: {}
};

function details(number: string, changes: Partial<VersionDetails> = {}): VersionDetails {
  return {
    name: 'digits',
    version: number,
    aliases: [],
    task: 'classification',
    precision: 'fp32',
    size: 4000,
    parameters: 9610,
    created: 1_700_000_000,
    digest: 'd'.repeat(64),
    parent: null,
    metrics: { accuracy: 0.9 },
    model_description: '',
    description: '',
    inputs: [],
    outputs: [],
    labels: [],
    preprocessing: {},
    runtime: 'onnx',
    origin: TRAINING,
    training: null,
    trained_as: 'digits/1',
    packages: {},
    evaluation: null,
    passed: null,
    gates: [],
    comparison: '',
    troubles: [],
    ...changes
  };
}

const VERSIONS = [
  version({ version: '3', aliases: [], parent: null, precision: 'fp32' }),
  version({ version: '2', aliases: [], parent: 'digits/1' }),
  version({ version: '1', aliases: ['champion'], parent: null, precision: 'fp32' })
];

const SECOND = details('2', {
  parent: 'digits/1',
  precision: 'int8',
  size: 1000,
  metrics: { accuracy: 0.88, accuracy_change: -0.02, p50_ms: 0.02, agreement: 0.99, memory_mb: 3 },
  origin: { ...TRAINING, verb: 'quantize', method: 'static-int8', command: '%maas quantize digits' },
  evaluation: evaluation({ subject: 'digits/2', metrics: { accuracy: 0.7, log_loss: 0.2 }, intervals: { accuracy: [0.65, 0.75] } }),
  passed: false,
  gates: ['✗ accuracy>=0.9: 0.7'],
  comparison: 'original\nstatic-int8 winner'
});

const ROUTES: Record<string, Route> = {
  snapshot: () =>
    snapshot({
      endpoints: [
        endpoint({ traffic: [traffic({ version: '1', weight: 90 }), traffic({ version: '2', weight: 10 })] }),
        endpoint({ target: 'far', kind: 'Triton', traffic: [traffic({ version: '1' })] })
      ],
      samples: {}
    }),
  models: () => ({ number: 1, total: 1, offset: 0, rows: [{ name: 'digits' }] }),
  'models/digits': () => ({ name: 'digits', updated: 1, versions: VERSIONS }),
  'models/digits/versions/1/details': () => details('1', { evaluation: evaluation() }),
  'models/digits/versions/2/details': () => SECOND,
  'models/digits/versions/3/details': () => details('3'),
  'models/digits/versions/1/card': () => ({ reference: 'digits/1', text: '# digits/1' }),
  'models/digits/versions/2/card': () => ({ reference: 'digits/2', text: '# digits/2' }),
  'models/digits/versions/3/card': () => ({ reference: 'digits/3', text: '# digits/3' })
};

interface Restored {
  readonly command: string;
  readonly args: (widget: Widget) => unknown;
  readonly name: (widget: Widget) => string;
}

let main: Panel;
let commands: CommandRegistry;
let contextMenu: ContextMenu;
let restored: { tracker: WidgetTracker<ModelPageWidget>; options: Restored };
let hit: HTMLElement[];
const palette = { addItem: vi.fn() };
const rendered = vi.fn();

/** Draws nothing but the text, and remembers whether it was trusted. */
const rendermime = {
  createModel: (options: { data: Record<string, string>; trusted: boolean }) => options,
  createRenderer: () => {
    const widget = new Widget();
    return Object.assign(widget, {
      renderModel: async (model: { data: Record<string, string>; trusted: boolean }) => {
        rendered(model.trusted);
        widget.node.innerHTML = `<pre>${model.data['text/markdown']}</pre>`;
      }
    });
  }
} as unknown as IRenderMimeRegistry;

function started(routes: Record<string, Route> = {}): { asked: string[] } {
  const { model, asked } = served({ ...ROUTES, ...routes });
  commands = new CommandRegistry();
  contextMenu = new ContextMenu({ commands });
  const app = {
    commands,
    contextMenu,
    contextMenuHitTest: (test: (node: HTMLElement) => boolean) => hit.find(test),
    shell: { add: (widget: Widget) => main.addWidget(widget), activateById: vi.fn() }
  } as unknown as JupyterFrontEnd;
  const restorer = {
    restore: (tracker: WidgetTracker<ModelPageWidget>, options: Restored) => {
      restored = { tracker, options };
      return Promise.resolve();
    }
  } as unknown as ILayoutRestorer;
  const maas = { model, locale: new Locale(nullTranslator) };
  void modelPagePlugin.activate(app, maas, palette as unknown as ICommandPalette, restorer, rendermime);
  return { asked };
}

const page = (): ModelPageWidget => main.widgets[0] as ModelPageWidget;
const find = (selector: string): HTMLElement | null => page().node.querySelector<HTMLElement>(selector);
const all = (selector: string): HTMLElement[] => [...page().node.querySelectorAll<HTMLElement>(selector)];
const texts = (fact: string): string[] =>
  all(`[data-fact='${fact}'] td`).map(cell => (cell.textContent ?? '').replace(/\s+/g, ' ').trim());

/** Open a page, and wait until everything that it asks for is drawn. */
async function opened(args: Record<string, string | string[]>, last = '.maas-card pre'): Promise<void> {
  await act(async () => {
    await commands.execute(OPEN_MODEL, args);
  });
  await drawn(() => expect(find(last)).not.toBeNull());
}

async function drawn(check: () => void): Promise<void> {
  await vi.waitFor(async () => {
    await act(async () => {
      MessageLoop.flush();
      await Promise.resolve();
    });
    check();
  });
}

beforeEach(() => {
  main = new Panel();
  Widget.attach(main, document.body);
  hit = [];
});

afterEach(() => {
  act(() => main.dispose());
  vi.restoreAllMocks();
  palette.addItem.mockReset();
  rendered.mockReset();
  document.body.replaceChildren();
});

describe('opening', () => {
  it('shows a version beside its parent', async () => {
    started();
    await opened({ model: 'digits', version: '2' });
    expect(page().title.label).toBe('digits');
    expect(page().model.chosen).toEqual(['1', '2']);
    expect(all('.maas-side-by-side thead th').map(each => each.dataset.version)).toEqual(['1', '2']);
    expect(find('.maas-card')?.textContent).toBe('# digits/2');
  });

  it('shows the newest version where none is named, and one page for each model', async () => {
    started();
    await opened({ model: 'digits' });
    expect(page().model.chosen).toEqual(['3']);
    await act(async () => {
      await commands.execute(OPEN_MODEL, { model: 'digits', version: '2' });
    });
    expect(main.widgets).toHaveLength(1);
    expect(page().model.chosen).toEqual(['1', '2']);
  });

  it('says which version is not there any more', async () => {
    started();
    await opened({ model: 'digits', version: '7' });
    expect(find('[data-notice="missing"]')?.textContent).toContain('no version 7');
    expect(page().model.chosen).toEqual(['3']);
  });

  it('takes the row of the context menu', async () => {
    started();
    const row = document.createElement('li');
    row.className = 'maas-model';
    row.dataset.model = 'digits';
    const inner = row.appendChild(document.createElement('div'));
    inner.dataset.version = '2';
    hit = [inner, row];
    document.body.append(row);
    let opens = false;
    row.addEventListener('contextmenu', event => (opens = contextMenu.open(event)));
    inner.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true }));
    expect(opens).toBe(true);
    const [item] = contextMenu.menu.items;
    expect(item.command).toBe(OPEN_MODEL);
    contextMenu.menu.close();
    await act(async () => {
      await commands.execute(OPEN_MODEL, item.args);
    });
    await drawn(() => expect(page().model.chosen).toEqual(['1', '2']));
  });

  it('says in words what goes wrong', async () => {
    const told = vi.spyOn(Notification, 'error').mockReturnValue('');
    started({ models: () => ({ number: 1, total: 0, offset: 0, rows: [] }) });
    await act(async () => {
      await commands.execute(OPEN_MODEL, {});
    });
    expect(told).toHaveBeenCalledWith('There are no models yet.');
    expect(palette.addItem.mock.calls[0][0]).toMatchObject({ command: OPEN_MODEL, category: 'MaaS' });
  });

  it('is restored with the versions that were chosen', async () => {
    started();
    await opened({ model: 'digits', versions: ['1', '3'] });
    expect(page().model.chosen).toEqual(['1', '3']);
    const { options, tracker } = restored;
    const save = vi.spyOn(tracker, 'save').mockResolvedValue();
    act(() => page().model.toggle('2'));
    expect(save).toHaveBeenCalledWith(page());
    expect(options.command).toBe(OPEN_MODEL);
    expect(options.args(page())).toEqual({ model: 'digits', versions: ['1', '2', '3'] });
    expect(options.name(page())).toBe('digits');
  });
});

describe('versions side by side', () => {
  it('tells what they are, how good, and what changed against the parent', async () => {
    started();
    await opened({ model: 'digits', version: '2' });
    await drawn(() => expect(texts('precision')).toEqual(['fp32', 'int8']));
    expect(texts('size')).toEqual(['4 kB', '1 kB75% smaller']);
    expect(texts('parameters')).toEqual(['9,610', '9,610']);
    expect(texts('evaluation.accuracy')).toEqual(['0.90.85 to 0.95', '0.7-0.2 worse0.65 to 0.75']);
    expect(texts('evaluation.log_loss')).toEqual(['0.3', '0.2-0.1 better']);
    expect(texts('measured.p50_ms')).toEqual(['–', '0.02 ms']);
    expect(texts('measured.agreement')).toEqual(['–', '99%']);
    expect(texts('gates')[1]).toBe('not passed✗ accuracy>=0.9: 0.7');
    expect(texts('parent')).toEqual(['trained', 'digits/1']);
    expect(texts('method')).toEqual(['train', 'static-int8']);
    expect(texts('command')).toEqual(['–', '%maas quantize digits']);
    expect(texts('comparison')[1]).toContain('static-int8 winner');
    // What the evaluations say of all is not said twice.
    expect(find("[data-fact='registered.accuracy']")).toBeNull();
  });

  it('tells who serves them, and opens the dashboard', async () => {
    started();
    const execute = vi.fn();
    commands.addCommand(OPEN_DASHBOARD, { execute });
    await opened({ model: 'digits', version: '2' });
    expect(texts('served')).toEqual(['on local 90%', 'on local 10%']);
    act(() => find('[data-fact="served"] button')?.click());
    expect(execute.mock.calls[0][0]).toMatchObject({ target: 'local', name: 'digits' });
  });

  it('adds versions and takes them away, but the last', async () => {
    started();
    await opened({ model: 'digits' });
    expect(find('[aria-label="Do not show digits/3"]')).toBeNull();
    const select = find('.maas-add-version select') as HTMLSelectElement;
    expect([...select.options].map(option => option.value)).toEqual(['', '2', '1']);
    act(() => {
      select.value = '1';
      select.dispatchEvent(new Event('change', { bubbles: true }));
    });
    expect(page().model.chosen).toEqual(['1', '3']);
    await drawn(() => expect(texts('precision')).toEqual(['fp32', 'fp32']));
    act(() => find('[aria-label="Do not show digits/3"]')?.click());
    expect(page().model.chosen).toEqual(['1']);
    act(() => page().model.toggle('1'));
    expect(page().model.chosen).toEqual(['1']);
  });
});

describe('the confusion matrix', () => {
  it('has the numbers in its cells, named and shaded', async () => {
    started();
    await opened({ model: 'digits', version: '2' });
    await drawn(() => expect(all('.maas-confusion')).toHaveLength(2));
    const [first] = all('.maas-confusion');
    expect(first.dataset.reference).toBe('digits/1');
    const cells = [...first.querySelectorAll<HTMLElement>('tbody td:not(.maas-aside)')];
    expect(cells.map(cell => cell.textContent)).toEqual(['3', '1', '0', '6']);
    expect(cells[1].title).toBe('1 of 4 rows of cat were taken for dog');
    expect(cells.map(cell => cell.style.getPropertyValue('--maas-shade'))).toEqual(['52%', '30%', '0%', '60%']);
    expect(cells.map(cell => cell.dataset.right)).toEqual(['true', undefined, undefined, 'true']);
    expect([...first.querySelectorAll('[scope="row"]')].map(each => each.textContent)).toEqual(['cat', 'dog', 'precision']);
  });

  it('says how to get one', async () => {
    started();
    await opened({ model: 'digits' });
    await drawn(() => expect(find('[data-part="confusion"] code')?.textContent).toBe('%maas evaluate digits/3 --data DATA'));
  });
});

describe('lineage', () => {
  it('is a tree whose versions are chosen by a button', async () => {
    started();
    await opened({ model: 'digits', version: '2' });
    expect(all('.maas-lineage > li').map(each => each.dataset.version)).toEqual(['1']);
    expect(all('.maas-lineage > li > ul > li').map(each => each.dataset.version)).toEqual(['2']);
    const button = find('.maas-lineage [data-version="2"] button');
    expect(button?.getAttribute('aria-pressed')).toBe('true');
    act(() => button?.click());
    expect(page().model.chosen).toEqual(['1']);
  });

  it('names a parent that was deleted, and survives a circle', () => {
    const [lost] = families('m', [version({ version: '2', parent: 'm/1' })], ['2']);
    expect(lost.lost).toBe('m/1');
    const circle = [version({ version: '1', parent: 'm/2' }), version({ version: '2', parent: 'm/1' })];
    const [one, ...others] = families('m', circle, ['1', '2']);
    expect([one.row.version, one.children.map(each => each.row.version), others]).toEqual(['2', ['1'], []]);
  });
});

describe('the card', () => {
  it('is drawn as JupyterLab draws what it does not trust, and copied', async () => {
    started();
    const copy = vi.spyOn(Clipboard, 'copyToSystem').mockImplementation(() => undefined);
    await opened({ model: 'digits', version: '2' });
    expect(rendered.mock.calls.flat()).not.toContain(true);
    expect(find('.maas-card pre')?.tabIndex).toBe(0);
    act(() => find('[data-tool="copy-card"]')?.click());
    expect(copy).toHaveBeenCalledWith('# digits/2');
  });
});

describe('what goes wrong', () => {
  const refusal = (message: string, status = 503) => new Response(JSON.stringify({ message, hint: 'Look there.' }), { status });

  it('is told for each version, and the others are shown', async () => {
    started({ 'models/digits/versions/2/details': () => refusal('The registry is away.') });
    await opened({ model: 'digits', version: '2' }, '[data-notice="trouble"]');
    expect(find('[data-notice="trouble"]')?.textContent).toBe('digits/2 cannot be shown: The registry is away. Look there.');
    await drawn(() => expect(texts('precision')[0]).toBe('fp32'));
  });

  it('is told of a card, and of what could not be read', async () => {
    started({
      'models/digits/versions/3/card': () => refusal('No card.'),
      'models/digits/versions/3/details': () => details('3', { troubles: ['The manifest cannot be read.'] })
    });
    await opened({ model: 'digits' }, '[data-notice="card"]');
    expect(find('[data-notice="card"]')?.textContent).toContain('No card.');
    await drawn(() => expect(find('[data-notice="trouble"]')?.textContent).toBe('The manifest cannot be read.'));
  });

  it('is told of a model that is gone, and asked again', async () => {
    let gone = true;
    started({
      'models/digits': url => (gone ? refusal("There is no model 'digits'.", 404) : ROUTES['models/digits'](url))
    });
    await opened({ model: 'digits' }, '[data-notice="registry"]');
    expect(find('[data-notice="registry"]')?.textContent).toContain("There is no model 'digits'.");
    gone = false;
    act(() => find('[data-tool="retry"]')?.click());
    await drawn(() => expect(page().model.chosen).toEqual(['3']));
    expect(find('[data-notice="registry"]')).toBeNull();
  });
});

describe('the page', () => {
  it('asks while it can be seen, and again when it is seen again', async () => {
    const { asked } = started();
    await opened({ model: 'digits' });
    const times = (): number => asked.filter(each => each === 'models/digits/versions/3/details').length;
    expect(times()).toBe(1);
    act(() => page().hide());
    act(() => page().show());
    await drawn(() => expect(times()).toBe(2));
    const { model } = page();
    act(() => page().dispose());
    expect(model.isDisposed).toBe(true);
  });
});

describe('metrics', () => {
  const parent = details('1', { evaluation: evaluation({ metrics: { accuracy: 0.72, log_loss: 0.3 } }) });

  it('tells no change of other rows, and no direction within the interval', () => {
    const within = details('2', { parent: 'digits/1', evaluation: evaluation({ metrics: { accuracy: 0.9 } }) });
    const near = details('1', { evaluation: evaluation({ metrics: { accuracy: 0.88 } }) });
    expect(measured('evaluation', 'accuracy', within, near)).toMatchObject({ clear: false });
    expect(measured('evaluation', 'accuracy', within, parent)).toMatchObject({ clear: true });
    const other = details('1', { evaluation: evaluation({ rows: 11 }) });
    expect(measured('evaluation', 'accuracy', within, other)?.change).toBeNull();
    expect(measured('evaluation', 'accuracy', { ...within, parent: null }, near)?.change).toBeNull();
  });

  it('takes the change that an optimisation measured', () => {
    expect(measured('registered', 'accuracy', SECOND, parent)?.change).toBe(-0.02);
    const plain = details('2', { parent: 'digits/1', metrics: { r2: 0.5 } });
    expect(measured('registered', 'r2', plain, details('1', { metrics: { r2: 0.75 } }))?.change).toBe(-0.25);
    expect(metricNames('registered', [SECOND])).toEqual([]);
    expect(metricNames('registered', [{ ...SECOND, evaluation: null }])).toEqual(['accuracy']);
  });

  it('knows what is better', () => {
    expect([isBetter('accuracy', 1), isBetter('val_loss', 1), isBetter('rmse', -1), isBetter('r2', 0)]).toEqual([
      true,
      false,
      true,
      null
    ]);
  });
});

describe('a row of the panel', () => {
  it('opens the page by its button', () => {
    const host = document.body.appendChild(document.createElement('div'));
    const root = createRoot(host);
    const execute = vi.fn();
    const draw = (value: typeof execute | null): void =>
      act(() =>
        root.render(
          React.createElement(
            ExecuteContext.Provider,
            { value },
            React.createElement(OpenModelPage, { model: 'digits' }),
            React.createElement(OpenModelPage, { model: 'digits', version: '2' })
          )
        )
      );
    draw(execute);
    const buttons = [...host.querySelectorAll('button')];
    expect(buttons.map(button => button.getAttribute('aria-label'))).toEqual([
      "Open the page of 'digits'",
      "Open the page of 'digits/2'"
    ]);
    buttons.forEach(button => act(() => button.click()));
    expect(execute.mock.calls).toEqual([
      [OPEN_MODEL, { model: 'digits' }],
      [OPEN_MODEL, { model: 'digits', version: '2' }]
    ]);
    draw(null);
    expect(host.querySelectorAll('button')).toHaveLength(0);
    act(() => root.unmount());
  });
});
