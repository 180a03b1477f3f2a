import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { maasIcon } from './icon';
import { MaasModel } from './model';
import { MaasPanel } from './panel';

const SHOW_PANEL = 'maas:show-panel';

const panel: JupyterFrontEndPlugin<void> = {
  id: 'maas-jupyter:panel',
  description: 'A side panel with the models of the registry, the runs that train them and the endpoints that serve them, live.',
  autoStart: true,
  optional: [ITranslator, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const trans = (translator ?? nullTranslator).load('maas-jupyter');
    const widget = new MaasPanel(new MaasModel(app.serviceManager.serverSettings), translator ?? nullTranslator);
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

const plugins: JupyterFrontEndPlugin<void>[] = [panel];

export default plugins;
