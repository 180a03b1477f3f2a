import { closeIcon } from '@jupyterlab/ui-components';
import React, { useContext } from 'react';

import { Age } from '../age';
import { OPEN_DASHBOARD } from '../dashboard/open';
import { ExecuteContext } from '../execute';
import { LocaleContext } from '../locale';
import { RowMenu } from '../rowMenu';
import { howMade } from './lineage';
import { isBetter, measured, type Measured, measurementNames, metricNames, type Source } from './metrics';
import type { ModelPageModel, Service } from './pageModel';
import type { VersionDetails } from './schema';

interface Column {
  readonly version: string;
  /** Null while it is on its way. */
  readonly details: VersionDetails | null;
  readonly parent: VersionDetails | null;
}

/** The versions that are looked at, a column each. */
export function SideBySide({ model }: { readonly model: ModelPageModel }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const columns: Column[] = model.chosen.map(version => {
    const parent = model.parentOf(version);
    return { version, details: valueOf(model, version), parent: parent === null ? null : valueOf(model, parent) };
  });
  const all = columns.flatMap(({ details }) => (details === null ? [] : [details]));
  const row = (name: string, title: string, cell: (details: VersionDetails, column: Column) => React.ReactNode) => (
    <Row key={name} name={name} title={title} columns={columns} cell={cell} />
  );
  const metrics = (source: Source): React.ReactNode[] =>
    metricNames(source, all).map(name =>
      row(`${source}.${name}`, name.replace(/_/g, ' '), (details, { parent }) => (
        <Metric name={name} measured={measured(source, name, details, parent)} against={details.parent} />
      ))
    );
  const evaluated = metrics('evaluation');
  const registered = metrics('registered');
  const names = measurementNames(all);
  return (
    <div className="maas-scroller" role="region" aria-label={trans.__('Versions side by side')} tabIndex={0}>
      <table className="maas-side-by-side">
        <thead>
          <tr>
            <td />
            {columns.map(({ version }) => (
              <Head key={version} model={model} version={version} />
            ))}
          </tr>
        </thead>
        <Group title={trans.__('Version')} span={columns.length + 1}>
          {row('task', trans.__('Task'), details => details.task)}
          {row('precision', trans.__('Precision'), details => details.precision)}
          {row('size', trans.__('Size'), (details, { parent }) => (
            <Size details={details} parent={parent} />
          ))}
          {row('parameters', trans.__('Parameters'), details =>
            details.parameters === null ? null : format.count(details.parameters)
          )}
          {row('runtime', trans.__('Runtime'), details => details.runtime || null)}
          {row('created', trans.__('Registered'), details => (
            <Age time={details.created} />
          ))}
        </Group>
        {evaluated.length > 0 && (
          <Group title={trans.__('Last evaluation')} span={columns.length + 1}>
            {row('evaluated', trans.__('Rows'), details => details.evaluation && <Evaluated details={details} />)}
            {evaluated}
          </Group>
        )}
        {registered.length > 0 && (
          <Group title={trans.__('Measured before it was registered')} span={columns.length + 1}>
            {registered}
          </Group>
        )}
        {names.length > 0 && (
          <Group title={trans.__('Measured by the optimisation')} span={columns.length + 1}>
            {names.map(name =>
              row(`measured.${name}`, measurementTitle(name, trans), details => measurement(name, details, format))
            )}
          </Group>
        )}
        <Group title={trans.__('Verdict')} span={columns.length + 1}>
          {row('gates', trans.__('Gates'), details => (
            <Gates details={details} />
          ))}
        </Group>
        <Group title={trans.__('Origin')} span={columns.length + 1}>
          {row('parent', trans.__('Made from'), details => details.parent ?? trans.__('trained'))}
          {row('method', trans.__('How'), details => howMade(details.origin).join() || null)}
          {row('run', trans.__('Run'), details => details.origin && <RunOf details={details} />)}
          {row('command', trans.__('Command'), details =>
            details.origin?.command ? <Code text={details.origin.command} /> : null
          )}
          {all.some(details => details.comparison !== '') &&
            row('comparison', trans.__('Comparison'), details =>
              details.comparison === '' ? null : <Folded title={trans.__('All candidates')} text={details.comparison} />
            )}
          {row('digest', trans.__('Digest'), details => <code title={details.digest}>{details.digest.slice(0, 12)}</code>)}
        </Group>
        <Group title={trans.__('Served now')} span={columns.length + 1}>
          <tr data-fact="served">
            <th scope="row">{trans.__('Endpoints')}</th>
            {columns.map(({ version }) => (
              <td key={version} data-version={version}>
                <Services services={model.servicesOf(version)} />
              </td>
            ))}
          </tr>
        </Group>
      </table>
    </div>
  );
}

