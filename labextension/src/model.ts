import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import { type IPoll, Poll } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';

import {
  SAMPLE_FIELDS,
  type AlertRow,
  type EndpointRow,
  type ModelPage,
  type ModelVersions,
  type Past,
  type RunRow,
  type Sample,
  type SampleValues,
  type Snapshot
} from './schema';

/** Milliseconds between two snapshots where nobody chose others, and the longest wait after failures. */
export const INTERVAL = 2_000;
export const LONGEST_WAIT = 30_000;

/** Milliseconds after which an answer that has not come counts as failed. */
const TIMEOUT = 15_000;

/** The same for an action: a bundle may have to be sent, and a server to start. */
const ACTION_TIMEOUT = 900_000;

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

/** An endpoint with its past. */
export interface WatchedEndpoint extends EndpointRow {
  /** Oldest first, five minutes at most. */
  readonly samples: readonly Sample[];
  /** The newest sample while the endpoint answers; null before the first one, and once it does not. */
  readonly latest: Sample | null;
}

/** What is known of an endpoint's past; with samples for their values. */
export interface PastOfEndpoint extends Omit<Past, 'samples'> {
  readonly samples: readonly Sample[];
}

/** An endpoint that is to be watched and was not started here; empty words mean what is usual. */
export interface WantedEndpoint {
  readonly url: string;
  readonly name: string;
  readonly metrics: string;
  readonly token_env: string;
  readonly ca_file: string;
  readonly insecure: boolean;
}

/** What was recognised. */
export interface AttachedServer {
  readonly name: string;
  readonly url: string;
  readonly kind: string;
}

/** What is asked of the list of models. */
export interface ModelQuery {
  readonly search: string;
  readonly sort: 'updated' | 'name' | 'metric' | 'size' | 'versions' | 'task';
  readonly order: 'asc' | 'desc';
}

/** What an action is told. */
export interface ActionWords {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
}

/** What the views draw. A new object at every change; parts that did not change keep their identity. */
export interface MaasState {
  /** How many models there are; null until the registry has answered for the first time. */
  readonly models: number | null;
  /** Another number whenever a model changed. */
  readonly modelsNumber: number;
  /** Null until the first snapshot. */
  readonly endpoints: readonly WatchedEndpoint[] | null;
  /** Null until the folder of runs was read for the first time. */
  readonly runs: readonly RunRow[] | null;
  readonly registryError: string | null;
  readonly runsError: string | null;
  /** Null until the rules of alerts were read for the first time. */
  readonly alerts: readonly AlertRow[] | null;
  readonly alertsError: string | null;
  /** Why the newest snapshot failed; null while all is well. */
  readonly problem: RequestError | null;
  /** When the next try starts after a failure, in epoch milliseconds; null while a try is under way. */
  readonly retryAt: number | null;
}

