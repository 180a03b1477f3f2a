"""Models, versions, aliases and runs, kept in MLflow."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from maas_jupyter.bundle import Bundle
from maas_jupyter.config import MaasConfig
from maas_jupyter.errors import InvalidInput, NotFound, Unavailable, nearest
from maas_jupyter.registry.connection import connect, translated, without_progress_bar
from maas_jupyter.registry.copies import Copies
from maas_jupyter.registry.deletion import delete_model, delete_versions
from maas_jupyter.registry.details import VersionDetails, read_details
from maas_jupyter.registry.entities import aliases_by_version, is_ours, newest_first, record_of, version_of
from maas_jupyter.registry.folders import removed_on_failure
from maas_jupyter.registry.mlflow_model import write_mlmodel
from maas_jupyter.registry.nouns import (
    VERDICT_TAG,
    ModelList,
    ModelVersion,
    NestedRun,
    RegisteredModel,
    RunList,
    RunRecord,
    VersionVerdict,
    require_verdict,
    version_tags,
)
from maas_jupyter.registry.reference import ModelReference, check_alias
from maas_jupyter.schema import check_name

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

CHAMPION = "champion"
MLFLOW_PARENT, NESTED_TAG = "mlflow.parentRunId", "maas.nested"
_PAGE = 200


class Registry:
    """The registry of the configured MLflow.

    Parameters
    ----------
    config : MaasConfig
        Says which MLflow and where the home is.

    Raises
    ------
    Unavailable
        If a remote MLflow does not answer.
    """

    def __init__(self, config: MaasConfig) -> None:
        self.uri = config.resolved_registry_uri
        self._copies = Copies(config.bundles_path)
        self._client, self._experiment = connect(config)

    # -- models -------------------------------------------------------------------------------------------------------

    def models(self, name: str | None = None) -> ModelList:
        """List registered models with all their versions.

        Parameters
        ----------
        name : str, optional
            Only this model.

        Raises
        ------
        NotFound
            If ``name`` is given and no such model exists; the hint offers the nearest names.
        """
        with translated(self.uri):
            registered = self._pages(self._client.search_registered_models, f"name='{name}'" if name else None)
            versions = self._pages(self._client.search_model_versions, f"name='{name}'" if name else None)
        if name and not registered:
            raise self._unknown(name)
        by_name: dict[str, list[ModelVersion]] = {model.name: [] for model in registered}
        aliases = {model.name: aliases_by_version(model) for model in registered}
        for version in versions:
            # A version of a model registered between the two queries shows up at the next look.
            if version.name in by_name and is_ours(version):
                by_name[version.name].append(version_of(version, aliases[version.name].get(str(version.version), [])))
        found = [
            RegisteredModel(model.name, model.last_updated_timestamp / 1000, newest_first(by_name[model.name]))
            for model in registered
            if by_name[model.name]
        ]
        return ModelList(sorted(found, key=lambda model: -model.updated))

    def resolve(self, reference: str | ModelReference) -> ModelVersion:
        """Find the version that a reference means.

        Raises
        ------
        NotFound
            If the model, version or alias does not exist; the hint offers the nearest names.
        """
        wanted = ModelReference.parse(reference) if isinstance(reference, str) else reference
        return wanted.among(self._versions(wanted.name))

    def is_registered(self, name: str) -> bool:
        """Say whether there is a model of this name."""
        try:
            return bool(self.models(check_name(name)))
        except (InvalidInput, NotFound):
            return False

    def references(self) -> list[str]:
        """Return every reference that resolves, for completion and for offering near names."""
        texts: list[str] = []
        for model in self.models():
            texts.append(model.name)
            for version in model.versions:
                texts += [f"{model.name}@{alias}" for alias in version.aliases]
                texts.append(version.reference)
        return texts

    def register(
        self, name: str, bundle: Bundle, *, run_id: str, metrics: dict[str, float], parent: str | None = None
    ) -> ModelVersion:
        """Register a bundle as the next version of a model.

        A model that has no champion gets this version as its champion.

        Parameters
        ----------
        name : str
            The model's name; created if it is new.
        bundle : Bundle
            What to register; its files are copied to the registry.
        run_id : str
            The run that the files and the version belong to.
        metrics : dict of str to float
            Measurements, kept with the version.
        parent : str, optional
            Reference of the version that this one was made from.

        Raises
        ------
        Unavailable
            If MLflow or the disk of the home does not take it; what was written of the files is removed.
        """
        check_name(name)
        artifact_path = f"bundles/{bundle.digest[:16]}"
        with tempfile.TemporaryDirectory(prefix="maas-") as scratch, translated(self.uri):
            folder = Path(scratch)
            bundle.copy_to(folder)
            write_mlmodel(folder, bundle.manifest)
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{artifact_path}"
            with removed_on_failure(source, lambda: self._is_registered_from(name, source)):
                self._client.log_artifacts(run_id, scratch, artifact_path)
                self._create_model(name)
                created = self._client.create_model_version(
                    name, source, run_id, tags=version_tags(bundle.manifest, bundle.digest, metrics, parent)
                )
            # Asked of the registry: an earlier registration may have been cut off before it set the alias.
            crowned = CHAMPION not in self._client.get_registered_model(name).aliases
            if crowned:
                self._client.set_registered_model_alias(name, CHAMPION, created.version)
        return version_of(created, [CHAMPION] if crowned else [])

    def set_alias(self, reference: str, alias: str) -> ModelVersion:
        """Point an alias at a version; it leaves the version that it pointed at before."""
        version = self.resolve(reference)
        check_alias(alias)
        with translated(self.uri):
            self._client.set_registered_model_alias(version.name, alias, version.version)
        return self.resolve(version.reference)

    def delete_version(self, version: ModelVersion) -> list[str]:
        """Delete a version as `deletion.delete_versions` does; whether it serves anywhere is not known here."""
        return delete_versions(self._client, self.uri, self._copies, [version])

    def delete_model(self, name: str) -> list[str]:
        """Delete a model as `deletion.delete_model` does; whether it serves anywhere is not known here."""
        return delete_model(self._client, self.uri, self._copies, name, self._versions(check_name(name)))

    def keep_verdict(self, version: ModelVersion, verdict: VersionVerdict) -> None:
        """Write a verdict to the version, in place of the one before."""
        with translated(self.uri):
            self._client.set_model_version_tag(
                version.name, version.version, VERDICT_TAG, msgspec.json.encode(verdict).decode()
            )

    def details(self, reference: str | ModelReference) -> VersionDetails:
        """Return all that is known of the version that a reference means, as `details.read_details` does."""
        wanted = ModelReference.parse(reference) if isinstance(reference, str) else reference
        versions = self._versions(wanted.name)
        return read_details(self._client, self.uri, self._copies, wanted.among(versions), versions)

    def require_passed(self, version: ModelVersion) -> None:
        """Demand that a version passed its gates the last time: as the registry has it now, whatever is held of it.

        Raises
        ------
        GateError
            If it was never judged, or not passed the last time.
        """
        require_verdict(self.resolve(version.reference))

    def fetch(self, version: ModelVersion) -> Bundle:
        """Return a version's bundle on this machine, every byte verified.

        Raises
        ------
        BundleError
            If what the registry holds is not what was registered.
        """
        kept = self._copies.get(version.digest)
        if kept is not None:
            return kept
        from mlflow.artifacts import download_artifacts

        with translated(self.uri), without_progress_bar(), tempfile.TemporaryDirectory(prefix="maas-") as scratch:
            folder = Path(download_artifacts(version.source, tracking_uri=self.uri, dst_path=scratch))
            return self._copies.put(Bundle.open(folder, digest=version.digest))

    # -- runs ---------------------------------------------------------------------------------------------------------

    def start_run(self, name: str, params: dict[str, Any], tags: dict[str, str]) -> str:
        """Create a run and return its id."""
        from mlflow.entities import Param

        with translated(self.uri):
            run = self._client.create_run(self._experiment, run_name=name, tags=tags)
            self._client.log_batch(
                run.info.run_id, params=[Param(key, str(value)[:6000]) for key, value in params.items()]
            )
        return str(run.info.run_id)

    def log_metrics(self, run_id: str, points: list[tuple[str, float, int, int]]) -> None:
        """Write metric points ``(name, value, epoch milliseconds, step)`` in batches that MLflow accepts."""
        from mlflow.entities import Metric

        with translated(self.uri):
            for start in range(0, len(points), 1000):
                self._client.log_batch(run_id, metrics=[Metric(*point) for point in points[start : start + 1000]])

    def log_files(self, run_id: str, folder: Path, artifact_path: str) -> None:
        """Store a folder's files with a run."""
        with translated(self.uri):
            self._client.log_artifacts(run_id, str(folder), artifact_path)

    def log_file(self, run_id: str, path: Path, artifact_path: str) -> None:
        """Store one file with a run."""
        with translated(self.uri):
            self._client.log_artifact(run_id, str(path), artifact_path)

    def takes_points(self, run_id: str) -> bool:
        """Say whether a run is there and was not deleted."""
        try:
            with translated(self.uri):
                return str(self._client.get_run(run_id).info.lifecycle_stage) == "active"
        except NotFound:
            return False

    def resume_run(self, run_id: str, tags: dict[str, str]) -> None:
        """Open a run again that has ended; its parameters stay.

        Raises
        ------
        NotFound
            If there is none.
        """
        with translated(self.uri):
            self._client.update_run(run_id, status="RUNNING")
            for key, value in tags.items():
                self._client.set_tag(run_id, key, value)

    def end_run(self, run_id: str, status: str, ended: int | None = None) -> None:
        """Close a run with MLflow's status ``FINISHED``, ``KILLED`` or ``FAILED``; ``ended`` in epoch milliseconds."""
        with translated(self.uri):
            self._client.set_terminated(run_id, status, ended)

    def enter_nested(self, parent: str, nested: NestedRun) -> None:
        """Enter a run that has ended within another one; one that is there already, whole or in part, is completed."""
        from mlflow.entities import Metric, Param

        tags = {MLFLOW_PARENT: parent, NESTED_TAG: nested.key, **nested.tags}
        mine = f"tags.`{MLFLOW_PARENT}` = '{parent}' and tags.`{NESTED_TAG}` = '{nested.key}'"
        with translated(self.uri):
            found = self._client.search_runs([self._experiment], mine, max_results=1)
            run = (
                found[0]
                if found
                else self._client.create_run(self._experiment, nested.started, tags=tags, run_name=nested.name)
            )
            self._client.log_batch(
                run.info.run_id,
                metrics=[Metric(name, value, nested.ended, 0) for name, value in nested.metrics.items()],
                params=[Param(name, value[:6000]) for name, value in nested.params.items()],
            )
            self._client.set_terminated(run.info.run_id, nested.status, nested.ended)

    def runs(self, limit: int = 20) -> RunList:
        """List the newest runs, without those that are parts of another one."""
        found: list[MlflowRun] = []
        token = None
        with translated(self.uri):
            while len(found) < limit:
                page = self._client.search_runs(
                    [self._experiment], max_results=limit, order_by=["start_time DESC"], page_token=token
                )
                found += [run for run in page if NESTED_TAG not in run.data.tags]
                token = page.token
                if not token:
                    break
        return RunList(map(record_of, found[:limit]))

    def run(self, run_id: str) -> RunRecord:
        """Find a run by its whole id.

        Raises
        ------
        NotFound
            If there is none.
        """
        with translated(self.uri):
            return record_of(self._client.get_run(run_id))

    def metric_history(self, run_id: str, name: str) -> list[tuple[int, float]]:
        """Return the steps and values of a run's metric, in the order of the steps."""
        with translated(self.uri):
            points = self._client.get_metric_history(run_id, name)
        return sorted((point.step, point.value) for point in points)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _versions(self, name: str) -> list[ModelVersion]:
        return [version for model in self.models(name) for version in model.versions]

    def _create_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _is_registered_from(self, name: str, source: str) -> bool:
        """Say whether a version has these files; where the registry does not say, it may have them."""
        try:
            with translated(self.uri):
                return any(
                    version.source == source
                    for version in self._pages(self._client.search_model_versions, f"name='{name}'")
                )
        except Unavailable:
            return True

    def _unknown(self, name: str) -> NotFound:
        known = [model.name for model in self._pages(self._client.search_registered_models, None)]
        return NotFound(
            f"There is no model called '{name}'.",
            hint=nearest(
                name, known, what="models", otherwise="Train one first: %maas train net --data train --name digits"
            ),
        )

    @staticmethod
    def _pages(search: Any, condition: str | None) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = search(filter_string=condition, max_results=_PAGE, page_token=token)
            found += page
            token = page.token
            if not token:
                return found
