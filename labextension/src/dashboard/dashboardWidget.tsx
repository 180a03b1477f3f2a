import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { ISignal } from '@lumino/signaling';
import React from 'react';

import { type Execute, ExecuteContext } from '../execute';
import { dashboardIcon } from '../icon';
import { type Locale, LocaleContext } from '../locale';
import type { DashboardModel } from './dashboardModel';
import { DashboardView } from './dashboardView';

/** The dashboard of one endpoint in the main area: asks while it can be seen. */
export class DashboardWidget extends ReactWidget {
  constructor(
    readonly model: DashboardModel,
    private readonly locale: Locale,
    private readonly themeChanged: ISignal<unknown, unknown> | null,
    private readonly execute: Execute | null = null
  ) {
    super();
    const { trans } = locale;
    const { target, name } = model;
    this.id = DashboardWidget.idOf(target, name);
    this.addClass('maas-dashboard');
    this.node.dataset.endpoint = name;
    this.node.dataset.target = target;
    // Where the focus goes when its tab is chosen.
    this.node.tabIndex = -1;
    this.title.label = name;
    this.title.caption = trans.__("Dashboard of '%1' on '%2'", name, target);
    this.title.icon = dashboardIcon;
    this.title.closable = true;
    locale.changed.connect(this.update, this);
  }

  /** One for each endpoint. */
  static idOf(target: string, name: string): string {
    return `maas-dashboard-${encodeURIComponent(target)}-${encodeURIComponent(name)}`;
  }

  override dispose(): void {
    this.model.dispose();
    super.dispose();
  }

  protected override render(): React.ReactElement {
    return (
      <LocaleContext.Provider value={this.locale}>
        <ExecuteContext.Provider value={this.execute}>
          <DashboardView model={this.model} themeChanged={this.themeChanged} />
        </ExecuteContext.Provider>
      </LocaleContext.Provider>
    );
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.focus({ preventScroll: true });
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.follow();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.follow();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.follow();
  }

  protected override onAfterDetach(message: Message): void {
    super.onAfterDetach(message);
    this.follow();
  }

  private follow(): void {
    if (this.isVisible) {
      this.model.show();
    } else {
      this.model.hide();
    }
  }
}
