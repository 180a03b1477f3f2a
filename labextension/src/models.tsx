import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import React, { useContext, useId, useState } from 'react';

import { Age } from './age';
import { LocaleContext } from './locale';
import type { ModelRow, VersionRow } from './schema';
import { Empty, Section, Skeleton } from './section';

export interface ModelsSectionProps {
  /** Null until the registry has answered for the first time. */
  readonly rows: readonly ModelRow[] | null;
  readonly registryError: string | null;
}

/** The section of registered models; what the registry answered last stays while it does not answer. */
export function ModelsSection({ rows, registryError }: ModelsSectionProps): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  return (
    <Section name="models" title={trans.__('Models')} count={rows?.length ?? null}>
      {registryError !== null && (
        <div className="maas-notice" role="alert" data-notice="registry">
          <b>{trans.__('The registry cannot be read.')}</b> {registryError}
        </div>
      )}
      {rows === null && registryError === null && <Skeleton label={trans.__('Loading models')} />}
      {rows?.length === 0 && registryError === null && (
        <Empty text={trans.__('No models yet. Train one:')} code="%maas train net --data DATA --name NAME" />
      )}
      {rows !== null && rows.length > 0 && (
        <ul className="maas-models">
          {rows.map(row => (
            <Model key={row.name} row={row} />
          ))}
        </ul>
      )}
    </Section>
  );
}

function Model({ row }: { readonly row: ModelRow }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const [open, setOpen] = useState(false);
  const id = useId();
  const Caret = open ? caretDownIcon : caretRightIcon;
  const count = row.versions.length;
  return (
    <li className="maas-model" data-model={row.name}>
      <button
        type="button"
        className="maas-row"
        aria-expanded={open}
        aria-controls={id}
        onClick={() => setOpen(!open)}
      >
        <Caret.react tag="span" className="maas-caret" />
        <span className="maas-name" title={row.name}>
          {row.name}
        </span>
        <span className="maas-versions-count">
          {trans._n('%2 version', '%2 versions', count, format.count(count))}
        </span>
        <Age time={row.updated} />
      </button>
      <ul id={id} className="maas-versions" hidden={!open}>
        {open && row.versions.map(version => <Version key={version.version} row={version} />)}
      </ul>
    </li>
  );
}

function Version({ row }: { readonly row: VersionRow }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  return (
    <li className="maas-version" data-version={row.version}>
      <div className="maas-row">
        <span className="maas-version-number">v{row.version}</span>
        <span className="maas-aliases">
          {row.aliases.map(alias => (
            <span key={alias} className="maas-alias" data-alias={alias}>
              {alias}
            </span>
          ))}
        </span>
        <Age time={row.created} />
      </div>
      <div className="maas-row">
        <span className="maas-details">
          {[row.task, row.precision, format.bytes(row.size)].join(' · ')}
          {row.parent !== null && ` · ${trans.__('from %1', row.parent)}`}
        </span>
        {row.metric !== null && (
          <span className="maas-metric">
            {row.metric_name} <b>{format.metric(row.metric)}</b>
          </span>
        )}
      </div>
    </li>
  );
}
