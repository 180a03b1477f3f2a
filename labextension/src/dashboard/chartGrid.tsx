import { UseSignal } from '@jupyterlab/ui-components';
import type { ISignal } from '@lumino/signaling';
import React, { useCallback, useContext, useId, useMemo, useRef, useState } from 'react';

import { LocaleContext } from '../locale';
import { finding } from '../alerts/words';
import { AlertKey, AlertLog } from './alertLog';
import { ChartView, LineKey } from './chart';
import { type Chart, chartsOf, type Serving } from './charts';
import type { DashboardModel, Span } from './dashboardModel';
import { alertsAt, type Episode } from './episodes';
import { leftOf, type PlotFactory, roomIn } from './plot';
import { type Place, Pointer } from './pointer';
import { nearest, type Table, thinned } from './timeline';
import { ValuesTable } from './valuesTable';

export interface ChartGridProps {
  readonly model: DashboardModel;
  readonly makePlot: PlotFactory;
  readonly themeChanged: ISignal<unknown, unknown> | null;
}

/** CSS pixels of a chart until its width is known. */
const FIRST_WIDTH = 400;

/** CSS pixels from the top to where keys point, in the first chart. */
const KEYS_TOP = 60;

/** CSS pixels from the mark of an alert in which it is pointed at. */
const REACH = 5;

/** All charts: one axis of time, one cursor, one zoom. */
export function ChartGrid({ model, makePlot, themeChanged }: ChartGridProps): React.ReactElement {
  const locale = useContext(LocaleContext);
  const { trans, format } = locale;
  const [pointer] = useState(() => new Pointer());
  const [width, setWidth] = useState(FIRST_WIDTH);
  const place = useRef<Place>({ x: 0, y: 0 });
  const grid = useRef<HTMLDivElement>(null);
  const keysId = useId();

  const { samples, endpoint, episodes } = model;
  const [from, to] = model.span;
  const span = useMemo<Span>(() => [from, to], [from, to]);
  const table = useMemo(() => thinned(samples, from, to, roomIn(width)), [samples, from, to, width]);
  const charts = useMemo(() => {
    const serving: Serving = {
      versions: endpoint?.traffic.filter(row => row.shadow === null).map(row => row.version) ?? [],
      untold: endpoint?.untold ?? []
    };
    return chartsOf(table, serving, { trans, format });
  }, [table, endpoint, trans, format]);

  const onPoint = useCallback(
    (time: number | null): void => (time === null ? pointer.leave() : pointer.moveTo(time, place.current, false)),
    [pointer]
  );
  const onZoom = useCallback((one: number, other: number): void => model.zoomTo(one, other), [model]);
  const onReset = useCallback((): void => model.resetZoom(), [model]);
  const onMouseMove = (event: React.MouseEvent<HTMLDivElement>): void => {
    const corner = event.currentTarget.getBoundingClientRect();
    place.current = { x: event.clientX - corner.left, y: event.clientY - corner.top };
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const pointAt = (time: number | null): void => {
      if (time !== null) {
        pointer.moveTo(time, { x: leftOf(time, span, width), y: KEYS_TOP }, true);
      }
    };
    if (!event.altKey && !event.ctrlKey && !event.metaKey && act(event, model, pointer, table, pointAt)) {
      event.preventDefault();
      event.stopPropagation();
    }
  };

  const onTime = useCallback(
    (time: number): void => pointer.moveTo(time, { x: leftOf(time, span, width), y: KEYS_TOP }, true),
    [pointer, span, width]
  );

  return (
    <div className="maas-dashboard-body">
      <p id={keysId} className="maas-hidden">
        {trans.__(
          'Arrow keys read the values at earlier and later times, plus and minus zoom, Shift with an arrow key moves, 0 shows all again, Space pauses.'
        )}
      </p>
      {/* It takes keys, so it can be reached by them. */}
      <div
        className="maas-charts"
        ref={grid}
        role="group"
        aria-label={trans.__('Charts of %1', model.name)}
        aria-describedby={keysId}
        tabIndex={0}
        onKeyDown={onKeyDown}
        onMouseMoveCapture={onMouseMove}
        onBlur={() => pointer.leave()}
      >
        {charts.map(chart => (
          <ChartView
            key={chart.id}
            chart={chart}
            times={table.times}
            span={span}
            episodes={episodes}
            pointer={pointer}
            makePlot={makePlot}
            themeChanged={themeChanged}
            onPoint={onPoint}
            onZoom={onZoom}
            onReset={onReset}
            onWidth={setWidth}
          />
        ))}
        <UseSignal signal={pointer.changed}>
          {() => (
            <Tooltip
              pointer={pointer}
              table={table}
              charts={charts}
              grid={grid.current}
              episodes={episodes}
              reach={(REACH * (span[1] - span[0])) / roomIn(width)}
            />
          )}
        </UseSignal>
      </div>
      <AlertLog model={model} episodes={episodes} span={span} onTime={onTime} />
      <ValuesTable charts={charts} />
    </div>
  );
}

