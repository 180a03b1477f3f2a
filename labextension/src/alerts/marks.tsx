import { errorIcon } from '@jupyterlab/ui-components';
import React, { useContext } from 'react';

import { LocaleContext } from '../locale';
import type { AlertRow } from '../schema';
import { finding } from './words';

/** Why an endpoint is unwell, in its row: its alerts that fire. */
export function AlertMarks({ alerts }: { readonly alerts: readonly AlertRow[] }): React.ReactElement {
  const locale = useContext(LocaleContext);
  const { trans } = locale;
  return (
    <>
      {alerts
        .filter(alert => alert.state === 'firing')
        .map(alert => (
          <p key={alert.kind} className="maas-alert" data-alert={alert.kind}>
            <errorIcon.react tag="span" className="maas-alert-icon" />
            {/* Why it is down stands in the row already. */}
            <span>{trans.__('Alert: %1', finding({ ...alert, reason: '' }, locale))}</span>
          </p>
        ))}
    </>
  );
}
