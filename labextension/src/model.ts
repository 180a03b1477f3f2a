import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { type IPoll, Poll } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';

import type { EndpointRow, ModelRow, RunRow, Sample, Snapshot } from './schema';

/** Milliseconds between two snapshots, and the longest wait after failures. */
export const INTERVAL = 2_000;
export const LONGEST_WAIT = 30_000;

/** Milliseconds after which an answer that has not come counts as failed. */
const TIMEOUT = 15_000;

/** Samples kept per endpoint: five minutes at one every two seconds. */
export const SAMPLES_KEPT = 150;

/**
 * Why a request failed: nobody answers, it was refused, the extension is not enabled there, or the server answered
 * something else than what was asked for.
 */
export type ProblemKind = 'unreachable' | 'forbidden' | 'missing' | 'server';

/** The error of a request, on which the poll backs off. */
export class RequestError extends Error {
  constructor(
    readonly kind: ProblemKind,
    message: string
  ) {
    super(message);
    this.name = 'RequestError';
  }
}

/** What the views draw. A new object at every change; parts that did not change keep their identity. */
export interface MaasState {
  /** Null until the registry has answered for the first time. */
  readonly models: readonly ModelRow[] | null;
  /** Null until the first snapshot; each row's `samples` are the merged series, oldest first. */
  readonly endpoints: readonly EndpointRow[] | null;
  /** Null until the folder of runs was read for the first time. */
  readonly runs: readonly RunRow[] | null;
  readonly registryError: string | null;
  readonly runsError: string | null;
  /** Why the newest snapshot failed; null while all is well. */
  readonly problem: RequestError | null;
  /** When the next try starts after a failure, in epoch milliseconds; null while a try is under way. */
  readonly retryAt: number | null;
}

/** The state before the first answer. */
export const NOTHING_YET: MaasState = {
  models: null,
  endpoints: null,
  runs: null,
  registryError: null,
  runsError: null,
  problem: null,
  retryAt: null
};

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

  /**
   * Ask a run to stop, and to keep a checkpoint; resolved once it was asked.
   *
   * @throws RequestError
   */
  async stopRun(runId: string): Promise<void> {
    await this.ask(URLExt.join('runs', encodeURIComponent(runId), 'stop'), { method: 'POST' });
    void this.poll.refresh();
  }

  dispose(): void {
    this.poll.dispose();
    Signal.clearData(this);
  }

  private async request(): Promise<Snapshot> {
    const query = this.cursor === null ? '' : URLExt.objectToQueryString({ since: this.cursor });
    const response = await this.ask(`snapshot${query}`);
    const answer: unknown = await response.json().catch(() => null);
    if (!isSnapshot(answer)) {
      throw new RequestError('server', 'its answer is not a snapshot.');
    }
    return answer;
  }

  private async ask(route: string, init: RequestInit = {}): Promise<Response> {
    const url = URLExt.join(this.settings.baseUrl, 'maas-jupyter', route);
    let response: Response;
    try {
      const limited = { ...init, signal: AbortSignal.timeout(TIMEOUT) };
      response = await ServerConnection.makeRequest(url, limited, this.settings);
    } catch (error) {
      throw new RequestError('unreachable', error instanceof Error ? error.message : String(error));
    }
    if (!response.ok) {
      throw new RequestError(kindOf(response.status), await wordsOf(response));
    }
    return response;
  }

  private onTick(tick: IPoll.State<Snapshot, RequestError, never>): void {
    if (tick.phase === 'resolved' || tick.phase === 'reconnected') {
      this.merge(tick.payload as Snapshot);
    } else if (tick.phase === 'rejected') {
      const retryAt = tick.timestamp + tick.interval;
      this.setState({ ...this._state, problem: tick.payload as RequestError, retryAt });
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
      runs: snapshot.runs ?? this._state.runs,
      registryError: snapshot.registry_error,
      runsError: snapshot.runs_error,
      problem: null,
      retryAt: null
    });
  }

  private setState(state: MaasState): void {
    this._state = state;
    this._changed.emit();
  }

  private readonly poll: Poll<Snapshot, RequestError, never>;
  private readonly _changed = new Signal<this, void>(this);
  private watchers = 0;
  private cursor: string | null = null;
  private _state: MaasState = NOTHING_YET;
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
