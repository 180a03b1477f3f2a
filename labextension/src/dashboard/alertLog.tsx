import React, { useContext } from 'react';

import { condition, finding, ruleId } from '../alerts/words';
import { ExecuteContext } from '../execute';
import { LocaleContext } from '../locale';
import type { AlertRow, AlertState } from '../schema';
import type { DashboardModel, Span } from './dashboardModel';
import { type Episode, within } from './episodes';

/** Of the alerts' own plugin; its list of all endpoints, and its form. */
const ADD = 'maas:add-alert';

export interface AlertLogProps {
  readonly model: DashboardModel;
  readonly episodes: readonly Episode[];
  readonly span: Span;
  /** Point at a time in all charts. */
  readonly onTime: (time: number) => void;
}

/** The rules of the endpoint, and what fired and cleared in the time that is shown, the newest first. */
export function AlertLog({ model, episodes, span, onTime }: AlertLogProps): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const execute = useContext(ExecuteContext);
  const { rules, alertsProblem, target, name } = model;
  const shown = within(episodes, ...span);
  return (
    <section className="maas-alert-log" aria-label={trans.__('Alerts of %1', name)}>
      <div className="maas-chart-title">
        <h3>{trans.__('Alerts')}</h3>
        {execute !== null && model.endpoint !== null && (
          <button
            type="button"
            className="maas-tool"
            data-tool="add-alert"
            onClick={() => execute(ADD, { target, name })}
          >
            {trans.__('Add Alert…')}
          </button>
        )}
      </div>
      {alertsProblem !== null && (
        <p className="maas-dashboard-notice" data-notice="alerts" role="status">
          {trans.__('Alerts cannot be shown: %1', alertsProblem)}
        </p>
      )}
      {rules.length === 0 && alertsProblem === null && <p className="maas-faint">{trans.__('No alert watches this endpoint.')}</p>}
      {rules.length > 0 && (
        <ul className="maas-alert-rules">
          {rules.map(rule => (
            <Rule key={ruleId(rule)} rule={rule} />
          ))}
        </ul>
      )}
      {(rules.length > 0 || shown.length > 0) && <h4>{trans.__('In the time that is shown')}</h4>}
      {rules.length > 0 && shown.length === 0 && <p className="maas-faint">{trans.__('Nothing fired.')}</p>}
      <ol className="maas-alert-events">
        {[...shown].reverse().map(episode => (
          <EpisodeLine key={`${ruleId(episode.alert)} ${episode.from}`} episode={episode} span={span} onTime={onTime} />
        ))}
      </ol>
    </section>
  );
}

function Rule({ rule }: { readonly rule: AlertRow }): React.ReactElement {
  const locale = useContext(LocaleContext);
  const { trans } = locale;
  const states: Record<AlertState, string> = {
    inactive: trans.__('well'),
    pending: trans.__('waiting'),
    firing: trans.__('firing')
  };
  return (
    <li data-alert={rule.kind} data-state={rule.state}>
      <span>{condition(rule, locale)}</span> <em>{states[rule.state]}</em>
    </li>
  );
}

interface LineProps {
  readonly episode: Episode;
  readonly span: Span;
  readonly onTime: (time: number) => void;
}

function EpisodeLine({ episode, span: [start, end], onTime }: LineProps): React.ReactElement {
  const locale = useContext(LocaleContext);
  const { trans, format } = locale;
  const { alert, from, to } = episode;
  const clock = (time: number): string => format.clock(time, true);
  const times =
    from === null
      ? trans.__('until %1', clock(to as number))
      : to === null
        ? trans.__('since %1', clock(from))
        : `${clock(from)} – ${clock(to)}`;
  return (
    <li data-alert={alert.kind} data-open={to === null}>
      <button
        type="button"
        onClick={() => onTime(Math.min(end, Math.max(start, from ?? (to as number))))}
        title={trans.__('Show it in the charts')}
      >
        <AlertKey change={to === null ? 'fired' : 'cleared'} />
        <span>
          <time>{times}</time> {from === null ? condition(alert, locale) : finding(alert, locale)}
        </span>
      </button>
    </li>
  );
}

/** The mark of what fired or cleared, as it stands in the charts. */
export function AlertKey({ change }: { readonly change: 'fired' | 'fires' | 'cleared' }): React.ReactElement {
  return (
    <svg className="maas-alert-key" data-change={change} viewBox="0 0 10 10" aria-hidden="true">
      {change === 'cleared' ? <circle cx="5" cy="5" r="3.5" /> : <path d="M1 1.5h8L5 9z" />}
    </svg>
  );
}
