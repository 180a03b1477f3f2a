"""Small pieces of HTML that the displays are made of; every text is escaped."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

_CELL = "padding:2px 12px 2px 0;text-align:{align};vertical-align:top;white-space:nowrap"
_NOTE = "padding:2px 12px 2px 0;text-align:left;vertical-align:top;white-space:normal;min-width:12em"
_TONES = {"good": "#1a7f37", "bad": "#cf222e", "warn": "#9a6700", "info": "#0969da", "plain": "#57606a"}


def text(value: Any) -> str:
    """Escape a value for HTML."""
    return html.escape(str(value))


def badge(label: str, tone: str = "plain") -> str:
    """Return a word on a coloured ground: white on a dark tone reads on every page."""
    return (
        f'<span style="background:{_TONES[tone]};color:#fff;border-radius:8px;padding:0 8px;font-size:85%">'
        f"{text(label)}</span>"
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Return a table whose cells are HTML already.

    The columns in ``numbers`` are aligned to the right; a last column without a header holds remarks and may wrap.
    """
    styles = [_CELL.format(align="right" if index in numbers else "left") for index in range(len(headers))]
    if not headers[-1]:
        styles[-1] = _NOTE
    head = "".join(f'<th style="{style}">{text(header)}</th>' for header, style in zip(headers, styles, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td style="{style}">{cell}</td>' for cell, style in zip(row, styles, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<table style="color:inherit"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def heading(title: str, note: str = "") -> str:
    """Return a line with a title in bold and a note."""
    return f'<div style="margin:4px 0"><b>{text(title)}</b> {text(note)}</div>'


def bar(share: float) -> str:
    """Return a bar that is filled to a share between 0 and 1, empty for NaN; readable on a light and a dark page."""
    share = 0.0 if math.isnan(share) else share
    return (
        '<span style="display:inline-block;width:120px;border-radius:4px;background:rgba(127,127,127,.3)">'
        f'<span style="display:block;width:{share * 100:.0f}%;height:8px;border-radius:4px;background:#0969da"></span>'
        "</span>"
    )


def image(data: bytes, mime: str, alt: str, width: int | str | None = None) -> str:
    """Return an image that travels inside the notebook; its width in pixels, or as ``100%`` of what it stands in."""
    size = f' width="{width}"' if width else ""
    return f'<img src="data:{mime};base64,{base64.b64encode(data).decode()}" alt="{text(alt)}"{size}>'


def bundle(markup: str, twin: str) -> dict[str, Any]:
    """Return a display's two forms."""
    return {"text/html": f'<div class="maas-display">{markup}</div>', "text/plain": twin}


def kilobytes(size: int) -> str:
    """``157.4 kB``, ``12.3 MB``."""
    return f"{size / 1000:,.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:,.1f} MB"
