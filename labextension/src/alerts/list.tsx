import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import React, { useContext, useEffect, useState } from 'react';

import { type Locale, LocaleContext } from '../locale';
import type { MaasModel } from '../model';
import type { AlertEvent, AlertRow, AlertState } from '../schema';
import { condition, finding, ruleId } from './words';

export interface AlertListProps {
  /** Null until the rules are known. */
  readonly rules: readonly AlertRow[] | null;
  /** Why they cannot be read or kept. */
  readonly problem: string | null;
  readonly history: () => Promise<readonly AlertEvent[]>;
  readonly onRemove: (rule: AlertRow) => void;
}

/** Rules with their states, and what fired and cleared. */
export function AlertList({ rules, problem, history, onRemove }: AlertListProps): React.ReactElement {
  const locale = useContext(LocaleContext);
  const { trans, format } = locale;
  const [events, setEvents] = useState<readonly AlertEvent[] | null>(null);
  const [failed, setFailed] = useState('');
  useEffect(() => {
    let wanted = true;
    history().then(
      found => wanted && setEvents(found),
      (error: Error) => wanted && setFailed(error.message)
    );
    return () => {
      wanted = false;
    };
    // Whatever fires or clears changes a rule's row.
  }, [history, rules]);
  const states: Record<AlertState, string> = {
    inactive: trans.__('well'),
    pending: trans.__('waiting'),
    firing: trans.__('firing')
  };
  return (
    <div className="maas-alerts">
      {problem !== null && <p role="alert">{problem}</p>}
      <h3>{trans.__('Rules')}</h3>
      {rules?.length === 0 && <p>{trans.__('There are none. Add one from the menu of an endpoint.')}</p>}
      <ul>
        {(rules ?? []).map(rule => (
          <li key={ruleId(rule)} data-alert={rule.kind} data-state={rule.state}>
            <b>{trans.__('%1 on %2', rule.name, rule.target)}</b>
            <span>{condition(rule, locale)}</span>
            <em>{states[rule.state]}</em>
            <button
              type="button"
              className="jp-mod-styled jp-mod-minimal"
              aria-label={trans.__('Remove: %1 on %2, %3', rule.name, rule.target, condition(rule, locale))}
              onClick={() => onRemove(rule)}
            >
              {trans.__('Remove')}
            </button>
          </li>
        ))}
      </ul>
      <h3>{trans.__('History')}</h3>
      {failed !== '' && <p role="alert">{failed}</p>}
      {events?.length === 0 && <p>{trans.__('Nothing has fired yet.')}</p>}
      <ol>
        {(events ?? []).map(event => (
          <li key={`${ruleId(event)} ${event.time} ${event.change}`} data-change={event.change}>
            <time dateTime={new Date(event.time * 1000).toISOString()}>{format.date(event.time)}</time>
            <b>{trans.__('%1 on %2', event.name, event.target)}</b>
            <span>
              {event.change === 'fired'
                ? trans.__('fired: %1', finding(event, locale))
                : trans.__('cleared: %1', condition(event, locale))}
            </span>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** The list as the body of a dialog, following the model. */
export class AlertListWidget extends ReactWidget {
  constructor(
    private readonly model: MaasModel,
    private readonly locale: Locale,
    private readonly given: Pick<AlertListProps, 'history' | 'onRemove'>
  ) {
    super();
    this.watching = model.watch();
  }

  override dispose(): void {
    this.watching.dispose();
    super.dispose();
  }

  protected override render(): React.ReactElement {
    return (
      <LocaleContext.Provider value={this.locale}>
        <UseSignal signal={this.model.changed}>
          {() => (
            <AlertList rules={this.model.state.alerts} problem={this.model.state.alertsError} {...this.given} />
          )}
        </UseSignal>
      </LocaleContext.Provider>
    );
  }

  private readonly watching;
}
