"""The server's ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette

from maas_jupyter.serving.auth import Authenticator, Principal, Token
from maas_jupyter.serving.control.base import Control
from maas_jupyter.serving.dataplane import DataPlane
from maas_jupyter.serving.direct import DirectRoutes
from maas_jupyter.serving.gate import Gate
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.protocols import admin, mlflow, openapi, repository_extension, statistics, v1, v2
from maas_jupyter.serving.repository import ModelRepository

log = logging.getLogger(__name__)


def create_app(
    home: Path,
    tokens: str | Sequence[Token],
    *,
    limits: Limits | None = None,
    threads: int = 1,
    load_seconds: float = 300.0,
) -> Starlette:
    """Make an application that serves the models of a folder and administers them itself.

    It keeps nothing outside of itself, so a process can hold several. Its lifespan loads what the folder asks for, in
    the background: ``/v2/health/ready`` answers 503 until that has settled. A host that mounts the application runs its
    lifespan (``async with app.router.lifespan_context(app)``).

    Parameters
    ----------
    home : Path
        Folder with the desired state and the bundles; no other server may work on it.
    tokens : str or sequence of Token
        What every request but the health probes has to bring; a single one is an admin's.
    limits : Limits, optional
        What one client may ask.
    threads : int
        Threads of one run.
    load_seconds : float
        How long a bundle may take to load before it counts as one that hangs, and is quarantined.

    Returns
    -------
    Starlette
        The application; ``state.reconciled`` is the `asyncio.Task` that loads what the folder asks for, once the
        lifespan has begun.
    """
    # A worker has its control plane in another process, and no time to import one.
    from maas_jupyter.serving.control.plane import ControlPlane

    limits = limits or Limits()
    repository = ModelRepository(home, Metrics(), limits=limits, threads=threads, load_seconds=load_seconds)
    control = ControlPlane(home, repository, load_seconds=load_seconds)

    async def reconcile() -> None:
        try:
            await control.reconcile()
        except Exception:
            log.exception("what should serve cannot be loaded")
            raise
        repository.settled = True

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await control.open()
        app.state.reconciled = asyncio.create_task(reconcile())
        try:
            yield
        finally:
            app.state.reconciled.cancel()
            await control.close()
            await repository.close()

    app = worker_app(repository, control, tokens, limits=limits)
    app.router.lifespan_context = lifespan
    return app


def worker_app(
    repository: ModelRepository,
    control: Control,
    tokens: str | Sequence[Token],
    *,
    limits: Limits,
    stop: Callable[[], None] | None = None,
) -> Starlette:
    """Make the application of one worker, whose models and control plane are its host's.

    Parameters
    ----------
    repository : ModelRepository
        What is in memory.
    control : Control
        What changes it.
    tokens : str or sequence of Token
        What every request but the health probes has to bring.
    limits : Limits
        What one client may ask.
    stop : callable, optional
        Ends the server; called after ``POST /maas/v1/shutdown`` was answered. Without it that route does not exist.

    Returns
    -------
    Starlette
        The application; ``state.plane`` is its `DataPlane`, ``state.direct`` its `DirectRoutes`.
    """
    if isinstance(tokens, str):
        tokens = [Token("local", "admin", tokens)]
    plane = DataPlane(repository, repository.metrics)
    authenticate = Authenticator({each.token: Principal(each.name, each.role) for each in tokens})
    verbs = v1.handlers(plane)
    invocations = mlflow.invocations_handler(plane)
    app = Starlette(
        routes=[
            *statistics.routes(repository, control),
            *v2.routes(repository),
            *repository_extension.routes(control, limits),
            *v1.routes(plane, verbs, limits),
            *mlflow.routes(plane, invocations, limits),
            *admin.routes(control, repository.store, stop, limits),
            *openapi.routes(can_stop=stop is not None),
        ]
    )
    direct = DirectRoutes(
        {
            ("/v2/models/", "/infer"): v2.infer_handler(plane),
            **{("/v1/models/", verb): handler for verb, handler in verbs.items()},
            ("/models/", "/invocations"): invocations,
        }
    )
    # The gate answers every error itself, so none of Starlette's own middleware stands between.
    app.middleware_stack = Gate(app.router, direct, authenticate, limits)
    app.state.plane = plane
    app.state.direct = direct
    return app
