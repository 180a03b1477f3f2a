import { Clipboard, Notification } from '@jupyterlab/apputils';

import type { WatchedEndpoint } from '../model';
import { ask, Form } from './form';
import type { Group } from './plugin';
import { complain, report } from './progress';
import type { Arguments, EndpointSubject } from './subject';

/** Stands for all endpoints of a target that does not answer and whose endpoints are not known. */
const UNKNOWN = '*';

interface Change {
  readonly id: string;
  readonly action: 'promote' | 'rollback' | 'load' | 'unload' | 'unpublish';
  readonly label: string;
  readonly title: string;
  readonly accept: string;
  readonly warning: (name: string, target: string, row: WatchedEndpoint | undefined) => string;
  readonly pending: (name: string) => string;
  readonly fits: (row: WatchedEndpoint) => boolean;
  readonly dangerous: boolean;
}

/** What changes an endpoint's traffic, and the line for a shell that asks it. */
export const endpointActions: Group = ({ commands, subjects, places, maas }) => {
  const { model } = maas;
  const { trans } = maas.locale;
  const known = (row: WatchedEndpoint): boolean => row.name !== UNKNOWN && places.has(row.target);
  const changes: readonly Change[] = [
    {
      id: 'maas:promote',
      action: 'promote',
      label: trans.__('Promote…'),
      title: trans.__('Promote the canary'),
      accept: trans.__('Promote'),
      warning: (name, target, row) => {
        const version = row && candidateOf(row);
        return version === undefined
          ? trans.__('All traffic of %1 on %2 goes to its canary, or to its shadow where it has no canary.', name, target)
          : trans.__('All traffic of %1 on %2 goes to version %3.', name, target, version);
      },
      pending: name => trans.__('Promoting %1…', name),
      fits: row => known(row) && candidateOf(row) !== undefined,
      dangerous: false
    },
    {
      id: 'maas:roll-back',
      action: 'rollback',
      label: trans.__('Roll Back…'),
      title: trans.__('Roll back'),
      accept: trans.__('Roll back'),
      warning: (name, target) => trans.__('%1 on %2 goes back to what it served before.', name, target),
      pending: name => trans.__('Rolling %1 back…', name),
      fits: known,
      dangerous: false
    },
    {
      id: 'maas:load',
      action: 'load',
      label: trans.__('Load…'),
      title: trans.__('Load into memory'),
      accept: trans.__('Load'),
      warning: (name, target) => trans.__('%1 on %2 comes back into memory, and serves as before.', name, target),
      pending: name => trans.__('Loading %1…', name),
      fits: row => known(row) && resting(row),
      dangerous: false
    },
    {
      id: 'maas:unload',
      action: 'unload',
      label: trans.__('Unload…'),
      title: trans.__('Take out of memory'),
      accept: trans.__('Unload'),
      warning: (name, target) =>
        trans.__('%1 on %2 is taken out of memory, and its clients get errors until it is loaded again.', name, target),
      pending: name => trans.__('Unloading %1…', name),
      fits: row => known(row) && row.url !== '' && !resting(row),
      dangerous: true
    },
    {
      id: 'maas:unpublish',
      action: 'unpublish',
      label: trans.__('Unpublish…'),
      title: trans.__('Stop serving'),
      accept: trans.__('Unpublish'),
      warning: (name, target) =>
        trans.__('%1 is no longer served on %2, and its clients get errors. Its history and its versions stay.', name, target),
      pending: name => trans.__('Unpublishing %1…', name),
      fits: known,
      dangerous: true
    }
  ];

  const enabled = (args: Arguments, fits: (row: WatchedEndpoint) => boolean): boolean => {
    const named = subjects.namedEndpoint(args);
    if (named === null) {
      return args.row !== true;
    }
    const row = subjects.known(named);
    // What is not known here may be known to the server.
    return row === undefined ? named.name !== UNKNOWN : fits(row);
  };

  const change = async (kind: Change, args: Arguments): Promise<void> => {
    let subject: EndpointSubject | null;
    try {
      subject = await subjects.endpoint(args, kind.title, kind.fits);
    } catch (error) {
      complain(error, trans);
      return;
    }
    if (subject === null) {
      return;
    }
    const { target, name } = subject;
    const form = new Form()
      .say(kind.warning(name, target, subjects.known(subject)))
      .input('reason', trans.__('Reason, for the history'), { maxlength: '200' });
    const { title, accept, dangerous } = kind;
    const given = await ask(form, { title, accept, dangerous, cancel: trans.__('Cancel') });
    if (given !== null) {
      const done = model.act<{ message: string }>('POST', ['endpoints', target, name, kind.action], {
        body: { reason: given.reason }
      });
      await report(done.then(said => said.message), kind.pending(name), trans);
    }
  };

  for (const kind of changes) {
    commands.addCommand(kind.id, {
      label: kind.label,
      caption: kind.title,
      isEnabled: args => enabled(args, kind.fits),
      execute: args => change(kind, args)
    });
  }

  const serves = (row: WatchedEndpoint): boolean => known(row) && row.url !== '';
  commands.addCommand('maas:copy-curl', {
    label: trans.__('Copy curl'),
    caption: trans.__('Copy a line for a shell that asks the endpoint; it holds no token'),
    isEnabled: args => enabled(args, serves),
    execute: async args => {
      try {
        const subject = await subjects.endpoint(args, trans.__('Copy curl'), serves);
        if (subject !== null) {
          const { text } = await model.act<{ text: string }>('GET', ['endpoints', subject.target, subject.name, 'curl']);
          Clipboard.copyToSystem(text);
          Notification.success(trans.__('Copied a line for a shell that asks %1.', subject.name), { autoClose: 3000 });
        }
      } catch (error) {
        complain(error, trans);
      }
    }
  });

  const ids = [...changes.map(kind => kind.id), 'maas:copy-curl'];
  return {
    palette: ids,
    menu: ids.map(command => ({ command, selector: '[data-endpoint]' }))
  };
};

/** Whether a model is known to its server, but not in memory. */
function resting({ traffic }: WatchedEndpoint): boolean {
  return traffic.length > 0 && traffic.every(each => each.state === 'unloaded');
}

/** The version that would be promoted: the canary, else the shadow. */
function candidateOf({ traffic }: WatchedEndpoint): string | undefined {
  const [, canary] = traffic.filter(each => each.weight > 0);
  return (canary ?? traffic.find(each => each.shadow !== null))?.version;
}
