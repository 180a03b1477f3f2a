import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import type { MaasModel, WatchedEndpoint } from '../model';
import type { ModelVersions, TrafficRow, VersionRow } from '../schema';
import type { ModelCard, VersionDetails } from './schema';

/** Versions that fit side by side. */
export const MOST_CHOSEN = 6;

/** What was asked for of a version: on its way, there, or why it did not come. */
export type Brought<T> = { readonly value: T } | { readonly problem: string } | null;

/** An endpoint that serves a version. */
export interface Service {
  readonly endpoint: WatchedEndpoint;
  readonly traffic: TrafficRow;
  /** Of the traffic, from 0 to 1; null for a shadow. */
  readonly share: number | null;
}

/** What a page begins with: some versions, or one and its parent; else the newest and its parent. */
export interface Beginning {
  readonly versions?: readonly string[];
  readonly version?: string;
}

/** The page of one model: which of its versions are looked at, and all that is known of them. */
export class ModelPageModel implements IDisposable {
  constructor(
    private readonly maas: MaasModel,
    readonly name: string,
    beginning: Beginning = {}
  ) {
    this._chosen = beginning.versions ?? [];
    this.wanted = beginning.version ?? null;
    maas.changed.connect(this.onMaas, this);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Emits when other versions are looked at. */
  get chosenChanged(): ISignal<this, void> {
    return this._chosenChanged;
  }

  /** All versions, newest first; null before they came. */
  get versions(): readonly VersionRow[] | null {
    return this._versions?.versions ?? null;
  }

  /** Why the list of versions is not the newest; null while all is well. */
  get problem(): string | null {
    return this._problem ?? this.maas.state.problem?.message ?? this.maas.state.registryError;
  }

  /** The versions that are looked at, oldest first. */
  get chosen(): readonly string[] {
    return this._chosen;
  }

  /** The one whose card is shown: the newest of those that are looked at. */
  get main(): string | null {
    return this._chosen[this._chosen.length - 1] ?? null;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** A version that was asked for and is not there; null where none is missing. */
  get missing(): string | null {
    return this.versions === null ? null : this.wanted;
  }

  /** What is known of a version. */
  details(version: string): Brought<VersionDetails> {
    return this._details.get(version) ?? null;
  }

  /** The card of the main version. */
  get card(): Brought<ModelCard> {
    return this.main === null ? null : (this._cards.get(this.main) ?? null);
  }

  /** The row of a version; undefined where there is none. */
  row(version: string): VersionRow | undefined {
    return this.versions?.find(row => row.version === version);
  }

  /** The version that another one was made from, where it is still there. */
  parentOf(version: string): string | null {
    const parent = this.row(version)?.parent ?? null;
    const own = parent?.startsWith(`${this.name}/`) ? parent.slice(this.name.length + 1) : null;
    return own !== null && this.row(own) ? own : null;
  }

  /** Which endpoints serve a version now. */
  servicesOf(version: string): readonly Service[] {
    return (this.maas.state.endpoints ?? [])
      .filter(row => row.name === this.name && row.kind === '')
      .flatMap(endpoint => {
        const whole = endpoint.traffic.reduce((sum, row) => sum + row.weight, 0);
        return endpoint.traffic
          .filter(row => row.version === version)
          .map(traffic => ({
            endpoint,
            traffic,
            share: traffic.shadow !== null || whole === 0 ? null : traffic.weight / whole
          }));
      });
  }

  /** Look at a version beside its parent. */
  open(version: string): void {
    if (this.row(version) === undefined) {
      this.wanted = version;
      void this.list();
      return;
    }
    this.wanted = null;
    this.choose([this.parentOf(version), version].filter(each => each !== null));
  }

  /** Look at these versions. */
  choose(versions: readonly string[]): void {
    const known = this.versions;
    const wanted = [...new Set(versions)].filter(each => known === null || this.row(each) !== undefined);
    const sorted = wanted.sort((one, other) => Number(one) - Number(other)).slice(-MOST_CHOSEN);
    if (sorted.join() !== this._chosen.join()) {
      this._chosen = sorted;
      this._chosenChanged.emit();
      this._changed.emit();
    }
    this.load();
  }

  /** Look at a version too, or no longer; one stays. */
  toggle(version: string): void {
    const others = this._chosen.filter(each => each !== version);
    if (others.length === this._chosen.length) {
      this.choose([...this._chosen.slice(this._chosen.length === MOST_CHOSEN ? 1 : 0), version]);
    } else if (others.length > 0) {
      this.choose(others);
    }
  }

  /** Ask for everything again; what is shown stays until it came. */
  refresh(): void {
    this.maas.retry();
    void this.list();
  }

  /** Follow the registry until `hide`. An evaluation changes no version, so what is known is asked for again. */
  show(): void {
    if (this.watching === null) {
      this.watching = this.maas.watch();
      this.number = 0;
      this.onMaas();
    }
  }

  hide(): void {
    this.watching?.dispose();
    this.watching = null;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this.hide();
      Signal.clearData(this);
    }
  }

  private onMaas(): void {
    if (this.watching === null) {
      return;
    }
    const { modelsNumber, models } = this.maas.state;
    if (models !== null && modelsNumber !== this.number) {
      this.number = modelsNumber;
      void this.list();
    }
    this._changed.emit();
  }

  /** Bring the list of versions, and what is known of those that are looked at; what is shown stays until then. */
  private async list(): Promise<void> {
    this.turn += 1;
    const { turn } = this;
    try {
      const found = await this.maas.modelVersions(this.name);
      if (turn !== this.turn || this._isDisposed) {
        return;
      }
      this._versions = found;
      this._problem = null;
      this.forget();
      this.begin();
    } catch (error) {
      if (turn !== this.turn || this._isDisposed) {
        return;
      }
      this._problem = wordsOf(error);
    }
    this._changed.emit();
  }

  /** Look at what was asked for before the versions were known, as far as it is there. */
  private begin(): void {
    if (this.wanted !== null && this.row(this.wanted) !== undefined) {
      this.open(this.wanted);
      return;
    }
    const there = this._chosen.filter(each => this.row(each) !== undefined);
    const newest = this.versions?.[0]?.version;
    if (there.length === 0 && newest !== undefined) {
      this.choose([this.parentOf(newest), newest].filter(each => each !== null));
    } else {
      this.choose(there);
    }
  }

  private forget(): void {
    this.round += 1;
    this.asked.clear();
  }

  private load(): void {
    if (this.versions === null) {
      return;
    }
    for (const version of this._chosen) {
      for (const each of [version, this.parentOf(version)]) {
        if (each !== null) {
          this.bring(this._details, each, 'details');
        }
      }
    }
    if (this.main !== null) {
      this.bring(this._cards, this.main, 'card');
    }
  }

  private bring<T>(into: Map<string, Brought<T>>, version: string, part: 'details' | 'card'): void {
    const key = `${part}/${version}`;
    if (this.asked.has(key)) {
      return;
    }
    this.asked.add(key);
    const { round } = this;
    const take = (brought: Brought<T>): void => {
      if (round === this.round && !this._isDisposed) {
        into.set(version, brought);
        this._changed.emit();
      }
    };
    void this.maas.act<T>('GET', ['models', this.name, 'versions', version, part]).then(
      value => take({ value }),
      (error: unknown) => take({ problem: wordsOf(error) })
    );
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly _chosenChanged = new Signal<this, void>(this);
  private readonly _details = new Map<string, Brought<VersionDetails>>();
  private readonly _cards = new Map<string, Brought<ModelCard>>();
  /** What was asked for since the registry's last change. */
  private readonly asked = new Set<string>();
  private wanted: string | null;
  private _versions: ModelVersions | null = null;
  private _chosen: readonly string[];
  private _problem: string | null = null;
  private _isDisposed = false;
  private watching: IDisposable | null = null;
  private number = 0;
  private turn = 0;
  private round = 0;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
