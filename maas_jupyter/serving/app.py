"""The server's ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from maas_jupyter.serving.auth import Authenticator, Principal
from maas_jupyter.serving.dataplane import DataPlane
from maas_jupyter.serving.direct import DirectRoutes
from maas_jupyter.serving.gate import Gate
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.protocols import admin, v1, v2
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.responses import error_response

#: Largest body of an inference request in bytes.
BODY_LIMIT = 64 * 1024 * 1024


def create_app(
    home: Path, token: str, *, body_limit: int = BODY_LIMIT, stop: Callable[[], None] | None = None
) -> Starlette:
    """Make an application that serves the models of a folder.

    It keeps nothing outside of itself, so a process can hold several. Its lifespan loads what the folder asks for, in
    the background: ``/v2/health/ready`` answers 503 until that has settled. A host that mounts the application runs its
    lifespan (``async with app.router.lifespan_context(app)``).

    Parameters
    ----------
    home : Path
        Folder with the desired state and the bundles.
    token : str
        What every request but the health probes has to bring.
    body_limit : int
        Largest body of an inference request in bytes.
    stop : callable, optional
        Ends the process; called after ``POST /maas/v1/shutdown`` was answered. Without it that route does not exist.

    Returns
    -------
    Starlette
        The application; ``state.repository`` is its `ModelRepository`, ``state.reconciled`` the `asyncio.Task` that
        loads what the folder asks for, once the lifespan has begun.
    """
    metrics = Metrics()
    repository = ModelRepository(home, metrics)
    plane = DataPlane(repository, metrics)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await repository.open()
        app.state.reconciled = asyncio.create_task(repository.reconcile())
        try:
            yield
        finally:
            app.state.reconciled.cancel()
            await repository.close()

    app = Starlette(
        routes=[*v2.routes(repository), *v1.routes(repository), *admin.routes(repository, metrics, stop)],
        middleware=[
            Middleware(Gate, authenticate=Authenticator({token: Principal("local")})),
            Middleware(
                DirectRoutes,
                handlers={
                    ("/v2/models/", "/infer"): v2.infer_handler(plane, body_limit),
                    ("/v1/models/", ":predict"): v1.predict_handler(plane, body_limit),
                },
            ),
        ],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    app.state.repository = repository
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses."""
    if isinstance(error, HTTPException) and error.status_code in (404, 405):
        error = HTTPException(
            error.status_code, f"There is no {request.method} {request.url.path[:200]} here.", error.headers
        )
    return error_response(error, request.scope["request_id"])
