import { type ISignal, Signal } from '@lumino/signaling';

/** Where the pointer is, in CSS pixels from a corner of what holds all charts. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/** The time that is pointed at in all charts. */
export class Pointer {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Epoch seconds; null while nothing is pointed at. */
  get time(): number | null {
    return this._time;
  }

  get place(): Place {
    return this._place;
  }

  /** Whether it was moved by keys. */
  get byKeys(): boolean {
    return this._byKeys;
  }

  moveTo(time: number, place: Place, byKeys: boolean): void {
    this._time = time;
    this._place = place;
    this._byKeys = byKeys;
    this._changed.emit();
  }

  leave(): void {
    if (this._time !== null) {
      this._time = null;
      this._changed.emit();
    }
  }

  private readonly _changed = new Signal<this, void>(this);
  private _time: number | null = null;
  private _place: Place = { x: 0, y: 0 };
  private _byKeys = false;
}
