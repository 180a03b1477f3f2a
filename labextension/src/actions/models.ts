import { Clipboard, Dialog, Notification, showDialog } from '@jupyterlab/apputils';

import type { VersionRow } from '../schema';
import { ask, Form } from './form';
import type { Group } from './plugin';
import { complain, report } from './progress';
import { namesOf, publishForm } from './publish';
import type { Arguments, ModelSubject } from './subject';

/** Aliases that are in use everywhere. */
const USUAL_ALIASES = ['champion', 'challenger'];

/** What can be done to registered models and their versions. */
export const modelActions: Group = ({ commands, subjects, places, maas }) => {
  const { model } = maas;
  const { trans } = maas.locale;
  const cancel = trans.__('Cancel');
  const done = (said: Promise<{ message: string }>): Promise<string> => said.then(({ message }) => message);
  /** Nothing is rejected: what goes wrong is shown. */
  const told =
    (work: (args: Arguments) => Promise<void>) =>
    async (args: Arguments): Promise<void> => {
      try {
        await work(args);
      } catch (error) {
        complain(error, trans);
      }
    };
  /** From a row's menu a command needs the row; from anywhere else it asks. */
  const reachable = (args: Arguments): boolean => args.row !== true || subjects.namedModel(args) !== null;

  /** Where a version, or any version of a model, is known to be published; the server looks again. */
  const servingOn = ({ model: name, version }: ModelSubject): string[] =>
    (model.state.endpoints ?? [])
      .filter(row => row.name === name && (version === undefined || row.traffic.some(each => each.version === version)))
      .map(row => row.target);
  /** A label of a deletion; where it is not possible, with the reason. */
  const deletionOf = (label: string, subject: ModelSubject | null): string => {
    const places = subject === null ? [] : servingOn(subject);
    return places.length === 0 ? label : trans.__('%1 (published on %2)', label, places.join(', '));
  };
  const versionOf = (args: Arguments): ModelSubject | null => {
    const subject = subjects.namedModel(args);
    return subject?.version === undefined ? null : subject;
  };
  const modelOf = (args: Arguments): ModelSubject | null => {
    const subject = subjects.namedModel(args);
    return subject && { model: subject.model };
  };

  const publish = async (args: Arguments): Promise<void> => {
    const title = trans.__('Publish a model');
    const subject = await subjects.model(args, title);
    if (subject === null) {
      return;
    }
    const [{ versions }, { targets, default: first }] = await Promise.all([
      model.modelVersions(subject.model),
      places.fetch()
    ]);
    const form = publishForm(maas, subject, versions, targets, first);
    const given = await ask(form, { title: trans.__('Publish %1', subject.model), accept: trans.__('Publish'), cancel });
    if (given === null) {
      return;
    }
    const { version, target, share, canary, reason, passed } = given;
    const body = {
      version,
      canary: share === 'canary' ? Number(canary) : null,
      shadow: share === 'shadow',
      require_passed: passed === 'on',
      reason
    };
    const said = model.act<{ message: string }>('POST', ['endpoints', target, subject.model, 'publish'], { body });
    await report(done(said), trans.__('Publishing %1/%2 on %3…', subject.model, version, target), trans);
  };

  const setAlias = async (args: Arguments): Promise<void> => {
    const title = trans.__('Set an alias');
    const subject = await subjects.model(args, title);
    if (subject === null) {
      return;
    }
    const { versions } = await model.modelVersions(subject.model);
    const aliases = versions.flatMap(row => row.aliases);
    const form = new Form()
      .select('version', trans.__('Version'), namesOf(versions, maas.locale), subject.version)
      .input('alias', trans.__('Alias'), {
        required: '',
        pattern: '[A-Za-z_][A-Za-z0-9._\\-]*',
        title: trans.__('A letter first, then letters, digits, dots, hyphens and underscores'),
        value: typeof args.alias === 'string' ? args.alias : ''
      })
      .offer('alias', [...new Set([...aliases, ...USUAL_ALIASES])])
      .say(trans.__('An alias leaves the version that it pointed at before.'));
    const given = await ask(form, { title: trans.__('Set an alias of %1', subject.model), accept: trans.__('Set'), cancel });
    if (given !== null) {
      const { version, alias } = given;
      const said = model.act<{ message: string }>('PUT', ['models', subject.model, 'aliases', alias], { body: { version } });
      await report(done(said), trans.__('Setting @%1…', alias), trans);
    }
  };

  /** Ask for the name again, and delete; `lost` are the versions that go. */
  const remove = async (subject: ModelSubject, lost: readonly VersionRow[]): Promise<void> => {
    const { model: name, version } = subject;
    const reference = version === undefined ? name : `${name}/${version}`;
    const aliases = lost.flatMap(row => row.aliases.map(alias => `@${alias}`));
    const form = new Form().say(
      version === undefined
        ? trans._n(
            'This deletes %2 with its %1 version and its files, for good.',
            'This deletes %2 with its %1 versions and their files, for good.',
            lost.length,
            name
          )
        : trans.__('This deletes %1 and its files, for good.', reference)
    );
    if (aliases.length > 0) {
      form.say(trans.__('These aliases go with it: %1', aliases.join(', ')));
    }
    form.input('confirm', trans.__('Type %1 to confirm', reference), {
      required: '',
      pattern: reference.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'),
      title: reference,
      spellcheck: 'false'
    });
    const title = trans.__('Delete %1?', reference);
    const given = await ask(form, { title, accept: trans.__('Delete'), dangerous: true, cancel });
    if (given !== null) {
      const path = ['models', name, 'versions', ...(version === undefined ? [] : [version])];
      const said = model.act<{ message: string }>('DELETE', path, { query: { confirm: given.confirm } });
      await report(done(said), trans.__('Deleting %1…', reference), trans);
    }
  };

  commands.addCommand('maas:publish', {
    label: trans.__('Publish…'),
    caption: trans.__('Serve a version, with all traffic, a share or a copy of it'),
    isEnabled: reachable,
    execute: told(publish)
  });
  commands.addCommand('maas:set-alias', {
    label: trans.__('Set Alias…'),
    caption: trans.__('Point champion or another alias at a version'),
    isEnabled: reachable,
    execute: told(setAlias)
  });
  commands.addCommand('maas:copy-reference', {
    label: trans.__('Copy Reference'),
    caption: trans.__('Copy the name under which cells know the model or the version'),
    isEnabled: reachable,
    execute: told(async args => {
      const subject = await subjects.model(args, trans.__('Copy Reference'));
      if (subject !== null) {
        const reference = subject.version === undefined ? subject.model : `${subject.model}/${subject.version}`;
        Clipboard.copyToSystem(reference);
        Notification.success(trans.__('Copied %1.', reference), { autoClose: 3000 });
      }
    })
  });
  commands.addCommand('maas:open-mlflow', {
    label: trans.__('Open in MLflow'),
    caption: trans.__("Open MLflow's own pages in another tab"),
    isEnabled: reachable,
    execute: told(async args => {
      const { mlflow_url: url, mlflow_command: line } = places.now ?? (await places.fetch());
      if (url === null) {
        const { button } = await showDialog({
          title: trans.__('Open in MLflow'),
          body:
            line === null
              ? trans.__('The registry is a database, not a server of MLflow. Where its address is known, this shows its pages: mlflow ui')
              : trans.__('The registry is a file, not a server of MLflow. Typed into a terminal, this shows its pages: %1', line),
          buttons: [
            Dialog.cancelButton({ label: trans.__('Close') }),
            ...(line === null ? [] : [Dialog.okButton({ label: trans.__('Copy') })])
          ]
        });
        if (button.accept && line !== null) {
          Clipboard.copyToSystem(line);
        }
        return;
      }
      const subject = subjects.namedModel(args);
      const version = subject?.version === undefined ? '' : `/versions/${subject.version}`;
      const page = subject === null ? '' : `/#/models/${encodeURIComponent(subject.model)}${version}`;
      window.open(url + page, '_blank', 'noopener,noreferrer');
    })
  });
  commands.addCommand('maas:delete-version', {
    label: args => deletionOf(trans.__('Delete Version…'), versionOf(args)),
    caption: trans.__('Delete a version that serves nowhere, for good'),
    isVisible: args => args.row !== true || versionOf(args) !== null,
    isEnabled: args => {
      const subject = versionOf(args);
      return subject === null ? args.row !== true : servingOn(subject).length === 0;
    },
    execute: told(async args => {
      const subject = await subjects.version(args, trans.__('Delete a version'));
      if (subject !== null) {
        const { versions } = await model.modelVersions(subject.model);
        await remove(subject, versions.filter(row => row.version === subject.version));
      }
    })
  });
  commands.addCommand('maas:delete-model', {
    label: args => deletionOf(trans.__('Delete Model…'), modelOf(args)),
    caption: trans.__('Delete a model with all its versions, if none serves, for good'),
    isEnabled: args => {
      const subject = modelOf(args);
      return subject === null ? args.row !== true : servingOn(subject).length === 0;
    },
    execute: told(async args => {
      const subject = await subjects.model(args, trans.__('Delete a model'));
      if (subject !== null) {
        const { versions } = await model.modelVersions(subject.model);
        await remove({ model: subject.model }, versions);
      }
    })
  });

  const ids = [
    'maas:publish',
    'maas:set-alias',
    'maas:copy-reference',
    'maas:open-mlflow',
    'maas:delete-version',
    'maas:delete-model'
  ];
  return {
    palette: ids,
    menu: ids.map(command => ({ command, selector: '[data-model]', last: command.startsWith('maas:delete-') }))
  };
};
