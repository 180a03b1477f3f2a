import React, { useContext } from 'react';

import { ExecuteContext } from '../execute';
import { modelPageIcon } from '../icon';
import { LocaleContext } from '../locale';
import { OPEN_MODEL } from './open';

/** Opens the page of a model, or of one of its versions. */
export type OpenModel = (model: string, version?: string) => void;

/** Null where there are no commands. */
export function useOpenModel(): OpenModel | null {
  const execute = useContext(ExecuteContext);
  return execute && ((model, version) => execute(OPEN_MODEL, version === undefined ? { model } : { model, version }));
}

/** The button of a row that opens the page of what the row is about. */
export function OpenModelPage(props: { readonly model: string; readonly version?: string }): React.ReactElement | null {
  const { model, version } = props;
  const { trans } = useContext(LocaleContext);
  const open = useOpenModel();
  if (open === null) {
    return null;
  }
  const reference = version === undefined ? model : `${model}/${version}`;
  return (
    <button
      type="button"
      className="maas-row-menu maas-open-model"
      aria-label={trans.__("Open the page of '%1'", reference)}
      title={trans.__('Open Model Page')}
      onClick={() => open(model, version)}
    >
      <modelPageIcon.react tag="span" />
    </button>
  );
}
