import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import { type MaasModel, type MaasState, type PastOfEndpoint, RequestError, type WatchedEndpoint } from '../model';
import type { AlertEvent, AlertRow, Sample } from '../schema';
import { type Episode, episodesOf } from './episodes';
import { HOUR, LONGEST, Timeline } from './timeline';

/** Seconds that can be looked at: five minutes, one hour, six hours. */
export const RANGES = [300, HOUR, LONGEST] as const;

export type Range = (typeof RANGES)[number];

/** Whether something, which may be anything, is a range. */
export function isRange(value: unknown): value is Range {
  return RANGES.some(range => range === value);
}

/** From and to, in epoch seconds. */
export type Span = readonly [number, number];

/** The shortest span that can be zoomed to, in seconds. */
const SHORTEST = 10;

/** Events of alerts that are asked for: so many do not happen in the longest range. */
const EVENTS = '500';

/** Stands for all endpoints of a target that does not answer. */
const UNKNOWN = '*';

/** Why nothing new comes: the endpoint is not there any more, or its target does not answer. */
export type Absence = { readonly kind: 'gone' } | { readonly kind: 'silent'; readonly reason: string };

/** `source` is empty for what the Jupyter server saw itself, `trouble` for a past that comes from where it should. */
export type Origin = Pick<PastOfEndpoint, 'source' | 'trouble'>;

/** What a dashboard shows: an endpoint's samples, and which part of them. It asks only while it is shown. */
export class DashboardModel implements IDisposable {
  constructor(
    private readonly maas: MaasModel,
    readonly target: string,
    readonly name: string,
    private _range: Range = RANGES[0]
  ) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Emits when another range is looked at. */
  get rangeChanged(): ISignal<this, void> {
    return this._rangeChanged;
  }

  /** As it was last seen; null before that. */
  get endpoint(): WatchedEndpoint | null {
    return this._endpoint;
  }

  /** Null while the endpoint is listed, and until it is known. */
  get absence(): Absence | null {
    return this._absence;
  }

  /** Why the snapshot failed. */
  get problem(): MaasState['problem'] {
    return this.maas.state.problem;
  }

  /** Why the past could not be asked for. */
  get pastProblem(): RequestError | null {
    return this._pastProblem;
  }

  /** Where the past comes from; null until it has come. */
  get origin(): Origin | null {
    return this._origin;
  }

  /** The rules of its alerts, with their states. */
  get rules(): readonly AlertRow[] {
    return this._rules;
  }

  /** When its alerts fired. */
  get episodes(): readonly Episode[] {
    return this._episodes;
  }

  /** Why nothing, or nothing new, is known of its alerts. */
  get alertsProblem(): string | null {
    return this.eventsProblem ?? this.maas.state.alertsError;
  }

  /** Whether the past is on its way. */
  get isLoading(): boolean {
    return this.loads > 0;
  }

  get range(): Range {
    return this._range;
  }

  get isPaused(): boolean {
    return this._isPaused;
  }

  get isZoomed(): boolean {
    return this._zoom !== null;
  }

  /** What is drawn of, oldest first: while it is paused or zoomed, what was there when that began. */
  get samples(): readonly Sample[] {
    return this.held?.samples ?? this.timeline.samples;
  }

