import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { type Execute, ExecuteContext } from '../execute';
import { modelPageIcon } from '../icon';
import { type Locale, LocaleContext } from '../locale';
import { RenderContext } from './card';
import { ModelPageView } from './modelPageView';
import type { ModelPageModel } from './pageModel';

/** The page of one model in the main area: asks while it can be seen. */
export class ModelPageWidget extends ReactWidget {
  constructor(
    readonly model: ModelPageModel,
    private readonly locale: Locale,
    private readonly execute: Execute,
    private readonly rendermime: IRenderMimeRegistry | null
  ) {
    super();
    const { trans } = locale;
    this.id = ModelPageWidget.idOf(model.name);
    this.addClass('maas-model-page');
    this.node.dataset.page = model.name;
    // Where the focus goes when its tab is chosen.
    this.node.tabIndex = -1;
    this.title.label = model.name;
    this.title.caption = trans.__("Page of the model '%1'", model.name);
    this.title.icon = modelPageIcon;
    this.title.closable = true;
    locale.changed.connect(this.update, this);
  }

  /** One for each model. */
  static idOf(model: string): string {
    return `maas-model-${encodeURIComponent(model)}`;
  }

  override dispose(): void {
    this.model.dispose();
    super.dispose();
  }

  protected override render(): React.ReactElement {
    return (
      <LocaleContext.Provider value={this.locale}>
        <ExecuteContext.Provider value={this.execute}>
          <RenderContext.Provider value={this.rendermime}>
            <ModelPageView model={this.model} />
          </RenderContext.Provider>
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