/** The state before the first answer. */
export const NOTHING_YET: MaasState = {
  models: null,
  modelsNumber: 0,
  endpoints: null,
  runs: null,
  registryError: null,
  runsError: null,
  alerts: null,
  alertsError: null,
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

  /** Milliseconds between two snapshots for those who watch at no pace of their own. */
  get interval(): number {
    return this._interval;
  }

  set interval(interval: number) {
    this._interval = interval;
    this.pace();
  }

  /**
   * Poll until the returned object is disposed. Several watchers share the one poll, at the pace of the quickest.
   *
   * @param interval - Milliseconds; `interval` of this where not given, also when that is another one later.
   */
  watch(interval: number | null = null): IDisposable {
    this.paces.push(interval);
    if (this.paces.length === 1 || (interval ?? this._interval) < this.poll.frequency.interval) {
      this.pace();
      void this.poll.refresh();
    }
    return new DisposableDelegate(() => {
      this.paces.splice(this.paces.indexOf(interval), 1);
      this.pace();
      if (this.paces.length === 0) {
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

  /**
   * Watch an endpoint that was not started here; resolved once it is recognised.
   *
   * @throws RequestError
   */
  async attachEndpoint(wanted: WantedEndpoint): Promise<AttachedServer> {
    const response = await this.ask('attached', { method: 'POST', body: JSON.stringify(wanted) });
    void this.poll.refresh();
    return (await response.json()) as AttachedServer;
  }

  /**
   * Watch such an endpoint no longer.
   *
   * @throws RequestError
   */
  async detachEndpoint(name: string): Promise<void> {
    await this.ask(URLExt.join('attached', encodeURIComponent(name)), { method: 'DELETE' });
    void this.poll.refresh();
  }

  /**
   * Ask a route of an action, which may take minutes; the next snapshot is asked for as soon as it is done.
   *
   * @throws RequestError
   */
  async act<T>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: readonly string[], sent: ActionWords = {}): Promise<T> {
    const route = URLExt.join(...path.map(encodeURIComponent)) + URLExt.objectToQueryString(sent.query ?? {});
    const body = sent.body && JSON.stringify(sent.body);
    try {
      return (await (await this.ask(route, { method, body }, ACTION_TIMEOUT)).json()) as T;
    } finally {
      if (method !== 'GET' && this.paces.length > 0) {
        void this.poll.refresh();
      }
    }
  }

  /**
   * A page of the list of models.
   *
   * @throws RequestError
   */
  async modelPage(query: ModelQuery, offset: number, limit: number): Promise<ModelPage> {
    const words = { ...query, offset: String(offset), limit: String(limit) };
    const response = await this.ask(`models${URLExt.objectToQueryString(words)}`);
    return (await response.json()) as ModelPage;
  }

  /**
   * All versions of a model, newest first.
   *
   * @throws RequestError
   */
  async modelVersions(name: string): Promise<ModelVersions> {
    const response = await this.ask(URLExt.join('models', encodeURIComponent(name)));
    return (await response.json()) as ModelVersions;
  }

  /**
   * An endpoint's past, oldest first.
   *
   * @throws RequestError
   */
  async past(target: string, name: string, seconds: number): Promise<PastOfEndpoint> {
    const route = URLExt.join('endpoints', encodeURIComponent(target), encodeURIComponent(name), 'samples');
    const response = await this.ask(`${route}${URLExt.objectToQueryString({ seconds: String(seconds) })}`);
    const past = (await response.json()) as Past;
    return { ...past, samples: past.samples.map(sampleOf) };
  }

  dispose(): void {
    this.poll.dispose();
    Signal.clearData(this);
  }

  private pace(): void {
    const interval = Math.min(LONGEST_WAIT, ...this.paces.map(each => each ?? this._interval));
    this.poll.frequency = { ...this.poll.frequency, interval };
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

  private async ask(route: string, init: RequestInit = {}, timeout = TIMEOUT): Promise<Response> {
    const url = URLExt.join(this.settings.baseUrl, 'maas-jupyter', route);
    let response: Response;
    try {
      const limited = { ...init, signal: AbortSignal.timeout(timeout) };
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
    const rows = snapshot.endpoints ?? this._state.endpoints ?? [];
    this.setState({
      models: snapshot.models,
      modelsNumber: snapshot.models_number,
      endpoints: rows.map(row => {
        const key = keyOf(row);
        const samples = appended(before.get(key) ?? [], (snapshot.samples[key] ?? []).map(sampleOf));
        const answers = row.state !== 'unavailable' && row.state !== 'stopped';
        return { ...row, samples, latest: (answers && samples[samples.length - 1]) || null };
      }),
      runs: snapshot.runs ?? this._state.runs,
      registryError: snapshot.registry_error,
      runsError: snapshot.runs_error,
      alerts: snapshot.alerts ?? this._state.alerts,
      alertsError: snapshot.alerts_error,
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
  /** Of each watcher; null where it has none of its own. */
  private readonly paces: (number | null)[] = [];
  private _interval = INTERVAL;
  private cursor: string | null = null;
  private _state: MaasState = NOTHING_YET;
}

/** What our server says of an error, with the next step; the status where somebody else answered. */
async function wordsOf(response: Response): Promise<string> {
  const { message, hint } = ((await response.json().catch(() => null)) ?? {}) as { message?: string; hint?: string };
  const words = message ?? `${response.status} ${response.statusText}`;
  return hint ? `${words}${/[.!?:]$/.test(words) ? '' : '.'} ${hint}` : words;
}

/** A proxy may answer with its own page or its own JSON; what our server sends is not checked further. */
function isSnapshot(answer: unknown): answer is Snapshot {
  return typeof answer === 'object' && answer !== null && 'cursor' in answer && 'samples' in answer;
}

function keyOf(row: EndpointRow): string {
  return `${row.target}/${row.name}`;
}

function sampleOf(values: SampleValues): Sample {
  return Object.fromEntries(SAMPLE_FIELDS.map((field, place) => [field, values[place]])) as unknown as Sample;
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
