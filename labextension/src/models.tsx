import { caretDownIcon, caretRightIcon, HTMLSelect, UseSignal } from '@jupyterlab/ui-components';
import React, { useContext, useEffect, useId, useRef, useState } from 'react';

import { Age } from './age';
import { LocaleContext } from './locale';
import type { ModelQuery } from './model';
import { OpenModelPage, useOpenModel } from './modelPage/openButton';
import type { ModelPages } from './pages';
import { PanelStateContext } from './panelState';
import { PreferencesContext } from './preferences';
import { RowMenu } from './rowMenu';
import type { ModelRow, ModelVersions, VersionRow } from './schema';
import { Empty, Section, Skeleton } from './section';
import { Heights, useVisible } from './virtual';

/** Pixels of a model's row and of a version's, as in the style sheet. */
const ROW = 44;
const VERSION = 44;

export interface ModelsSectionProps {
  /** How many there are; null until the registry has answered for the first time. */
  readonly count: number | null;
  /** Another number whenever a model changed. */
  readonly number: number;
  readonly pages: ModelPages;
  /** Rejected with an error in the user's words. */
  readonly versionsOf: (name: string) => Promise<ModelVersions>;
  readonly registryError: string | null;
}

/** The section of registered models; what the registry answered last stays while it does not answer. */
export function ModelsSection(props: ModelsSectionProps): React.ReactElement {
  const { count, number, pages, registryError } = props;
  const { trans } = useContext(LocaleContext);
  useEffect(() => pages.follow(number), [pages, number]);
  return (
    <Section name="models" title={trans.__('Models')} count={count}>
      {registryError !== null && (
        <div className="maas-notice" role="alert" data-notice="registry">
          <b>{trans.__('The registry cannot be read.')}</b> {registryError}
        </div>
      )}
      {count === null && registryError === null && <Skeleton label={trans.__('Loading models')} />}
      {count === 0 && registryError === null && (
        <Empty text={trans.__('No models yet. Train one:')} code="%maas train net --data DATA --name NAME" />
      )}
      {count !== null && count > 0 && <UseSignal signal={pages.changed}>{() => <Models {...props} />}</UseSignal>}
    </Section>
  );
}

function Models({ number, pages, versionsOf }: ModelsSectionProps): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const { total, problem } = pages;
  return (
    <>
      <Search query={pages.query} onChange={query => pages.ask(query)} />
      {problem !== null && (
        <div className="maas-notice" role="alert" data-notice="models">
          {problem}
        </div>
      )}
      {total === 0 && (
        <p className="maas-empty" role="status">
          {trans.__('No model matches.')}
        </p>
      )}
      {pages.query.search !== '' && total !== null && total > 0 && (
        <p className="maas-found" role="status">
          {trans._n('%2 model matches', '%2 models match', total, format.count(total))}
        </p>
      )}
      <List key={JSON.stringify(pages.query)} number={number} pages={pages} versionsOf={versionsOf} />
    </>
  );
}

interface SearchProps {
  readonly query: ModelQuery;
  readonly onChange: (query: ModelQuery) => void;
}

function Search({ query, onChange }: SearchProps): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const names: Record<ModelQuery['sort'], string> = {
    updated: trans.__('last change'),
    name: trans.__('name'),
    metric: trans.__('metric'),
    size: trans.__('size'),
    versions: trans.__('versions'),
    task: trans.__('task')
  };
  const down = query.order === 'desc';
  const turn = down ? trans.__('Largest first; turn round') : trans.__('Smallest first; turn round');
  return (
    <div className="maas-search" role="search">
      <input
        type="search"
        className="jp-mod-styled"
        value={query.search}
        placeholder={trans.__('Name, task, @alias')}
        aria-label={trans.__('Search models')}
        onChange={event => onChange({ ...query, search: event.target.value })}
      />
      <HTMLSelect
        className="maas-sort"
        value={query.sort}
        aria-label={trans.__('Sort models by')}
        onChange={event => {
          const sort = event.target.value as ModelQuery['sort'];
          onChange({ ...query, sort, order: sort === 'name' || sort === 'task' ? 'asc' : 'desc' });
        }}
      >
        {Object.entries(names).map(([sort, name]) => (
          <option key={sort} value={sort}>
            {name}
          </option>
        ))}
      </HTMLSelect>
      <button
        type="button"
        className="maas-order"
        aria-label={turn}
        title={turn}
        onClick={() => onChange({ ...query, order: down ? 'asc' : 'desc' })}
      >
        {down ? '↓' : '↑'}
      </button>
    </div>
  );
}

type ListProps = Pick<ModelsSectionProps, 'number' | 'pages' | 'versionsOf'>;

