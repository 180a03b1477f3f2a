// A canvas to draw an input on, and beside it what the model sees of it.

const SIDE = 196;

function drawing(field, changed) {
  const canvas = h('canvas', {
    width: SIDE,
    height: Math.round((SIDE * field.height) / field.width),
    class: 'maas-cell-canvas',
    tabindex: '0',
    role: 'img',
    'aria-label': `draw ${field.name} here with the mouse, a pen or a finger; with the keyboard: arrows move, with shift they draw a line, space draws a point`
  });
  const small = h('canvas', {
    width: field.width,
    height: field.height,
    class: 'maas-cell-seen',
    role: 'img',
    'aria-label': 'what the model sees'
  });
  const fit = h('input', { type: 'checkbox', checked: true });
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  let last = null;
  let drawn = false;
  let place = [canvas.width / 2, canvas.height / 2];
  // Where the keys draw; a pointer shows itself.
  const cursor = h('span', { class: 'maas-cell-pen', 'aria-hidden': 'true', hidden: true });
  const put = () => {
    cursor.style.left = `${(100 * place[0]) / canvas.width}%`;
    cursor.style.top = `${(100 * place[1]) / canvas.height}%`;
  };

  function wipe() {
    pen.fillStyle = '#000';
    pen.fillRect(0, 0, canvas.width, canvas.height);
    drawn = false;
    look();
  }

  function line(from, to) {
    pen.strokeStyle = '#fff';
    pen.lineCap = 'round';
    pen.lineJoin = 'round';
    pen.lineWidth = SIDE / 10;
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
    drawn = true;
  }

  /** The part that is drawn on, or the whole. */
  function part() {
    const whole = [0, 0, canvas.width, canvas.height];
    if (!fit.checked || !drawn) {
      return whole;
    }
    const points = pen.getImageData(...whole).data;
    let [left, top, right, bottom] = [canvas.width, canvas.height, 0, 0];
    for (let y = 0; y < canvas.height; y += 1) {
      for (let x = 0; x < canvas.width; x += 1) {
        if (points[4 * (y * canvas.width + x)] > 40) {
          left = Math.min(left, x);
          right = Math.max(right, x);
          top = Math.min(top, y);
          bottom = Math.max(bottom, y);
        }
      }
    }
    return right > left ? [left, top, right - left + 1, bottom - top + 1] : whole;
  }

  /** Make of the drawing what the model takes: as large as it fits, in the middle. */
  function look() {
    const [left, top, width, height] = part();
    const margin = fit.checked && field.height >= 16 ? Math.round(field.height / 7) : 0;
    const scale = Math.min((field.width - 2 * margin) / width, (field.height - 2 * margin) / height);
    const target = small.getContext('2d', { willReadFrequently: true });
    target.fillStyle = '#000';
    target.fillRect(0, 0, field.width, field.height);
    target.imageSmoothingEnabled = true;
    // Halved step by step: one step would leave points out.
    let source = h('canvas', { width, height });
    source.getContext('2d').drawImage(canvas, left, top, width, height, 0, 0, width, height);
    while (source.width * 0.5 > width * scale && source.width > 2 && source.height > 2) {
      const half = h('canvas', { width: Math.ceil(source.width / 2), height: Math.ceil(source.height / 2) });
      half.getContext('2d').drawImage(source, 0, 0, half.width, half.height);
      source = half;
    }
    const [wide, high] = [width * scale, height * scale];
    target.drawImage(source, (field.width - wide) / 2, (field.height - high) / 2, wide, high);
  }

  function points() {
    const data = small.getContext('2d', { willReadFrequently: true }).getImageData(0, 0, field.width, field.height).data;
    return Array.from({ length: field.height }, (_, y) =>
      Array.from({ length: field.width }, (_, x) => Math.round((data[4 * (y * field.width + x)] / 255) * 1000) / 1000)
    );
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * canvas.width) / box.width,
      ((event.clientY - box.top) * canvas.height) / box.height
    ];
  }

  // Also the key that brought the focus here.
  canvas.addEventListener('keyup', () => (cursor.hidden = false));
  canvas.addEventListener('blur', () => (cursor.hidden = true));
  canvas.addEventListener('pointerdown', event => {
    cursor.hidden = true;
    canvas.setPointerCapture(event.pointerId);
    last = at(event);
    line(last, last);
    event.preventDefault();
    canvas.focus();
  });
  canvas.addEventListener('pointermove', event => {
    if (last) {
      const next = at(event);
      line(last, next);
      last = next;
    }
  });
  const lifted = () => {
    if (last) {
      last = null;
      look();
      changed();
    }
  };
  canvas.addEventListener('pointerup', lifted);
  canvas.addEventListener('pointercancel', lifted);
  canvas.addEventListener('keydown', event => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && event.key !== ' ') {
      return;
    }
    event.preventDefault();
    const before = place;
    if (step) {
      place = [
        Math.min(Math.max(place[0] + (step[0] * SIDE) / 16, 0), canvas.width),
        Math.min(Math.max(place[1] + (step[1] * SIDE) / 16, 0), canvas.height)
      ];
    }
    put();
    if (!step || event.shiftKey) {
      line(before, place);
      look();
      changed();
    }
  });
  fit.addEventListener('change', () => {
    look();
    changed();
  });
  wipe();
  put();
  return {
    element: h(
      'div',
      { class: 'maas-cell-drawing' },
      h('div', { class: 'maas-cell-board' }, canvas, cursor),
      h(
        'div',
        {},
        h('div', { class: 'maas-cell-dim' }, `what it sees: ${field.height} × ${field.width}`),
        small,
        h('label', { class: 'maas-cell-dim' }, fit, ' in the middle, full size')
      )
    ),
    value: points,
    empty: () => !drawn,
    clear: wipe
  };
}
