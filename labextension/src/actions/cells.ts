import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Widget } from '@lumino/widgets';

import type { Group } from './plugin';
import { complain } from './progress';
import type { Arguments } from './subject';

type Kind = 'predict' | 'evaluate' | 'publish';

const BELOW = 'notebook:insert-cell-below';
const LOAD = '%load_ext maas_jupyter';

/** What is used of a notebook's cell: the package of notebooks is not among ours. */
interface Cell {
  readonly model: { readonly sharedModel: { getSource(): string; setSource(source: string): void } };
}

/** Cells that ask an endpoint, or evaluate or publish a model, written into the open notebook. */
export const cellActions: Group = ({ app, commands, subjects, places, maas }) => {
  const { trans } = maas.locale;
  const labels: Record<Kind, string> = {
    predict: trans.__('Insert Cell That Asks It'),
    evaluate: trans.__('Insert Cell That Evaluates It'),
    publish: trans.__('Insert Cell That Publishes It')
  };
  const general: Record<Kind, string> = {
    predict: trans.__('Insert Cell That Asks an Endpoint'),
    evaluate: trans.__('Insert Cell That Evaluates a Model'),
    publish: trans.__('Insert Cell That Publishes a Model')
  };

  const lineFor = async (kind: Kind, args: Arguments): Promise<string | null> => {
    if (kind === 'predict') {
      const subject = await subjects.endpoint(args, general.predict, row => row.name !== '*' && places.has(row.target));
      const on = subject === null || subject.target === 'local' ? '' : ` --on ${subject.target}`;
      return subject && `%maas predict ${subject.name} X${on}`;
    }
    const subject = await subjects.model(args, general[kind]);
    if (subject === null) {
      return null;
    }
    const reference = subject.version === undefined ? subject.model : `${subject.model}/${subject.version}`;
    return kind === 'evaluate' ? `%maas evaluate ${reference} --data test` : `%maas publish ${reference}`;
  };

  commands.addCommand('maas:insert-cell', {
    label: args => (args.row === true ? labels : general)[kindOf(args)],
    caption: trans.__('Write a cell below the active one of the open notebook'),
    isEnabled: args =>
      notebookOf(app) !== null &&
      (args.row !== true || (kindOf(args) === 'predict' ? subjects.namedEndpoint(args) : subjects.namedModel(args)) !== null),
    execute: async args => {
      try {
        const line = await lineFor(kindOf(args), args);
        if (line !== null) {
          await insert(app, line, trans.__('Open a notebook first, and click on the cell below which the new one goes.'));
        }
      } catch (error) {
        complain(error, trans);
      }
    }
  });

  const kinds: readonly Kind[] = ['predict', 'evaluate', 'publish'];
  return {
    palette: kinds.map(kind => ({ command: 'maas:insert-cell', args: { kind } })),
    menu: kinds.map(kind => ({
      command: 'maas:insert-cell',
      args: { kind },
      selector: kind === 'predict' ? '[data-endpoint]' : '[data-model]'
    }))
  };
};

function kindOf({ kind, name }: Arguments): Kind {
  return kind === 'predict' || kind === 'evaluate' || kind === 'publish' ? kind : name === undefined ? 'publish' : 'predict';
}

/** The notebook in front, as far as it is used here; null where there is none. */
function notebookOf(app: Pick<JupyterFrontEnd, 'shell' | 'commands'>): Widget | null {
  const widget = app.shell.currentWidget;
  return widget !== null && app.commands.hasCommand(BELOW) && activeCell(widget) !== null ? widget : null;
}

function activeCell(widget: Widget): Cell | null {
  return asCell((widget as unknown as { content?: { activeCell?: unknown } }).content?.activeCell);
}

function asCell(value: unknown): Cell | null {
  const shared = (value as Partial<Cell> | null | undefined)?.model?.sharedModel;
  return typeof shared?.setSource === 'function' && typeof shared.getSource === 'function' ? (value as Cell) : null;
}

async function insert(app: Pick<JupyterFrontEnd, 'shell' | 'commands'>, line: string, advice: string): Promise<void> {
  const notebook = notebookOf(app);
  if (notebook === null || !app.commands.isEnabled(BELOW)) {
    throw new Error(advice);
  }
  const before = activeCell(notebook);
  const loaded = cellsOf(notebook).some(cell => cell.model.sharedModel.getSource().includes(LOAD));
  await app.commands.execute(BELOW);
  const cell = activeCell(notebook);
  // What is written already is never written over.
  if (cell === null || cell === before || cell.model.sharedModel.getSource() !== '') {
    throw new Error(advice);
  }
  cell.model.sharedModel.setSource(loaded ? line : `${LOAD}\n${line}`);
  app.shell.activateById(notebook.id);
}

function cellsOf(notebook: Widget): Cell[] {
  const { widgets } = (notebook as unknown as { content: { widgets?: unknown } }).content;
  return Array.isArray(widgets) ? widgets.map(asCell).filter(cell => cell !== null) : [];
}
