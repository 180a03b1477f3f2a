import React from 'react';

import { gapAt } from './dashboard/timeline';

/** Seconds that the line spans. */
const SPAN = 300;
const WIDTH = 100;
const HEIGHT = 24;

export interface SparklineProps {
  /** Oldest first; `time` in seconds. */
  readonly points: readonly { readonly time: number; readonly value: number }[];
  /** What the line shows, in words. */
  readonly label: string;
}

/** A line over the last five minutes that ends at the newest point, with gaps where nobody looked; a flat base without points. */
export function Sparkline({ points, label }: SparklineProps): React.ReactElement {
  const end = points.length ? points[points.length - 1].time : 0;
  const top = Math.max(...points.map(point => point.value), Number.MIN_VALUE);
  const steps = points.map(({ time }, place) => (place === 0 ? 0 : time - points[place - 1].time));
  const parts: Point[][] = [];
  points.forEach(({ time, value }, place) => {
    if (place === 0 || steps[place] > gapAt(steps, place)) {
      parts.push([]);
    }
    parts[parts.length - 1].push([WIDTH - ((end - time) / SPAN) * WIDTH, value / top]);
  });
  return <Line parts={parts} label={label} />;
}

/** A line from left to right between the lowest and the highest of the values, which are equally far apart. */
export function Course({ values, label }: { readonly values: readonly number[]; readonly label: string }): React.ReactElement {
  const bottom = Math.min(...values);
  const height = Math.max(...values) - bottom || 1;
  return (
    <Line
      parts={[values.map((value, index) => [(index / (values.length - 1)) * WIDTH, (value - bottom) / height])]}
      label={label}
    />
  );
}

/** From the left edge, and from 0 (the base) to 1 (the top). */
type Point = readonly [number, number];

interface LineProps {
  /** Each a line of its own. */
  readonly parts: readonly (readonly Point[])[];
  readonly label: string;
}

function Line({ parts, label }: LineProps): React.ReactElement {
  return (
    <svg className="maas-sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img">
      <title>{label}</title>
      <line className="maas-sparkline-base" x1="0" x2={WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
      {parts
        .filter(points => points.length > 1)
        .map((points, place) => {
          const line = points.map(([x, part]) => `${round(x)},${round(y(part))}`).join(' ');
          const [first, last] = [points[0][0], points[points.length - 1][0]];
          return (
            <React.Fragment key={place}>
              <polygon
                className="maas-sparkline-area"
                points={`${round(first)},${HEIGHT} ${line} ${round(last)},${HEIGHT}`}
              />
              <polyline className="maas-sparkline-line" points={line} />
            </React.Fragment>
          );
        })}
    </svg>
  );
}

/** Leaves a pixel above the highest point and on the base, so that the stroke is never cut. */
function y(part: number): number {
  return HEIGHT - 1 - part * (HEIGHT - 2);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
