/**
 * The MaaS side panel.
 *
 * What tests and styles can hold on to:
 *
 * - `#maas-panel`, and in it `.maas-panel[data-status]`: `loading`, `live` or `unreachable`.
 * - `[data-section="endpoints"]`, `[data-section="runs"]`, `[data-section="models"]`.
 * - `[data-endpoint="digits"]` with `data-target` and `data-state`, and `data-kind` where it was not started here; in it `[data-stat]`, named as the fields of
 *   `Sample` and `EndpointRow`, where the totals carry the bare number as `data-value`; `.maas-share[data-version]`, and in a
 *   shadow's `[data-compared][data-disagreed]`.
 * - `[data-alert="p95_above"]` in an endpoint, for each of its alerts that fires.
 * - `[data-run="RUN_ID"][data-status]`; in one under way `[role="progressbar"]` and `.maas-stop`.
 * - `[data-section="models"] input[type="search"]`, `[data-model="digits"]` of those that can be seen; its button unfolds `[data-version="2"]`, in which `[data-alias="champion"]`.
 * - `[data-notice="server"]` (the server does not answer), `[data-notice="alerts"]`, `[data-notice="registry"]` and `[data-notice="runs"]`.
 */
import { UseSignal } from '@jupyterlab/ui-components';
import { JSONExt, type ReadonlyPartialJSONObject, type ReadonlyPartialJSONValue } from '@lumino/coreutils';
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';
import React, { useContext, useEffect, useState } from 'react';

import { EndpointsSection } from './endpoints';
import type { Execute } from './execute';
import { maasIcon } from './icon';
import { type Locale, LocaleContext } from './locale';
import type { MaasModel, MaasState, ProblemKind } from './model';
import { ModelsSection } from './models';
import { isModelQuery, ModelPages } from './pages';
import { PanelState, PanelStateContext } from './panelState';
import { type Preferences, PreferencesContext, USUAL } from './preferences';
import { RunsSection } from './runs';
import type { ModelVersions } from './schema';
import { WatchingWidget } from './watchingWidget';

/** The widget in the side bar: watches the model while it can be seen. */
export class MaasPanel extends WatchingWidget {
  constructor(
    private readonly model: MaasModel,
    locale: Locale,
    execute: Execute | null = null
  ) {
    super(locale, execute);
    this.id = 'maas-panel';
    this.title.icon = maasIcon;
    this.title.caption = this.locale.trans.__('MaaS: models, runs and endpoints');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this.locale.trans.__('MaaS'));
    this.pages.changed.connect(this.noteState, this);
    this.panel.changed.connect(this.noteState, this);
  }

  set preferences(preferences: Preferences) {
    this._preferences = preferences;
    this.update();
  }

  /** What is to be the same after a reload: the search, and what is folded. */
  get saved(): ReadonlyPartialJSONObject {
    return { ...this.panel.toJSON(), query: { ...this.pages.query } };
  }

  /** Emits when `saved` may be something else. */
  get savedChanged(): ISignal<this, void> {
    return this._savedChanged;
  }

  /** Take what `saved` was, of this version or of another. */
  restore(saved: ReadonlyPartialJSONValue | undefined): void {
    this.panel.restore(saved);
    const query: unknown = saved !== undefined && JSONExt.isObject(saved) ? saved.query : null;
    if (isModelQuery(query)) {
      this.pages.ask(query);
    }
  }

  protected override view(): React.ReactElement {
    return (
      <PreferencesContext.Provider value={this._preferences}>
        <UseSignal signal={this.model.changed}>
          {() => (
            <PanelView
              state={this.model.state}
              panel={this.panel}
              onRetry={() => this.model.retry()}
              onStop={runId => this.model.stopRun(runId)}
              pages={this.pages}
              versionsOf={this.versionsOf}
            />
          )}
        </UseSignal>
      </PreferencesContext.Provider>
    );
  }

  protected override watch(): void {
    this.watching ??= this.model.watch();
  }

  protected override rest(): void {
    this.watching?.dispose();
    this.watching = null;
  }

  private noteState(): void {
    this._savedChanged.emit();
  }

  private readonly pages = new ModelPages((query, offset, limit) => this.model.modelPage(query, offset, limit));
  private readonly versionsOf = (name: string): Promise<ModelVersions> => this.model.modelVersions(name);
  private readonly panel = new PanelState();
  private readonly _savedChanged = new Signal<this, void>(this);
  private _preferences = USUAL;
  private watching: IDisposable | null = null;
}

export interface PanelViewProps {
  readonly state: MaasState;
  readonly panel: PanelState;
  readonly onRetry: () => void;
  readonly onStop: (runId: string) => Promise<void>;
  readonly pages: ModelPages;
  readonly versionsOf: (name: string) => Promise<ModelVersions>;
}

/** The whole panel for one state. */
export function PanelView(props: PanelViewProps): React.ReactElement {
  return (
    <PanelStateContext.Provider value={props.panel}>
      <UseSignal signal={props.panel.changed}>{() => <Sections {...props} />}</UseSignal>
    </PanelStateContext.Provider>
  );
}

function Sections({ state, onRetry, onStop, pages, versionsOf }: PanelViewProps): React.ReactElement {
  const { problem, endpoints } = state;
  const status = problem !== null ? 'unreachable' : endpoints === null ? 'loading' : 'live';
  return (
    <div className="maas-panel" data-status={status}>
      {problem !== null && (
        <ServerNotice kind={problem.kind} detail={problem.message} retryAt={state.retryAt} onRetry={onRetry} />
      )}
      {(problem === null || endpoints !== null) && (
        <div className="maas-sections">
          <EndpointsSection rows={endpoints} alerts={state.alerts} alertsError={state.alertsError} />
          <RunsSection rows={state.runs} runsError={state.runsError} onStop={onStop} />
          <ModelsSection
            count={state.models}
            number={state.modelsNumber}
            pages={pages}
            versionsOf={versionsOf}
            registryError={state.registryError}
          />
        </div>
      )}
    </div>
  );
}

interface ServerNoticeProps {
  readonly kind: ProblemKind;
  readonly detail: string;
  readonly retryAt: number | null;
  readonly onRetry: () => void;
}

function ServerNotice({ kind, detail, retryAt, onRetry }: ServerNoticeProps): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const seconds = useSecondsUntil(retryAt);
  const words: Record<ProblemKind, string> = {
    unreachable: trans.__('The Jupyter server does not answer.'),
    forbidden: trans.__('The Jupyter server refused the request. Log in again in another tab, or reload this page.'),
    missing: trans.__(
      'The Jupyter server runs without the maas_jupyter extension. Install maas-jupyter where the server runs and restart it.'
    ),
    server: trans.__('The Jupyter server could not make the list: %1', detail)
  };
  return (
    <div className="maas-notice" data-notice="server">
      <p role="alert">{words[kind]}</p>
      <div className="maas-row">
        <span className="maas-retry-at">
          {seconds > 0 ? trans.__('Trying again in %1 s.', seconds) : trans.__('Trying again…')}
        </span>
        <button type="button" className="jp-mod-styled jp-mod-minimal maas-retry" onClick={onRetry}>
          {trans.__('Retry now')}
        </button>
      </div>
    </div>
  );
}

/** Whole seconds until a time in epoch milliseconds, counting down; 0 once it is there. */
function useSecondsUntil(time: number | null): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [time]);
  return time === null ? 0 : Math.max(0, Math.ceil((time - now) / 1000));
}
