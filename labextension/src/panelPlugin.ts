import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { settingsIcon } from '@jupyterlab/ui-components';

import { maasIcon } from './icon';
import { MaasPanel } from './panel';
import { preferencesOf } from './preferences';
import { IMaas } from './tokens';

const SHOW_PANEL = 'maas:show-panel';
const OPEN_SETTINGS = 'maas:open-settings';

/** JupyterLab's command. */
const OPEN_SETTING_EDITOR = 'settingeditor:open';

/** Where the panel's state is kept; the plugin's settings are those of the schema with its name. */
const ID = 'maas-jupyter:panel';

/** The side panel, its settings, and the commands that show them. */
export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'A side panel with the models of the registry, the runs that train them and the endpoints that serve them, live.',
  autoStart: true,
  requires: [IMaas],
  optional: [ICommandPalette, ILayoutRestorer, ISettingRegistry, IStateDB],
  activate: (
    app: JupyterFrontEnd,
    maas: IMaas,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null,
    database: IStateDB | null
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
    void Promise.all([registry && follow(registry, maas, widget), database && keep(database, widget)]);

    app.commands.addCommand(SHOW_PANEL, {
      label: trans.__('Show MaaS Panel'),
      caption: trans.__('Show the models, runs and endpoints'),
      icon: maasIcon,
      execute: () => app.shell.activateById(widget.id)
    });
    app.commands.addCommand(OPEN_SETTINGS, {
      label: trans.__('MaaS Settings'),
      caption: trans.__('Choose how often the panel looks, its units, and what it shows'),
      icon: settingsIcon,
      isEnabled: () => app.commands.hasCommand(OPEN_SETTING_EDITOR),
      execute: () => app.commands.execute(OPEN_SETTING_EDITOR, { query: 'MaaS' })
    });
    for (const command of [SHOW_PANEL, OPEN_SETTINGS]) {
      palette?.addItem({ command, category: trans.__('MaaS') });
    }
  }
};

/** Do as the settings say, now and whenever they change. */
async function follow(registry: ISettingRegistry, maas: IMaas, widget: MaasPanel): Promise<void> {
  const settings = await registry.load(ID);
  const apply = (): void => {
    const preferences = preferencesOf(settings.composite);
    maas.model.interval = preferences.refreshInterval * 1000;
    maas.locale.setUnits(preferences);
    widget.preferences = preferences;
  };
  settings.changed.connect(apply);
  apply();
}

/** Bring back the state that the panel had before the reload, and keep it from then on. */
async function keep(database: IStateDB, widget: MaasPanel): Promise<void> {
  widget.restore(await database.fetch(ID));
  widget.savedChanged.connect(() => void database.save(ID, widget.saved));
}
