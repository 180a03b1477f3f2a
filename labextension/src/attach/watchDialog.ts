import { Dialog } from '@jupyterlab/apputils';

import type { Locale } from '../locale';
import type { AttachedServer, WantedEndpoint } from '../model';
import { WatchForm } from './watchForm';

/** A dialog that stays open until the endpoint is watched, or somebody gives up. */
export class WatchDialog extends Dialog<WantedEndpoint> {
  constructor(
    private readonly locale: Locale,
    private readonly attach: (wanted: WantedEndpoint) => Promise<AttachedServer>,
    url = ''
  ) {
    const { trans } = locale;
    const form = new WatchForm(locale, url);
    super({
      title: trans.__('Watch an Endpoint'),
      body: form,
      buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), Dialog.okButton({ label: trans.__('Watch') })],
      focusNodeSelector: 'input[name="url"]'
    });
    this.form = form;
    this.addClass('maas-watch-dialog');
  }

  /** What is watched now; null where nothing came of it. */
  attached: AttachedServer | null = null;

  override resolve(index?: number): void {
    if (index === CANCEL) {
      super.resolve(index);
    } else if (!this.working) {
      void this.attempt();
    }
  }

  private async attempt(): Promise<void> {
    const wanted = this.form.getValue();
    if (wanted.url === '') {
      this.form.state = { working: false, problem: this.locale.trans.__('Type the address of the server.') };
      return;
    }
    this.setWorking(true);
    try {
      this.attached = await this.attach(wanted);
      super.resolve(ACCEPT);
    } catch (error) {
      this.setWorking(false, error instanceof Error ? error.message : String(error));
    }
  }

  private setWorking(working: boolean, problem = ''): void {
    this.working = working;
    this.form.state = { working, problem };
    // Still in the tab order, so that the focus does not get lost.
    this.node.querySelector('button.jp-mod-accept')?.setAttribute('aria-disabled', String(working));
  }

  private readonly form: WatchForm;
  private working = false;
}

const CANCEL = 0;
const ACCEPT = 1;
