import { ruleId, type Ruled } from '../alerts/words';
import type { AlertEvent, AlertRow } from '../schema';

/** The time in which an alert fired, both ends in epoch seconds: null is before what is known, or not over yet. */
export interface Episode {
  /** With the value at which it fired. */
  readonly alert: Ruled;
  readonly from: number | null;
  readonly to: number | null;
}

/** Seconds by which what two servers saw of one alert may differ. */
const APART = 30;

/**
 * When the alerts of an endpoint fired, the newest last.
 *
 * @param events - Newest first. @param rules - As they are now, which may be newer.
 */
export function episodesOf(events: readonly AlertEvent[], rules: readonly AlertRow[]): readonly Episode[] {
  const found: Episode[] = [];
  const open = new Map<string, number>();
  for (const event of [...events].reverse()) {
    const id = ruleId(event);
    const place = open.get(id);
    if (event.change === 'fired') {
      if (place === undefined) {
        open.set(id, found.push({ alert: event, from: event.time, to: null }) - 1);
      }
    } else if (place === undefined) {
      found.push({ alert: event, from: null, to: event.time });
    } else {
      found[place] = { ...found[place], to: event.time };
      open.delete(id);
    }
  }
  for (const rule of rules) {
    const place = open.get(ruleId(rule));
    if (rule.state === 'firing' && rule.since !== null && place === undefined) {
      found.push({ alert: rule, from: rule.since, to: null });
    } else if (rule.state === 'inactive' && rule.since !== null && place !== undefined) {
      const begun = found[place].from;
      // An older state of the rule says nothing of a newer event.
      if (begun === null || rule.since > begun - APART) {
        found[place] = { ...found[place], to: Math.max(rule.since, begun ?? 0) };
      }
    }
  }
  return found.sort((one, other) => startOf(one) - startOf(other));
}

/** Those that fired at some time of a span. */
export function within(episodes: readonly Episode[], from: number, to: number): readonly Episode[] {
  return episodes.filter(each => startOf(each) <= to && (each.to ?? Infinity) >= from);
}

/** What an alert does at a time. */
export interface AlertAt {
  readonly episode: Episode;
  readonly change: 'fired' | 'fires' | 'cleared';
}

/** What is to be said of alerts at a time. @param reach - Seconds that are not told apart in the picture. */
export function alertsAt(episodes: readonly Episode[], time: number, reach: number): readonly AlertAt[] {
  return episodes.flatMap((episode): AlertAt[] => {
    const { from, to } = episode;
    const near = (end: number | null): boolean => end !== null && Math.abs(end - time) <= reach;
    if (near(from) && !(near(to) && Math.abs((to as number) - time) < Math.abs((from as number) - time))) {
      return [{ episode, change: 'fired' }];
    }
    if (near(to)) {
      return [{ episode, change: 'cleared' }];
    }
    return startOf(episode) <= time && (to ?? Infinity) >= time ? [{ episode, change: 'fires' }] : [];
  });
}

function startOf({ from }: Episode): number {
  return from ?? -Infinity;
}
