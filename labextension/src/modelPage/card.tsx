import { Clipboard } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { Widget } from '@lumino/widgets';
import React, { createContext, useContext, useLayoutEffect, useRef } from 'react';

import { LocaleContext } from '../locale';
import type { Brought } from './pageModel';
import type { ModelCard } from './schema';

const MARKDOWN = 'text/markdown';

/** Null where nothing draws Markdown. */
export const RenderContext = createContext<IRenderMimeRegistry | null>(null);

/** The model card: Markdown as JupyterLab draws it, without what could run. */
export function CardView({ card }: { readonly card: Brought<ModelCard> }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  if (card === null) {
    return <p className="maas-faint">{trans.__('Loading the card…')}</p>;
  }
  if ('problem' in card) {
    return (
      <p className="maas-dashboard-notice" data-notice="card" role="status">
        {trans.__('The card cannot be shown: %1', card.problem)}
      </p>
    );
  }
  const { text } = card.value;
  return (
    <>
      <button type="button" className="maas-tool" data-tool="copy-card" onClick={() => Clipboard.copyToSystem(text)}>
        {trans.__('Copy as Markdown')}
      </button>
      <Markdown text={text} />
    </>
  );
}

function Markdown({ text }: { readonly text: string }): React.ReactElement {
  const rendermime = useContext(RenderContext);
  const host = useRef<HTMLDivElement>(null);
  // Not after the draw: a widget is detached before its element goes.
  useLayoutEffect(() => {
    if (rendermime === null || host.current === null) {
      return;
    }
    const renderer = rendermime.createRenderer(MARKDOWN);
    // What is not trusted is sanitised; a description in MLflow may be anybody's.
    const model = rendermime.createModel({ data: { [MARKDOWN]: text }, trusted: false });
    let gone = false;
    void renderer.renderModel(model).then(() => {
      if (!gone && host.current !== null) {
        Widget.attach(renderer, host.current);
        // Long lines of code are scrolled, by the keyboard too.
        for (const code of host.current.querySelectorAll('pre')) {
          code.tabIndex = 0;
        }
      }
    });
    return () => {
      gone = true;
      renderer.dispose();
    };
  }, [rendermime, text]);
  return rendermime === null ? <pre className="maas-card">{text}</pre> : <div ref={host} className="maas-card" />;
}
