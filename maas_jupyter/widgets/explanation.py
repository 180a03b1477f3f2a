"""How an explanation looks: signed bars, coloured words, or a heat map beside the picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from maas_jupyter.explanation.report import MOST_FEATURES, others
from maas_jupyter.widgets import html

if TYPE_CHECKING:
    from maas_jupyter.explanation import Explanation, RowExplanation

# Both read on a light and on a dark page: for what raises the output, and for what lowers it.
_UP, _DOWN = (47, 129, 247), (219, 109, 40)
_SIDE = 208
_WORDS_WITH_BARS = 8


def render(explanation: Explanation) -> dict[str, Any]:
    """Draw the rows one below the other, with what has to be known to read them."""
    raised, lowered = (
        f'<span style="background:{_colour(tone, 0.55)};padding:0 6px">{word}</span>'
        for tone, word in ((_UP, "raises"), (_DOWN, "lowers"))
    )
    output = "the probability of the class" if explanation.task == "classification" else "the number"
    markup = html.heading(f"Why {explanation.subject} answers so", explanation.stated)
    markup += f"<div>{raised} {lowered} {output} that is explained</div>"
    markup += "".join(f"<div>{html.badge('note', 'warn')} {html.text(note)}</div>" for note in explanation.notes)
    markup += "".join(map(_row, explanation.rows))
    return html.bundle(markup, repr(explanation))


def _row(row: RowExplanation) -> str:
    head = f'<div style="margin:10px 0 4px">{html.text(row.headline)}</div>'
    head += "".join(f"<div>{html.badge('warning', 'warn')} {html.text(warning)}</div>" for warning in row.warnings)
    if row.picture is not None:
        return head + _picture(row)
    if row.text is not None and row.spans is not None:
        return head + _text(row) + _bars(row, _WORDS_WITH_BARS)
    return head + _bars(row, MOST_FEATURES)


# -- bars -------------------------------------------------------------------------------------------------------------


def _bars(row: RowExplanation, most: int) -> str:
    ranked = row.ranked()
    largest = max((abs(weight) for _, _, weight in ranked), default=0.0) or 1.0
    with_values = any(value for _, value, _ in ranked)
    rows = [
        [html.text(name), *([html.text(value)] if with_values else []), _bar(weight / largest), f"{weight:+.4f}"]
        for name, value, weight in ranked[:most]
    ]
    if len(ranked) > most:
        rest = sum(weight for _, _, weight in ranked[most:])
        rows.append([others(len(ranked) - most), *([""] if with_values else []), "", f"{rest:+.4f}"])
    headers = ["feature", *(["value"] if with_values else []), "", "adds"]
    return html.table(headers, rows, numbers=(1, 3) if with_values else (2,))


def _bar(share: float) -> str:
    """Return a bar from the middle to the right or to the left, for a share between -1 and 1."""
    left, width = (50.0, share * 50) if share >= 0 else (50 + share * 50, -share * 50)
    tone = _colour(_UP if share >= 0 else _DOWN, 1)
    return (
        '<span style="display:inline-block;width:200px;border-radius:3px;background:rgba(127,127,127,.18)">'
        f'<span style="display:block;margin-left:{left:.1f}%;width:{width:.1f}%;height:9px;background:{tone}"></span>'
        "</span>"
    )


# -- words ------------------------------------------------------------------------------------------------------------


def _text(row: RowExplanation) -> str:
    assert row.text is not None and row.spans is not None
    largest = float(np.abs(row.attributions).max()) or 1.0
    pieces, position = [], 0
    for (start, stop), weight in zip(row.spans, row.attributions.tolist(), strict=True):
        # Weak enough that the page's own text colour reads on it.
        ground = _colour(_UP if weight >= 0 else _DOWN, 0.55 * abs(weight) / largest)
        pieces.append(html.text(row.text[position:start]))
        pieces.append(
            f'<span title="{weight:+.4f}" style="background:{ground};border-radius:3px">'
            f"{html.text(row.text[start:stop])}</span>"
        )
        position = stop
    pieces.append(html.text(row.text[position:]))
    return f'<div style="max-width:760px;line-height:1.8;white-space:pre-wrap">{"".join(pieces)}</div>'


# -- pictures ---------------------------------------------------------------------------------------------------------


def _picture(row: RowExplanation) -> str:
    assert row.picture is not None
    height, width = row.picture.shape[:2]
    scale = max(1, _SIDE // max(height, width))
    shown = int(width * scale) if scale > 1 else int(width * min(1.0, _SIDE * 1.5 / max(height, width)))
    panels = [
        ("what the model sees", _png(row.picture, scale)),
        ("what it looks at", _png(heat_map(row.attributions), scale)),
    ]
    drawn = "".join(
        '<div style="margin-right:16px"><div>' + html.text(label) + "</div>"
        '<div style="border:1px solid rgba(127,127,127,.5);line-height:0">'
        + html.image(data, "image/png", f"row {row.row}: {label}", shown)
        + "</div></div>"
        for label, data in panels
    )
    return f'<div style="display:flex;flex-wrap:wrap">{drawn}</div>'


def heat_map(attributions: np.ndarray) -> np.ndarray:
    """Return uint8 ``(height, width, 4)``: the colour says the sign, the opacity how much; zero is transparent."""
    largest = float(np.abs(attributions).max()) or 1.0
    colours = np.where((attributions >= 0)[..., None], _UP, _DOWN)
    opacity = np.abs(attributions) / largest * 255
    return np.concatenate([colours, opacity[..., None].round()], axis=-1).astype(np.uint8)


def _png(pixels: np.ndarray, scale: int) -> bytes:
    from PIL import Image

    image = Image.fromarray(pixels)
    # Enlarged here: a page would blur the borders of few pixels.
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _colour(tone: tuple[int, int, int], opacity: float) -> str:
    return f"rgba({tone[0]},{tone[1]},{tone[2]},{opacity:.2f})"
