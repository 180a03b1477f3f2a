"""Reaching MLflow: a client for the configured URI, quick refusal when it does not answer, its errors in our words."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock

from maas_jupyter.config import MaasConfig
from maas_jupyter.errors import MaasError, NotFound, Unavailable, UsageError
from maas_jupyter.registry.failures import no_folder, refused_by_database, refused_by_disk, told_once

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "maas"


def shown(uri: str) -> str:
    """Return a URI without its password."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=f"***@{parts.netloc.rpartition('@')[2]}"))


def connect(config: MaasConfig) -> tuple[MlflowClient, str]:
    """Return an MLflow client and the id of the experiment that holds our runs.

    Raises
    ------
    Unavailable
        If a remote registry does not answer within ``config.registry_timeout`` seconds, or the home's disk takes no
        files.
    """
    uri = config.resolved_registry_uri
    if uri.startswith(("http://", "https://")):
        _probe(uri, config.registry_timeout)
        # MLflow's own defaults wait for minutes; a value that the user set stays in force.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(config.registry_timeout))))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    elif uri.startswith("sqlite:") and re.search(r"[%?#]", uri):
        raise UsageError(
            f"The registry's path has one of the characters %, ? and #, which a database's URI cannot hold: {uri}",
            hint="Choose another home: set MAAS_HOME.",
        )
    try:
        config.home_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise no_folder(error, config.home_path) from error
    with translated(uri), FileLock(config.home_path / "registry.lock"), _quiet():
        # The lock keeps two processes from creating the same database or experiment at once.
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return client, experiment.experiment_id
        local = uri.startswith("sqlite:")
        location = config.artifacts_path.as_uri() if local else None
        return client, client.create_experiment(name, artifact_location=location)


def _probe(uri: str, timeout: float) -> None:
    import httpx

    try:
        httpx.get(f"{uri.rstrip('/')}/health", timeout=timeout)
    except httpx.TransportError as error:
        raise Unavailable(
            f"The MLflow server at {shown(uri)} does not answer ({type(error).__name__}, waited up to {timeout:g} s).",
            hint="Check MLFLOW_TRACKING_URI and that the server runs; unset it to use the registry in the maas home.",
        ) from error


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn MLflow's exceptions into ours, in this one place."""
    try:
        with told_once():
            yield
    except MaasError:
        raise
    except Exception as error:
        from mlflow.exceptions import MlflowException

        told = refused_by_disk(error) if isinstance(error, OSError) else refused_by_database(error, uri)
        if told is not None:
            raise told from error
        if not isinstance(error, MlflowException):
            raise
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        # MLflow's texts quote the URI, with the password that may be in it.
        message = re.sub(r"(?<=://)[^/@\s]+@", "***@", message)
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise NotFound(message, hint="List what exists: %maas models") from error
        # MLflow's own text of a lost connection goes on with the whole chain of its causes.
        request, lost, _ = message.partition(" failed with exception")
        what = f"does not answer: {request}" if lost else f"failed: {message}"
        local = uri.startswith("sqlite:")
        hint = (
            "Look at that file: another program may hold or have changed it. For another place set MAAS_HOME."
            if local
            else "Check MLFLOW_TRACKING_URI and the server's log."
        )
        raise Unavailable(f"The registry at {shown(uri)} {what}", hint=hint) from error


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Keep MLflow's own bar out of the notebook while a bundle is fetched."""
    name = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the creation of the database out of the notebook."""
    loggers = [logging.getLogger(name) for name in ("mlflow.store.db.utils", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
