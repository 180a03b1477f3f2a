import { UseSignal } from '@jupyterlab/ui-components';
import type { ISignal } from '@lumino/signaling';
import React, { useContext } from 'react';

import { StateBadge, Stats, Traffic } from '../endpoints';
import { LocaleContext } from '../locale';
import { RowMenu } from '../rowMenu';
import { ChartGrid } from './chartGrid';
import { type DashboardModel, type Range, RANGES } from './dashboardModel';
import { type PlotFactory, uplot } from './plot';

export interface DashboardViewProps {
  readonly model: DashboardModel;
  /** Emits when the colours are others. */
  readonly themeChanged?: ISignal<unknown, unknown> | null;
  readonly makePlot?: PlotFactory;
}

/**
 * The dashboard of one endpoint.
 *
 * What tests and styles can hold on to: `.maas-dashboard[data-endpoint][data-target]`, in it `[data-stat]` as in the
 * panel, `[data-tool]` of its buttons, `[data-notice]`, `[data-chart]`, and `.maas-tooltip`.
 */
export function DashboardView(props: DashboardViewProps): React.ReactElement {
  const { model, themeChanged = null, makePlot = uplot } = props;
  return (
    <UseSignal signal={model.changed}>
      {() => (
        <div className="maas-dashboard-content">
          <Headline model={model} />
          <Notices model={model} />
          <Tools model={model} />
          <ChartGrid model={model} makePlot={makePlot} themeChanged={themeChanged} />
        </div>
      )}
    </UseSignal>
  );
}

function Headline({ model }: { readonly model: DashboardModel }): React.ReactElement {
  const { endpoint, absence } = model;
  const isHere = endpoint !== null && absence === null && model.problem === null;
  return (
    <header className="maas-headline">
      <div className="maas-row">
        <h2 className="maas-name">{model.name}</h2>
        <span className="maas-target">{model.target}</span>
        {isHere && <StateBadge state={endpoint.state} />}
        {isHere && <RowMenu name={model.name} />}
      </div>
      {isHere && endpoint.state !== 'ready' && endpoint.reason !== '' && (
        <p className="maas-reason" role="status">
          {endpoint.reason}
        </p>
      )}
      {endpoint !== null && endpoint.traffic.length > 0 && (
        <Traffic rows={endpoint.traffic} latest={isHere ? endpoint.latest : null} />
      )}
      {endpoint !== null && <Stats row={isHere ? endpoint : { ...endpoint, latest: null }} />}
    </header>
  );
}

function Notices({ model }: { readonly model: DashboardModel }): React.ReactElement | null {
  const { trans } = useContext(LocaleContext);
  const { name, target, absence, problem, pastProblem, origin, samples, isLoading } = model;
  const [from, to] = model.span;
  if (problem !== null) {
    return (
      <Notice name="server">
        {trans.__('The Jupyter server does not answer as it should; it is asked again and again: %1', problem.message)}
      </Notice>
    );
  }
  if (absence !== null) {
    return (
      <Notice name={absence.kind}>
        {absence.kind === 'gone'
          ? trans.__("There is no endpoint '%1' on '%2' any more. What was measured is kept here.", name, target)
          : trans.__("'%1' does not answer: %2", target, absence.reason)}
      </Notice>
    );
  }
  if (pastProblem !== null) {
    return (
      <Notice name="past">
        {trans.__('What was measured before cannot be shown: %1', pastProblem.message)}{' '}
        <button type="button" className="maas-tool" data-tool="retry" onClick={() => void model.load()}>
          {trans.__('Retry')}
        </button>
      </Notice>
    );
  }
  if (origin !== null && origin.trouble !== '') {
    return (
      <Notice name="fallback">
        {trans.__('What was measured before is only what was seen here: %1', origin.trouble)}{' '}
        <button type="button" className="maas-tool" data-tool="retry" onClick={() => void model.load()}>
          {trans.__('Retry')}
        </button>
      </Notice>
    );
  }
  if (!samples.some(sample => sample.time >= from && sample.time <= to)) {
    return (
      <Notice name="nothing">
        {isLoading ? trans.__('Loading what was measured…') : trans.__('Nothing was measured in this time.')}
      </Notice>
    );
  }
  return null;
}

function Notice({ name, children }: { readonly name: string; readonly children: React.ReactNode }): React.ReactElement {
  return (
    <p className="maas-dashboard-notice" data-notice={name} role="status">
      {children}
    </p>
  );
}

function Tools({ model }: { readonly model: DashboardModel }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const [from, to] = model.span;
  const names: Record<Range, string> = {
    300: trans.__('5 min'),
    3600: trans.__('1 h'),
    21600: trans.__('6 h')
  };
  const comes = model.problem === null && model.absence === null && model.endpoint?.latest != null;
  const live = comes ? trans.__('Live') : trans.__('Nothing new comes');
  const mode = model.isPaused ? trans.__('Paused') : model.isZoomed ? trans.__('Zoomed') : live;
  return (
    <div className="maas-tools">
      <div role="group" aria-label={trans.__('Time that is shown')} className="maas-tool-group">
        {RANGES.map(range => (
          <button
            key={range}
            type="button"
            className="maas-tool"
            data-tool={`range-${range}`}
            aria-pressed={model.range === range}
            onClick={() => model.setRange(range)}
          >
            {names[range]}
          </button>
        ))}
      </div>
      <button type="button" className="maas-tool" data-tool="pause" onClick={() => model.setPaused(!model.isPaused)}>
        {model.isPaused ? trans.__('Continue') : trans.__('Pause')}
      </button>
      <div role="group" aria-label={trans.__('Zoom')} className="maas-tool-group">
        <button
          type="button"
          className="maas-tool"
          data-tool="zoom-in"
          aria-label={trans.__('Zoom in')}
          title={trans.__('Zoom in; or drag over a part of a chart')}
          onClick={() => model.zoomBy(0.5)}
        >
          +
        </button>
        <button
          type="button"
          className="maas-tool"
          data-tool="zoom-out"
          aria-label={trans.__('Zoom out')}
          title={trans.__('Zoom out')}
          disabled={!model.isZoomed}
          onClick={() => model.zoomBy(2)}
        >
          −
        </button>
        <button
          type="button"
          className="maas-tool"
          data-tool="reset"
          title={trans.__('Show all again; or double click on a chart')}
          disabled={!model.isZoomed}
          onClick={() => model.resetZoom()}
        >
          {trans.__('Show all')}
        </button>
      </div>
      <span className="maas-mode" role="status" data-paused={model.isPaused}>
        {mode}
      </span>
      <span className="maas-span">
        {format.clock(from, true)} – {format.clock(to, true)}
      </span>
      {model.origin !== null && (
        <span className="maas-origin" data-source={model.origin.source}>
          {model.origin.source === ''
            ? trans.__('Past: seen by this Jupyter server')
            : trans.__('Past: %1', model.origin.source)}
        </span>
      )}
    </div>
  );
}
