import React, { useContext } from 'react';

import { LocaleContext } from './locale';
import type { EndpointRow, EndpointState, ShadowCounts, TrafficRow, VersionState } from './schema';
import { Empty, Section, Skeleton } from './section';
import { Sparkline } from './sparkline';

/** Stands for all endpoints of a target that does not answer and whose endpoints are not known. */
const UNKNOWN = '*';

/** The section of endpoints; null rows mean that none have come yet. */
export function EndpointsSection({ rows }: { readonly rows: readonly EndpointRow[] | null }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  return (
    <Section name="endpoints" title={trans.__('Endpoints')} count={rows?.length ?? null}>
      {rows === null && <Skeleton label={trans.__('Loading endpoints')} />}
      {rows?.length === 0 && <Empty text={trans.__('No endpoints yet. Publish a model:')} code="%maas publish NAME" />}
      {rows !== null && rows.length > 0 && (
        <ul className="maas-endpoints">
          {rows.map(row => (
            <Endpoint key={`${row.target} ${row.name}`} row={row} />
          ))}
        </ul>
      )}
    </Section>
  );
}

function Endpoint({ row }: { readonly row: EndpointRow }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const unknown = row.name === UNKNOWN;
  return (
    <li className="maas-endpoint" data-endpoint={row.name} data-target={row.target} data-state={row.state}>
      <div className="maas-row">
        <h3 className="maas-name" title={unknown ? row.url : `${row.name}\n${row.url}`}>
          {unknown ? row.target : row.name}
        </h3>
        {!unknown && <span className="maas-target">{row.target}</span>}
        <StateBadge state={row.state} />
      </div>
      {row.state !== 'ready' && row.reason !== '' && <p className="maas-reason">{row.reason}</p>}
      {row.traffic.length > 0 && <Traffic rows={row.traffic} />}
      {(row.state === 'ready' || row.latest !== null) && <Measurements row={row} />}
      {!unknown && (
        <p className="maas-totals">
          <span data-stat="requests_total" data-value={row.requests_total}>
            {trans._n('%2 request', '%2 requests', row.requests_total, format.count(row.requests_total))}
          </span>
          {' · '}
          <span data-stat="errors_total" data-value={row.errors_total}>
            {trans._n('%2 error', '%2 errors', row.errors_total, format.count(row.errors_total))}
          </span>
        </p>
      )}
    </li>
  );
}

function Measurements({ row }: { readonly row: EndpointRow }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const { latest } = row;
  const rate = format.rate(latest?.requests_per_second ?? null);
  return (
    <>
      <Sparkline
        points={row.samples.map(sample => ({ time: sample.time, value: sample.requests_per_second }))}
        label={trans.__('Requests per second over five minutes, now %1', rate)}
      />
      <dl className="maas-stats">
        <Stat name="requests_per_second" label={trans.__('req/s')} value={rate} title={trans.__('Requests per second')} />
        <Stat
          name="p50_ms"
          label={trans.__('p50')}
          value={format.latency(latest?.p50_ms ?? null)}
          title={trans.__('Median latency')}
        />
        <Stat
          name="p95_ms"
          label={trans.__('p95')}
          value={format.latency(latest?.p95_ms ?? null)}
          title={trans.__('95 % of the requests are faster')}
        />
        <Stat
          name="errors_per_second"
          label={trans.__('errors/s')}
          value={format.rate(latest?.errors_per_second ?? null)}
          title={trans.__('Errors per second')}
          unwell={latest !== null && latest.errors_per_second > 0}
        />
      </dl>
    </>
  );
}

interface StatProps {
  readonly name: string;
  readonly label: string;
  readonly value: string;
  readonly title: string;
  readonly unwell?: boolean;
}

function Stat({ name, label, value, title, unwell = false }: StatProps): React.ReactElement {
  return (
    <div className={unwell ? 'maas-stat maas-mod-unwell' : 'maas-stat'} data-stat={name}>
      <dt title={title}>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Traffic({ rows }: { readonly rows: readonly TrafficRow[] }): React.ReactElement {
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
          {row.shadow === null && row.requests_per_second !== null && rows.length > 1 && (
            <span className="maas-share-rate" data-stat="version_requests_per_second">
              {' '}
              {trans.__('%1 req/s', format.rate(row.requests_per_second))}
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

function StateBadge({ state }: { readonly state: EndpointState }): React.ReactElement {
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
