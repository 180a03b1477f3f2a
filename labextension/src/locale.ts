import { type ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { createContext } from 'react';

import { Format } from './format';

/** What the views say things with: the strings and the numbers of one language. */
export class Locale {
  constructor(translator: ITranslator) {
    this.trans = translator.load('maas-jupyter');
    // The oldest JupyterLab that we support may not know its language.
    this.format = new Format((translator as Partial<ITranslator>).languageCode ?? 'en');
  }

  readonly trans: TranslationBundle;
  readonly format: Format;
}

export const LocaleContext = createContext(new Locale(nullTranslator));
