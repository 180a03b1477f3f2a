import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import React from 'react';

import type { Execute } from '../execute';
import { modelPageIcon } from '../icon';
import type { Locale } from '../locale';
import { PageWidget } from '../watchingWidget';
import { RenderContext } from './card';
import { ModelPageView } from './modelPageView';
import type { ModelPageModel } from './pageModel';

/** The page of one model in the main area. */
export class ModelPageWidget extends PageWidget<ModelPageModel> {
  constructor(
    model: ModelPageModel,
    locale: Locale,
    execute: Execute,
    private readonly rendermime: IRenderMimeRegistry | null
  ) {
    const caption = locale.trans.__("Page of the model '%1'", model.name);
    super(model, { label: model.name, caption, icon: modelPageIcon }, locale, execute);
    this.id = ModelPageWidget.idOf(model.name);
    this.addClass('maas-model-page');
    this.node.dataset.page = model.name;
  }

  /** One for each model. */
  static idOf(model: string): string {
    return `maas-model-${encodeURIComponent(model)}`;
  }

  protected override view(): React.ReactElement {
    return (
      <RenderContext.Provider value={this.rendermime}>
        <ModelPageView model={this.model} />
      </RenderContext.Provider>
    );
  }
}
