import { addIcon } from '@jupyterlab/ui-components';
import React, { useContext } from 'react';

import { AlertMarks } from './alerts/marks';
import { WATCH_ENDPOINT } from './attach/commands';
import { OPEN_DASHBOARD } from './dashboard/open';
import { ExecuteContext } from './execute';
import { dashboardIcon } from './icon';
import { LocaleContext } from './locale';
import type { WatchedEndpoint } from './model';
import { type EndpointColumn, PreferencesContext } from './preferences';
import { RowMenu } from './rowMenu';
import type { AlertRow, EndpointState, Sample, ShadowCounts, TrafficRow, VersionState } from './schema';
import { Empty, Section, Skeleton } from './section';
import { Sparkline } from './sparkline';

/** Stands for all endpoints of a target that does not answer and whose endpoints are not known. */
const UNKNOWN = '*';

interface EndpointsSectionProps {
  /** Null until some have come. */
  readonly rows: readonly WatchedEndpoint[] | null;
  readonly alerts?: readonly AlertRow[] | null;
  readonly alertsError?: string | null;
}

/** The section of endpoints. */
export function EndpointsSection({ rows, alerts = null, alertsError = null }: EndpointsSectionProps): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  return (
    <Section name="endpoints" title={trans.__('Endpoints')} count={rows?.length ?? null} actions={<WatchButton />}>
      {alertsError !== null && (
        <div className="maas-notice" role="alert" data-notice="alerts">
          <b>{trans.__('Alerts do not work as they should.')}</b> {alertsError}
        </div>
      )}
      {rows === null && <Skeleton label={trans.__('Loading endpoints')} />}
      {rows?.length === 0 && <Empty text={trans.__('No endpoints yet. Publish a model:')} code="%maas publish NAME" />}
      {rows !== null && rows.length > 0 && (
        <ul className="maas-endpoints">
          {rows.map(row => (
            <Endpoint
              key={`${row.target} ${row.name}`}
              row={row}
              alerts={(alerts ?? []).filter(alert => alert.target === row.target && alert.name === row.name)}
            />
          ))}
        </ul>
      )}
    </Section>
  );
}

function WatchButton(): React.ReactElement | null {
  const { trans } = useContext(LocaleContext);
  const execute = useContext(ExecuteContext);
  const label = trans.__('Watch an endpoint that was not started here');
  return execute === null ? null : (
    <button type="button" className="maas-watch" aria-label={label} title={label} onClick={() => execute(WATCH_ENDPOINT, {})}>
      <addIcon.react tag="span" />
    </button>
  );
}

interface EndpointProps {
  readonly row: WatchedEndpoint;
  readonly alerts: readonly AlertRow[];
}

function Endpoint({ row, alerts }: EndpointProps): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const execute = useContext(ExecuteContext);
  const { endpoints: columns } = useContext(PreferencesContext);
  const unknown = row.name === UNKNOWN;
  const open = unknown ? undefined : () => execute?.(OPEN_DASHBOARD, { target: row.target, name: row.name });
  return (
    <li
      className="maas-endpoint"
      data-endpoint={row.name}
      data-target={row.target}
      data-state={row.state}
      data-kind={row.kind || undefined}
      onDoubleClick={open}
    >
      <div className="maas-row maas-endpoint-head">
        <h3 className="maas-name" title={unknown ? row.url : `${row.name}\n${row.url}`}>
          {unknown ? row.target : row.name}
        </h3>
        {!unknown && <span className="maas-target">{row.target}</span>}
        {row.kind !== '' && (
          <span className="maas-kind" title={trans.__('What serves it; it was not started here')}>
            {row.kind}
          </span>
        )}
        <StateBadge state={row.state} />
        <span className="maas-row-buttons">
          {execute !== null && open !== undefined && (
            <button
              type="button"
              className="maas-open-dashboard"
              aria-label={trans.__("Open the dashboard of '%1' on '%2'", row.name, row.target)}
              title={trans.__('Open Dashboard')}
              onClick={open}
            >
              <dashboardIcon.react tag="span" />
            </button>
          )}
          {!unknown && <RowMenu name={row.name} />}
        </span>
      </div>
      {(row.state !== 'ready' || unknown) && row.reason !== '' && <p className="maas-reason">{row.reason}</p>}
      <AlertMarks alerts={alerts} />
      {columns.traffic && row.traffic.length > 0 && <Traffic rows={row.traffic} latest={row.latest} />}
      {!unknown && (row.state === 'ready' || row.latest !== null) && <Measurements row={row} />}
      {!unknown && columns.totals && (
        <p className="maas-totals">
          <span data-stat="requests_total" data-value={row.requests_total}>
            {trans._n('%2 request', '%2 requests', row.requests_total, format.count(row.requests_total))}
          </span>
          {tells(row, 'errors_per_second') && (
            <>
              {' · '}
              <span data-stat="errors_total" data-value={row.errors_total}>
                {trans._n('%2 error', '%2 errors', row.errors_total, format.count(row.errors_total))}
              </span>
            </>
          )}
        </p>
      )}
    </li>
  );
}

function Measurements({ row }: { readonly row: WatchedEndpoint }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const { endpoints: columns } = useContext(PreferencesContext);
  const rate = format.rate(row.latest?.requests_per_second ?? null);
  return (
    <>
      {columns.sparkline && (
        <Sparkline
          points={row.samples.map(sample => ({ time: sample.time, value: sample.requests_per_second }))}
          label={trans.__('Requests per second over five minutes, now %1', rate)}
        />
      )}
      <Stats row={row} />
    </>
  );
}

