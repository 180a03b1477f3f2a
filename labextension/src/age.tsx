import React, { useContext } from 'react';

import { LocaleContext } from './locale';

/** How long ago something was; the date on hovering. @param time - Epoch seconds. */
export function Age({ time }: { readonly time: number }): React.ReactElement {
  const { format } = useContext(LocaleContext);
  return (
    <time className="maas-age" dateTime={new Date(time * 1000).toISOString()} title={format.date(time)}>
      {format.age(time, Date.now())}
    </time>
  );
}
