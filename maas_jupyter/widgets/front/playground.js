// The form of a playground, its answer as bars, and what was tried before.

const WORDS = {
  drawing: 'draw',
  file: 'file',
  json: 'JSON',
  number: 'numbers',
  text: 'text',
  choice: 'choose',
  truth: 'yes or no'
};
const PAUSE_MS = 250;

/** Each way to ask for an input: an element, what it holds, and how to empty it. */
const WAYS = {
  number(field, changed) {
    const inputs = Array.from({ length: field.length }, (_, index) =>
      h('input', {
        type: 'number',
        step: field.whole ? '1' : 'any',
        value: field.initial,
        class: 'maas-cell-input',
        'aria-label': field.length > 1 ? `${field.name}, value ${index + 1}` : field.name,
        oninput: changed
      })
    );
    return {
      element: h('div', { class: 'maas-cell-numbers' }, ...inputs),
      value: () => inputs.map(input => input.value),
      clear: () => inputs.forEach(input => (input.value = field.initial))
    };
  },

  truth(field, changed) {
    const input = h('input', { type: 'checkbox', 'aria-label': field.name, onchange: changed });
    return { element: input, value: () => input.checked, clear: () => (input.checked = false) };
  },

  choice(field, changed) {
    const options = field.options.map(option => h('option', { value: option }, option));
    const select = h('select', { class: 'maas-cell-input', 'aria-label': field.name, onchange: changed }, ...options);
    return { element: select, value: () => select.value, clear: () => (select.selectedIndex = 0) };
  },

  text(field, changed) {
    const input = h('textarea', { class: 'maas-cell-input', rows: '1', 'aria-label': field.name, oninput: changed });
    return { element: input, value: () => input.value, clear: () => (input.value = '') };
  },

  json(field, changed) {
    const input = h('textarea', {
      class: 'maas-cell-input maas-cell-code',
      rows: '4',
      spellcheck: 'false',
      'aria-label': `${field.name} as JSON`,
      oninput: changed
    });
    input.value = field.initial;
    return { element: input, value: () => input.value, clear: () => (input.value = field.initial) };
  },

  file(field, changed) {
    let held = null;
    const shown = h('img', {
      class: 'maas-cell-thumb',
      alt: 'the chosen file',
      hidden: true,
      // No picture: what is wrong with the file, the answer says.
      onerror: () => (shown.hidden = true)
    });
    const input = h('input', {
      type: 'file',
      accept: field.height ? 'image/*' : null,
      'aria-label': `file for ${field.name}`,
      onchange: () => {
        const file = input.files[0];
        if (!file) {
          return;
        }
        const reader = new FileReader();
        reader.onload = () => {
          const url = String(reader.result);
          held = { name: file.name, data: url.slice(url.indexOf(',') + 1) };
          shown.src = url;
          shown.hidden = !file.type.startsWith('image/');
          changed();
        };
        reader.readAsDataURL(file);
      }
    });
    return {
      element: h('div', {}, input, shown),
      value: () => held,
      empty: () => held === null,
      clear: () => {
        held = null;
        input.value = '';
        shown.hidden = true;
      }
    };
  },

  drawing
};

/** An input with its name, and where it can be asked for in several ways a choice between them. */
function entry(field, changed) {
  const kinds = [field.kind, ...field.others];
  const id = fresh('field');
  const holder = h('div', { class: 'maas-cell-holder', id });
  let kind = field.kind;
  let way = WAYS[kind](field, changed);
  holder.append(way.element);
  const choice =
    kinds.length > 1
      ? h(
          'select',
          {
            class: 'maas-cell-kind',
            'aria-label': `how to give ${field.name}`,
            onchange: event => {
              kind = event.target.value;
              way = WAYS[kind](field, changed);
              holder.replaceChildren(way.element);
            }
          },
          ...kinds.map(each => h('option', { value: each }, WORDS[each]))
        )
      : null;
  return {
    element: h(
      'div',
      { class: `maas-cell-field maas-cell-field-${field.kind}` },
      h('div', { class: 'maas-cell-name' }, h('span', { title: field.spec }, field.name), choice),
      holder
    ),
    value: () => ({ kind, value: way.value() }),
    empty: () => Boolean(way.empty && way.empty()),
    clear: () => way.clear(),
    draws: () => kind === 'drawing'
  };
}

/** A score, or that it is none: a model may answer with what JSON cannot hold. */
function scored(score, digits = 4) {
  return score === null ? 'no number' : score.toFixed(digits);
}

function bars(answer) {
  const rest = answer.classes - answer.scores.length;
  return h(
    'div',
    { class: 'maas-cell-bars', role: 'list', 'aria-label': 'scores' },
    ...answer.scores.map(([label, score]) =>
      h(
        'div',
        { class: 'maas-cell-bar-row', role: 'listitem', 'aria-label': `${label}: ${scored(score)}` },
        h('span', { class: 'maas-cell-bar-label', title: label, dir: 'auto' }, label),
        h('span', { class: 'maas-cell-bar' }, h('span', { style: `width:${Math.max(0, Math.min(1, score)) * 100}%` })),
        h('span', { class: 'maas-cell-bar-number' }, scored(score))
      )
    ),
    rest > 0 ? h('div', { class: 'maas-cell-dim' }, `and ${rest} more classes`) : null
  );
}

