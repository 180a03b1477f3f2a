import { ask, Form } from './form';
import type { Group } from './plugin';
import { report } from './progress';
import type { Arguments } from './subject';

/** The one target whose server is started from here. */
const LOCAL = 'local';

/** Starts and stops the local model server, with everything that it serves. */
export const serverActions: Group = ({ commands, subjects, maas }) => {
  const { model } = maas;
  const { trans, format } = maas.locale;
  const served = (): string[] =>
    (model.state.endpoints ?? []).filter(row => row.target === LOCAL && row.state !== 'stopped').map(row => row.name);
  /** What the row of the menu says, if it is one of the local server; null where there is none. */
  const stopped = (args: Arguments): boolean | null => {
    const named = args.row === true ? subjects.namedEndpoint(args) : null;
    const row = named && subjects.known(named);
    return row?.target === LOCAL ? row.state === 'stopped' : null;
  };
  const change = (action: 'start' | 'stop', pending: string): Promise<void> =>
    report(model.act<{ message: string }>('POST', ['targets', LOCAL, action]).then(said => said.message), pending, trans);

  commands.addCommand('maas:start-server', {
    label: trans.__('Start Local Server'),
    caption: trans.__('Start the local model server with everything that it served'),
    isVisible: args => args.row !== true || stopped(args) === true,
    execute: () => change('start', trans.__('Starting the local server…'))
  });
  commands.addCommand('maas:stop-server', {
    label: trans.__('Stop Local Server…'),
    caption: trans.__('Stop the local model server; it comes back with everything that it served'),
    isVisible: args => args.row !== true || stopped(args) === false,
    execute: async () => {
      const names = served();
      const form = new Form()
        .say(
          names.length === 0
            ? trans.__('Nothing is served here now, as far as it is known.')
            : trans._n(
                '%2 endpoint answers no more: %3.',
                '%2 endpoints answer no more: %3.',
                names.length,
                format.count(names.length),
                names.join(', ')
              )
        )
        .say(trans.__('They come back when the server is started again, or with the next publication.'));
      const title = trans.__('Stop the local server');
      const given = await ask(form, { title, accept: trans.__('Stop'), dangerous: true, cancel: trans.__('Cancel') });
      if (given !== null) {
        await change('stop', trans.__('Stopping the local server…'));
      }
    }
  });

  const ids = ['maas:start-server', 'maas:stop-server'];
  return { palette: ids, menu: ids.map(command => ({ command, selector: '[data-endpoint]' })) };
};