function valueOf(model: ModelPageModel, version: string): VersionDetails | null {
  const brought = model.details(version);
  return brought !== null && 'value' in brought ? brought.value : null;
}

function Head({ model, version }: { readonly model: ModelPageModel; readonly version: string }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const reference = `${model.name}/${version}`;
  return (
    <th scope="col" data-model={model.name} data-version={version}>
      <span className="maas-row">
        <span className="maas-version-number">v{version}</span>
        <span className="maas-aliases">
          {model.row(version)?.aliases.map(alias => (
            <span key={alias} className="maas-alias" data-alias={alias}>
              {alias}
            </span>
          ))}
        </span>
        <RowMenu name={reference} />
        {model.chosen.length > 1 && (
          <button
            type="button"
            className="maas-row-menu"
            aria-label={trans.__('Do not show %1', reference)}
            title={trans.__('Do not show %1', reference)}
            onClick={() => model.toggle(version)}
          >
            <closeIcon.react tag="span" />
          </button>
        )}
      </span>
    </th>
  );
}

interface GroupProps {
  readonly title: string;
  readonly span: number;
  readonly children: React.ReactNode;
}

function Group({ title, span, children }: GroupProps): React.ReactElement {
  return (
    <tbody>
      <tr className="maas-group">
        <th scope="rowgroup" colSpan={span}>
          {title}
        </th>
      </tr>
      {children}
    </tbody>
  );
}

interface RowProps {
  readonly name: string;
  readonly title: string;
  readonly columns: readonly Column[];
  readonly cell: (details: VersionDetails, column: Column) => React.ReactNode;
}

/** One fact of each version; a dash where it is not known. */
function Row({ name, title, columns, cell }: RowProps): React.ReactElement {
  return (
    <tr data-fact={name}>
      <th scope="row">{title}</th>
      {columns.map(column => (
        <td key={column.version} data-version={column.version}>
          {column.details === null ? '…' : (cell(column.details, column) ?? '–')}
        </td>
      ))}
    </tr>
  );
}

interface MetricProps {
  readonly name: string;
  readonly measured: Measured | null;
  readonly against: string | null;
}

function Metric({ name, measured: found, against }: MetricProps): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  if (found === null) {
    return <>–</>;
  }
  const { value, interval, change, clear } = found;
  return (
    <>
      <b>{format.metric(value)}</b>
      {change !== null && (
        <Change text={format.change(change)} better={isBetter(name, change)} clear={clear} against={against ?? ''} />
      )}
      {interval !== null && (
        <span className="maas-interval" title={trans.__('95 % confidence interval')}>
          {trans.__('%1 to %2', format.metric(interval[0]), format.metric(interval[1]))}
        </span>
      )}
    </>
  );
}

interface ChangeProps {
  readonly text: string;
  /** Null where nothing changed. */
  readonly better: boolean | null;
  readonly clear: boolean;
  readonly against: string;
}

/** A change against the parent: its number, and in words whether that is good, where that can be told. */
function Change({ text, better, clear, against }: ChangeProps): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  if (better === null || !clear) {
    const within = trans.__('Against %1: within the 95 % interval', against);
    return (
      <span className="maas-difference" data-better="same" title={better === null ? trans.__('Against %1', against) : within}>
        {better === null ? trans.__('the same') : text}
      </span>
    );
  }
  return (
    <span className="maas-difference" data-better={better} title={trans.__('Against %1', against)}>
      {text} {better ? trans.__('better') : trans.__('worse')}
    </span>
  );
}

function Size({ details, parent }: { readonly details: VersionDetails; readonly parent: VersionDetails | null }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const share = parent === null || parent.size === 0 ? null : details.size / parent.size - 1;
  const word = share === null || Math.abs(share) < 0.0005 ? null : share < 0;
  return (
    <>
      {format.bytes(details.size)}
      {share !== null && word !== null && (
        <span className="maas-difference" data-better={word} title={trans.__('Against %1', details.parent ?? '')}>
          {word ? trans.__('%1 smaller', format.share(-share)) : trans.__('%1 larger', format.share(share))}
        </span>
      )}
    </>
  );
}

