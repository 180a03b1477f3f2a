import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { DASHES, type Plot, roomIn, uplot } from '../src/dashboard/plot';

/** A canvas that draws nothing and remembers what it was told. */
const calls: [string, unknown[]][] = [];
const context = new Proxy<Record<string, unknown>>(
  {},
  {
    get: (target, name: string) =>
      name in target
        ? target[name]
        : (...args: unknown[]) => {
            calls.push([name, args]);
            return { width: 10 };
          },
    set: (target, name: string, value) => {
      calls.push([name, [value]]);
      target[name] = value;
      return true;
    }
  }
);

let host: HTMLElement;
let plot: Plot;
const onPoint = vi.fn();
const onZoom = vi.fn();
const onReset = vi.fn();

const drawn = (): Promise<void> => new Promise(resolve => setTimeout(resolve));
const over = (): HTMLElement => host.querySelector('.u-over') as HTMLElement;
const mouse = (type: string, clientX: number): void => {
  const target = type === 'mouseup' ? document : over();
  target.dispatchEvent(new MouseEvent(type, { clientX, clientY: 40, button: 0, bubbles: true }));
};

beforeEach(async () => {
  vi.stubGlobal('Path2D', class {
    moveTo = (): void => undefined;
    lineTo = (): void => undefined;
    rect = (): void => undefined;
    arc = (): void => undefined;
    closePath = (): void => undefined;
  });
  vi.spyOn(HTMLCanvasElement.prototype, 'getContext').mockReturnValue(context as never);
  host = document.body.appendChild(document.createElement('div'));
  const words = { format: (value: number) => `${value} ms`, clock: (time: number) => `at ${time}` };
  plot = uplot(host, { lines: 2, ...words, onPoint, onZoom, onReset });
  plot.resize(466);
  plot.draw([0, 100, 200, 300, 400], [[1, 2, null, 4, 5], [5, 4, 3, 2, 1]], [0, 400]);
  await drawn();
  vi.spyOn(over(), 'getBoundingClientRect').mockReturnValue(new DOMRect(0, 0, 400, 110));
  Object.defineProperty(over(), 'clientWidth', { value: 400 });
});

afterEach(() => {
  plot.dispose();
  host.remove();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  calls.length = 0;
  onPoint.mockReset();
  onZoom.mockReset();
  onReset.mockReset();
});

describe('a plot', () => {
  it('writes its axes in the words it was given, and draws lines with their dashes', () => {
    const texts = calls.filter(([name]) => name === 'fillText').map(([, args]) => args[0] as string);
    expect(texts.some(text => text.startsWith('at '))).toBe(true);
    expect(texts.some(text => text.endsWith(' ms'))).toBe(true);
    expect(calls.filter(([name]) => name === 'setLineDash').map(([, args]) => args[0])).toContainEqual(DASHES[1]);
  });

  it('tells the part of the time axis that was dragged over', () => {
    mouse('mousedown', 100);
    mouse('mousemove', 300);
    mouse('mouseup', 300);
    expect(onZoom).toHaveBeenCalledExactlyOnceWith(100, 300);
  });

  it('takes a click for no drag, and a double click for the way back', () => {
    mouse('mousedown', 100);
    mouse('mouseup', 100);
    expect(onZoom).not.toHaveBeenCalled();
    mouse('dblclick', 100);
    expect(onReset).toHaveBeenCalledTimes(1);
  });

  it('tells the time that is pointed at, and marks one without telling it', async () => {
    mouse('mousemove', 200);
    await vi.waitFor(() => expect(onPoint).toHaveBeenLastCalledWith(200));
    onPoint.mockReset();
    plot.point(300);
    expect((host.querySelector('.u-cursor-x') as HTMLElement).style.transform).toContain('300px');
    plot.point(null);
    plot.point(1e9);
    expect(host.querySelector('.u-cursor-x')?.classList.contains('u-off')).toBe(true);
    expect(onPoint).not.toHaveBeenCalled();
  });

  it('draws what it had in the colours of another theme', async () => {
    calls.length = 0;
    plot.recolor();
    await drawn();
    expect(host.querySelectorAll('.uplot')).toHaveLength(1);
    expect(calls.some(([name, args]) => name === 'fillText' && String(args[0]).startsWith('at '))).toBe(true);
  });

  it('marks when alerts fired: shaded, a full line where that began, a dashed one where it ended', async () => {
    calls.length = 0;
    plot.draw([0, 400], [[1, 2], [5, 4]], [0, 400], [
      { from: 100, to: 200 },
      { from: null, to: 50 },
      { from: 500, to: null }
    ]);
    await drawn();
    const shaded = calls.filter(([name, args]) => name === 'fillRect' && (args[2] as number) > 1);
    const widths = shaded.map(([, args]) => Math.round(args[2] as number));
    expect(widths).toEqual(expect.arrayContaining([100, 50].map(seconds => seconds * window.devicePixelRatio)));
    expect(calls.filter(([name]) => name === 'arc')).toHaveLength(2);
    expect(calls.filter(([name, args]) => name === 'setLineDash' && (args[0] as number[])[0] === 3)).toHaveLength(2);
    expect(calls.some(([name, args]) => name === 'setLineDash' && (args[0] as number[]).length === 0)).toBe(true);
  });

  it('has room for as many points as pixels, beside its axis', () => {
    expect(roomIn(466)).toBe(400);
    expect(roomIn(0)).toBeGreaterThan(0);
  });
});
