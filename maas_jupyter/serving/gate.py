"""What every request passes on its way in and out: its id, its sender, and the answer to what goes wrong."""

from __future__ import annotations

import logging
import re
import secrets
from itertools import count

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maas_jupyter.serving.auth import ANONYMOUS, Authenticator
from maas_jupyter.serving.responses import error_response, status_of

#: Probes; they say nothing but whether the server is there.
OPEN_PATHS = frozenset({"/", "/v2/health/live", "/v2/health/ready"})

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

log = logging.getLogger(__name__)


class Gate:
    """ASGI middleware; puts ``principal``, ``request_id`` and ``local_path`` (without the mount) into the scope.

    Parameters
    ----------
    app : ASGI application
        What is behind the gate.
    authenticate : Authenticator
        Knows the tokens.
    """

    def __init__(self, app: ASGIApp, authenticate: Authenticator) -> None:
        self._app = app
        self._authenticate = authenticate
        # Unique among servers by its first part, within one by its second.
        self._first_part = secrets.token_hex(6)
        self._requests = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        authorization = request_id = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                request_id = value
        scope["request_id"] = identifier = request_id.decode() or f"{self._first_part}-{next(self._requests)}"
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"].append((b"x-request-id", identifier.encode()))
            await send(message)

        try:
            scope["local_path"] = path = scope["path"].removeprefix(scope.get("root_path", ""))
            scope["principal"] = ANONYMOUS if path in OPEN_PATHS else self._authenticate(authorization)
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            log.info("request %s was abandoned by its client", identifier)
        except Exception as error:
            if status_of(error) == 500:
                log.exception("request %s failed: %s %s", identifier, scope["method"], scope["path"])
            if started:
                raise
            await error_response(error, identifier)(scope, receive, answer)