  /** What is looked at. It ends with the newest sample, so that what was drawn stays when no more come. */
  get span(): Span {
    return this._zoom ?? [this.end - this._range, this.end];
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Begin or go on to ask. */
  show(): void {
    if (this.watching === null) {
      this.watching = this.maas.watch();
      this.maas.changed.connect(this.take, this);
      this.take();
      void this.load();
    }
  }

  /** Rest until it is shown again. */
  hide(): void {
    this.maas.changed.disconnect(this.take, this);
    this.watching?.dispose();
    this.watching = null;
  }

  setRange(range: Range): void {
    this._range = range;
    this._rangeChanged.emit();
    this.setZoom(null);
    void this.load();
  }

  setPaused(paused: boolean): void {
    this._isPaused = paused;
    this.hold();
  }

  /** Look at a part of what is there; both ends in epoch seconds, in either order. */
  zoomTo(one: number, other: number): void {
    const end = this.end;
    const start = end - this._range;
    const middle = (one + other) / 2;
    const length = Math.max(Math.abs(other - one), SHORTEST);
    if (length >= this._range) {
      this.setZoom(null);
      return;
    }
    const from = Math.min(Math.max(middle - length / 2, start), end - length);
    this.setZoom([from, from + length]);
  }

  /** Make the span so many times as long. @param around - The time that stays where it is; the middle. */
  zoomBy(factor: number, around?: number): void {
    const [from, to] = this.span;
    const fixed = around ?? (from + to) / 2;
    const length = Math.max((to - from) * factor, SHORTEST);
    const start = fixed - ((fixed - from) / (to - from)) * length;
    this.zoomTo(start, start + length);
  }

  /** Move what is zoomed to by a share of its length. */
  pan(share: number): void {
    if (this._zoom !== null) {
      const [from, to] = this._zoom;
      const by = (to - from) * share;
      this.zoomTo(from + by, to + by);
    }
  }

  resetZoom(): void {
    this.setZoom(null);
  }

  /** Ask for the past of the range again. */
  async load(): Promise<void> {
    this.loads += 1;
    this._pastProblem = null;
    this.emit();
    try {
      const { samples, source, trouble } = await this.maas.past(this.target, this.name, this._range);
      this._origin = { source, trouble };
      this.timeline.put(samples);
      if (this.held !== null) {
        const { end } = this.held;
        this.held = { samples: this.timeline.samples.filter(sample => sample.time <= end), end };
      }
    } catch (error) {
      if (!(error instanceof RequestError)) {
        throw error;
      }
      this._pastProblem = error;
    } finally {
      this.loads -= 1;
      this.emit();
    }
  }

  dispose(): void {
    if (!this._isDisposed) {
      this.hide();
      this._isDisposed = true;
      Signal.clearData(this);
    }
  }

  private take(): void {
    const { endpoints, alerts } = this.maas.state;
    if (alerts !== null && alerts !== this.alerts) {
      this.alerts = alerts;
      this.takeRules(alerts.filter(rule => rule.target === this.target && rule.name === this.name));
    }
    if (endpoints !== null) {
      const ofTarget = endpoints.filter(row => row.target === this.target);
      const found = ofTarget.find(row => row.name === this.name);
      const silent = ofTarget.find(row => row.name === UNKNOWN);
      if (found) {
        this._endpoint = found;
        this.timeline.append(found.samples);
      }
      this._absence = found ? null : silent ? { kind: 'silent', reason: silent.reason } : { kind: 'gone' };
    }
    this.emit();
  }

  /** Whatever fires or clears changes the row of a rule; a rule that is gone has left its events. */
  private takeRules(rules: readonly AlertRow[]): void {
    const told = JSON.stringify(rules);
    if (told !== this.toldRules) {
      this.toldRules = told;
      this._rules = rules;
      this._episodes = episodesOf(this.events, rules);
      void this.loadEvents();
    }
  }

  private async loadEvents(): Promise<void> {
    const asked = this.toldRules;
    const query = { target: this.target, name: this.name, limit: EVENTS };
    try {
      const events = await this.maas.act<readonly AlertEvent[]>('GET', ['alerts', 'history'], { query });
      // An answer to an older question may come after that to a newer one.
      if (asked === this.toldRules) {
        this.events = events;
        this._episodes = episodesOf(events, this._rules);
        this.eventsProblem = null;
      }
    } catch (error) {
      if (!(error instanceof RequestError)) {
        throw error;
      }
      this.eventsProblem = error.message;
      // Asked again with the next snapshot that tells of alerts.
      this.toldRules = '';
    }
    this.emit();
  }

  private setZoom(zoom: Span | null): void {
    this._zoom = zoom;
    this.hold();
  }

  /** Hold what is drawn while it is paused or zoomed: what goes on to come in makes the older samples coarser. */
  private hold(): void {
    if (this._isPaused || this._zoom !== null) {
      this.held ??= { samples: this.timeline.samples, end: this.end };
    } else {
      this.held = null;
    }
    this.emit();
  }

  private get end(): number {
    return this.held?.end ?? this.timeline.newest ?? Date.now() / 1000;
  }

  private emit(): void {
    if (!this._isDisposed) {
      this._changed.emit();
    }
  }

  private readonly timeline = new Timeline();
  private readonly _changed = new Signal<this, void>(this);
  private readonly _rangeChanged = new Signal<this, void>(this);
  private watching: IDisposable | null = null;
  private held: { readonly samples: readonly Sample[]; readonly end: number } | null = null;
  private loads = 0;
  private alerts: readonly AlertRow[] | null = null;
  private toldRules = '';
  private events: readonly AlertEvent[] = [];
  private eventsProblem: string | null = null;
  private _rules: readonly AlertRow[] = [];
  private _episodes: readonly Episode[] = [];
  private _endpoint: WatchedEndpoint | null = null;
  private _absence: Absence | null = null;
  private _pastProblem: RequestError | null = null;
  private _origin: Origin | null = null;
  private _zoom: Span | null = null;
  private _isPaused = false;
  private _isDisposed = false;
}