/** Do what a key stands for; false where it stands for nothing. */
function act(
  event: React.KeyboardEvent,
  model: DashboardModel,
  pointer: Pointer,
  table: Table,
  pointAt: (time: number | null) => void
): boolean {
  switch (event.key) {
    case 'ArrowLeft':
    case 'ArrowRight': {
      const by = event.key === 'ArrowLeft' ? -1 : 1;
      if (event.shiftKey) {
        model.pan(by / 4);
      } else {
        pointAt(stepped(table, pointer.time, by));
      }
      return true;
    }
    case 'Home':
    case 'End':
      pointAt(stepped(table, event.key === 'Home' ? -Infinity : Infinity, 0));
      return true;
    case '+':
    case '=':
      model.zoomBy(0.5, pointer.time ?? undefined);
      return true;
    case '-':
      model.zoomBy(2, pointer.time ?? undefined);
      return true;
    case '0':
      model.resetZoom();
      return true;
    case ' ':
      model.setPaused(!model.isPaused);
      return true;
    case 'Escape':
      if (pointer.time === null) {
        return false;
      }
      pointer.leave();
      return true;
    default:
      return false;
  }
}

/** The time of the row that is so many rows from the one at a time; from the end where there is none. */
function stepped(table: Table, time: number | null, by: number): number | null {
  const measured = table.times.filter((_, index) => table.rows[index] !== null);
  if (measured.length === 0) {
    return null;
  }
  const last = measured.length - 1;
  if (time === null) {
    return measured[last];
  }
  const after = measured.findIndex(each => each >= time);
  const at = after === -1 ? last : after;
  return measured[Math.min(last, Math.max(0, at + by))];
}

interface TooltipProps {
  readonly pointer: Pointer;
  readonly table: Table;
  readonly charts: readonly Chart[];
  readonly grid: HTMLElement | null;
  readonly episodes: readonly Episode[];
  /** Seconds from the mark of an alert in which it is pointed at. */
  readonly reach: number;
}

/** The values of all charts at the time that is pointed at. */
function Tooltip({ pointer, table, charts, grid, episodes, reach }: TooltipProps): React.ReactElement {
  const locale = useContext(LocaleContext);
  const { trans, format } = locale;
  const changes = { fired: trans.__('Alert fired'), fires: trans.__('Alert fires'), cleared: trans.__('Alert cleared') };
  const alerts = pointer.time === null ? [] : alertsAt(episodes, pointer.time, reach);
  const row = pointer.time === null ? null : nearest(table, pointer.time);
  const { x, y } = pointer.place;
  const height = grid?.clientHeight ?? 0;
  const width = grid?.clientWidth ?? 0;
  // Towards the middle, where there is room.
  const side = `${y > height / 2 ? 'above' : 'below'} ${x > width / 2 ? 'before' : 'after'}`;
  return (
    // Read out where keys moved it; under a mouse that would be noise.
    <div className="maas-tooltip-region" aria-live={pointer.byKeys ? 'polite' : 'off'}>
      {(row !== null || alerts.length > 0) && (
        <div className="maas-tooltip" data-side={side} style={{ left: x, top: y }}>
          <p className="maas-tooltip-time">{format.date(row === null ? (pointer.time as number) : table.times[row])}</p>
          {alerts.map(({ episode, change }) => (
            <p key={episode.alert.kind} className="maas-tooltip-alert" data-change={change}>
              <AlertKey change={change} /> <b>{changes[change]}</b> {finding(episode.alert, locale)}
            </p>
          ))}
          <dl>
            {(row === null ? [] : charts).map(chart => (
              <React.Fragment key={chart.id}>
                <dt>{chart.title}</dt>
                <dd>
                  {chart.curves.map((curve, line) => (
                    <span key={curve.label}>
                      <LineKey line={line} /> {curve.label} <b>{chart.format(curve.values[row as number] ?? null)}</b>
                    </span>
                  ))}
                </dd>
              </React.Fragment>
            ))}
          </dl>
        </div>
      )}
    </div>
  );
}
