import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';

import { IMaas } from '../tokens';
import { UNWATCH_ENDPOINT, WATCH_ENDPOINT } from './commands';
import { WatchDialog } from './watchDialog';

/** The rows of endpoints that were not started here. */
const FOREIGN_ROW = '[data-endpoint][data-kind]';

/** Watching endpoints that this product did not start. */
export const attachPlugin: JupyterFrontEndPlugin<void> = {
  id: 'maas-jupyter:attach',
  description: 'Commands to watch endpoints that were not started here, and to stop watching them.',
  autoStart: true,
  requires: [IMaas],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, { model, locale }: IMaas, palette: ICommandPalette | null) => {
    const { trans } = locale;
    app.commands.addCommand(WATCH_ENDPOINT, {
      label: trans.__('Watch an Endpoint…'),
      caption: trans.__('Show an endpoint in the panel that was not started here'),
      describedBy: {
        args: {
          type: 'object',
          properties: { url: { type: 'string', description: trans.__('The address that the dialog begins with') } }
        }
      },
      execute: async args => {
        const dialog = new WatchDialog(locale, wanted => model.attachEndpoint(wanted), String(args.url ?? ''));
        await dialog.launch();
        if (dialog.attached !== null) {
          const { name, kind, url } = dialog.attached;
          Notification.success(trans.__('%1 is watched: %2 at %3', name, kind, url), { autoClose: 5000 });
        }
      }
    });
    app.commands.addCommand(UNWATCH_ENDPOINT, {
      label: trans.__('Stop Watching This Server'),
      caption: trans.__('Show a server in the panel no longer that was not started here; it goes on'),
      describedBy: {
        args: {
          type: 'object',
          properties: { target: { type: 'string', description: trans.__('What the server is called') } }
        }
      },
      isEnabled: args => targetOf(app, args.target) !== null,
      execute: async args => {
        const target = targetOf(app, args.target);
        if (target === null) {
          return;
        }
        try {
          await model.detachEndpoint(target);
        } catch (error) {
          Notification.error(trans.__("'%1' is still watched: %2", target, (error as Error).message));
        }
      }
    });
    app.contextMenu.addItem({ command: UNWATCH_ENDPOINT, selector: FOREIGN_ROW, rank: 100 });
    palette?.addItem({ command: WATCH_ENDPOINT, category: trans.__('MaaS') });
  }
};

/** The server that is meant: the one that is named, else the one of the row whose context menu is open. */
function targetOf(app: JupyterFrontEnd, named: unknown): string | null {
  if (typeof named === 'string' && named !== '') {
    return named;
  }
  return app.contextMenuHitTest(node => node.matches(FOREIGN_ROW))?.dataset.target ?? null;
}
