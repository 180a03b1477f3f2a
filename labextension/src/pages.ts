import { type ISignal, Signal } from '@lumino/signaling';

import type { ModelQuery } from './model';
import type { ModelPage, ModelRow } from './schema';

/** Models of a page. */
export const PAGE = 100;

/** What is asked for before anybody chose. */
export const NEWEST_FIRST: ModelQuery = { search: '', sort: 'updated', order: 'desc' };

const SORTS: readonly unknown[] = ['updated', 'name', 'metric', 'size', 'versions', 'task'] satisfies ModelQuery['sort'][];

/** Whether something that was kept is a query of this version. */
export function isModelQuery(value: unknown): value is ModelQuery {
  const { search, sort, order } = (value ?? {}) as Record<string, unknown>;
  return typeof search === 'string' && SORTS.includes(sort) && (order === 'asc' || order === 'desc');
}

/** Brings a page of the list. */
export type Bring = (query: ModelQuery, offset: number, limit: number) => Promise<ModelPage>;

/** The list of models as far as it was looked at: pages are brought when one of their rows is to be seen. */
export class ModelPages {
  constructor(private readonly bring: Bring) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get query(): ModelQuery {
    return this._query;
  }

  /** How many models match; null before the first page. */
  get total(): number | null {
    return this._total;
  }

  /** Why the newest page did not come; null while all is well. */
  get problem(): string | null {
    return this._problem;
  }

  /** A row; null while it is on its way. */
  row(index: number): ModelRow | null {
    return this.pages.get(Math.floor(index / PAGE))?.rows[index % PAGE] ?? null;
  }

  /** Where a model is, of those that were brought. */
  indexOf(name: string): number | null {
    for (const [page, { rows }] of this.pages) {
      const place = rows.findIndex(row => row.name === name);
      if (place >= 0) {
        return page * PAGE + place;
      }
    }
    return null;
  }

  /** Ask for something else; what was shown stays until the first page is there. */
  ask(query: ModelQuery): void {
    this._query = query;
    this.forget();
    // What was typed is to be seen at once.
    this._changed.emit();
    void this.load(0);
  }

  /** Take note of the registry's state: what was brought of another one is brought again when it is seen. */
  follow(number: number): void {
    if (number !== this.number) {
      this.number = number;
      this.forget();
      for (const page of this.seen) {
        void this.load(page);
      }
    }
  }

  /** Bring what is missing of rows that are to be seen. */
  see(first: number, last: number): void {
    this.seen = new Set();
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page += 1) {
      this.seen.add(page);
      void this.load(page);
    }
  }

  private forget(): void {
    this.turn += 1;
    this.fresh.clear();
  }

  private async load(page: number): Promise<void> {
    if (this.fresh.has(page) || this.number === 0) {
      return;
    }
    const { turn } = this;
    this.fresh.add(page);
    try {
      const found = await this.bring(this._query, page * PAGE, PAGE);
      if (turn !== this.turn) {
        return;
      }
      if (this.shown !== turn) {
        // Rows of what was asked for before must not stand among those of now.
        this.shown = turn;
        this.pages.clear();
      }
      this.pages.set(page, found);
      this._total = found.total;
      this._problem = null;
    } catch (error) {
      if (turn !== this.turn) {
        return;
      }
      this.fresh.delete(page);
      this._problem = error instanceof Error ? error.message : String(error);
    }
    this._changed.emit();
  }

  private readonly _changed = new Signal<this, void>(this);
  private readonly pages = new Map<number, ModelPage>();
  /** Pages that were asked for since the last turn. */
  private readonly fresh = new Set<number>();
  private seen = new Set<number>([0]);
  /** Counts what was asked for; an answer to an earlier question is dropped. */
  private turn = 0;
  private shown = -1;
  private number = 0;
  private _query = NEWEST_FIRST;
  private _total: number | null = null;
  private _problem: string | null = null;
}
