import uPlot from 'uplot';

import type { Span } from './dashboardModel';

/** What a plot is made of, apart from its data. */
export interface PlotOptions {
  /** How many lines it has. */
  readonly lines: number;
  readonly format: (value: number) => string;
  readonly clock: (time: number, withSeconds: boolean) => string;
  /** The time under the pointer; null once it has left. */
  readonly onPoint: (time: number | null) => void;
  /** A part of the time axis was dragged over. */
  readonly onZoom: (from: number, to: number) => void;
  readonly onReset: () => void;
}

/** A part of the time that is marked, with its ends; null is beyond what is shown. */
export interface PlotMark {
  readonly from: number | null;
  readonly to: number | null;
}

/** Lines over time in an element. Times in epoch seconds. */
export interface Plot {
  draw(
    times: readonly number[],
    lines: readonly (readonly (number | null)[])[],
    span: Span,
    marks?: readonly PlotMark[]
  ): void;
  /** Mark a time, or none. */
  point(time: number | null): void;
  /** @param width - CSS pixels. */
  resize(width: number): void;
  /** Take the colours again, which the theme gives. */
  recolor(): void;
  dispose(): void;
}

export type PlotFactory = (host: HTMLElement, options: PlotOptions) => Plot;

/** CSS pixels of a plot with its axes. */
const HEIGHT = 150;

/** CSS pixels of the axis of values, which is the same in all plots so that their times are below one another. */
const AXIS = 58;

const RIGHT = 8;

/** Seconds between two times that are written at the axis. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800];

/** Pixels that a drag is long at least: anything shorter is a click. */
const DRAG = 4;

/** CSS pixels of the mark of an alert, and how opaque the time is in which it fired. */
const MARK = 8;
const SHADE = 0.12;

/** Lengths of dashes and of what is between them, in pixels: lines are told apart without their colour. */
export const DASHES: readonly (readonly number[])[] = [
  [],
  [7, 4],
  [2, 3],
  [9, 3, 2, 3],
  [14, 4],
  [4, 2],
  [9, 3, 2, 3, 2, 3]
];

/** So many colours there are, as `--maas-line-1` and so on; fewer than dashes, so that neither repeats alone. */
const COLORS = 6;

/** The CSS variable with the colour of a line. */
export function colorOf(line: number): string {
  return `--maas-line-${(line % COLORS) + 1}`;
}

/** CSS pixels from the left edge of a plot to a time. @param width - Of the plot with its axes. */
export function leftOf(time: number, [from, to]: Span, width: number): number {
  return AXIS + ((time - from) / (to - from)) * (width - AXIS - RIGHT);
}

/** How many points of a plot there is room for. @param width - CSS pixels of the plot with its axes. */
export function roomIn(width: number): number {
  return Math.max(50, Math.floor(width - AXIS - RIGHT));
}

/** A plot that is drawn by uPlot. */
export const uplot: PlotFactory = (host, options) => new UPlot(host, options);

class UPlot implements Plot {
  constructor(
    private readonly host: HTMLElement,
    private readonly options: PlotOptions
  ) {
    this.chart = this.made();
  }

  draw(
    times: readonly number[],
    lines: readonly (readonly (number | null)[])[],
    span: Span,
    marks: readonly PlotMark[] = []
  ): void {
    this.marks = marks;
    this.data = [times as number[], ...lines.map(values => values as (number | null)[])];
    this.span = span;
    this.update();
  }

  point(time: number | null): void {
    const left = time === null ? -1 : this.chart.valToPos(time, 'x');
    const inside = left >= 0 && left <= this.chart.over.clientWidth;
    this.chart.setCursor(inside ? { left, top: 0 } : { left: -10, top: -10 }, false);
  }

  resize(width: number): void {
    if (width > 0 && width !== this.width) {
      this.width = width;
      this.chart.setSize({ width, height: HEIGHT });
    }
  }

  recolor(): void {
    this.chart.destroy();
    this.chart = this.made();
    this.update();
  }

  dispose(): void {
    this.chart.destroy();
  }

  private update(): void {
    const [min, max] = this.span;
    this.chart.batch(() => {
      this.chart.setData(this.data, false);
      this.chart.setScale('x', { min, max });
    });
  }

