// An endpoint's curves, its versions, and how it is.

const BEAT_MS = 60000;
const [WIDTH, HEIGHT] = [240, 44];
const TONES = { ready: 'maas-cell-good', loading: '', stopped: '' };
const CURVES = [
  { title: 'requests/s', fields: ['requests'], names: ['requests/s'], write: number },
  { title: 'latency', fields: ['p50', 'p95'], names: ['p50', 'p95'], write: milliseconds },
  { title: 'errors/s', fields: ['errors'], names: ['errors/s'], write: number }
];

function path(values, largest) {
  let begun = false;
  return values
    .map((value, index) => {
      if (value === null) {
        begun = false;
        return '';
      }
      const x = (index / Math.max(values.length - 1, 1)) * WIDTH;
      const y = 3 + (1 - value / largest) * (HEIGHT - 6);
      // A point with none beside it is a dot.
      const word = `${begun ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}${begun ? '' : 'h0.01'}`;
      begun = true;
      return word;
    })
    .join('');
}

/** One tile: the number now, its course, and under the pointer what it was then. */
function tile(curve, points) {
  const last = points[points.length - 1];
  const words = point =>
    curve.fields
      .map((field, index) =>
        curve.fields.length > 1 ? `${curve.names[index]} ${curve.write(point[field])}` : curve.write(point[field])
      )
      .join('  ');
  const now = h('div', { class: 'maas-cell-now' }, last ? words(last) : '–');
  const all = points.flatMap(point => curve.fields.map(field => point[field])).filter(value => value !== null);
  const highest = all.length ? Math.max(...all) : null;
  const largest = highest || 1;
  const picture = s(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', class: 'maas-cell-spark', role: 'img', 'aria-label': `${curve.title}: ${now.textContent}` },
    ...(points.length > 1
      ? curve.fields.map((field, index) =>
          s('path', { d: path(points.map(point => point[field]), largest), class: `maas-cell-line maas-cell-line-${index}` })
        )
      : []),
    s('line', { class: 'maas-cell-cursor', y1: 0, y2: HEIGHT, x1: -9, x2: -9 })
  );
  const then = h('div', { class: 'maas-cell-dim maas-cell-then' }, points.length < 2 ? 'the next look tells' : highest === null ? 'no request yet' : `highest ${curve.write(highest)}`);
  const resting = then.textContent;
  picture.addEventListener('pointermove', event => {
    if (points.length < 2) {
      return;
    }
    const box = picture.getBoundingClientRect();
    const index = Math.round(((event.clientX - box.left) / box.width) * (points.length - 1));
    const point = points[Math.min(Math.max(index, 0), points.length - 1)];
    const x = (points.indexOf(point) / (points.length - 1)) * WIDTH;
    picture.lastChild.setAttribute('x1', x);
    picture.lastChild.setAttribute('x2', x);
    then.textContent = `${new Date(point.time * 1000).toLocaleTimeString()}: ${words(point)}`;
  });
  picture.addEventListener('pointerleave', () => {
    picture.lastChild.setAttribute('x1', -9);
    picture.lastChild.setAttribute('x2', -9);
    then.textContent = resting;
  });
  return h('div', { class: 'maas-cell-tile' }, h('div', { class: 'maas-cell-dim' }, curve.title), now, picture, then);
}

function version(row) {
  const share = Math.round(row.share * 100);
  return h(
    'tr',
    {},
    h('th', { scope: 'row' }, `version ${row.version}`),
    h('td', {}, row.shadow ? 'shadow' : row.label),
    h(
      'td',
      {},
      row.shadow
        ? 'a copy'
        : h('span', { class: 'maas-cell-share' }, h('span', { class: 'maas-cell-bar' }, h('span', { style: `width:${share}%` })), ` ${share} %`)
    ),
    h('td', { class: 'maas-cell-right' }, row.requests === null ? '–' : `${number(row.requests)}/s`),
    h('td', {}, row.state)
  );
}

function render({ model, el }) {
  const inner = root(el, `${model.get('title')}, live`);
  const state = h('span', { role: 'status' });
  const pause = h('button', {
    type: 'button',
    class: 'maas-cell-button',
    onclick: () => send(model, 'paused', !model.get('paused'))
  });
  const reason = h('div', { class: 'maas-cell-warn', hidden: true });
  const tiles = h('div', { class: 'maas-cell-tiles' });
  const versions = h('table', { class: 'maas-cell-table' });
  const totals = h('div', { class: 'maas-cell-dim' });
  inner.append(
    h('div', { class: 'maas-cell-head' }, h('b', {}, model.get('title')), state, h('span', { class: 'maas-cell-space' }), pause),
    reason,
    tiles,
    h('div', { class: 'maas-cell-scroll' }, versions),
    totals
  );

  const beat = () => {
    if (!document.hidden && inner.isConnected) {
      send(model, 'seen', Math.floor(Date.now() / 1000));
    }
  };
  const timer = setInterval(beat, BEAT_MS);
  document.addEventListener('visibilitychange', beat);
  queueMicrotask(beat);

  const end = follow(model, ['row', 'points', 'paused'], () => {
    const row = model.get('row');
    // Read out only when it is another one.
    if (state.textContent !== row.state) {
      state.replaceChildren(
        h('span', { class: `maas-cell-badge ${row.state in TONES ? TONES[row.state] : 'maas-cell-bad'}` }, row.state)
      );
    }
    reason.hidden = !row.reason;
    reason.textContent = row.reason;
    pause.textContent = model.get('paused') ? 'Go on' : 'Pause';
    if (!tiles.matches(':hover')) {
      tiles.replaceChildren(...CURVES.map(curve => tile(curve, model.get('points'))));
    }
    versions.replaceChildren(h('tbody', {}, ...row.versions.map(version)));
    const counted = (count, what) => `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`;
    totals.textContent = `${counted(row.requests, 'request')}, ${counted(row.errors, 'error')} since its server started`;
  });
  return () => {
    clearInterval(timer);
    document.removeEventListener('visibilitychange', beat);
    end();
  };
}

export default { render };
