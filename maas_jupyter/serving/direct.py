"""The shortest way to inference: the routes that a load consists of are matched before Starlette's router.

Its matching, middleware, request and response objects take twice as long as a small model computes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from maas_jupyter.serving.auth import Principal

#: Takes model, version (None where the path names none), principal and the ASGI channel; returns the answer's JSON.
Handler = Callable[[str, "str | None", Principal, Receive], Awaitable[bytes]]

_VERSIONS = "/versions/"


class DirectRoutes:
    """ASGI application for ``POST {prefix}{model}[/versions/{version}]{suffix}``; everything else goes to another.

    Parameters
    ----------
    app : ASGI application
        Answers every other path.
    handlers : mapping of (str, str) to Handler
        By prefix and suffix.
    """

    def __init__(self, app: ASGIApp, handlers: Mapping[tuple[str, str], Handler]) -> None:
        self._app = app
        self._handlers = [(prefix, suffix, handler) for (prefix, suffix), handler in handlers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        path: str = scope["local_path"] if scope["type"] == "http" else ""
        for prefix, suffix, handler in self._handlers:
            if path.startswith(prefix) and path.endswith(suffix):
                model, versions, version = path[len(prefix) : -len(suffix)].partition(_VERSIONS)
                if model and "/" not in model and "/" not in version and bool(versions) == bool(version):
                    await self._answer(handler, model, version or None, scope, receive, send)
                    return
        await self._app(scope, receive, send)

    @staticmethod
    async def _answer(
        handler: Handler, model: str, version: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["method"] != "POST":
            raise HTTPException(
                405, f"There is no {scope['method']} {scope['local_path'][:200]} here.", {"Allow": "POST"}
            )
        body = await handler(model, version, scope["principal"], receive)
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
