import { ellipsesIcon } from '@jupyterlab/ui-components';
import React, { useContext } from 'react';

import { LocaleContext } from './locale';

/** The button of a row that opens its context menu, for whoever has no second mouse button. */
export function RowMenu({ name }: { readonly name: string }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const label = trans.__('Actions for %1', name);
  return (
    <button
      type="button"
      className="maas-row-menu"
      aria-haspopup="menu"
      aria-label={label}
      title={label}
      onClick={event => openRowMenu(event.currentTarget)}
    >
      <ellipsesIcon.react tag="span" />
    </button>
  );
}

/** Open the context menu of what an element is in, below the element. */
export function openRowMenu(element: Element): void {
  const { left, bottom } = element.getBoundingClientRect();
  element.dispatchEvent(
    new MouseEvent('contextmenu', { bubbles: true, cancelable: true, clientX: left, clientY: bottom })
  );
}