/** Draws the rows that can be seen, of however many there are. */
function List({ number, pages, versionsOf }: ListProps): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const list = useRef<HTMLUListElement>(null);
  const panel = useContext(PanelStateContext);
  const [versions, setVersions] = useState<ReadonlyMap<string, Loaded>>(new Map());
  const count = pages.total ?? 0;
  const unfolded = new Map<number, string>();
  for (const name of panel.unfolded) {
    const index = pages.indexOf(name);
    if (index !== null) {
      unfolded.set(index, name);
    }
  }
  const taller = new Map(
    [...unfolded].map(([index, name]) => [index, heightOf(versions.get(name), pages.row(index)?.versions ?? 0)])
  );
  const heights = new Heights(ROW, count, taller);
  const { first, last } = useVisible(list, heights);
  useEffect(() => pages.see(first, Math.max(first, last)), [pages, first, last, number]);

  const names = [...unfolded.values()].sort().join('\n');
  useEffect(() => {
    let wanted = true;
    for (const name of names ? names.split('\n') : []) {
      void versionsOf(name).then(
        found => wanted && setVersions(known => new Map(known).set(name, found.versions)),
        (error: unknown) =>
          wanted && setVersions(known => new Map(known).set(name, error instanceof Error ? error.message : String(error)))
      );
    }
    return () => {
      wanted = false;
    };
  }, [names, number, versionsOf]);

  const indices = Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => first + place);
  return (
    <ul ref={list} className="maas-models" style={{ height: heights.total }} aria-label={trans.__('Models')}>
      {indices.map(index => {
        const row = pages.row(index);
        return (
          <li
            key={row?.name ?? index}
            className="maas-model"
            data-model={row?.name}
            aria-setsize={count}
            aria-posinset={index + 1}
            style={{ transform: `translateY(${heights.top(index)}px)` }}
          >
            {row !== null && (
              <Model
                row={row}
                open={unfolded.has(index)}
                versions={versions.get(row.name)}
                onToggle={() => panel.toggleModel(row.name)}
              />
            )}
          </li>
        );
      })}
    </ul>
  );
}

/** A model's versions, or why they did not come. */
type Loaded = readonly VersionRow[] | string;

function heightOf(versions: Loaded | undefined, expected: number): number {
  return (typeof versions === 'string' ? 1 : (versions?.length ?? expected)) * VERSION;
}

interface ModelProps {
  readonly row: ModelRow;
  readonly open: boolean;
  readonly versions: Loaded | undefined;
  readonly onToggle: () => void;
}

function Model({ row, open, versions, onToggle }: ModelProps): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const { models: columns } = useContext(PreferencesContext);
  const id = useId();
  const Caret = open ? caretDownIcon : caretRightIcon;
  const { newest } = row;
  const words = [
    columns.task && newest.task,
    columns.precision && newest.precision,
    columns.size && format.bytes(newest.size)
  ].filter(Boolean);
  const count = columns.versions && trans._n('%2 version', '%2 versions', row.versions, format.count(row.versions));
  return (
    <>
      <button type="button" className="maas-model-row" aria-expanded={open} aria-controls={id} onClick={onToggle}>
        <span className="maas-row">
          <Caret.react tag="span" className="maas-caret" />
          <span className="maas-name" title={row.name}>
            {row.name}
          </span>
          <span className="maas-aliases">
            {columns.aliases &&
              Object.entries(row.aliases).map(([alias, version]) => (
                <Alias key={alias} alias={alias} title={trans.__('%1 is version %2', alias, version)} />
              ))}
          </span>
          {columns.age && <Age time={row.updated} />}
        </span>
        <span className="maas-row maas-under">
          {/* One text, so that in a narrow panel one part is cut off and not each of them. */}
          <span className="maas-details" title={[count, ...words].filter(Boolean).join(' · ')}>
            {count && <span className="maas-versions-count">{count}</span>}
            {count && words.length > 0 && ' · '}
            {words.join(' · ')}
          </span>
          {columns.metric && <Metric row={newest} />}
        </span>
      </button>
      <span className="maas-model-menu">
        <OpenModelPage model={row.name} />
        <RowMenu name={row.name} />
      </span>
      <ul id={id} className="maas-versions" hidden={!open}>
        {open && typeof versions === 'string' && <li className="maas-reason">{versions}</li>}
        {open && Array.isArray(versions) && versions.map(each => <Version key={each.version} model={row.name} row={each} />)}
      </ul>
    </>
  );
}

function Version({ model, row }: { readonly model: string; readonly row: VersionRow }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  // Versions of one model differ in precision and size more often than in what they are for.
  const details = [row.precision, format.bytes(row.size), row.task].join(' · ');
  const own = row.parent?.startsWith(`${model}/`) ? `v${row.parent.slice(model.length + 1)}` : row.parent;
  const open = useOpenModel();
  return (
    <li className="maas-version" data-version={row.version} onDoubleClick={() => open?.(model, row.version)}>
      <div className="maas-row">
        <span className="maas-version-number">v{row.version}</span>
        {row.parent !== null && (
          <span className="maas-parent" title={trans.__('Made from %1', row.parent)}>
            {trans.__('from %1', own)}
          </span>
        )}
        <span className="maas-aliases">
          {row.aliases.map(alias => (
            <Alias key={alias} alias={alias} />
          ))}
        </span>
        <Age time={row.created} />
        <OpenModelPage model={model} version={row.version} />
        <RowMenu name={`${model}/${row.version}`} />
      </div>
      <div className="maas-row">
        <span className="maas-details" title={details}>
          {details}
        </span>
        <Metric row={row} />
      </div>
    </li>
  );
}

function Alias({ alias, title }: { readonly alias: string; readonly title?: string }): React.ReactElement {
  return (
    <span className="maas-alias" data-alias={alias} title={title}>
      {alias}
    </span>
  );
}

/** The metric that stands for a version, and how far it is from the parent's. */
function Metric({ row }: { readonly row: VersionRow }): React.ReactElement | null {
  const { trans, format } = useContext(LocaleContext);
  if (row.metric === null) {
    return null;
  }
  return (
    <span className="maas-metric">
      {row.metric_name} <b>{format.metric(row.metric)}</b>
      {row.change !== null && row.change !== 0 && (
        <span className="maas-change" title={trans.__('Against %1', row.parent ?? '')}>
          {' '}
          {format.change(row.change)}
        </span>
      )}
    </span>
  );
}
