import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { actionsPlugin } from './actions/plugin';
import { alertsPlugin } from './alerts/plugin';
import { attachPlugin } from './attach/attachPlugin';
import { dashboardPlugin } from './dashboard/dashboardPlugin';
import { Locale } from './locale';
import { MaasModel } from './model';
import { modelPagePlugin } from './modelPage/modelPagePlugin';
import { panelPlugin } from './panelPlugin';
import { IMaas } from './tokens';

const model: JupyterFrontEndPlugin<IMaas> = {
  id: 'maas-jupyter:model',
  description: 'Asks the server for models, runs and endpoints, while somebody looks.',
  autoStart: true,
  provides: IMaas,
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null): IMaas => ({
    model: new MaasModel(app.serviceManager.serverSettings),
    locale: new Locale(translator ?? nullTranslator)
  })
};

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  model,
  panelPlugin,
  dashboardPlugin,
  modelPagePlugin,
  attachPlugin,
  actionsPlugin,
  alertsPlugin
];

export default plugins;