function told(answer) {
  if (answer.error) {
    return [failure(answer.error)];
  }
  const head = h(
    'div',
    { class: 'maas-cell-answer-head' },
    h('span', { class: 'maas-cell-label', dir: 'auto' }, answer.label),
    h(
      'span',
      { class: 'maas-cell-dim', title: 'from the kernel to the endpoint and back' },
      `${milliseconds(answer.ms)} · version ${answer.version}`
    )
  );
  const notes = answer.notes.map(note => h('div', { class: 'maas-cell-note' }, note));
  if (answer.scores.length) {
    return [head, bars(answer), ...notes];
  }
  const rows = Object.entries(answer.outputs).map(([name, value]) =>
    h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, String(value)))
  );
  return [head, h('table', { class: 'maas-cell-table' }, ...rows), ...notes];
}

function render({ model, el }) {
  const inner = root(el, `playground of ${model.get('title')}`);
  const answered = h('div', { class: 'maas-cell-answer', role: 'status', 'aria-live': 'polite' });
  const history = h('ol', { class: 'maas-cell-tries', reversed: true });
  let timer = null;
  let asked = 0;

  const entries = model.get('fields').map(field => [field.name, entry(field, changed)]);
  const version = h(
    'select',
    { class: 'maas-cell-kind', 'aria-label': 'version' },
    h('option', { value: '' }, 'by traffic')
  );
  /** The versions that serve now; one that was chosen stays, even if it serves no more. */
  function offer() {
    const chosen = version.value;
    const serving = model.get('versions');
    const all = chosen && !serving.includes(chosen) ? [chosen, ...serving] : serving;
    version.replaceChildren(version.options[0], ...all.map(each => h('option', { value: each }, `version ${each}`)));
    version.value = chosen;
  }
  const ink = h('input', {
    type: 'number',
    step: 'any',
    class: 'maas-cell-input maas-cell-ink',
    value: model.get('scale'),
    'aria-label': 'the number of a point that is fully drawn',
    title: 'The number of a point that is fully drawn, or white: 1, 16, 255 …'
  });
  const predict = h('button', { type: 'button', class: 'maas-cell-button maas-cell-primary', onclick: ask }, 'Predict');
  const clear = h(
    'button',
    {
      type: 'button',
      class: 'maas-cell-button',
      onclick: () => entries.forEach(([, each]) => each.clear())
    },
    'Clear'
  );
  const copy = copyButton('Copy as code', () => model.get('code'));
  const busy = h('span', { class: 'maas-cell-dim', role: 'status' });

  function changed() {
    // A drawing is asked for when the pen is lifted, the rest by the button.
    if (!entries.some(([, each]) => each.draws())) {
      return;
    }
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE_MS);
  }

  function ask() {
    clearTimeout(timer);
    if (entries.some(([, each]) => each.empty())) {
      busy.textContent = 'nothing is drawn or chosen yet';
      return;
    }
    asked += 1;
    busy.textContent = 'asking …';
    send(model, 'request', {
      id: `${Date.now()}-${asked}`,
      values: Object.fromEntries(entries.map(([name, each]) => [name, each.value()])),
      version: version.value,
      ink: Number(ink.value) || 1
    });
  }

  inner.addEventListener('keydown', event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey || event.target.tagName === 'INPUT')) {
      event.preventDefault();
      ask();
    }
  });

  const scaled = model.get('fields').some(field => field.height && !field.spec.startsWith('BYTES'));
  inner.append(
    h('div', { class: 'maas-cell-head' }, h('b', {}, model.get('title')), version),
    ...(model.get('note') ? [h('div', { class: 'maas-cell-dim' }, model.get('note'))] : []),
    h(
      'div',
      { class: 'maas-cell-columns' },
      h(
        'div',
        { class: 'maas-cell-form' },
        h('div', { class: entries.length > 1 ? 'maas-cell-grid' : '' }, ...entries.map(([, each]) => each.element)),
        h(
          'div',
          { class: 'maas-cell-buttons' },
          predict,
          clear,
          scaled ? h('label', { class: 'maas-cell-dim' }, 'white is ', ink) : null,
          busy
        )
      ),
      h('div', { class: 'maas-cell-side' }, answered)
    ),
    h(
      'details',
      { class: 'maas-cell-history' },
      h('summary', {}, 'Tries'),
      history,
      h('div', { class: 'maas-cell-buttons' }, copy.button, copy.said),
      copy.shown
    )
  );
  const history_of = inner.querySelector('.maas-cell-history');

  const end = follow(model, ['answer', 'tries'], () => {
    const answer = model.get('answer');
    const any = Boolean(answer && answer.id !== undefined);
    answered.replaceChildren(...(any ? told(answer) : [h('div', { class: 'maas-cell-dim' }, 'The answer comes here.')]));
    busy.textContent = '';
    const tries = model.get('tries');
    history_of.hidden = tries.length === 0;
    // There is none before the first answer.
    copy.button.hidden = model.get('code') === '';
    history_of.firstElementChild.textContent = `Tries (${tries.length})${copy.button.hidden ? '' : ', copy as code'}`;
    history.replaceChildren(
      ...tries.map(each =>
        h(
          'li',
          {},
          each.picture ? h('img', { src: `data:image/png;base64,${each.picture}`, alt: '' }) : null,
          each.error
            ? `${each.given}: ${each.error.message}`
            : `${each.given} → ${each.label}${each.scores.length ? ` (${scored(each.scores[0][1], 3)})` : ''}, ` +
                `${milliseconds(each.ms)}, version ${each.version}`
        )
      )
    );
  });
  const endVersions = follow(model, ['versions'], offer);
  return () => {
    clearTimeout(timer);
    endVersions();
    end();
  };
}

export default { render };
