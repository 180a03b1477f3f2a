import { HTMLSelect, refreshIcon, UseSignal } from '@jupyterlab/ui-components';
import React, { useContext, useId } from 'react';

import { LocaleContext } from '../locale';
import { RowMenu } from '../rowMenu';
import { CardView } from './card';
import { ConfusionMatrix } from './confusionMatrix';
import { Lineage } from './lineage';
import { MOST_CHOSEN, type ModelPageModel } from './pageModel';
import { SideBySide } from './sideBySide';

/**
 * The page of one model.
 *
 * What tests and styles can hold on to: `.maas-model-page[data-page]`, in it `[data-part]` (versions, confusion, lineage,
 * card), `[data-notice]`, `[data-fact]` rows with a cell for each `[data-version]`, `.maas-confusion[data-reference]` and
 * `.maas-lineage [data-version]`.
 */
export function ModelPageView({ model }: { readonly model: ModelPageModel }): React.ReactElement {
  return <UseSignal signal={model.changed}>{() => <Page model={model} />}</UseSignal>;
}

function Page({ model }: { readonly model: ModelPageModel }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const { versions, chosen } = model;
  const matrices = chosen.flatMap(version => {
    const brought = model.details(version);
    const details = brought !== null && 'value' in brought ? brought.value : null;
    const evaluation = details?.evaluation;
    return evaluation?.confusion ? [{ version, evaluation, confusion: evaluation.confusion }] : [];
  });
  const known = chosen.every(version => model.details(version) !== null);
  return (
    <div className="maas-page-content">
      <Headline model={model} />
      <Notices model={model} />
      {versions !== null && chosen.length > 0 && (
        <>
          <div className="maas-beside">
            <Part name="versions" title={trans.__('Side by side')}>
              <Picker model={model} />
              <SideBySide model={model} />
            </Part>
            <div>
              <Part name="lineage" title={trans.__('Lineage')}>
                <Lineage model={model} />
              </Part>
              <Part name="confusion" title={trans.__('Confusion matrix')}>
                {matrices.length > 0 ? (
                  <div className="maas-confusions">
                    {matrices.map(({ version, ...given }) => (
                      <ConfusionMatrix key={version} reference={`${model.name}/${version}`} {...given} />
                    ))}
                  </div>
                ) : (
                  <p className="maas-faint">
                    {known ? (
                      <>
                        {trans.__('None of these versions was evaluated as a classifier yet:')}{' '}
                        <code>{`%maas evaluate ${model.name}/${model.main ?? ''} --data DATA`}</code>
                      </>
                    ) : (
                      trans.__('Loading…')
                    )}
                  </p>
                )}
              </Part>
            </div>
          </div>
          <Part name="card" title={trans.__('Model card of %1', `${model.name}/${model.main ?? ''}`)}>
            <CardView card={model.card} />
          </Part>
        </>
      )}
    </div>
  );
}

interface PartProps {
  readonly name: string;
  readonly title: string;
  readonly children: React.ReactNode;
}

function Part({ name, title, children }: PartProps): React.ReactElement {
  const id = useId();
  return (
    <section className="maas-part" data-part={name} aria-labelledby={id}>
      <h3 id={id}>{title}</h3>
      {children}
    </section>
  );
}

function Headline({ model }: { readonly model: ModelPageModel }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const { versions } = model;
  const aliases = (versions ?? []).flatMap(row => row.aliases.map(alias => ({ alias, version: row.version })));
  return (
    <header className="maas-headline maas-row" data-model={model.name}>
      <h2 className="maas-name">{model.name}</h2>
      {versions !== null && (
        <span className="maas-target">
          {trans._n('%2 version', '%2 versions', versions.length, format.count(versions.length))}
        </span>
      )}
      <span className="maas-aliases">
        {aliases.map(({ alias, version }) => (
          <span key={alias} className="maas-alias" data-alias={alias} title={trans.__('%1 is version %2', alias, version)}>
            {trans.__('%1 → v%2', alias, version)}
          </span>
        ))}
      </span>
      <button
        type="button"
        className="maas-row-menu"
        data-tool="refresh"
        aria-label={trans.__('Refresh the page of %1', model.name)}
        title={trans.__('Refresh')}
        onClick={() => model.refresh()}
      >
        <refreshIcon.react tag="span" />
      </button>
      <RowMenu name={model.name} />
    </header>
  );
}

function Notices({ model }: { readonly model: ModelPageModel }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const { problem, missing, versions, chosen } = model;
  const troubles = chosen.flatMap(version => {
    const brought = model.details(version);
    if (brought === null) {
      return [];
    }
    return 'problem' in brought
      ? [trans.__('%1/%2 cannot be shown: %3', model.name, version, brought.problem)]
      : brought.value.troubles;
  });
  return (
    <>
      {problem !== null && (
        <Notice name="registry">
          {versions === null ? problem : trans.__('What is shown may be old: %1', problem)}{' '}
          <button type="button" className="maas-tool" data-tool="retry" onClick={() => model.refresh()}>
            {trans.__('Retry')}
          </button>
        </Notice>
      )}
      {problem === null && versions === null && <p role="status">{trans.__('Loading versions…')}</p>}
      {missing !== null && (
        <Notice name="missing">{trans.__('There is no version %1 of %2 any more.', missing, model.name)}</Notice>
      )}
      {[...new Set(troubles)].map(trouble => (
        <Notice key={trouble} name="trouble">
          {trouble}
        </Notice>
      ))}
    </>
  );
}

function Notice({ name, children }: { readonly name: string; readonly children: React.ReactNode }): React.ReactElement {
  return (
    <p className="maas-dashboard-notice" data-notice={name} role="status">
      {children}
    </p>
  );
}

/** Chooses what stands side by side. */
function Picker({ model }: { readonly model: ModelPageModel }): React.ReactElement | null {
  const { trans } = useContext(LocaleContext);
  const id = useId();
  const others = (model.versions ?? []).filter(row => !model.chosen.includes(row.version));
  if (others.length === 0) {
    return null;
  }
  return (
    <div className="maas-tools">
      <label htmlFor={id}>{trans.__('Add a version')}</label>
      <HTMLSelect
        id={id}
        className="maas-add-version"
        value=""
        onChange={event => event.target.value !== '' && model.toggle(event.target.value)}
      >
        <option value="">
          {model.chosen.length < MOST_CHOSEN ? trans.__('choose…') : trans.__('choose; it takes the place of the oldest')}
        </option>
        {others.map(row => (
          <option key={row.version} value={row.version}>
            {[`v${row.version}`, ...row.aliases.map(alias => `@${alias}`), row.precision].join(' ')}
          </option>
        ))}
      </HTMLSelect>
    </div>
  );
}
