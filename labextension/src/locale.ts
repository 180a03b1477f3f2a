import { type ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { type ISignal, Signal } from '@lumino/signaling';
import { createContext } from 'react';

import { Format, type Units } from './format';

/** What the views say things with: the strings and the numbers of one language. */
export class Locale {
  constructor(translator: ITranslator) {
    this.trans = translator.load('maas-jupyter');
    // The oldest JupyterLab that we support may not know its language.
    this.languageCode = (translator as Partial<ITranslator>).languageCode ?? 'en';
    this._format = new Format(this.languageCode);
  }

  /** Another object when the units are others. */
  get format(): Format {
    return this._format;
  }

  /** Emits when `format` is another one. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  setUnits(units: Units): void {
    this._format = new Format(this.languageCode, units);
    this._changed.emit();
  }


  readonly trans: TranslationBundle;
  private readonly languageCode: string;
  private readonly _changed = new Signal<this, void>(this);
  private _format: Format;
}

export const LocaleContext = createContext(new Locale(nullTranslator));
