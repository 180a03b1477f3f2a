import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, Notification, WidgetTracker } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';

import { OF_ROW, Subjects } from '../actions/subject';
import { modelPageIcon } from '../icon';
import { IMaas } from '../tokens';
import { ModelPageWidget } from './modelPageWidget';
import { OPEN_MODEL } from './open';
import { ModelPageModel } from './pageModel';

/** Rows of models and of versions in the panel. */
const ROWS = '.maas-model[data-model]';

/** The pages of models, and the command that opens one. */
export const modelPagePlugin: JupyterFrontEndPlugin<void> = {
  id: 'maas-jupyter:model-page',
  description: 'A page for each model: its versions side by side, its confusion matrix, its lineage and its card.',
  autoStart: true,
  requires: [IMaas],
  optional: [ICommandPalette, ILayoutRestorer, IRenderMimeRegistry],
  activate: (
    app: JupyterFrontEnd,
    maas: IMaas,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    rendermime: IRenderMimeRegistry | null
  ) => {
    const { model, locale } = maas;
    const { trans } = locale;
    const subjects = new Subjects(app, maas);
    const tracker = new WidgetTracker<ModelPageWidget>({ namespace: 'maas-model-page' });
    const execute = (command: string, args: Readonly<Record<string, string>>): void => {
      // The plugin that brings it may be disabled.
      if (app.commands.hasCommand(command)) {
        void app.commands.execute(command, args);
      }
    };
    const open = (name: string, version: string | undefined, chosen: readonly string[]): void => {
      let widget = tracker.find(each => each.id === ModelPageWidget.idOf(name));
      if (widget === undefined) {
        const page = new ModelPageModel(model, name, { version, versions: chosen });
        widget = new ModelPageWidget(page, locale, execute, rendermime);
        const made = widget;
        page.chosenChanged.connect(() => void tracker.save(made));
        void tracker.add(widget);
      } else if (version !== undefined) {
        widget.model.open(version);
      }
      if (widget.parent === null) {
        app.shell.add(widget, 'main');
      }
      // The main area of Jupyter Notebook holds its notebook and nothing else.
      if (widget.parent === null) {
        app.shell.add(widget, 'right');
      }
      app.shell.activateById(widget.id);
    };

    app.commands.addCommand(OPEN_MODEL, {
      label: trans.__('Open Model Page'),
      caption: trans.__('Show the versions of a model side by side, where they come from, and the model card'),
      icon: modelPageIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            model: { type: 'string' },
            version: { type: 'string' },
            versions: { type: 'array', items: { type: 'string' } },
            row: { type: 'boolean' }
          }
        }
      },
      execute: async args => {
        try {
          const subject = await subjects.model(args, trans.__('Page of which model?'));
          if (subject !== null) {
            const chosen = Array.isArray(args.versions) ? args.versions.filter(each => typeof each === 'string') : [];
            open(subject.model, subject.version, chosen);
          }
        } catch (error) {
          Notification.error(error instanceof Error ? error.message : String(error));
        }
      }
    });
    app.contextMenu.addItem({ command: OPEN_MODEL, selector: ROWS, rank: 0, args: OF_ROW });
    palette?.addItem({ command: OPEN_MODEL, category: trans.__('MaaS') });
    void restorer?.restore(tracker, {
      command: OPEN_MODEL,
      args: ({ model: page }) => ({ model: page.name, versions: [...page.chosen] }),
      name: ({ model: page }) => page.name
    });
  }
};