function Evaluated({ details }: { readonly details: VersionDetails }): React.ReactElement | null {
  const { trans, format } = useContext(LocaleContext);
  const { evaluation } = details;
  if (evaluation === null) {
    return null;
  }
  const { subject, rows, time } = evaluation;
  return (
    <>
      {format.count(rows)} {time !== null && <Age time={time} />}
      {subject !== `${details.name}/${details.version}` && (
        <span className="maas-interval">{trans.__('of %1', subject)}</span>
      )}
    </>
  );
}

function Gates({ details }: { readonly details: VersionDetails }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const { passed, gates } = details;
  if (passed === null) {
    return <span className="maas-faint">{trans.__('never judged')}</span>;
  }
  return (
    <>
      <span className="maas-difference" data-alone="" data-better={passed}>
        {passed ? trans.__('passed') : trans.__('not passed')}
      </span>
      <ul className="maas-gates">
        {gates.map(gate => (
          <li key={gate}>{gate}</li>
        ))}
      </ul>
    </>
  );
}

function RunOf({ details }: { readonly details: VersionDetails }): React.ReactElement | null {
  const { trans } = useContext(LocaleContext);
  const { origin } = details;
  if (origin === null) {
    return null;
  }
  const { run_id: id, started, params, commit, uncommitted } = origin;
  const code = uncommitted ? trans.__('%1 with changes', commit.slice(0, 10)) : commit.slice(0, 10);
  return (
    <>
      <code title={id}>{id.slice(0, 8)}</code> <Age time={started} />
      {params.data !== undefined && (
        <span className="maas-interval">{trans.__('data %1, %2 rows', params.data, params.rows ?? '?')}</span>
      )}
      {commit !== '' && <span className="maas-interval">{trans.__('commit %1', code)}</span>}
    </>
  );
}

function Services({ services }: { readonly services: readonly Service[] }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const execute = useContext(ExecuteContext);
  if (services.length === 0) {
    return <span className="maas-faint">{trans.__('nowhere')}</span>;
  }
  return (
    <ul className="maas-services">
      {services.map(({ endpoint, traffic, share }) => {
        const part = share === null ? trans.__('shadow') : format.share(share);
        const words = [part, ...(traffic.state === 'ready' ? [] : [traffic.state])].join(', ');
        return (
          <li key={endpoint.target}>
            <button
              type="button"
              className="maas-link"
              title={trans.__('Open Dashboard')}
              onClick={() => execute?.(OPEN_DASHBOARD, { target: endpoint.target, name: endpoint.name })}
            >
              {trans.__('on %1', endpoint.target)}
            </button>{' '}
            {words}
          </li>
        );
      })}
    </ul>
  );
}

/** A short command as it is; a longer one folded. */
function Code({ text }: { readonly text: string }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  return text.includes('\n') || text.length > 60 ? <Folded title={trans.__('Show')} text={text} /> : <code>{text}</code>;
}

function Folded({ title, text }: { readonly title: string; readonly text: string }): React.ReactElement {
  return (
    <details>
      <summary>{title}</summary>
      <pre tabIndex={0}>{text}</pre>
    </details>
  );
}

type Translator = React.ContextType<typeof LocaleContext>['trans'];
type Format = React.ContextType<typeof LocaleContext>['format'];

function measurementTitle(name: string, trans: Translator): string {
  const titles: Record<string, string> = {
    p50_ms: trans.__('p50, one row'),
    p95_ms: trans.__('p95, one row'),
    rows_per_second: trans.__('Rows per second'),
    best_batch_size: trans.__('at a batch of'),
    memory_mb: trans.__('Memory'),
    agreement: trans.__('Same answers'),
    max_difference: trans.__('Largest difference')
  };
  return titles[name] ?? name;
}

function measurement(name: string, details: VersionDetails, format: Format): string | null {
  const value = details.metrics[name];
  if (value === undefined) {
    return null;
  }
  switch (name) {
    case 'p50_ms':
    case 'p95_ms':
      return format.latency(value);
    case 'memory_mb':
      return format.bytes(value * 1e6);
    case 'agreement':
      return format.share(value);
    case 'rows_per_second':
    case 'best_batch_size':
      return format.count(value);
    default:
      return format.metric(value);
  }
}
