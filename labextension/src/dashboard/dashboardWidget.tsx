import type { ISignal } from '@lumino/signaling';
import React from 'react';

import type { Execute } from '../execute';
import { dashboardIcon } from '../icon';
import type { Locale } from '../locale';
import { PageWidget } from '../watchingWidget';
import type { DashboardModel } from './dashboardModel';
import { DashboardView } from './dashboardView';

/** The dashboard of one endpoint in the main area. */
export class DashboardWidget extends PageWidget<DashboardModel> {
  constructor(
    model: DashboardModel,
    locale: Locale,
    private readonly themeChanged: ISignal<unknown, unknown> | null,
    execute: Execute | null = null
  ) {
    const { target, name } = model;
    const caption = locale.trans.__("Dashboard of '%1' on '%2'", name, target);
    super(model, { label: name, caption, icon: dashboardIcon }, locale, execute);
    this.id = DashboardWidget.idOf(target, name);
    this.addClass('maas-dashboard');
    this.node.dataset.endpoint = name;
    this.node.dataset.target = target;
  }

  /** One for each endpoint. */
  static idOf(target: string, name: string): string {
    return `maas-dashboard-${encodeURIComponent(target)}-${encodeURIComponent(name)}`;
  }

  protected override view(): React.ReactElement {
    return <DashboardView model={this.model} themeChanged={this.themeChanged} />;
  }
}
