"""The OpenAPI document of all REST routes, and a page to read it: ``/openapi.json`` and ``/docs``, open to everyone."""

from __future__ import annotations

import html
from functools import cache

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maas_jupyter.serving.responses import json_response


def routes(*, can_stop: bool) -> list[Route]:
    """Return the routes.

    Parameters
    ----------
    can_stop : bool
        Whether the server has the route that ends it.
    """

    # Made when it is first asked for: most workers never are.
    @cache
    def made() -> tuple[dict[str, object], str]:
        from maas_jupyter.serving.protocols.openapi.document import document
        from maas_jupyter.serving.protocols.openapi.page import page

        described = document(can_stop=can_stop)
        return described, page(described)

    async def openapi(request: Request) -> Response:
        return json_response({**made()[0], "servers": [{"url": request.scope.get("root_path") or "/"}]})

    async def docs(request: Request) -> Response:
        link = html.escape(f"{request.scope.get('root_path', '')}/openapi.json")
        policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        return Response(
            made()[1].replace("/openapi.json", link, 1),
            media_type="text/html",
            headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"},
        )

    return [Route("/openapi.json", openapi), Route("/docs", docs)]
