import type { ReadonlyPartialJSONObject, ReadonlyPartialJSONValue } from '@lumino/coreutils';
import { createContext } from 'react';

import { type Units, USUAL_UNITS } from './format';

/** The settings, as `schema/panel.json` has them. */
export interface Preferences extends Units {
  /** Seconds between two looks. */
  readonly refreshInterval: number;
  /** What the row of a model shows. */
  readonly models: Readonly<Record<ModelColumn, boolean>>;
  /** What is shown of an endpoint in the panel. */
  readonly endpoints: Readonly<Record<EndpointColumn, boolean>>;
}

export type ModelColumn = 'aliases' | 'age' | 'versions' | 'task' | 'precision' | 'size' | 'metric';

export type EndpointColumn =
  | 'traffic'
  | 'sparkline'
  | 'requests_per_second'
  | 'p50_ms'
  | 'p95_ms'
  | 'p99_ms'
  | 'errors_per_second'
  | 'waiting'
  | 'batch_rows'
  | 'memory'
  | 'totals';

/** What holds before anybody chose. */
export const USUAL: Preferences = {
  ...USUAL_UNITS,
  refreshInterval: 2,
  models: { aliases: true, age: true, versions: true, task: true, precision: true, size: false, metric: true },
  endpoints: {
    traffic: true,
    sparkline: true,
    requests_per_second: true,
    p50_ms: true,
    p95_ms: true,
    p99_ms: true,
    errors_per_second: true,
    waiting: true,
    batch_rows: true,
    memory: true,
    totals: true
  }
};

/** The settings that were made, which the registry has checked against the schema, over what is usual. */
export function preferencesOf(composite: ReadonlyPartialJSONObject): Preferences {
  const { models, endpoints, ...others } = composite;
  return {
    ...USUAL,
    ...(others as Partial<Preferences>),
    models: { ...USUAL.models, ...objectOf(models) },
    endpoints: { ...USUAL.endpoints, ...objectOf(endpoints) }
  };
}

function objectOf(value: ReadonlyPartialJSONValue | undefined): Record<string, boolean> {
  return (value ?? {}) as Record<string, boolean>;
}

export const PreferencesContext = createContext(USUAL);
