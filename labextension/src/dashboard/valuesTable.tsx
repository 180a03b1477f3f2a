import React, { useContext, useState } from 'react';

import { LocaleContext } from '../locale';
import type { Chart } from './charts';

/** What the charts show, as a table that can be unfolded. */
export function ValuesTable({ charts }: { readonly charts: readonly Chart[] }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const [open, setOpen] = useState(false);
  return (
    <details className="maas-values" onToggle={event => setOpen(event.currentTarget.open)}>
      <summary>{trans.__('Values as a table')}</summary>
      {open && (
        <table>
          <thead>
            <tr>
              <th scope="col">{trans.__('Chart')}</th>
              <th scope="col">{trans.__('Line')}</th>
              <th scope="col">{trans.__('Newest')}</th>
              <th scope="col">{trans.__('Mean')}</th>
              <th scope="col">{trans.__('Lowest')}</th>
              <th scope="col">{trans.__('Highest')}</th>
            </tr>
          </thead>
          <tbody>
            {charts.flatMap(chart =>
              chart.curves.map(({ label, values }) => {
                const measured = values.filter(value => value !== null);
                const total = measured.reduce((sum, value) => sum + value, 0);
                const told = [
                  values[values.length - 1] ?? null,
                  measured.length ? total / measured.length : null,
                  measured.length ? Math.min(...measured) : null,
                  measured.length ? Math.max(...measured) : null
                ];
                return (
                  <tr key={`${chart.id} ${label}`}>
                    <th scope="row">{chart.title}</th>
                    <td>{label}</td>
                    {told.map((value, place) => (
                      <td key={place}>{chart.format(value)}</td>
                    ))}
                  </tr>
                );
              })
            )}
          </tbody>
        </table>
      )}
    </details>
  );
}
