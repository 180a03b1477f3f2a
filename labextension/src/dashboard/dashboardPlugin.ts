import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, InputDialog, IThemeManager, Notification, WidgetTracker } from '@jupyterlab/apputils';

import type { Execute } from '../execute';
import { dashboardIcon } from '../icon';
import type { MaasModel, WatchedEndpoint } from '../model';
import { IMaas } from '../tokens';
import { DashboardModel, isRange, type Range, RANGES } from './dashboardModel';
import { DashboardWidget } from './dashboardWidget';
import { OPEN_DASHBOARD } from './open';

/** Rows of endpoints that are known by name. */
const ROWS = '.maas-endpoint[data-endpoint]:not([data-endpoint="*"])';

/** Which endpoint a dashboard is of. */
interface Which {
  readonly target: string;
  readonly name: string;
}

/** The dashboards of endpoints, and the command that opens one. */
export const dashboardPlugin: JupyterFrontEndPlugin<void> = {
  id: 'maas-jupyter:dashboard',
  description: 'A dashboard for each endpoint: what it did in the last minutes or hours, in charts.',
  autoStart: true,
  requires: [IMaas],
  optional: [ICommandPalette, ILayoutRestorer, IThemeManager],
  activate: (
    app: JupyterFrontEnd,
    { model, locale }: IMaas,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    themes: IThemeManager | null
  ) => {
    const { trans } = locale;
    const tracker = new WidgetTracker<DashboardWidget>({ namespace: 'maas-dashboard' });
    const open = ({ target, name }: Which, range?: Range): void => {
      let widget = tracker.find(each => each.id === DashboardWidget.idOf(target, name));
      if (widget === undefined) {
        const execute: Execute = (command, args) => void app.commands.execute(command, { ...args });
        const dashboard = new DashboardModel(model, target, name, range);
        widget = new DashboardWidget(dashboard, locale, themes?.themeChanged ?? null, execute);
        const made = widget;
        dashboard.rangeChanged.connect(() => void tracker.save(made));
        void tracker.add(widget);
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
    const underTheMenu = (): Which | null => {
      const row = app.contextMenuHitTest(node => node.matches(ROWS));
      return row ? { target: row.dataset.target ?? '', name: row.dataset.endpoint ?? '' } : null;
    };
    const asked = async (): Promise<Which | null> => {
      const known = (await endpointsOf(model)).filter(row => row.name !== '*');
      const items = known.map(row => `${row.target}/${row.name}`);
      if (items.length === 0) {
        const none = trans.__('No endpoints yet. Publish a model: %maas publish NAME');
        Notification.info(model.state.problem?.message ?? none);
        return null;
      }
      const { value } = await InputDialog.getItem({ title: trans.__('Dashboard of which endpoint?'), items });
      return value === null ? null : known[items.indexOf(value)];
    };

    app.commands.addCommand(OPEN_DASHBOARD, {
      label: trans.__('Open Dashboard'),
      caption: trans.__('Show what an endpoint did in the last minutes or hours'),
      icon: dashboardIcon,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            target: { type: 'string' },
            name: { type: 'string' },
            range: { type: 'number', enum: [...RANGES], description: trans.__('Seconds that a new one begins with') },
            choose: { type: 'boolean' }
          }
        }
      },
      execute: async args => {
        const { target, name } = args;
        const given = typeof target === 'string' && typeof name === 'string' ? { target, name } : null;
        const which = given ?? (args.choose === true ? null : underTheMenu()) ?? (await asked());
        if (which !== null) {
          open(which, isRange(args.range) ? args.range : undefined);
        }
      }
    });
    app.contextMenu.addItem({ command: OPEN_DASHBOARD, selector: ROWS, rank: 0 });
    // What was last clicked with the other button says nothing to the palette.
    palette?.addItem({ command: OPEN_DASHBOARD, category: trans.__('MaaS'), args: { choose: true } });
    void restorer?.restore(tracker, {
      command: OPEN_DASHBOARD,
      args: ({ model: { target, name, range } }) => ({ target, name, range }),
      name: ({ model: { target, name } }) => `${target}/${name}`
    });
  }
};

/** What the model knows; where nobody has looked yet, what one look gives. */
async function endpointsOf(model: MaasModel): Promise<readonly WatchedEndpoint[]> {
  const watching = model.watch();
  try {
    while (model.state.endpoints === null && model.state.problem === null) {
      await new Promise<void>(resolve => {
        const once = (): void => {
          model.changed.disconnect(once);
          resolve();
        };
        model.changed.connect(once);
      });
    }
    return model.state.endpoints ?? [];
  } finally {
    watching.dispose();
  }
}
