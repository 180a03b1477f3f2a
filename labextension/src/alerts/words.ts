import type { TranslationBundle } from '@jupyterlab/translation';

import type { Locale } from '../locale';
import type { AlertKind, AlertRow } from '../schema';

/** What rules and events have in common. */
export type Ruled = Pick<AlertRow, 'target' | 'name' | 'kind' | 'threshold' | 'for_seconds' | 'value' | 'reason'>;

/** The kinds in the order in which they are offered. */
export const KINDS: readonly AlertKind[] = [
  'p95_above',
  'error_rate_above',
  'endpoint_down',
  'no_traffic',
  'shadow_disagreement_above'
];

/** How a threshold is written; null where the kind has none. */
export function unitOf(kind: AlertKind): 'ms' | '%' | null {
  switch (kind) {
    case 'p95_above':
      return 'ms';
    case 'error_rate_above':
    case 'shadow_disagreement_above':
      return '%';
    case 'no_traffic':
    case 'endpoint_down':
      return null;
  }
}

export function kindNames(trans: TranslationBundle): Readonly<Record<AlertKind, string>> {
  return {
    p95_above: trans.__('Latency (p95) above'),
    error_rate_above: trans.__('Share of errors above'),
    endpoint_down: trans.__('Endpoint down'),
    no_traffic: trans.__('No traffic'),
    shadow_disagreement_above: trans.__('Shadow differs in more than')
  };
}

/** A threshold, or a value that was compared with one. */
function amount(kind: AlertKind, value: number, { format }: Locale): string {
  return unitOf(kind) === 'ms' ? format.latency(value) : format.share(value);
}

/** What a rule watches for: `Latency (p95) above 250 ms for 1m`. */
export function condition(rule: Ruled, locale: Locale): string {
  const { trans, format } = locale;
  const kind = kindNames(trans)[rule.kind];
  const what = rule.threshold === null ? kind : trans.__('%1 %2', kind, amount(rule.kind, rule.threshold, locale));
  return rule.for_seconds === 0 ? what : trans.__('%1 for %2', what, format.duration(rule.for_seconds));
}

/** Why an alert fires, as a sentence about its endpoint. */
export function finding(alert: Ruled, locale: Locale): string {
  const { trans } = locale;
  const [value, threshold] = [alert.value, alert.threshold].map(each =>
    each === null ? '' : amount(alert.kind, each, locale)
  );
  switch (alert.kind) {
    case 'p95_above':
      return trans.__('p95 was %1, above %2', value, threshold);
    case 'error_rate_above':
      return trans.__('%1 of the requests failed, more than %2', value, threshold);
    case 'shadow_disagreement_above':
      return trans.__('%1 of the answers of the shadow differed, more than %2', value, threshold);
    case 'no_traffic':
      return trans.__('no requests came');
    case 'endpoint_down':
      return alert.reason === '' ? trans.__('the endpoint is down') : trans.__('the endpoint is down: %1', alert.reason);
  }
}

/** Tells rules apart. */
export function ruleId(rule: Pick<AlertRow, 'target' | 'name' | 'kind'>): string {
  return `${rule.target}/${rule.name}/${rule.kind}`;
}
