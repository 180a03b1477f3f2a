import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';

import { maasIcon } from './icon';
import { MaasPanel } from './panel';
import { IMaas } from './tokens';

const SHOW_PANEL = 'maas:show-panel';

/** The side panel, and the command that shows it. */
export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'maas-jupyter:panel',
  description: 'A side panel with the models of the registry, the runs that train them and the endpoints that serve them, live.',
  autoStart: true,
  requires: [IMaas],
  optional: [ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    maas: IMaas,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const { trans } = maas.locale;
    const widget = new MaasPanel(maas.model, maas.locale, (command, args) => {
      // The plugin that brings it may be disabled.
      if (app.commands.hasCommand(command)) {
        void app.commands.execute(command, args);
      }
    });
    app.shell.add(widget, 'left', { rank: 500 });
    restorer?.add(widget, widget.id);

    app.commands.addCommand(SHOW_PANEL, {
      label: trans.__('Show MaaS panel'),
      caption: trans.__('Show the models, runs and endpoints'),
      icon: maasIcon,
      execute: () => app.shell.activateById(widget.id)
    });
    palette?.addItem({ command: SHOW_PANEL, category: trans.__('MaaS') });
  }
};
