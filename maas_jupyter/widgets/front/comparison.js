// The candidates as a table that is sorted by its heads, and as dots of speed against quality; one of them is picked.

const TONES = { good: 'maas-cell-good', bad: 'maas-cell-bad', warn: 'maas-cell-notice', plain: '' };
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 280, 62, 20, 26, 38];

function bytes(value) {
  return value === null ? '–' : value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

function columns(metric) {
  const signed = value => (value === null ? '–' : `${value >= 0 ? '+' : '−'}${Math.abs(value).toFixed(4)}`);
  return [
    { key: 'method', title: 'candidate' },
    { key: 'verdict', title: 'verdict' },
    { key: 'size', title: 'size', write: bytes },
    { key: 'memory', title: 'memory', write: bytes },
    { key: 'p50', title: 'p50', write: milliseconds },
    { key: 'p95', title: 'p95', write: milliseconds },
    { key: 'throughput', title: 'rows/s', write: value => number(value), down: true },
    { key: 'metric', title: metric, write: value => (value === null ? '–' : value.toFixed(4)), down: true },
    { key: 'change', title: 'change', write: signed, down: true },
    { key: 'agreement', title: 'agree', write: value => (value === null ? '–' : `${(value * 100).toFixed(1)} %`), down: true }
  ];
}

/** Dots by p50 (its logarithm) and metric, the front as a line; the area of a dot is the size. */
function picture(model, pick, hover) {
  const timed = model.get('rows').filter(row => row.p50 !== null && row.metric !== null);
  if (timed.length < 2) {
    return { element: null, mark: () => undefined };
  }
  const times = timed.map(row => Math.log10(row.p50));
  const [low, high] = [Math.min(...times) - 0.05, Math.max(...times) + 0.08];
  const metrics = timed.map(row => row.metric);
  const margin = Math.max((Math.max(...metrics) - Math.min(...metrics)) * 0.15, 2e-3);
  const [least, most] = [Math.min(...metrics) - margin, Math.max(...metrics) + margin];
  const largest = Math.max(...timed.map(row => row.size));
  const x = row => LEFT + ((Math.log10(row.p50) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  const y = row => TOP + ((most - row.metric) / (most - least)) * (HEIGHT - TOP - BOTTOM);
  const radius = row => Math.max(14 * Math.sqrt(row.size / largest), 4);

  const parts = [];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const at = LEFT + share * (WIDTH - LEFT - RIGHT);
    parts.push(
      s('path', { d: `M${at} ${TOP}V${HEIGHT - BOTTOM}`, class: 'maas-cell-gridline' }),
      s('text', { x: at, y: HEIGHT - BOTTOM + 14, 'text-anchor': share === 1 ? 'end' : 'middle' }, number(10 ** (low + (high - low) * share), 2))
    );
  }
  for (const share of [0, 0.5, 1]) {
    const at = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    const value = least + (most - least) * share;
    parts.push(
      s('path', { d: `M${LEFT} ${at}H${WIDTH - RIGHT}`, class: 'maas-cell-gridline' }),
      s('text', { x: LEFT - 6, y: at + 4, 'text-anchor': 'end' }, Math.abs(value) < 10 ? value.toFixed(3) : number(value, 2))
    );
  }
  parts.push(
    s('text', { x: LEFT, y: 14, class: 'maas-cell-axis' }, model.get('metric_name')),
    s('text', { x: WIDTH - RIGHT, y: HEIGHT - 6, 'text-anchor': 'end' }, 'milliseconds for one row (p50); area: size')
  );
  const edge = timed.filter(row => row.front).sort((a, b) => a.p50 - b.p50);
  if (edge.length > 1) {
    parts.push(s('polyline', { points: edge.map(row => `${x(row)},${y(row)}`).join(' '), class: 'maas-cell-front' }));
  }
  const dots = new Map();
  // The large ones first, so that none is hidden.
  for (const row of [...timed].sort((a, b) => b.size - a.size)) {
    const words = `${row.method}: ${milliseconds(row.p50)}, ${model.get('metric_name')} ${row.metric.toFixed(4)}, ${bytes(row.size)}, ${row.verdict}`;
    const dot = s(
      'circle',
      {
        cx: x(row),
        cy: y(row),
        r: radius(row),
        class: `maas-cell-dot maas-cell-dot-${row.verdict === 'winner' || row.verdict === 'original' ? row.verdict : 'other'}`,
        onclick: () => pick(row.method),
        onpointerenter: () => hover(row.method, words),
        onpointerleave: () => hover('', '')
      },
      s('title', {}, words)
    );
    dots.set(row.method, dot);
    parts.push(dot);
  }
  for (const row of edge) {
    const left = x(row) > WIDTH * 0.8;
    parts.push(
      s(
        'text',
        { x: x(row) + (left ? -1 : 1) * (radius(row) + 4), y: y(row) - radius(row) / 2 - 3, 'text-anchor': left ? 'end' : 'start', class: 'maas-cell-dot-name' },
        row.method
      )
    );
  }
  const element = s(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'maas-cell-pareto', role: 'img', 'aria-label': `speed against ${model.get('metric_name')}; the same is in the table` },
    ...parts
  );
  return {
    element,
    mark: (method, kind) => dots.forEach((dot, name) => dot.classList.toggle(kind, name === method))
  };
}

function render({ model, el }) {
  const inner = root(el, model.get('title'));
  const heads = columns(model.get('metric_name'));
  let order = { key: '', up: true };
  let asked = 0;
  let pending = false;
  let shown = '';

  const pick = method => send(model, 'selected', method);
  const under = h('div', { class: 'maas-cell-dim maas-cell-then', 'aria-hidden': 'true' });
  const rows = new Map();
  const dots = picture(model, pick, (method, words) => {
    under.textContent = words;
    rows.forEach((row, name) => row.classList.toggle('maas-cell-hovered', name === method));
  });
  const body = h('tbody', {});
  const head = h('tr', {});
  const used = h('div', { class: 'maas-cell-use' });
  const came = h('div', { role: 'status', 'aria-live': 'polite' });

  function sort(column) {
    const again = order.key === column.key;
    order = { key: column.key, up: again ? !order.up : !column.down };
    table();
  }

  function sorted() {
    const all = [...model.get('rows')];
    if (!order.key) {
      return all;
    }
    const sign = order.up ? 1 : -1;
    return all.sort((a, b) => {
      const [one, other] = [a[order.key], b[order.key]];
      if (one === null || other === null) {
        return (one === null) - (other === null);
      }
      return sign * (typeof one === 'string' ? one.localeCompare(other) : one - other);
    });
  }

  function table() {
    const focused = head.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    head.replaceChildren(
      h('th', {}, h('span', { class: 'maas-cell-hidden' }, 'picked')),
      ...heads.map(column =>
        h(
          'th',
          {
            scope: 'col',
            class: column.write ? 'maas-cell-right' : '',
            'aria-sort': order.key === column.key ? (order.up ? 'ascending' : 'descending') : 'none'
          },
          h(
            'button',
            { type: 'button', class: 'maas-cell-sort', 'data-key': column.key, onclick: () => sort(column) },
            `${column.title}${order.key === column.key ? (order.up ? ' ▲' : ' ▼') : ''}`
          )
        )
      )
    );
    rows.clear();
    const group = fresh('pick');
    body.replaceChildren(
      ...sorted().map(row => {
        const radio = h('input', {
          type: 'radio',
          name: group,
          'aria-label': `pick ${row.method}`,
          onchange: () => pick(row.method)
        });
        const element = h(
          'tr',
          {
            'data-method': row.method,
            onclick: event => event.target !== radio && pick(row.method),
            onpointerenter: () => dots.mark(row.method, 'maas-cell-hovered'),
            onpointerleave: () => dots.mark('', 'maas-cell-hovered')
          },
          h('td', {}, radio),
          ...heads.map(column => cell(row, column))
        );
        rows.set(row.method, element);
        return element;
      })
    );
    if (focused) {
      head.querySelector(`[data-key='${focused}']`).focus();
    }
    choose();
  }

  function cell(row, column) {
    if (column.key === 'method') {
      return h(
        'td',
        { title: row.description },
        row.method,
        row.reason ? h('div', { class: 'maas-cell-dim maas-cell-reason' }, row.reason) : null
      );
    }
    if (column.key === 'verdict') {
      return h('td', {}, h('span', { class: `maas-cell-badge ${TONES[row.tone]}` }, row.verdict));
    }
    const span = column.key === 'change' && row.low !== null ? `${row.low.toFixed(4)} to ${row.high.toFixed(4)}` : null;
    return h('td', { class: 'maas-cell-right', title: span }, column.write(row[column.key]));
  }

  function choose() {
    const selected = model.get('selected');
    rows.forEach((row, method) => {
      row.classList.toggle('maas-cell-picked', method === selected);
      row.querySelector('input').checked = method === selected;
    });
    dots.mark(selected, 'maas-cell-picked');
    const row = model.get('rows').find(each => each.method === selected);
    const word = JSON.stringify(row ?? null);
    if (word === shown) {
      // The kernel's echo of the same choice: what is under the pointer stays.
      return;
    }
    shown = word;
    const here = used.contains(document.activeElement);
    used.replaceChildren(...(row ? use(row) : [h('span', { class: 'maas-cell-dim' }, 'Pick a candidate: a row or a dot.')]));
    if (here) {
      // What was pressed may be another button now.
      used.querySelector('button')?.focus();
    }
  }

  function use(row) {
    const copy = row.code ? copyButton('Copy as code', () => row.code) : null;
    const ask = (what, doing) => () => {
      if (pending) {
        return;
      }
      pending = true;
      asked += 1;
      came.replaceChildren(h('div', { class: 'maas-cell-dim' }, doing));
      send(model, 'request', { id: `${Date.now()}-${asked}`, do: what, method: row.method });
    };
    const act = (label, run) =>
      h('button', { type: 'button', class: 'maas-cell-button maas-cell-primary', onclick: run }, label);
    const action = row.reference
      ? act(`Make ${row.reference} the champion`, ask('champion', 'pointing the alias …'))
      : row.free
        ? act(`Register ${row.method}`, ask('register', `registering ${row.method} …`))
        : null;
    return [
      h(
        'div',
        {},
        h('b', {}, row.method),
        row.reference ? `, registered as ${row.reference}` : ', not registered',
        h('span', { class: 'maas-cell-dim' }, ' · in Python: view.picked')
      ),
      h('div', { class: 'maas-cell-buttons' }, action, copy && copy.button, copy && copy.said),
      ...(copy ? [copy.shown] : [])
    ];
  }

  inner.append(
    h('div', { class: 'maas-cell-head' }, h('b', {}, model.get('title')), h('span', { class: 'maas-cell-dim' }, model.get('conditions'))),
    h('div', { class: 'maas-cell-scroll' }, h('table', { class: 'maas-cell-table maas-cell-sorted' }, h('thead', {}, head), body)),
    h('div', { class: 'maas-cell-conclusion' }, model.get('conclusion')),
    ...(dots.element ? [dots.element, under] : []),
    used,
    came
  );
  const endSelected = follow(model, ['selected'], choose);
  const endRows = follow(model, ['rows'], table);
  const endResult = follow(model, ['result'], () => {
    const result = model.get('result');
    pending = false;
    came.replaceChildren(
      ...(result.error ? [failure(result.error)] : result.line ? [h('div', { class: 'maas-cell-done' }, result.line)] : [])
    );
  });
  return () => {
    endSelected();
    endRows();
    endResult();
  };
}

export default { render };
