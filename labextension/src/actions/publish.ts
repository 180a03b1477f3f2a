import type { Locale } from '../locale';
import type { VersionRow } from '../schema';
import type { IMaas } from '../tokens';
import { Form } from './form';
import type { ModelSubject } from './subject';

/** What a canary gets if nothing else is said, in percent. */
const FIRST_SHARE = '10';

/** The form of a publication: `version`, `target`, `share` (all, canary or shadow), `canary` in percent, `passed`, `reason`. */
export function publishForm(
  { model, locale }: IMaas,
  subject: ModelSubject,
  versions: readonly VersionRow[],
  targets: readonly string[],
  first: string
): Form {
  const { trans } = locale;
  const form = new Form()
    .select('version', trans.__('Version'), namesOf(versions, locale), subject.version)
    .select('target', trans.__('Where'), new Map(targets.map(target => [target, target])), first)
    .select(
      'share',
      trans.__('Traffic'),
      new Map([
        ['all', trans.__('All of it, in one step')],
        ['canary', trans.__('A share, as a canary')],
        ['shadow', trans.__('A copy, as a shadow: its answers are compared, not returned')]
      ])
    )
    .input('canary', trans.__('Share in percent, 1 to 99'), {
      type: 'number',
      min: '1',
      max: '99',
      step: '1',
      required: '',
      value: FIRST_SHARE
    })
    .input('passed', trans.__('Only if it passed its gates the last time'), { type: 'checkbox' })
    .input('reason', trans.__('Reason, for the history'), { maxlength: '200' });
  const target = form.field('target') as HTMLSelectElement;
  const share = form.field('share') as HTMLSelectElement;
  const follow = (): void => {
    const { endpoints } = model.state;
    const beside = endpoints === null || endpoints.some(row => row.name === subject.model && row.target === target.value);
    for (const option of share.options) {
      // A canary and a shadow need something that serves beside them.
      option.disabled = option.value !== 'all' && !beside;
    }
    if (!beside) {
      share.value = 'all';
    }
    form.use('canary', share.value === 'canary');
  };
  form.node.addEventListener('change', follow);
  follow();
  return form;
}

/** Versions by their number, with their aliases and what stands for them. */
export function namesOf(versions: readonly VersionRow[], { format }: Locale): ReadonlyMap<string, string> {
  return new Map(
    versions.map(row => {
      const name = [`v${row.version}`, ...row.aliases.map(alias => `@${alias}`)].join(' ');
      const metric = row.metric === null ? [] : [`${row.metric_name ?? ''} ${format.metric(row.metric)}`];
      return [row.version, [name, row.precision, ...metric].join(' · ')];
    })
  );
}
