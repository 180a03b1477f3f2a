"""The registry: ``delete``, which takes out what serves nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from maas_jupyter.api.subjects import ask_all, open_registry, open_target, to_version
from maas_jupyter.arguments import ReferenceArgument
from maas_jupyter.errors import Conflict, MaasError, NotFound, UsageError

if TYPE_CHECKING:
    from maas_jupyter.registry import ModelVersion
    from maas_jupyter.targets import Endpoint, Notice

#: Stands for every version: which one serves cannot be told.
_ANY = "*"


def delete(model: ReferenceArgument, *, confirm: str = "") -> Notice:
    """Delete a version from the registry, or with the name alone a model with all its versions; for good.

    What is published on this machine or on a connected server is not deleted. The numbers of deleted versions are not
    given again, unless the whole model is deleted.

    Parameters
    ----------
    model : str or ModelVersion
        The version, such as digits/3 or digits@old; a model by its name alone.
    confirm : str
        The same again, as the refusal without it shows it: digits/3, or digits for the whole model.

    Returns
    -------
    Notice
        What was done.

    Raises
    ------
    UsageError
        If it is not confirmed; says what would be lost.
    NotFound
        If there is no such model or version.
    Conflict
        If it is published somewhere, or a server that may serve it does not answer.
    """
    from maas_jupyter.registry import ModelReference
    from maas_jupyter.targets import Notice

    registry = open_registry()
    wanted = ModelReference.parse(model) if isinstance(model, str) else None
    whole = wanted is not None and wanted.version is None and wanted.alias is None
    if wanted is not None and whole:
        name = wanted.name
        versions = [version for found in registry.models(name) for version in found.versions]
        if not versions:
            raise NotFound(
                f"The model '{name}' has no version that was registered by %maas.",
                hint="List what exists: %maas models",
            )
    else:
        versions = [to_version(model, registry)]
        name = versions[0].name
    subject = name if whole else versions[0].reference
    _require_unserved(subject, name, None if whole else versions[0].version)
    _require_confirmed(subject, versions, confirm)
    left = registry.delete_model(name) if whole else registry.delete_version(versions[0])
    stays = f" Its files are left where the registry keeps them: {', '.join(left)}" if left else ""
    return Notice(f"{subject} was deleted.{stays}")


def _require_confirmed(subject: str, versions: list[ModelVersion], confirm: str) -> None:
    if confirm == subject:
        return
    aliases = sorted(f"@{alias}" for version in versions for alias in version.aliases)
    count = "" if "/" in subject else f" with its {len(versions)} version{'' if len(versions) == 1 else 's'}"
    lost = f" and {' '.join(aliases)}, which point{'s' if len(aliases) == 1 else ''} there" if aliases else ""
    wrong = f"'{confirm[:140]}' is not '{subject}'. " if confirm else ""
    raise UsageError(
        f"{wrong}This would delete {subject}{count}{lost}, for good.",
        hint=f"If that is what you want: %maas delete {subject} --confirm {subject}",
    )


def _require_unserved(subject: str, name: str, version: str | None) -> None:
    from maas_jupyter.targets.endpoint import UNKNOWN

    found = [endpoint for each in ask_all(lambda target: target.endpoints()) for endpoint in each]
    serving = [each for each in found if each.name == name and (version is None or _serves(each, version))]
    if serving:
        places = " and ".join(dict.fromkeys(each.target for each in serving))
        on = "" if serving[0].target == "local" else f" --on {serving[0].target}"
        how = "; ".join(": ".join(filter(None, [each.line, each.reason])) for each in serving).rstrip(".")
        raise Conflict(
            f"{subject} is published on {places}. {how}.",
            hint=f"Publish another version in its place, or withdraw it first: %maas unpublish {name}{on}",
        )
    silent = [each for each in found if each.name == UNKNOWN]
    if silent:
        place = silent[0].target
        raise Conflict(
            f"Whether {subject} serves on {place} is not known. {silent[0].reason}".strip(),
            hint=f"Try again when {place} answers. One that is gone for good: %maas disconnect {place}",
        )


def _serves(endpoint: Endpoint, version: str) -> bool:
    served = {row.version for row in endpoint.traffic} - {""} or set(_published(endpoint))
    return version in served or _ANY in served


def _published(endpoint: Endpoint) -> Iterator[str]:
    """Give the versions of an endpoint whose server does not run: those of its history's last entry."""
    entries: Any = []
    try:
        entries = open_target(endpoint.target).history(endpoint.name)
    except MaasError:
        yield _ANY
    served = entries[-1].model if entries else None
    if served is None:
        yield _ANY
    else:
        yield from (each.version for each in served.versions)
        yield served.shadow or ""
