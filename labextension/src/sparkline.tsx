import React from 'react';

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

/** A line over the last five minutes that starts at zero and ends at the newest point; a flat base without points. */
export function Sparkline({ points, label }: SparklineProps): React.ReactElement {
  const end = points.length ? points[points.length - 1].time : 0;
  const top = Math.max(...points.map(point => point.value), Number.MIN_VALUE);
  return (
    <Line
      points={points.map(({ time, value }) => [WIDTH - ((end - time) / SPAN) * WIDTH, value / top])}
      label={label}
    />
  );
}

/** A line from left to right between the lowest and the highest of the values, which are equally far apart. */
export function Course({ values, label }: { readonly values: readonly number[]; readonly label: string }): React.ReactElement {
  const bottom = Math.min(...values);
  const height = Math.max(...values) - bottom || 1;
  return (
    <Line
      points={values.map((value, index) => [(index / (values.length - 1)) * WIDTH, (value - bottom) / height])}
      label={label}
    />
  );
}

interface LineProps {
  /** From the left edge, and from 0 (the base) to 1 (the top). */
  readonly points: readonly (readonly [number, number])[];
  readonly label: string;
}

function Line({ points, label }: LineProps): React.ReactElement {
  const line = points.map(([x, part]) => `${round(x)},${round(y(part))}`).join(' ');
  return (
    <svg className="maas-sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img">
      <title>{label}</title>
      <line className="maas-sparkline-base" x1="0" x2={WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
      {points.length > 1 && (
        <>
          <polygon
            className="maas-sparkline-area"
            points={`${round(points[0][0])},${HEIGHT} ${line} ${WIDTH},${HEIGHT}`}
          />
          <polyline className="maas-sparkline-line" points={line} />
        </>
      )}
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