  private made(): uPlot {
    const { lines, format, clock, onPoint, onZoom, onReset } = this.options;
    const style = getComputedStyle(this.host);
    const colors = colorsOf(this.host);
    const axis: uPlot.Axis = {
      font: `11px ${style.fontFamily || 'sans-serif'}`,
      stroke: colors.text,
      grid: { stroke: colors.grid, width: 1 },
      ticks: { stroke: colors.grid, width: 1, size: 4 },
      gap: 4
    };
    return new uPlot(
      {
        width: this.width,
        height: HEIGHT,
        padding: [8, RIGHT, 0, 0],
        legend: { show: false },
        scales: {
          x: { time: true },
          // From zero, so that heights can be compared; a line that stays at zero is at the base.
          y: { range: (_, _min, max) => [0, max > 0 ? max * 1.08 : 1] }
        },
        series: [
          {},
          ...Array.from({ length: lines }, (_, place): uPlot.Series => {
            const stroke = colors.line(place);
            return {
              stroke,
              width: 1.5,
              dash: [...DASHES[place % DASHES.length]],
              points: { size: 4, width: 1, fill: stroke }
            };
          })
        ],
        axes: [
          {
            ...axis,
            size: 24,
            space: 84,
            incrs: STEPS,
            values: (_, splits, _axis, _space, increment) => splits.map(time => clock(time, increment < 60))
          },
          { ...axis, size: AXIS, space: 28, values: (_, splits) => splits.map(format) }
        ],
        cursor: {
          y: false,
          drag: { x: true, y: false, setScale: false, dist: DRAG },
          points: { size: 6 },
          bind: {
            dblclick: () => () => {
              onReset();
              return null;
            }
          }
        },
        hooks: {
          drawClear: [chart => this.shade(chart, colors.fired)],
          draw: [chart => this.drawMarks(chart, colors)],
          setCursor: [
            chart => {
              const { left = -1 } = chart.cursor;
              onPoint(left < 0 ? null : chart.posToVal(left, 'x'));
            }
          ],
          setSelect: [
            chart => {
              const { left, width } = chart.select;
              if (width >= DRAG) {
                onZoom(chart.posToVal(left, 'x'), chart.posToVal(left + width, 'x'));
              }
              chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            }
          ]
        }
      },
      this.data,
      this.host
    );
  }

  /** Behind the lines. */
  private shade(chart: uPlot, color: string): void {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.fillStyle = color;
    ctx.globalAlpha = SHADE;
    for (const { from, to } of this.marks) {
      const left = from === null ? bbox.left : Math.max(bbox.left, chart.valToPos(from, 'x', true));
      const right = to === null ? Infinity : chart.valToPos(to, 'x', true);
      const width = Math.min(bbox.left + bbox.width, right) - left;
      if (width > 0) {
        ctx.fillRect(left, bbox.top, width, bbox.height);
      }
    }
    ctx.restore();
  }

  /** Where an alert fired, a line with a triangle; where it cleared, a dashed line with a ring. */
  private drawMarks(chart: uPlot, colors: Colors): void {
    const { ctx, bbox } = chart;
    const scale = uPlot.pxRatio;
    const size = MARK * scale;
    ctx.save();
    ctx.lineWidth = 1.5 * scale;
    for (const { from, to } of this.marks) {
      for (const [time, isStart] of [
        [from, true],
        [to, false]
      ] as const) {
        const x = time === null ? -Infinity : chart.valToPos(time, 'x', true);
        if (x < bbox.left || x > bbox.left + bbox.width) {
          continue;
        }
        ctx.strokeStyle = ctx.fillStyle = isStart ? colors.fired : colors.cleared;
        ctx.setLineDash(isStart ? [] : [3 * scale, 3 * scale]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top + (isStart ? 0 : size));
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.setLineDash([]);
        ctx.beginPath();
        if (isStart) {
          ctx.moveTo(x - size / 2, bbox.top);
          ctx.lineTo(x + size / 2, bbox.top);
          ctx.lineTo(x, bbox.top + size);
          ctx.closePath();
          ctx.fill();
        } else {
          ctx.arc(x, bbox.top + size / 2, size / 2 - scale, 0, 2 * Math.PI);
          ctx.stroke();
        }
      }
    }
    ctx.restore();
  }

  private chart: uPlot;
  private marks: readonly PlotMark[] = [];
  private width = 320;
  private data: uPlot.AlignedData = [[], ...Array.from({ length: this.options.lines }, () => [])];
  private span: Span = [0, 1];
}

interface Colors {
  readonly text: string;
  readonly grid: string;
  readonly fired: string;
  readonly cleared: string;
  readonly line: (place: number) => string;
}

/** The theme's colours as a canvas understands them: it resolves no CSS variables. */
function colorsOf(host: HTMLElement): Colors {
  const probe = host.appendChild(document.createElement('span'));
  const resolved = (variable: string): string => {
    probe.style.color = `var(${variable})`;
    return getComputedStyle(probe).color;
  };
  const lines = Array.from({ length: COLORS }, (_, place) => resolved(colorOf(place)));
  const colors = { text: resolved('--jp-ui-font-color1'), grid: resolved('--jp-border-color2') };
  const marks = { fired: resolved('--jp-error-color1'), cleared: resolved('--jp-success-color1') };
  probe.remove();
  return { ...colors, ...marks, line: place => lines[place % COLORS] };
}
