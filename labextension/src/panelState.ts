import { JSONExt, type ReadonlyPartialJSONValue } from '@lumino/coreutils';
import { type ISignal, Signal } from '@lumino/signaling';
import { createContext } from 'react';

/** The parts of the panel that can be folded. */
export type SectionName = 'endpoints' | 'runs' | 'models';

/** Models that stay unfolded over a reload; those that were unfolded first are forgotten first. */
const MOST = 100;

/** Which sections are folded and which models are unfolded, in words that can be kept. */
export class PanelState {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get unfolded(): ReadonlySet<string> {
    return this._unfolded;
  }

  isFolded(section: SectionName): boolean {
    return this.folded.has(section);
  }

  /** Fold a section that is not, and the other way round. */
  toggleSection(section: SectionName): void {
    this.folded = toggled(this.folded, section);
    this._changed.emit();
  }

  /** Unfold a model that is not, and the other way round. */
  toggleModel(name: string): void {
    this._unfolded = toggled(this._unfolded, name);
    this._changed.emit();
  }

  toJSON(): { folded: string[]; unfolded: string[] } {
    return { folded: [...this.folded], unfolded: [...this._unfolded].slice(-MOST) };
  }

  /** Take what `toJSON` gave, perhaps in another version of this; what it does not know is left out. */
  restore(saved: ReadonlyPartialJSONValue | undefined): void {
    if (saved !== undefined && JSONExt.isObject(saved)) {
      this.folded = new Set(wordsOf(saved.folded));
      this._unfolded = new Set(wordsOf(saved.unfolded));
      this._changed.emit();
    }
  }

  private readonly _changed = new Signal<this, void>(this);
  private folded: ReadonlySet<string> = new Set();
  private _unfolded: ReadonlySet<string> = new Set();
}

export const PanelStateContext = createContext(new PanelState());

function toggled(names: ReadonlySet<string>, name: string): ReadonlySet<string> {
  const next = new Set(names);
  if (!next.delete(name)) {
    next.add(name);
  }
  return next;
}

function wordsOf(value: ReadonlyPartialJSONValue | undefined): string[] {
  return Array.isArray(value) ? value.filter(each => typeof each === 'string') : [];
}