/** The newest sample in numbers, dashes where there is none. */
export function Stats({ row }: { readonly row: WatchedEndpoint }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const { latest } = row;
  const rate = format.rate(latest?.requests_per_second ?? null);
  return (
    <dl className="maas-stats">
      <Stat
        row={row}
        name="requests_per_second"
        label={trans.__('req/s')}
        value={rate}
        title={trans.__('Requests per second')}
      />
      {!tells(row, 'p50_ms') && (
        <Stat
          row={row}
          name="mean_ms"
          label={trans.__('mean')}
          value={format.latency(latest?.mean_ms ?? null)}
          title={trans.__('Mean latency; this server does not tell how it is spread')}
        />
      )}
      <Stat
        row={row}
        name="p50_ms"
        label={trans.__('p50')}
        value={format.latency(latest?.p50_ms ?? null)}
        title={trans.__('Median latency')}
      />
      <Stat
        row={row}
        name="p95_ms"
        label={trans.__('p95')}
        value={format.latency(latest?.p95_ms ?? null)}
        title={trans.__('95 % of the requests are faster')}
      />
      <Stat
        row={row}
        name="p99_ms"
        label={trans.__('p99')}
        value={format.latency(latest?.p99_ms ?? null)}
        title={trans.__('99 % of the requests are faster')}
      />
      <Stat
        row={row}
        name="errors_per_second"
        label={trans.__('errors/s')}
        value={format.rate(latest?.errors_per_second ?? null)}
        title={trans.__('Errors per second')}
        unwell={latest !== null && latest.errors_per_second > 0}
      />
      <Stat
        row={row}
        name="waiting"
        label={trans.__('queue')}
        value={latest === null ? format.rate(null) : format.count(latest.waiting)}
        title={trans.__('Requests that wait for their batch')}
      />
      <Stat
        row={row}
        name="batch_rows"
        label={trans.__('batch')}
        value={format.rate(latest?.batch_rows ?? null)}
        title={trans.__('Rows that the model is run on at once, on average')}
      />
      <Stat
        row={row}
        name="memory"
        label={trans.__('memory')}
        value={format.size(latest?.memory ?? null)}
        title={trans.__('Memory of the server, which other endpoints may share')}
      />
    </dl>
  );
}

/** Whether an endpoint's server tells of a field of its samples. */
function tells(row: WatchedEndpoint, field: keyof Sample): boolean {
  return !row.untold.includes(field);
}

interface StatProps {
  readonly row: WatchedEndpoint;
  readonly name: (EndpointColumn & keyof Sample) | 'mean_ms';
  readonly label: string;
  readonly value: string;
  readonly title: string;
  readonly unwell?: boolean;
}

function Stat({ row, name, label, value, title, unwell = false }: StatProps): React.ReactElement | null {
  const { endpoints: columns } = useContext(PreferencesContext);
  // Where only the mean is known, it stands for the median.
  const column: EndpointColumn = name === 'mean_ms' ? 'p50_ms' : name;
  return !columns[column] || !tells(row, name) ? null : (
    <div className={unwell ? 'maas-stat maas-mod-unwell' : 'maas-stat'} data-stat={name}>
      <dt title={title}>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}

export interface TrafficProps {
  readonly rows: readonly TrafficRow[];
  readonly latest: Sample | null;
}

export function Traffic({ rows, latest }: TrafficProps): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const states = useStateNames();
  const sum = rows.reduce((total, row) => total + row.weight, 0);
  return (
    <ul className="maas-traffic" aria-label={trans.__('Traffic by version')}>
      {rows.map(row => (
        <li key={row.version} className="maas-share" data-version={row.version} data-state={row.state}>
          <b>v{row.version}</b>{' '}
          {row.shadow === null ? format.share(sum > 0 ? row.weight / sum : 0) : <Shadow counts={row.shadow} />}
          {/* One version's rate is the endpoint's. */}
          {row.shadow === null && row.weight > 0 && latest !== null && rows.length > 1 && (
            <span className="maas-share-rate" data-stat="version_requests_per_second">
              {' '}
              {trans.__('%1 req/s', format.rate(latest.versions[row.version] ?? 0))}
            </span>
          )}
          {row.state !== 'ready' && <em> {states[row.state]}</em>}
        </li>
      ))}
    </ul>
  );
}

function Shadow({ counts }: { readonly counts: ShadowCounts }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const { compared, disagreed, failed, dropped } = counts;
  const title = trans.__(
    '%1 answers compared, %2 differ; %3 copies failed, %4 were dropped while there was other work',
    format.count(compared),
    format.count(disagreed),
    format.count(failed),
    format.count(dropped)
  );
  return (
    <span
      className={disagreed + failed > 0 ? 'maas-shadow maas-mod-unwell' : 'maas-shadow'}
      data-compared={compared}
      data-disagreed={disagreed}
      title={title}
    >
      {compared === 0
        ? trans.__('shadow, nothing compared yet')
        : trans.__('shadow, %1 of %2 differ (%3)', format.count(disagreed), format.count(compared), format.share(disagreed / compared))}
      {failed > 0 && `, ${trans.__('%1 failed', format.count(failed))}`}
    </span>
  );
}

export function StateBadge({ state }: { readonly state: EndpointState }): React.ReactElement {
  const states = useStateNames();
  return (
    <span className="maas-state" data-state={state}>
      {states[state]}
    </span>
  );
}

function useStateNames(): Record<EndpointState | VersionState, string> {
  const { trans } = useContext(LocaleContext);
  return {
    ready: trans.__('ready'),
    loading: trans.__('loading'),
    failed: trans.__('failed'),
    unloaded: trans.__('not in memory'),
    unavailable: trans.__('unavailable'),
    stopped: trans.__('stopped')
  };
}
