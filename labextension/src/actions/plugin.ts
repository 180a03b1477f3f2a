import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';

import { openRowMenu } from '../rowMenu';
import { IMaas } from '../tokens';
import { cellActions } from './cells';
import { endpointActions } from './endpoints';
import { modelActions } from './models';
import { KnownPlaces } from './places';
import { runActions } from './runs';
import { serverActions } from './server';
import { type Arguments, OF_ROW, Subjects } from './subject';

/** What a group of actions is made from. */
export interface Parts {
  readonly app: JupyterFrontEnd;
  readonly commands: JupyterFrontEnd['commands'];
  readonly subjects: Subjects;
  readonly places: KnownPlaces;
  readonly maas: IMaas;
}

interface Item {
  readonly command: string;
  readonly args?: Arguments;
}

interface MenuItem extends Item {
  readonly selector: string;
  /** What cannot be undone stands below everything else. */
  readonly last?: boolean;
}

/** The rank below everything else of a row's menu. */
const LAST = 1_000;

/** Adds commands, and says what goes into the palette and into the menus of rows. */
export type Group = (parts: Parts) => {
  readonly palette: readonly (string | Item)[];
  readonly menu: readonly MenuItem[];
};

const ROWS = '[data-endpoint], [data-model], [data-run]';

/** What can be done to endpoints, models and versions: commands, in the palette and in the context menus of rows. */
export const actionsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'maas-jupyter:actions',
  description: 'Publishes, promotes, rolls back, names and deletes from the panel, with keyboard and palette.',
  autoStart: true,
  requires: [IMaas],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, maas: IMaas, palette: ICommandPalette | null) => {
    const { commands } = app;
    const places = new KnownPlaces(maas.model, () => commands.notifyCommandChanged());
    const parts: Parts = { app, commands, subjects: new Subjects(app, maas), places, maas };
    // What opens a page comes first, at rank 0.
    let rank = 1;
    for (const group of [endpointActions, serverActions, modelActions, runActions, cellActions]) {
      const { palette: listed, menu } = group(parts);
      for (const each of listed) {
        const item = typeof each === 'string' ? { command: each } : each;
        palette?.addItem({ command: item.command, args: item.args as never, category: maas.locale.trans.__('MaaS') });
      }
      for (const { command, args, selector, last = false } of menu) {
        const place = (last ? LAST : 0) + rank++;
        app.contextMenu.addItem({ command, selector, rank: place, args: { ...args, ...OF_ROW } as never });
      }
    }
    app.contextMenu.addItem({ type: 'separator', selector: '[data-model]', rank: LAST });
    // The browser's own event of these keys says that Shift is held, which asks JupyterLab for the browser's menu.
    document.addEventListener('keydown', event => {
      const row = event.target instanceof Element ? event.target.closest(ROWS) : null;
      if (event.key === 'F10' && event.shiftKey && row !== null && event.target instanceof HTMLElement) {
        event.preventDefault();
        openRowMenu(event.target);
      }
    });
    // A menu that closes leaves the keyboard nowhere.
    const { menu } = app.contextMenu;
    let from: HTMLElement | null = null;
    document.addEventListener(
      'contextmenu',
      event => {
        const row = event.target instanceof Element ? event.target.closest(ROWS) : null;
        from = row !== null && document.activeElement instanceof HTMLElement ? document.activeElement : null;
      },
      true
    );
    menu.aboutToClose.connect(() => {
      const back = from;
      from = null;
      // After the menu has let go, and before a dialog that the command shows remembers where the focus was.
      queueMicrotask(() => document.activeElement === document.body && back?.focus());
    });
  }
};
