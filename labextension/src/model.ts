import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { type IPoll, Poll } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';

import type { EndpointRow, ModelRow, Sample, Snapshot } from './schema';

/** Milliseconds between two snapshots, and the longest wait after failures. */
export const INTERVAL = 2_000;
export const LONGEST_WAIT = 30_000;

/** Milliseconds after which a snapshot that has not come counts as failed. */
const TIMEOUT = 15_000;

/** Samples kept per endpoint: five minutes at one every two seconds. */
export const SAMPLES_KEPT = 150;

/**
 * Why a snapshot failed: nobody answers, the request was refused, the extension is not enabled there, or the server
 * answered something else than a snapshot.
 */
export type ProblemKind = 'unreachable' | 'forbidden' | 'missing' | 'server';

/** The error that the poll backs off on. */
export class SnapshotError extends Error {
  constructor(
    readonly kind: ProblemKind,
    message: string
  ) {
    super(message);
    this.name = 'SnapshotError';
  }
}

/** What the views draw. A new object at every change; parts that did not change keep their identity. */
export interface MaasState {
  /** Null until the registry has answered for the first time. */
  readonly models: readonly ModelRow[] | null;
  /** Null until the first snapshot; each row's `samples` are the merged series, oldest first. */
  readonly endpoints: readonly EndpointRow[] | null;
  readonly registryError: string | null;
  /** Why the newest snapshot failed; null while all is well. */
  readonly problem: SnapshotError | null;
  /** When the next try starts after a failure, in epoch milliseconds; null while a try is under way. */
  readonly retryAt: number | null;
}

/**
 * The one object that asks the server. Views watch it and draw its state; it polls only while somebody watches.
 */
export class MaasModel implements IDisposable {
  constructor(private readonly settings: ServerConnection.ISettings) {
    this.poll = new Poll({
      auto: false,
      factory: () => this.request(),
      frequency: { interval: INTERVAL, backoff: true, max: LONGEST_WAIT },
      name: 'maas-jupyter:snapshot',
      standby: 'when-hidden'
    });
    this.poll.ticked.connect((_, tick) => this.onTick(tick));
  }

  get state(): MaasState {
    return this._state;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this.poll.isDisposed;
  }

  /** Poll until the returned object is disposed. Several watchers share the one poll. */
  watch(): IDisposable {
    this.watchers += 1;
    if (this.watchers === 1) {
      void this.poll.refresh();
    }
    return new DisposableDelegate(() => {
      this.watchers -= 1;
      if (this.watchers === 0) {
        void this.poll.stop();
      }
    });
  }

  /** Ask now instead of at the next turn. */
  retry(): void {
    void this.poll.refresh();
  }

  dispose(): void {
    this.poll.dispose();
    Signal.clearData(this);
  }

  private async request(): Promise<Snapshot> {
    const url = URLExt.join(this.settings.baseUrl, 'maas-jupyter', 'snapshot');
    const query = this.cursor === null ? '' : URLExt.objectToQueryString({ since: this.cursor });
    let response: Response;
    try {
      const init = { signal: AbortSignal.timeout(TIMEOUT) };
      response = await ServerConnection.makeRequest(url + query, init, this.settings);
    } catch (error) {
      throw new SnapshotError('unreachable', error instanceof Error ? error.message : String(error));
    }
    if (!response.ok) {
      throw new SnapshotError(kindOf(response.status), await wordsOf(response));
    }
    const answer: unknown = await response.json().catch(() => null);
    if (!isSnapshot(answer)) {
      throw new SnapshotError('server', 'its answer is not a snapshot.');
    }
    return answer;
  }

  private onTick(tick: IPoll.State<Snapshot, SnapshotError, never>): void {
    if (tick.phase === 'resolved' || tick.phase === 'reconnected') {
      this.merge(tick.payload as Snapshot);
    } else if (tick.phase === 'rejected') {
      const retryAt = tick.timestamp + tick.interval;
      this.setState({ ...this._state, problem: tick.payload as SnapshotError, retryAt });
    } else if (tick.phase === 'refreshed' && this._state.retryAt !== null) {
      this.setState({ ...this._state, retryAt: null });
    }
  }

  private merge(snapshot: Snapshot): void {
    const before = new Map(this._state.endpoints?.map(row => [keyOf(row), row.samples]));
    this.cursor = snapshot.cursor;
    this.setState({
      models: snapshot.models ?? this._state.models,
      endpoints: snapshot.endpoints.map(row => ({
        ...row,
        samples: appended(before.get(keyOf(row)) ?? [], row.samples)
      })),
      registryError: snapshot.registry_error,
      problem: null,
      retryAt: null
    });
  }

  private setState(state: MaasState): void {
    this._state = state;
    this._changed.emit();
  }

  private readonly poll: Poll<Snapshot, SnapshotError, never>;
  private readonly _changed = new Signal<this, void>(this);
  private watchers = 0;
  private cursor: string | null = null;
  private _state: MaasState = { models: null, endpoints: null, registryError: null, problem: null, retryAt: null };
}

/** What our server says of an error, with the next step; the status where somebody else answered. */
async function wordsOf(response: Response): Promise<string> {
  const { message, hint } = ((await response.json().catch(() => null)) ?? {}) as { message?: string; hint?: string };
  return [message ?? `${response.status} ${response.statusText}`, hint].filter(Boolean).join(' ');
}

/** A proxy may answer with its own page or its own JSON; what our server sends is not checked further. */
function isSnapshot(answer: unknown): answer is Snapshot {
  return typeof answer === 'object' && answer !== null && 'cursor' in answer && 'endpoints' in answer;
}

function keyOf(row: EndpointRow): string {
  return `${row.target}/${row.name}`;
}

function kindOf(status: number): ProblemKind {
  if (status === 401 || status === 403) {
    return 'forbidden';
  }
  return status === 404 ? 'missing' : 'server';
}

/** The series with what is newer than its end; a server that restarted sends points that are already here. */
function appended(series: readonly Sample[], fresh: readonly Sample[]): readonly Sample[] {
  const end = series.length ? series[series.length - 1].time : -Infinity;
  const newer = fresh.filter(sample => sample.time > end);
  return newer.length ? [...series, ...newer].slice(-SAMPLES_KEPT) : series;
}
