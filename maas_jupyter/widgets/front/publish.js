// Which version, where, with which share; its gates; and what came of it.

function gates(version) {
  const found = version.gates;
  if (!found) {
    return [
      h('span', { class: 'maas-cell-badge maas-cell-notice' }, 'never judged'),
      ` no gates were held against it: %maas evaluate ${version.reference} --require …`
    ];
  }
  return [
    h('span', { class: `maas-cell-badge ${found.passed ? 'maas-cell-good' : 'maas-cell-bad'}` }, found.passed ? 'passed' : 'failed'),
    ` on ${found.rows.toLocaleString('en')} rows, ${found.time}`,
    h('ul', { class: 'maas-cell-gates' }, ...found.gates.map(gate => h('li', {}, gate)))
  ];
}

function labelled(text, control) {
  const id = fresh('control');
  control.id = id;
  return [h('label', { for: id, class: 'maas-cell-row-label' }, text), control];
}

function render({ model, el }) {
  const name = model.get('name');
  const inner = root(el, `publish ${name}`);
  const first = model.get('choice');
  const group = fresh('mode');
  let asked = 0;

  const version = h(
    'select',
    { class: 'maas-cell-input', onchange: draw },
    ...model
      .get('versions')
      .map(each =>
        h(
          'option',
          { value: each.version, selected: each.version === first.version },
          [`${name}/${each.version}`, ...each.aliases.map(alias => `@${alias}`), each.precision, each.measured]
            .filter(Boolean)
            .join('  ')
        )
      )
  );
  const to = h(
    'select',
    { class: 'maas-cell-input', onchange: look },
    ...model.get('targets').map(each => h('option', { value: each, selected: each === first.to }, each))
  );
  const modes = Object.fromEntries(
    ['all', 'canary', 'shadow'].map(mode => [
      mode,
      h('input', { type: 'radio', name: group, value: mode, checked: mode === first.mode, onchange: draw })
    ])
  );
  const share = h('input', {
    type: 'range',
    min: '1',
    max: '99',
    value: String(first.canary),
    'aria-label': 'share of the canary in percent',
    oninput: draw
  });
  const percent = h('output', {});
  const reason = h('input', { type: 'text', class: 'maas-cell-input', maxlength: '500', value: first.reason, placeholder: 'for the history' });
  const required = h('input', { type: 'checkbox', checked: Boolean(first.require_passed), onchange: draw });
  const judged = h('div', { class: 'maas-cell-judged' });
  const serving = h('div', { role: 'status' });
  const effect = h('div', { class: 'maas-cell-effect' });
  const publish = h('button', { type: 'button', class: 'maas-cell-button maas-cell-primary', onclick: go }, 'Publish');
  const busy = h('span', { class: 'maas-cell-dim', role: 'status' });
  const came = h('div', { role: 'status', 'aria-live': 'polite' });

  const mode = () => Object.keys(modes).find(each => modes[each].checked) || 'all';
  const chosen = () => model.get('versions').find(each => each.version === version.value);

  function ask(request) {
    asked += 1;
    send(model, 'request', { id: `${Date.now()}-${asked}`, ...request });
  }

  function look() {
    ask({ do: 'look', to: to.value });
    draw();
  }

  function go() {
    came.replaceChildren();
    ask({
      do: 'publish',
      version: version.value,
      to: to.value,
      mode: mode(),
      canary: Number(share.value),
      require_passed: required.checked,
      reason: reason.value
    });
  }

  inner.append(
    h('div', { class: 'maas-cell-head' }, h('b', {}, `Publish ${name}`)),
    h(
      'div',
      { class: 'maas-cell-rows' },
      ...labelled('version', version),
      h('span', { class: 'maas-cell-row-label' }, 'gates'),
      judged,
      ...labelled('target', to),
      h('span', { class: 'maas-cell-row-label' }, 'serving now'),
      serving,
      h('span', { class: 'maas-cell-row-label', id: `${group}-label` }, 'traffic'),
      h(
        'div',
        { role: 'radiogroup', 'aria-labelledby': `${group}-label`, class: 'maas-cell-modes' },
        h('label', {}, modes.all, ' all of it'),
        h('span', { class: 'maas-cell-canary' }, h('label', {}, modes.canary, ' a share, as canary: '), share, percent),
        h('label', {}, modes.shadow, ' a copy, as shadow')
      ),
      ...labelled('reason', reason),
      h('span', {}),
      h('label', {}, required, ' refuse it unless it passed its gates')
    ),
    effect,
    h('div', { class: 'maas-cell-buttons' }, publish, busy),
    came
  );

  function draw() {
    const each = chosen();
    const now = model.get('serving');
    const known = now.target === to.value;
    judged.replaceChildren(...gates({ ...each, reference: `${name}/${each.version}` }));
    serving.textContent = !known ? 'looking …' : now.error ? now.error.message : now.line || 'nothing of this name';
    // A version that has all of the traffic cannot be its own canary.
    const alone = known && now.weighted === 1 && now.versions[0] === each.version;
    const beside = known && now.weighted > 0 && !alone;
    for (const other of ['canary', 'shadow']) {
      modes[other].disabled = !beside;
      modes[other].title = beside ? '' : alone ? 'It is what serves.' : 'Nothing serves beside it.';
    }
    if (!beside && mode() !== 'all') {
      modes.all.checked = true;
    }
    share.disabled = mode() !== 'canary';
    percent.textContent = `${share.value} %`;
    const refused = required.checked && !(each.gates && each.gates.passed);
    publish.disabled = Boolean(model.get('busy')) || refused;
    busy.textContent = model.get('busy') || (refused ? 'It has not passed its gates.' : '');
    const words = {
      all: alone ? `${name}/${each.version} is what serves: nothing changes.` : beside ? `${name}/${each.version} takes all traffic at once, from version ${now.versions.join(' and ')}.` : `${name}/${each.version} takes all traffic.`,
      canary: `${share.value} of 100 requests go to ${name}/${each.version}, the others stay where they are.`,
      shadow: `${name}/${each.version} gets a copy of the traffic; its answers are compared, and not returned.`
    };
    const unfit = each.gates && !each.gates.passed ? ' It failed its gates.' : '';
    effect.textContent = `${words[mode()]}${unfit}`;
    const result = model.get('result');
    came.replaceChildren(
      ...(result.error
        ? [failure(result.error)]
        : result.line
          ? [h('div', { class: 'maas-cell-done' }, h('b', {}, 'Published. '), result.line, h('div', { class: 'maas-cell-dim' }, result.url))]
          : [])
    );
  }

  return follow(model, ['serving', 'busy', 'result', 'versions'], draw);
}

export default { render };
