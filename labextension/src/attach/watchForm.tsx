import { ReactWidget } from '@jupyterlab/ui-components';
import React, { useId } from 'react';

import { type Locale } from '../locale';
import type { WantedEndpoint } from '../model';

/** How the form stands: it waits for somebody, or for the server; and why the last try failed. */
export interface WatchFormState {
  readonly working: boolean;
  readonly problem: string;
}

/** Asks for an endpoint that is to be watched. */
export class WatchForm extends ReactWidget {
  constructor(
    private readonly locale: Locale,
    private readonly url: string
  ) {
    super();
    this.addClass('maas-watch-form');
  }

  set state(state: WatchFormState) {
    this._state = state;
    this.update();
  }

  /** What was typed. */
  getValue(): WantedEndpoint {
    const text = (name: string): string => this.input(name)?.value.trim() ?? '';
    return {
      url: text('url'),
      name: text('name'),
      metrics: text('metrics'),
      token_env: text('token_env'),
      ca_file: text('ca_file'),
      insecure: this.input('insecure')?.checked ?? false
    };
  }

  protected override render(): React.ReactElement {
    return <Fields locale={this.locale} url={this.url} {...this._state} />;
  }

  private input(name: string): HTMLInputElement | null {
    return this.node.querySelector(`input[name="${name}"]`);
  }

  private _state: WatchFormState = { working: false, problem: '' };
}

interface FieldsProps extends WatchFormState {
  readonly locale: Locale;
  readonly url: string;
}

function Fields({ locale, url, working, problem }: FieldsProps): React.ReactElement {
  const { trans } = locale;
  const id = useId();
  return (
    <>
      <p id={`${id}what`}>
        {trans.__('A server that was not started here: Triton, KServe, MLServer, vLLM, TF Serving or BentoML.')}
      </p>
      <Field
        name="url"
        label={trans.__('Address')}
        initial={url}
        placeholder="http://gpu-box:8000"
        describedBy={problem === '' ? `${id}what` : `${id}problem`}
        invalid={problem !== ''}
        first
      />
      <Field name="name" label={trans.__('Name')} placeholder={trans.__('its kind')} />
      <details>
        <summary>{trans.__('More')}</summary>
        <Field name="metrics" label={trans.__('Address of its metrics')} placeholder={trans.__('the usual place')} />
        <Field
          name="token_env"
          label={trans.__('Environment variable with its token')}
          placeholder={trans.__('none, it wants no token')}
          hint={trans.__('Set for the Jupyter server. The token itself is never kept nor shown.')}
        />
        <Field
          name="ca_file"
          label={trans.__('File of its certificate authority')}
          placeholder={trans.__('none, the system trusts it')}
          hint={trans.__('A PEM file on the machine of the Jupyter server.')}
        />
        <label className="maas-watch-check">
          <input type="checkbox" name="insecure" /> {trans.__('Send the token without TLS, on a network that is trusted')}
        </label>
      </details>
      <p className="maas-watch-status" role="status">
        {working && trans.__('Finding out what answers there…')}
      </p>
      <p className="maas-watch-problem" role="alert" id={`${id}problem`}>
        {problem}
      </p>
    </>
  );
}

interface FieldProps {
  readonly name: string;
  readonly label: string;
  readonly placeholder: string;
  readonly initial?: string;
  readonly hint?: string;
  readonly describedBy?: string;
  readonly invalid?: boolean;
  /** The one that is asked for; the others may stay empty. */
  readonly first?: boolean;
}

function Field({
  name,
  label,
  placeholder,
  initial = '',
  hint = '',
  describedBy,
  invalid = false,
  first = false
}: FieldProps): React.ReactElement {
  const id = useId();
  return (
    <div className="maas-watch-field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="text"
        name={name}
        className="jp-mod-styled"
        defaultValue={initial}
        placeholder={placeholder}
        required={first}
        autoFocus={first}
        aria-invalid={invalid}
        aria-describedby={hint === '' ? describedBy : `${id}hint`}
        autoComplete="off"
        spellCheck={false}
      />
      {hint !== '' && <small id={`${id}hint`}>{hint}</small>}
    </div>
  );
}
