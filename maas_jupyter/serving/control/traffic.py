"""Changes of traffic as pure functions: from one state of a model to the next.

A state has up to three versions, in this order: the stable one and the canary, whose weights are percentages that sum
to 100, and the shadow, whose weight is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from maas_jupyter.errors import Conflict, InvalidInput
from maas_jupyter.schema import HistoryEntry, ServedModel, ServedVersion

#: How many of a model's last entries, and of the states that `rollback` goes back through, keep their bundles.
KEPT = 5


def publish(
    model: ServedModel | None,
    name: str,
    version: str,
    digest: str,
    *,
    canary: int | None = None,
    shadow: bool = False,
) -> ServedModel:
    """Give a version all traffic, a share of it, or a copy.

    A version is one thing at a time: a shadow that is published as canary is no shadow any more, and the other way
    round. A model has one canary and one shadow; a new one takes the old one's place.

    Parameters
    ----------
    model : ServedModel, optional
        The present state, where there is one.
    name, version, digest : str
        What to publish.
    canary : int, optional
        Percent of the traffic, 1 to 99, that the version takes from the stable one.
    shadow : bool
        Only copy the traffic to the version.

    Raises
    ------
    InvalidInput
        If the share is out of range, or both a share and a copy are asked for.
    Conflict
        If a share or a copy is asked for and nothing, or only this version, serves.
    """
    served = ServedVersion(version, digest)
    if canary is None and not shadow:
        return _compose(name, served)
    if canary is not None and shadow:
        raise InvalidInput(
            "A version cannot be canary and shadow at once.", hint="Publish it as shadow first, as canary later."
        )
    if canary is not None and not 1 <= canary <= 99:
        raise InvalidInput(
            f"A canary takes 1 to 99 percent of the traffic, not {canary}.",
            hint="Publish without a share to give the version all traffic.",
        )
    kind = "shadow" if shadow else "canary"
    stable, old_canary, old_shadow = _parts(model) if model and model.loaded else (None, None, None)
    if stable is None:
        raise Conflict(
            f"No version of '{name}' serves beside which '{version}' could be a {kind}.",
            hint=f"Load '{name}' first." if model else "Publish it without --canary and --shadow.",
        )
    if version == stable.version:
        raise Conflict(
            f"Version '{version}' of '{name}' is the one that serves; it cannot be its own {kind}.",
            hint=f"Publish another version as {kind}.",
        )
    if shadow:
        return _compose(name, stable, _unless(version, old_canary), served)
    return _compose(name, stable, replace(served, weight=canary), _unless(version, old_shadow))


def promote(model: ServedModel) -> ServedModel:
    """Give all traffic to the canary, or to the shadow where there is no canary; a shadow beside a canary stays one.

    Raises
    ------
    Conflict
        If the model has neither, or is not loaded.
    """
    _, canary, shadow = _parts(model)
    chosen = canary or shadow
    if not model.loaded:
        raise Conflict(f"Model '{model.name}' is not loaded.", hint="Load it first.")
    if chosen is None:
        raise Conflict(
            f"Model '{model.name}' has no canary and no shadow to promote.",
            hint=f"Publish one: %maas publish {model.name}/VERSION --canary 10",
        )
    return _compose(model.name, chosen, shadow=shadow if canary else None)


def rollback(model: ServedModel, history: Sequence[HistoryEntry]) -> ServedModel:
    """Return to the state that served before the present one was entered.

    States are entered by publish (canaries and shadows too) and promote. A rollback leaves the present state for good
    and returns to the one before it, so rolling back again goes further back, never to and fro; and what is entered
    after a rollback has before it the state that the rollback returned to. Loading, unloading and withdrawing enter no
    state. An unloaded model is loaded again.

    Parameters
    ----------
    model : ServedModel
        The present state.
    history : sequence of HistoryEntry
        All that is known of the model, oldest first.

    Raises
    ------
    Conflict
        If nothing else served before.
    """
    states = entered(history)
    if not states or not same(states[-1], model):  # a state that was written by hand
        states.append(model)
    if len(states) < 2:
        raise Conflict(
            f"Nothing else served as '{model.name}' before.", hint=f"See what did: %maas history {model.name}"
        )
    return replace(states[-2], loaded=True)


def load(model: ServedModel) -> ServedModel:
    """Bring a model back into memory."""
    return replace(model, loaded=True)


def unload(model: ServedModel) -> ServedModel:
    """Take a model out of memory."""
    return replace(model, loaded=False)


def same(one: ServedModel, other: ServedModel) -> bool:
    """Say whether two states give the same versions the same traffic."""
    return (one.versions, one.shadow) == (other.versions, other.shadow)


def entered(history: Sequence[HistoryEntry]) -> list[ServedModel]:
    """Return the states that were entered and not left by a rollback, oldest first; the last one is the present one.

    Withdrawing a model leaves them all.
    """
    states: list[ServedModel] = []
    for entry in history:
        if entry.model is None:
            states.clear()
            continue
        if entry.action in ("load", "unload"):
            continue
        if entry.action == "rollback":
            while states and not same(states[-1], entry.model):
                states.pop()
        if not states or not same(states[-1], entry.model):
            states.append(entry.model)
    return states


def kept(model: ServedModel | None, history: Sequence[HistoryEntry]) -> set[str]:
    """Return the digests of the bundles that a model may still need: what serves, and what it can be rolled back to.

    A model that was withdrawn needs none.
    """
    if model is None:
        return set()
    withdrawn = max((index for index, entry in enumerate(history, 1) if entry.model is None), default=0)
    recent = history[withdrawn:][-KEPT:]
    states = [model, *(entry.model for entry in recent), *entered(history)[-KEPT:]]
    return {served.digest for state in states if state for served in state.versions}


def _parts(model: ServedModel) -> tuple[ServedVersion | None, ServedVersion | None, ServedVersion | None]:
    """Return the stable version, the canary and the shadow, where there are such."""
    versions = {served.version: served for served in model.versions}
    labels = model.labels
    return (
        versions.get(labels.get("stable", "")),
        versions.get(labels.get("canary", "")),
        versions.get(labels.get("shadow", "")),
    )


def _compose(
    name: str, stable: ServedVersion, canary: ServedVersion | None = None, shadow: ServedVersion | None = None
) -> ServedModel:
    versions = [replace(stable, weight=100 - (canary.weight if canary else 0))]
    if canary:
        versions.append(canary)
    if shadow:
        versions.append(replace(shadow, weight=0))
    return ServedModel(name, versions, shadow=shadow.version if shadow else None)


def _unless(version: str, served: ServedVersion | None) -> ServedVersion | None:
    return served if served and served.version != version else None
