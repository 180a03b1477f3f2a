import { Token } from '@lumino/coreutils';

import type { Locale } from './locale';
import type { MaasModel } from './model';

/** What the plugins share: the one object that asks the server, and how words and numbers are written. */
export interface IMaas {
  readonly model: MaasModel;
  readonly locale: Locale;
}

export const IMaas = new Token<IMaas>('maas-jupyter:IMaas', 'What the panel knows of models, runs and endpoints.');
