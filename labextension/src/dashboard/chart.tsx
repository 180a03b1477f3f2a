import type { ISignal } from '@lumino/signaling';
import React, { useContext, useEffect, useId, useRef } from 'react';

import { LocaleContext } from '../locale';
import type { Chart } from './charts';
import type { Span } from './dashboardModel';
import { colorOf, DASHES, type Plot, type PlotFactory } from './plot';
import type { Episode } from './episodes';
import type { Pointer } from './pointer';

export interface ChartViewProps {
  readonly chart: Chart;
  readonly times: readonly number[];
  readonly span: Span;
  /** When alerts fired. */
  readonly episodes: readonly Episode[];
  readonly pointer: Pointer;
  readonly makePlot: PlotFactory;
  readonly themeChanged: ISignal<unknown, unknown> | null;
  readonly onPoint: (time: number | null) => void;
  readonly onZoom: (from: number, to: number) => void;
  readonly onReset: () => void;
  /** The chart is so many CSS pixels wide. */
  readonly onWidth: (width: number) => void;
}

/** A chart with its title and its legend. */
export function ChartView(props: ChartViewProps): React.ReactElement {
  const { chart, times, span } = props;
  const { trans } = useContext(LocaleContext);
  const id = useId();
  return (
    <figure className="maas-chart" data-chart={chart.id} aria-labelledby={id}>
      <figcaption className="maas-chart-title">
        <h3 id={id}>{chart.title}</h3>
        <Legend chart={chart} />
      </figcaption>
      {chart.curves.length > 0 ? (
        // A plot has its lines for good: others need another one.
        <Lines {...props} key={chart.curves.length} times={times} span={span} />
      ) : (
        <p className="maas-untold">{trans.__('This server does not tell.')}</p>
      )}
    </figure>
  );
}

function Lines(props: ChartViewProps): React.ReactElement {
  const { chart, times, span, episodes, pointer, makePlot, themeChanged, onWidth } = props;
  const { format } = useContext(LocaleContext);
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const now = useRef(props);
  useEffect(() => {
    now.current = props;
  });

  useEffect(() => {
    const node = host.current as HTMLDivElement;
    const made = makePlot(node, {
      lines: now.current.chart.curves.length,
      format: value => now.current.chart.format(value),
      clock: (time, withSeconds) => format.clock(time, withSeconds),
      onPoint: time => now.current.onPoint(time),
      onZoom: (from, to) => now.current.onZoom(from, to),
      onReset: () => now.current.onReset()
    });
    plot.current = made;
    const follow = (): void => made.point(pointer.time);
    const recolor = (): void => made.recolor();
    const observer = new ResizeObserver(() => {
      made.resize(node.clientWidth);
      onWidth(node.clientWidth);
    });
    pointer.changed.connect(follow);
    themeChanged?.connect(recolor);
    observer.observe(node);
    return () => {
      observer.disconnect();
      themeChanged?.disconnect(recolor);
      pointer.changed.disconnect(follow);
      plot.current = null;
      made.dispose();
    };
  }, [makePlot, pointer, themeChanged, onWidth, format]);

  useEffect(() => {
    plot.current?.draw(
      times,
      chart.curves.map(curve => curve.values),
      span,
      episodes
    );
    plot.current?.point(pointer.time);
  }, [chart, times, span, episodes, pointer]);

  // What it shows is said by its legend, and by the table of values.
  return <div className="maas-plot" ref={host} aria-hidden="true" />;
}

/** Names of the lines with their newest values; told apart by their place, their dashes and their colours. */
function Legend({ chart }: { readonly chart: Chart }): React.ReactElement {
  return (
    <ul className="maas-legend">
      {chart.curves.map((curve, line) => (
        <li key={curve.label}>
          <LineKey line={line} /> {curve.label} <b>{chart.format(curve.values[curve.values.length - 1] ?? null)}</b>
        </li>
      ))}
    </ul>
  );
}

/** A piece of a line, as it is drawn. */
export function LineKey({ line }: { readonly line: number }): React.ReactElement {
  const dashes = DASHES[line % DASHES.length];
  return (
    <svg className="maas-line-key" viewBox="0 0 24 6" aria-hidden="true">
      <line
        x1="0"
        x2="24"
        y1="3"
        y2="3"
        strokeDasharray={dashes.join(' ') || undefined}
        style={{ stroke: `var(${colorOf(line)})` }}
      />
    </svg>
  );
}
