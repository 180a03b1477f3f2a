"""Taking versions out of the registry, with the files that nothing else needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from maas_jupyter.errors import Conflict, MaasError
from maas_jupyter.registry.connection import translated
from maas_jupyter.registry.copies import Copies

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

    from maas_jupyter.registry.nouns import ModelVersion


def delete_versions(client: MlflowClient, uri: str, copies: Copies, versions: Sequence[ModelVersion]) -> list[str]:
    """Delete versions, and the aliases that point at them; their numbers are not given again.

    Returns
    -------
    list of str
        Where files are left that the registry's store does not let us delete.
    """
    with translated(uri):
        for version in versions:
            client.delete_model_version(version.name, version.version)
    return _delete_files(client, uri, copies, versions)


def delete_model(
    client: MlflowClient, uri: str, copies: Copies, name: str, versions: Sequence[ModelVersion]
) -> list[str]:
    """Delete a model with all its versions and aliases; returns what `delete_versions` does.

    Raises
    ------
    Conflict
        If it has versions that are not among ``versions``: others registered them.
    """
    known = {version.version for version in versions}
    with translated(uri):
        others = [each for each in _search(client, f"name='{name}'") if str(each.version) not in known]
        if others:
            numbers = ", ".join(str(each.version) for each in others)
            raise Conflict(
                f"The model '{name}' has versions that %maas does not list: {numbers}.",
                hint="Delete the ones that are listed, each by its number; the others in MLflow, by who made them.",
            )
        client.delete_registered_model(name)
    return _delete_files(client, uri, copies, versions)


def _delete_files(client: MlflowClient, uri: str, copies: Copies, versions: Sequence[ModelVersion]) -> list[str]:
    left = []
    for source in dict.fromkeys(version.source for version in versions):
        version = next(each for each in versions if each.source == source)
        if not _is_used(client, uri, version):
            # What was not registered from here may be anything: it is named, and not touched.
            ours = source.rstrip("/").endswith(f"/bundles/{version.digest[:16]}")
            left += [] if ours and _removed(source, uri) else [source]
    for digest in {version.digest for version in versions}:
        with translated(uri):
            if not _search(client, f"tags.`maas.digest` = '{digest}'"):
                copies.remove(digest)
    return left


def _is_used(client: MlflowClient, uri: str, version: ModelVersion) -> bool:
    """Say whether another version has the same files: one run may register a bundle more than once."""
    if version.run_id is None:
        return True
    with translated(uri):
        return any(each.source == version.source for each in _search(client, f"run_id='{version.run_id}'"))


def _removed(source: str, uri: str) -> bool:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        with translated(uri):
            get_artifact_repository(source, tracking_uri=uri, registry_uri=uri).delete_artifacts()
    except (MaasError, NotImplementedError):
        # The version is gone already: what cannot be removed is told, and MLflow's own tools can.
        return False
    return True


def _search(client: MlflowClient, condition: str) -> list[MlflowVersion]:
    found: list[MlflowVersion] = []
    token = None
    while True:
        page = client.search_model_versions(condition, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
