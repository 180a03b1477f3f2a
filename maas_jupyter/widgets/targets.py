"""How targets look, and the history of what they served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter.widgets import html

if TYPE_CHECKING:
    from maas_jupyter.schema import HistoryEntry
    from maas_jupyter.targets import History, Notice, TargetList, TargetStatus

_TONES = {"ready": "good", "stopped": "plain", "unavailable": "bad"}
_ACTIONS = {"publish": "good", "promote": "good", "rollback": "warn", "unpublish": "warn"}


def render_target(target: TargetStatus) -> dict[str, Any]:
    """Draw one target."""
    return html.bundle(_table([target]), repr(target))


def render_targets(targets: TargetList) -> dict[str, Any]:
    """Draw all targets."""
    return html.bundle(_table(targets), repr(targets))


def _table(targets: list[TargetStatus]) -> str:
    from maas_jupyter.targets.nouns import MAY

    rows = [
        [
            f"<b>{html.text(target.name)}</b>",
            html.badge(target.state, _TONES[target.state]),
            html.text(target.url),
            html.text(target.token_env),
            html.text(MAY.get(target.role, "")),
            "" if target.models is None else str(target.models),
            html.text(target.reason),
        ]
        for target in targets
    ]
    return html.table(["target", "state", "URL", "token in", "may", "models", ""], rows, numbers=(5,))


def render_notice(notice: Notice) -> dict[str, Any]:
    """Draw the line."""
    return html.bundle(html.text(notice), repr(notice))


def render_history(history: History) -> dict[str, Any]:
    """Draw one row for each change, the newest first."""
    rows = [_row(entry) for entry in reversed(history)]
    markup = html.heading(history.name, f"on {history.target}")
    return html.bundle(markup + html.table(["", "when", "what", "serves", "by", ""], rows, numbers=(0,)), repr(history))


def _row(entry: HistoryEntry) -> list[str]:
    from maas_jupyter.targets.endpoint import moment
    from maas_jupyter.targets.nouns import author, shares

    return [
        str(entry.revision),
        moment(entry.time),
        html.badge(entry.action, _ACTIONS.get(entry.action, "plain")),
        html.text(shares(entry)),
        html.text(author(entry)),
        html.text(entry.reason),
    ]
