import type { MaasModel } from '../model';
import type { AlertEvent, AlertKind, AlertRow } from '../schema';

/** What makes up a new rule. */
export interface NewRule {
  readonly target: string;
  readonly name: string;
  readonly kind: AlertKind;
  readonly threshold: number | null;
  readonly for_seconds: number;
}

/** The routes of alerts; each rejects with a RequestError. */
export class AlertClient {
  constructor(private readonly model: Pick<MaasModel, 'act'>) {}

  rules(): Promise<readonly AlertRow[]> {
    return this.model.act('GET', ['alerts', 'rules']);
  }

  put({ target, name, kind, threshold, for_seconds }: NewRule): Promise<AlertRow> {
    return this.model.act('PUT', ['alerts', 'rules', target, name, kind], { body: { threshold, for_seconds } });
  }

  remove({ target, name, kind }: Pick<AlertRow, 'target' | 'name' | 'kind'>): Promise<AlertRow> {
    return this.model.act('DELETE', ['alerts', 'rules', target, name, kind]);
  }

  /** Newest first. */
  history(query: Readonly<Record<string, string>> = {}): Promise<readonly AlertEvent[]> {
    return this.model.act('GET', ['alerts', 'history'], { query });
  }
}
