import { type RefObject, useLayoutEffect, useState } from 'react';

/** Rows that are drawn above and below those that can be seen, and all that are drawn where nothing can be measured. */
const BEYOND = 10;
const UNMEASURED = 50;

/** A part of a long list. */
export interface Range {
  readonly first: number;
  readonly last: number;
}

/**
 * Heights of the rows of a list: the same for all but the few that are unfolded.
 */
export class Heights {
  /** @param taller - By index: how much taller than the others. */
  constructor(
    readonly row: number,
    readonly count: number,
    taller: ReadonlyMap<number, number>
  ) {
    this.taller = [...taller].sort(([one], [other]) => one - other);
  }

  get total(): number {
    return this.top(this.count);
  }

  /** Where a row begins. */
  top(index: number): number {
    let top = index * this.row;
    for (const [place, more] of this.taller) {
      if (place >= index) {
        break;
      }
      top += more;
    }
    return top;
  }

  /** The row at a height. */
  at(height: number): number {
    let rest = height;
    let before = 0;
    for (const [place, more] of this.taller) {
      const end = (place - before + 1) * this.row + more;
      if (rest < end) {
        return Math.min(before + Math.floor(rest / this.row), place);
      }
      rest -= end;
      before = place + 1;
    }
    return before + Math.floor(rest / this.row);
  }

  private readonly taller: readonly (readonly [number, number])[];
}

/** The rows of a list that can be seen now, and some around them. */
export function useVisible(list: RefObject<HTMLElement>, heights: Heights): Range {
  const [seen, setSeen] = useState<{ readonly top: number; readonly height: number } | null>(null);
  useLayoutEffect(() => {
    const element = list.current;
    const scroller = element && scrollerOf(element);
    if (!element || !scroller) {
      return;
    }
    let frame = 0;
    const measure = (): void => {
      frame = 0;
      const inside = scroller.getBoundingClientRect();
      setSeen({ top: inside.top - element.getBoundingClientRect().top, height: inside.height });
    };
    const soon = (): void => {
      frame ||= requestAnimationFrame(measure);
    };
    const observer = new ResizeObserver(soon);
    observer.observe(scroller);
    scroller.addEventListener('scroll', soon, { passive: true });
    measure();
    return () => {
      observer.disconnect();
      scroller.removeEventListener('scroll', soon);
      cancelAnimationFrame(frame);
    };
  }, [list, heights.count]);
  if (seen === null || seen.height === 0) {
    return { first: 0, last: Math.min(heights.count, UNMEASURED) - 1 };
  }
  const first = heights.at(Math.max(0, seen.top)) - BEYOND;
  const last = heights.at(Math.max(0, seen.top + seen.height)) + BEYOND;
  return { first: Math.max(0, first), last: Math.min(heights.count - 1, last) };
}

function scrollerOf(element: HTMLElement): HTMLElement | null {
  for (let each = element.parentElement; each; each = each.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(each).overflowY)) {
      return each;
    }
  }
  return null;
}
