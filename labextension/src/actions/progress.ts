import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import { RequestError } from '../model';

/** Characters that a notification shows; JupyterLab cuts off the rest. */
const SHOWN = 140;

/** Milliseconds after which it is said that work is under way, and for which that stays at least. */
const SOON = 300;
const AT_LEAST = 500;

/** Milliseconds for which good news stay. */
const GOOD_NEWS = 6_000;

/** Show that work is under way where it takes a while, then what came of it; never rejected. */
export async function report(work: Promise<string>, pending: string, trans: TranslationBundle): Promise<void> {
  let id = '';
  let shownAt = 0;
  const begun = setTimeout(() => {
    id = Notification.emit(pending, 'in-progress', { autoClose: false });
    shownAt = Date.now();
  }, SOON);
  const tell = async (type: 'success' | 'error', words: string): Promise<void> => {
    clearTimeout(begun);
    const { message, actions } = shown(words, trans);
    const autoClose = type === 'success' && GOOD_NEWS;
    if (id === '') {
      Notification.emit(message, type, { autoClose, actions });
      return;
    }
    // JupyterLab loses the change of a notification that it has not drawn yet, which would be under way for ever.
    await new Promise(resolve => setTimeout(resolve, shownAt + AT_LEAST - Date.now()));
    Notification.update({ id, type, autoClose, message, actions });
  };
  await work.then(
    words => tell('success', words),
    (error: unknown) => tell('error', wordsOf(error, trans))
  );
}

/** Show an error of something that has not begun. */
export function complain(error: unknown, trans: TranslationBundle): void {
  const { message, actions } = shown(wordsOf(error, trans), trans);
  Notification.error(message, { autoClose: false, actions });
}

/** An error as the user reads it: what our server says has its next step already. */
export function wordsOf(error: unknown, trans: TranslationBundle): string {
  const words = error instanceof Error ? error.message : String(error);
  if (error instanceof RequestError && error.kind === 'unreachable') {
    return trans.__('The Jupyter server does not answer (%1). What was asked for may be done all the same: look at the panel.', words);
  }
  return words;
}

/** A message as a notification shows it, with a button for the whole of a long one. */
function shown(message: string, trans: TranslationBundle): { message: string; actions: Notification.IAction[] } {
  if (message.length <= SHOWN) {
    return { message, actions: [] };
  }
  const whole: Notification.IAction = {
    label: trans.__('Show all'),
    caption: trans.__('Show the whole message'),
    callback: event => {
      // The notification stays.
      event.preventDefault();
      void showDialog({ title: trans.__('MaaS'), body: message, buttons: [Dialog.okButton({ label: trans.__('Close') })] });
    }
  };
  return { message, actions: [whole] };
}
