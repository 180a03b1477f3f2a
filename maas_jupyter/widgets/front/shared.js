// Comes before each widget's own module: elements, words and small pictures that all of them use.

const SVG = 'http://www.w3.org/2000/svg';

/** Make an element: `h('button', {class: 'a', onclick: run}, 'text', child)`. */
function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for a piece of a picture. */
function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) {
      element.addEventListener(name.slice(2), value);
    } else if (value === true) {
      element.setAttribute(name, '');
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

/** Draw anew whenever one of the traits changes; returns what ends it. */
function follow(model, traits, draw) {
  for (const trait of traits) {
    model.on(`change:${trait}`, draw);
  }
  draw();
  return () => {
    for (const trait of traits) {
      model.off(`change:${trait}`, draw);
    }
  };
}

function send(model, trait, value) {
  model.set(trait, value);
  model.save_changes();
}

let numbered = 0;
/** An id that no other element of the page has. */
function fresh(name) {
  numbered += 1;
  return `maas-cell-${name}-${Date.now().toString(36)}-${numbered}`;
}

function number(value, digits = 3) {
  if (value === null || value === undefined) {
    return '–';
  }
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) {
    return value.toExponential(2);
  }
  return Math.abs(value) >= 1000
    ? Math.round(value).toLocaleString('en')
    : String(Number(value.toPrecision(digits)));
}

function milliseconds(value) {
  return value === null || value === undefined ? '–' : `${number(value)} ms`;
}

/** An error in two lines: what is wrong, and what to do. */
function failure(error) {
  return h(
    'div',
    { class: 'maas-cell-error', role: 'alert' },
    h('div', {}, h('b', {}, 'Error: '), error.message),
    error.hint ? h('div', { class: 'maas-cell-dim' }, error.hint) : null
  );
}

function root(element, label) {
  element.classList.add('maas-cell-live');
  const inner = h('div', { class: 'maas-cell-widget', role: 'group', 'aria-label': label });
  // The notebook's own keys must not act on what is typed here.
  inner.addEventListener('keydown', event => event.stopPropagation());
  inner.setAttribute('data-lm-suppress-shortcuts', 'true');
  element.replaceChildren(inner);
  return inner;
}

/** A button that copies a text, or shows it where the page may not copy. */
function copyButton(label, text) {
  const said = h('span', { role: 'status', class: 'maas-cell-dim' });
  const shown = h('pre', { class: 'maas-cell-code', tabindex: '0', hidden: true });
  const button = h(
    'button',
    {
      type: 'button',
      class: 'maas-cell-button',
      onclick: async () => {
        shown.textContent = text();
        shown.hidden = false;
        try {
          await navigator.clipboard.writeText(text());
          said.textContent = 'copied';
        } catch {
          getSelection().selectAllChildren(shown);
          said.textContent = 'selected: copy it with the keyboard';
        }
      }
    },
    label
  );
  return { button, said, shown };
}
