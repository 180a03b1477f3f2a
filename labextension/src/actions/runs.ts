import { InputDialog } from '@jupyterlab/apputils';

import type { RunRow } from '../schema';
import type { Group } from './plugin';
import { complain, report } from './progress';
import type { Arguments } from './subject';

/** What can be done to runs. */
export const runActions: Group = ({ commands, subjects, maas }) => {
  const { model } = maas;
  const { trans } = maas.locale;
  const known = (args: Arguments): RunRow | undefined => {
    const id = subjects.namedRun(args);
    return model.state.runs?.find(row => row.run_id === id);
  };
  /** The run that is named, or one that the user chooses; null where none is chosen. */
  const chosen = async (args: Arguments): Promise<Pick<RunRow, 'run_id' | 'name'> | null> => {
    const id = subjects.namedRun(args);
    if (id !== null) {
      return known(args) ?? { run_id: id, name: id };
    }
    const rows = (await subjects.runs()).filter(stoppable);
    if (rows.length === 0) {
      throw new Error(trans.__('Nothing is training now.'));
    }
    const items = rows.map(row => trans.__('%1 (run %2)', row.name, row.run_id.slice(0, 8)));
    const { value } = await InputDialog.getItem({ title: trans.__('Stop a run'), label: trans.__('Run'), items });
    return value === null ? null : rows[items.indexOf(value)];
  };

  commands.addCommand('maas:stop-run', {
    label: args => (args.row === true ? trans.__('Stop Run') : trans.__('Stop a Run…')),
    caption: trans.__('Stop after this step and keep a checkpoint'),
    isEnabled: args => {
      const row = known(args);
      return args.row !== true || (row !== undefined && stoppable(row));
    },
    execute: async args => {
      try {
        const run = await chosen(args);
        if (run !== null) {
          const done = model.stopRun(run.run_id).then(() => trans.__('%1 was asked to stop.', run.name));
          await report(done, trans.__('Asking %1 to stop…', run.name), trans);
        }
      } catch (error) {
        complain(error, trans);
      }
    }
  });

  return {
    palette: ['maas:stop-run'],
    menu: [{ command: 'maas:stop-run', selector: '[data-run]' }]
  };
};

function stoppable(row: RunRow): boolean {
  return row.status === 'training' && !row.stopping;
}
