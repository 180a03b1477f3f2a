import { Notification } from '@jupyterlab/apputils';

import type { Locale } from '../locale';
import type { AlertRow } from '../schema';
import { finding, kindNames, ruleId } from './words';

/** By rule, since when the alert that was told of fires. */
type Told = Record<string, number>;

/** Tells once when an alert fires and once when it clears. */
export class Announcer {
  /**
   * @param key - Of the storage, which the tabs of a server share: what one has told, the others and a reload do not.
   * @param more - What the button of a notification does.
   */
  constructor(
    private readonly locale: Locale,
    private readonly key: string,
    private readonly more: () => void,
    private readonly storage: Pick<Storage, 'getItem' | 'setItem'> = window.localStorage
  ) {}

  announce(rows: readonly AlertRow[]): void {
    const before = this.read();
    const told: Told = {};
    for (const row of rows) {
      const id = ruleId(row);
      if (row.state === 'firing' && row.since !== null) {
        told[id] = row.since;
        if (before[id] !== row.since) {
          this.fired(id, row);
        }
      } else if (id in before) {
        this.cleared(id, row);
      }
    }
    for (const id of this.shown.keys()) {
      // Its rule was removed, or another tab told that it cleared.
      if (!(id in told)) {
        this.dismiss(id);
      }
    }
    if (JSON.stringify(told) !== JSON.stringify(before)) {
      this.storage.setItem(this.key, JSON.stringify(told));
    }
  }

  private fired(id: string, row: AlertRow): void {
    const { trans } = this.locale;
    this.dismiss(id);
    const message = trans.__('%1 on %2: %3', row.name, row.target, finding(row, this.locale));
    const actions = [{ label: trans.__('Alerts'), caption: trans.__('Show rules and history'), callback: this.more }];
    this.shown.set(id, Notification.error(message, { autoClose: false, actions }));
  }

  private cleared(id: string, row: AlertRow): void {
    const { trans } = this.locale;
    this.dismiss(id);
    Notification.success(
      trans.__('%1 on %2 is well again: %3', row.name, row.target, kindNames(trans)[row.kind]),
      { autoClose: CLEARED_STAYS }
    );
  }

  private dismiss(id: string): void {
    const shown = this.shown.get(id);
    if (shown !== undefined) {
      Notification.dismiss(shown);
      this.shown.delete(id);
    }
  }

  private read(): Told {
    try {
      const found: unknown = JSON.parse(this.storage.getItem(this.key) ?? '{}');
      return typeof found === 'object' && found !== null ? (found as Told) : {};
    } catch {
      // Another program's words under our key count as none.
      return {};
    }
  }

  private readonly shown = new Map<string, string>();
}

/** Milliseconds. */
const CLEARED_STAYS = 10_000;
