import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, InputDialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { IDisposable } from '@lumino/disposable';

import { ask } from '../actions/form';
import { complain } from '../actions/progress';
import { type EndpointSubject, OF_ROW, Subjects } from '../actions/subject';
import { RequestError } from '../model';
import type { AlertKind, AlertRow } from '../schema';
import { IMaas } from '../tokens';
import { Announcer } from './announcer';
import { Badge } from './badge';
import { AlertClient } from './client';
import { AlertListWidget } from './list';
import { RuleForm } from './ruleForm';
import { condition, KINDS } from './words';

const ADD = 'maas:add-alert';
const REMOVE = 'maas:remove-alert';
const SHOW = 'maas:show-alerts';

/** Milliseconds between two looks while the panel is hidden. */
export const SLOW = 10_000;

/** Milliseconds for which it is said that a rule came or went. */
const DONE_STAYS = 6_000;

/** The rows of endpoints; one that stands for a whole target can have no rules. */
const ROW = '.maas-endpoint[data-endpoint]:not([data-endpoint="*"])';

/** Notifications, the badge, and the commands of alerts. */
export const alertsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'maas-jupyter:alerts',
  description: 'Tells when an endpoint is unwell and when it is well again.',
  autoStart: true,
  requires: [IMaas],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, maas: IMaas, palette: ICommandPalette | null) => {
    const client = new AlertClient(maas.model);
    addCommands(app, maas, client, palette);
    const key = `maas-jupyter:alerts:${app.serviceManager.serverSettings.baseUrl}`;
    const announcer = new Announcer(maas.locale, key, () => void app.commands.execute(SHOW));
    follow(app, maas, announcer);
    // The panel may be closed. Whether there is anything to wait for is asked once; then the poll goes on by itself.
    void app.restored.then(async () => {
      try {
        if ((await client.rules()).length > 0 && maas.model.state.alerts === null) {
          const first = maas.model.watch(SLOW);
          const done = (): void => {
            if (maas.model.state.alerts !== null) {
              maas.model.changed.disconnect(done);
              first.dispose();
            }
          };
          maas.model.changed.connect(done);
        }
      } catch (error) {
        // The panel says what is wrong as soon as somebody looks.
        if (!(error instanceof RequestError)) {
          throw error;
        }
      }
    });
  }
};

/** Tell of what changes, and keep looking while there are rules. */
export function follow(app: Pick<JupyterFrontEnd, 'shell'>, { model, locale }: IMaas, announcer: Announcer): void {
  let told: readonly AlertRow[] | null = null;
  let watching: IDisposable | null = null;
  let badge: Badge | null = null;
  model.changed.connect(() => {
    const { alerts } = model.state;
    if (alerts === null || alerts === told) {
      return;
    }
    told = alerts;
    if (alerts.length > 0) {
      watching ??= model.watch(SLOW);
    } else {
      watching?.dispose();
      watching = null;
    }
    announcer.announce(alerts);
    if (badge === null) {
      const sides = [...app.shell.widgets('left'), ...app.shell.widgets('right')];
      const panel = sides.find(widget => widget.id === 'maas-panel');
      badge = panel === undefined ? null : new Badge(panel.title, locale.trans);
    }
    badge?.show(alerts.filter(alert => alert.state === 'firing').length);
  });
}

function addCommands(app: JupyterFrontEnd, maas: IMaas, client: AlertClient, palette: ICommandPalette | null): void {
  const { trans } = maas.locale;
  const subjects = new Subjects(app, maas);

  const remove = async (rule: Pick<AlertRow, 'target' | 'name' | 'kind'>): Promise<void> => {
    await client.remove(rule);
    Notification.success(trans.__('The alert of %1 is removed.', rule.name), { autoClose: DONE_STAYS });
  };

  app.commands.addCommand(ADD, {
    label: args => (args.row === true ? trans.__('Add Alert…') : trans.__('Add an Alert to an Endpoint…')),
    caption: trans.__('Be told when the endpoint is unwell'),
    execute: args =>
      complaining(maas, async () => {
        const subject = await subjects.endpoint(args, trans.__('Add alert'), row => row.name !== '*');
        if (subject === null) {
          return;
        }
        const { target, name } = subject;
        const form = new RuleForm({ target, name }, maas.locale, kindOf(args.kind) ?? undefined);
        const title = trans.__('Alert for %1 on %2', name, target);
        const values = await ask(form, { title, accept: trans.__('Add'), cancel: trans.__('Cancel') });
        if (values !== null) {
          const row = await client.put(form.rule(values));
          const words = trans.__('%1 is watched: %2.', name, condition(row, maas.locale));
          Notification.success(words, { autoClose: DONE_STAYS });
        }
      })
  });

  app.commands.addCommand(REMOVE, {
    label: args => (args.row === true ? trans.__('Remove Alert…') : trans.__('Remove an Alert…')),
    caption: trans.__('Be told no more'),
    isEnabled: args => args.row !== true || rulesOf(maas, subjects.namedEndpoint(args)).length > 0,
    execute: args =>
      complaining(maas, async () => {
        const subject = subjects.namedEndpoint(args);
        const kind = kindOf(args.kind);
        if (subject !== null && kind !== null) {
          await remove({ ...subject, kind });
          return;
        }
        const rules = maas.model.state.alerts === null ? await client.rules() : rulesOf(maas, subject);
        if (rules.length === 0) {
          throw new Error(trans.__('There are no alerts.'));
        }
        const items = rules.map(rule => trans.__('%1 on %2: %3', rule.name, rule.target, condition(rule, maas.locale)));
        const { value } = await InputDialog.getItem({ title: trans.__('Remove alert'), label: trans.__('Alert'), items });
        const chosen = value === null ? undefined : rules[items.indexOf(value)];
        if (chosen !== undefined) {
          await remove(chosen);
        }
      })
  });

  app.commands.addCommand(SHOW, {
    label: trans.__('Show Alerts'),
    caption: trans.__('Show the rules of alerts and what fired and cleared'),
    execute: async () => {
      const body = new AlertListWidget(maas.model, maas.locale, {
        history: () => client.history(),
        onRemove: rule => void complaining(maas, () => remove(rule))
      });
      await showDialog({ title: trans.__('Alerts'), body, buttons: [Dialog.okButton({ label: trans.__('Close') })] });
    }
  });

  for (const command of [ADD, REMOVE, SHOW]) {
    palette?.addItem({ command, category: trans.__('MaaS') });
  }
  app.contextMenu.addItem({ type: 'separator', selector: ROW, rank: 40 });
  app.contextMenu.addItem({ command: ADD, args: OF_ROW, selector: ROW, rank: 41 });
  app.contextMenu.addItem({ command: REMOVE, args: OF_ROW, selector: ROW, rank: 42 });
  app.contextMenu.addItem({ command: SHOW, selector: ROW, rank: 43 });
}

function rulesOf({ model }: IMaas, subject: EndpointSubject | null): readonly AlertRow[] {
  const rules = model.state.alerts ?? [];
  return subject === null ? rules : rules.filter(rule => rule.target === subject.target && rule.name === subject.name);
}

function kindOf(kind: unknown): AlertKind | null {
  return KINDS.find(each => each === kind) ?? null;
}

/** Carry out a command, and say what stood in its way. */
async function complaining({ locale }: IMaas, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    complain(error, locale.trans);
  }
}
