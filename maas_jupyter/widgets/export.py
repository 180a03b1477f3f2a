"""How an exported file looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html

if TYPE_CHECKING:
    from maas_jupyter.packaging import Exported


def render(exported: Exported) -> dict[str, Any]:
    """Draw what was written, and how near its numbers are."""
    badge = html.badge(
        "trusted only" if exported.trusted_only else "checked", "warn" if exported.trusted_only else "good"
    )
    markup = html.heading(f"{exported.subject} → {exported.path}")
    markup += f"<div>{badge} {html.kilobytes(exported.size)}</div>"
    markup += html.table(["", ""], [[html.text(name), html.text(fact)] for name, fact in exported.facts.items()])
    return html.bundle(markup, repr(exported))
