import { describe, expect, it } from 'vitest';

import { Format } from '../src/format';

const format = new Format('en');

describe('Format', () => {
  it.each([
    [0, '0'],
    [0.5, '0.5'],
    [0.0042, '0.0042'],
    [0.0333, '0.033'],
    [7.041, '7.04'],
    [12.36, '12.4'],
    [99.96, '100'],
    [12_345.6, '12,346'],
    [null, '–']
  ])('writes the rate %s as %s', (value, text) => expect(format.rate(value)).toBe(text));

  it.each([
    [0.42, '0.42 ms'],
    [128.4, '128 ms'],
    [12_340, '12.3 s'],
    [null, '–']
  ])('writes the latency %s as %s', (value, text) => expect(format.latency(value)).toBe(text));

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [12_345, '12.3 kB'],
    [999_900, '1 MB'],
    [90_812_345, '90.8 MB'],
    [3.2e15, '3,200 TB']
  ])('writes %s bytes as %s', (value, text) => expect(format.bytes(value)).toBe(text));

  it.each([
    [0, '0s'],
    [0.4, '0s'],
    [59.6, '1m'],
    [65.2, '1m 5s'],
    [3_600, '1h'],
    [3_605, '1h 5s'],
    [93_784, '1d 2h']
  ])('writes a duration of %s seconds as %s', (seconds, text) => expect(format.duration(seconds)).toBe(text));

  it.each([
    [0, '0s ago'],
    [-5, '0s ago'],
    [59.9, '59s ago'],
    [130, '2m ago'],
    [7_300, '2h ago'],
    [90_000, '1d ago'],
    [6_000_000, '2mo ago'],
    [70_000_000, '2y ago']
  ])('writes an age of %s seconds as %s', (age, text) => {
    expect(format.age(1_700_000_000 - age, 1_700_000_000_000)).toBe(text);
  });

  it('writes shares and metrics', () => {
    expect(format.share(0.9)).toBe('90%');
    expect(format.metric(0.98222)).toBe('0.9822');
  });

  it('gives the time of day, with seconds where they matter', () => {
    const time = new Date(2026, 0, 2, 15, 4, 5).getTime() / 1000;
    expect(format.clock(time, false)).toMatch(/^3:04\sPM$/);
    expect(format.clock(time, true)).toMatch(/^3:04:05\sPM$/);
  });

  it("takes JupyterLab's language codes", () => {
    expect(new Format('de_DE').count(1204)).toBe('1.204');
    expect(new Format('zh_CN').age(0, 130_000)).toContain('2');
  });
});
