import { describe, expect, it } from 'vitest';

import { alertsAt, type Episode, episodesOf, within } from '../src/dashboard/episodes';
import { alertEvent as event, alertRule as rule } from './samples';

const ends = (episodes: readonly Episode[]): unknown => episodes.map(({ from, to }) => [from, to]);

describe('episodes', () => {
  it('go from an alert that fired to the same one that cleared', () => {
    const other = { kind: 'endpoint_down', threshold: null } as const;
    const events = [
      event(50, 'cleared'),
      event(45, 'fired', other),
      event(40, 'fired'),
      event(30, 'cleared'),
      event(20, 'fired')
    ];
    expect(ends(episodesOf(events, []))).toEqual([[20, 30], [40, 50], [45, null]]);
  });

  it('may have begun before what is kept, and are not told twice', () => {
    expect(ends(episodesOf([event(30, 'cleared')], []))).toEqual([[null, 30]]);
    expect(ends(episodesOf([event(31, 'fired'), event(30, 'fired')], []))).toEqual([[30, null]]);
  });

  it('are as new as the rules, whoever wrote the events', () => {
    expect(ends(episodesOf([], [rule('firing', 70)]))).toEqual([[70, null]]);
    expect(ends(episodesOf([event(69, 'fired')], [rule('firing', 70)]))).toEqual([[69, null]]);
    expect(ends(episodesOf([event(69, 'fired')], [rule('inactive', 90)]))).toEqual([[69, 90]]);
    expect(ends(episodesOf([event(169, 'fired')], [rule('inactive', 90)]))).toEqual([[169, null]]);
    expect(episodesOf([], [rule('inactive', null), rule('pending', 10)])).toEqual([]);
  });

  it('are found by time', () => {
    const episodes = episodesOf([event(50, 'cleared'), event(40, 'fired'), event(20, 'cleared')], []);
    expect(ends(within(episodes, 45, 60))).toEqual([[40, 50]]);
    expect(ends(within(episodes, 0, 10))).toEqual([[null, 20]]);
    expect(within(episodes, 60, 70)).toEqual([]);
    const said = (time: number): unknown => alertsAt(episodes, time, 2).map(each => each.change);
    expect([0, 21, 30, 39, 45, 51, 60].map(said)).toEqual([['fires'], ['cleared'], [], ['fired'], ['fires'], ['cleared'], []]);
  });
});
