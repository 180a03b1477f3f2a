import { describe, expect, it } from 'vitest';

import { Heights } from '../src/virtual';

describe('heights', () => {
  const heights = new Heights(
    10,
    100,
    new Map([
      [3, 25],
      [50, 40]
    ])
  );

  it('knows where each row begins', () => {
    expect([0, 3, 4, 50, 51, 100].map(index => heights.top(index))).toEqual([0, 30, 65, 525, 575, 1065]);
    expect(heights.total).toBe(1065);
  });

  it('finds the row at a height', () => {
    for (let index = 0; index < 100; index += 1) {
      expect(heights.at(heights.top(index))).toBe(index);
      expect(heights.at(heights.top(index + 1) - 1)).toBe(index);
    }
  });
});
