import React, { useContext, useId } from 'react';

import { LocaleContext } from '../locale';
import type { Confusion, LastEvaluation } from './schema';

/** The darkest a cell becomes, in percent: its number stays readable in both themes. */
const DARKEST = 60;

/** How often each class was taken for which: a table whose cells are shaded by their share of the true class. */
export function ConfusionMatrix(props: {
  readonly reference: string;
  readonly evaluation: LastEvaluation;
  readonly confusion: Confusion;
}): React.ReactElement {
  const { reference, evaluation, confusion } = props;
  const { trans, format } = useContext(LocaleContext);
  const id = useId();
  const scores = new Map(evaluation.classes.map(each => [each.label, each]));
  return (
    <figure className="maas-confusion" data-reference={reference} aria-labelledby={id}>
      <figcaption id={id}>
        <b>{reference}</b>{' '}
        <span className="maas-faint">
          {trans._n('%2 row', '%2 rows', evaluation.rows, format.count(evaluation.rows))}
        </span>
      </figcaption>
      <div className="maas-scroller" role="region" aria-labelledby={id} tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" className="maas-corner">
                {trans.__('true ↓ predicted →')}
              </th>
              {confusion.labels.map((label, column) => (
                <th key={column} scope="col" title={label}>
                  <span className="maas-class">{label}</span>
                </th>
              ))}
              <th scope="col" className="maas-aside">
                {trans.__('recall')}
              </th>
            </tr>
          </thead>
          <tbody>
            {confusion.counts.map((counts, row) => {
              const label = confusion.labels[row];
              const support = scores.get(label)?.support ?? counts.reduce((sum, count) => sum + count, 0);
              const recall = scores.get(label)?.recall;
              return (
                <tr key={row}>
                  <th scope="row" title={label}>
                    <span className="maas-class">{label}</span>
                  </th>
                  {counts.map((count, column) => {
                    const share = support === 0 ? 0 : count / support;
                    const taken = confusion.labels[column];
                    return (
                      <td
                        key={column}
                        data-right={row === column || undefined}
                        data-none={count === 0 || undefined}
                        style={{ '--maas-shade': `${Math.round(Math.sqrt(share) * DARKEST)}%` } as React.CSSProperties}
                        title={trans.__('%1 of %2 rows of %3 were taken for %4', format.count(count), format.count(support), label, taken)}
                      >
                        {format.count(count)}
                      </td>
                    );
                  })}
                  <td className="maas-aside">{recall === undefined ? '–' : format.share(recall)}</td>
                </tr>
              );
            })}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row" className="maas-aside">
                {trans.__('precision')}
              </th>
              {confusion.labels.map((label, column) => {
                const precision = scores.get(label)?.precision;
                return (
                  <td key={column} className="maas-aside">
                    {precision === undefined ? '–' : format.share(precision)}
                  </td>
                );
              })}
              <td />
            </tr>
          </tfoot>
        </table>
      </div>
      {confusion.left_out > 0 && (
        <p className="maas-faint">
          {trans._n(
            '%2 class that is confused less is not shown.',
            '%2 classes that are confused less are not shown.',
            confusion.left_out,
            format.count(confusion.left_out)
          )}
        </p>
      )}
    </figure>
  );
}
