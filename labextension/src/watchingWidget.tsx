import { type LabIcon, ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { type Execute, ExecuteContext } from './execute';
import { type Locale, LocaleContext } from './locale';

/** A widget that asks for news while it can be seen, and gives its views the locale and the commands. */
export abstract class WatchingWidget extends ReactWidget {
  constructor(
    protected readonly locale: Locale,
    private readonly execute: Execute | null
  ) {
    super();
    locale.changed.connect(this.update, this);
  }

  protected abstract view(): React.ReactElement;
  /** Called when it may have come into sight; also when it was in sight already. */
  protected abstract watch(): void;
  /** Called when it may have gone out of sight; also when it was out of sight already. */
  protected abstract rest(): void;

  protected override render(): React.ReactElement {
    return (
      <LocaleContext.Provider value={this.locale}>
        <ExecuteContext.Provider value={this.execute}>{this.view()}</ExecuteContext.Provider>
      </LocaleContext.Provider>
    );
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
      this.watch();
    } else {
      this.rest();
    }
  }
}

/** What a page is about: asks while it is shown. */
export interface PageModel {
  show(): void;
  hide(): void;
  dispose(): void;
}

export interface PageTitle {
  readonly label: string;
  readonly caption: string;
  readonly icon: LabIcon;
}

/** A page in the main area; its model goes with it. */
export abstract class PageWidget<Model extends PageModel> extends WatchingWidget {
  constructor(
    readonly model: Model,
    { label, caption, icon }: PageTitle,
    locale: Locale,
    execute: Execute | null
  ) {
    super(locale, execute);
    // Where the focus goes when its tab is chosen.
    this.node.tabIndex = -1;
    this.title.label = label;
    this.title.caption = caption;
    this.title.icon = icon;
    this.title.closable = true;
  }

  override dispose(): void {
    this.model.dispose();
    super.dispose();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.focus({ preventScroll: true });
  }

  protected override watch(): void {
    this.model.show();
  }

  protected override rest(): void {
    this.model.hide();
  }
}
