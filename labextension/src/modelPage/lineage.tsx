import React, { useContext } from 'react';

import { LocaleContext } from '../locale';
import type { VersionRow } from '../schema';
import type { ModelPageModel } from './pageModel';
import type { Origin } from './schema';

/** Versions of a tree; of a family with more, its other members are counted. */
const MOST = 200;

/** A version and those that were made from it. */
export interface Node {
  readonly row: VersionRow;
  /** What it was made from, where that is not among the versions any more. */
  readonly lost: string | null;
  readonly children: readonly Node[];
}

/** The families of versions that have one of these among them, the oldest version first. */
export function families(name: string, versions: readonly VersionRow[], chosen: readonly string[]): Node[] {
  const known = new Map(versions.map(row => [`${name}/${row.version}`, row]));
  const children = new Map<string, VersionRow[]>();
  for (const row of [...versions].sort((one, other) => Number(one.version) - Number(other.version))) {
    if (row.parent !== null && known.has(row.parent)) {
      children.set(row.parent, [...(children.get(row.parent) ?? []), row]);
    }
  }
  const rootOf = (version: string): VersionRow | undefined => {
    const seen = new Set<string>();
    let reference = `${name}/${version}`;
    let row = known.get(reference);
    // What somebody wrote by hand may make a circle.
    while (row?.parent != null && known.has(row.parent) && !seen.has(row.parent)) {
      seen.add(reference);
      reference = row.parent;
      row = known.get(reference);
    }
    return row;
  };
  const placed = new Set<string>();
  const grow = (row: VersionRow): Node => {
    placed.add(row.version);
    const own = children.get(`${name}/${row.version}`) ?? [];
    return {
      row,
      lost: row.parent !== null && !known.has(row.parent) ? row.parent : null,
      children: own.flatMap(child => (placed.has(child.version) || placed.size >= MOST ? [] : [grow(child)]))
    };
  };
  return chosen.flatMap(version => {
    const root = rootOf(version);
    return root === undefined || placed.has(root.version) ? [] : [grow(root)];
  });
}

/** What the versions that are looked at were made from, and what was made from them. */
export function Lineage({ model }: { readonly model: ModelPageModel }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const roots = families(model.name, model.versions ?? [], model.chosen);
  return (
    <ul className="maas-lineage" aria-label={trans.__('Lineage')}>
      {roots.map(node => (
        <Branch key={node.row.version} model={model} node={node} />
      ))}
    </ul>
  );
}

function Branch({ model, node }: { readonly model: ModelPageModel; readonly node: Node }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const { row, lost, children } = node;
  const brought = model.details(row.version);
  const origin = brought !== null && 'value' in brought ? brought.value.origin : null;
  const chosen = model.chosen.includes(row.version);
  const words = [...howMade(origin), row.precision, format.bytes(row.size)];
  return (
    <li data-version={row.version}>
      {lost !== null && <span className="maas-faint">{trans.__('from %1, which was deleted', lost)} → </span>}
      <button
        type="button"
        className="maas-tool"
        aria-pressed={chosen}
        title={chosen ? trans.__('Shown side by side') : trans.__('Show beside the others')}
        onClick={() => model.toggle(row.version)}
      >
        v{row.version}
        {row.aliases.map(alias => (
          <span key={alias} className="maas-alias">
            {alias}
          </span>
        ))}
      </button>{' '}
      <span className="maas-faint">{words.join(' · ')}</span>
      {row.metric !== null && (
        <span className="maas-metric">
          {' '}
          {row.metric_name} <b>{format.metric(row.metric)}</b>
        </span>
      )}
      {children.length > 0 && (
        <ul>
          {children.map(child => (
            <Branch key={child.row.version} model={model} node={child} />
          ))}
        </ul>
      )}
    </li>
  );
}

/** The method, else the verb, where they are known. */
export function howMade(origin: Origin | null): string[] {
  const word = origin?.method || origin?.verb;
  return word ? [word] : [];
}
