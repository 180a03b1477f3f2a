import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import React, { useContext, useId } from 'react';

import { PanelStateContext, type SectionName } from './panelState';

export interface SectionProps {
  readonly title: string;
  /** How many rows there are; null while that is unknown. */
  readonly count: number | null;
  /** What the section holds, for tests and styles. */
  readonly name: SectionName;
  /** Buttons in the header. */
  readonly actions?: React.ReactNode;
  readonly children: React.ReactNode;
}

/** A headed part of the panel that can be folded. */
export function Section({ title, count, name, actions, children }: SectionProps): React.ReactElement {
  const panel = useContext(PanelStateContext);
  const open = !panel.isFolded(name);
  const id = useId();
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <section className="maas-section" data-section={name} aria-labelledby={`${id}title`}>
      <h2 className="maas-section-header">
        <button type="button" aria-expanded={open} aria-controls={`${id}body`} onClick={() => panel.toggleSection(name)}>
          <Caret.react tag="span" className="maas-caret" />
          <span id={`${id}title`} className="maas-section-title">
            {title}
          </span>
          {count !== null && <span className="maas-section-count">{count}</span>}
        </button>
        {actions !== undefined && <span className="maas-section-actions">{actions}</span>}
      </h2>
      <div id={`${id}body`} className="maas-section-body" hidden={!open}>
        {children}
      </div>
    </section>
  );
}

/** What stands in a section without rows: a sentence and the line to type. */
export function Empty({ text, code }: { readonly text: string; readonly code: string }): React.ReactElement {
  return (
    <p className="maas-empty">
      {text} <code>{code}</code>
    </p>
  );
}

/** The shape of rows that are still on their way. */
export function Skeleton({ label }: { readonly label: string }): React.ReactElement {
  return (
    <div className="maas-skeleton" role="status" aria-label={label}>
      <span />
      <span />
      <span />
    </div>
  );
}
