import { Dialog } from '@jupyterlab/apputils';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

type Field = HTMLInputElement | HTMLSelectElement;

/** A dialog's body with named fields; JupyterLab's dialog looks at what is `:invalid` in it. */
export class Form extends Widget implements Dialog.IBodyWidget<Record<string, string>> {
  constructor() {
    super({ node: document.createElement('form') });
    this.addClass('maas-form');
    this.node.addEventListener('submit', event => event.preventDefault());
  }

  /** A sentence. */
  say(text: string): this {
    const line = this.node.appendChild(document.createElement('p'));
    line.textContent = text;
    return this;
  }

  /** A field with its label; `attributes` are those of HTML. */
  input(name: string, label: string, attributes: Readonly<Record<string, string>> = {}): this {
    const input = document.createElement('input');
    for (const [key, value] of Object.entries({ type: 'text', autocomplete: 'off', ...attributes })) {
      input.setAttribute(key, value);
    }
    return this.add(input, name, label);
  }

  /** A list to choose one from; by value, what is shown. */
  select(name: string, label: string, choices: ReadonlyMap<string, string>, chosen?: string): this {
    const select = document.createElement('select');
    for (const [value, text] of choices) {
      select.add(new Option(text, value, value === chosen, value === chosen));
    }
    return this.add(select, name, label);
  }

  /** Words that a text field offers. */
  offer(name: string, words: readonly string[]): this {
    const list = this.node.appendChild(document.createElement('datalist'));
    list.id = `${this.id || 'maas-form'}-${name}`;
    list.append(...words.map(word => new Option(word, word)));
    this.field(name).setAttribute('list', list.id);
    return this;
  }

  field(name: string): Field {
    return this.node.querySelector(`[name="${name}"]`) as Field;
  }

  /** Show a field, or take it out of use. */
  use(name: string, used: boolean): void {
    const field = this.field(name);
    field.disabled = !used;
    (field.closest('label') as HTMLLabelElement).hidden = !used;
  }

  /** What the fields hold; of a checkbox `on` or nothing, of one that is out of use nothing. */
  getValue(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const field of this.node.querySelectorAll<Field>('input, select')) {
      const off = field.disabled || (field instanceof HTMLInputElement && field.type === 'checkbox' && !field.checked);
      found[field.name] = off ? '' : field.value;
    }
    return found;
  }

  private add(field: Field, name: string, label: string): this {
    field.name = name;
    const line = this.node.appendChild(document.createElement('label'));
    const words = document.createElement('span');
    words.textContent = label;
    line.append(words, field);
    return this;
  }
}

/** A dialog that is not accepted, by a key either, while a field of its form holds what cannot be. */
class FormDialog extends Dialog<Record<string, string>> {
  constructor(
    private readonly form: Form,
    options: Partial<Dialog.IOptions<Record<string, string>>> & { readonly buttons: readonly Dialog.IButton[] }
  ) {
    super({ ...options, body: form });
    this.accepts = options.buttons.map(button => button.accept);
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    // JupyterLab looks at the fields when one of them changes; what is empty and must not be is wrong before.
    this.form.node.dispatchEvent(new Event('input', { bubbles: true }));
  }

  override resolve(index?: number): void {
    const accepts = this.accepts[index ?? this.accepts.length - 1];
    if (!accepts || (this.form.node as HTMLFormElement).reportValidity()) {
      super.resolve(index);
    }
  }

  private readonly accepts: readonly boolean[];
}

export interface FormOptions {
  readonly title: string;
  readonly accept: string;
  readonly cancel: string;
  /** What is lost or interrupted by it: the button says so. */
  readonly dangerous?: boolean;
}

/** Show a form; null where it is not accepted. */
export async function ask(form: Form, { title, accept, cancel, dangerous = false }: FormOptions): Promise<Record<string, string> | null> {
  const button = dangerous ? Dialog.warnButton : Dialog.okButton;
  const dialog = new FormDialog(form, {
    title,
    buttons: [Dialog.cancelButton({ label: cancel }), button({ label: accept })],
    focusNodeSelector: '.maas-form input, .maas-form select'
  });
  const result = await dialog.launch();
  return result.button.accept ? result.value : null;
}
