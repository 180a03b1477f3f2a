"""Routes that are made when the first request for one of them comes, so that a server's start does not pay for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from jupyter_server.utils import url_path_join
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import PathMatches, Router, Rule
from tornado.web import Application


def base_pattern(base_url: str) -> str:
    """Return what the paths of all routes begin with under a server's ``base_url``, as a regular expression."""
    # A user name in the base_url may hold characters that mean something there.
    return re.escape(url_path_join(base_url, "maas-jupyter"))


class OnFirstUse(Router):
    """Adds routes to an application when somebody asks for one, and then gets out of the way.

    Parameters
    ----------
    application : tornado.web.Application
    pattern : str
        Regular expression of the routes' paths.
    make : callable
        Adds the routes to the application.
    """

    def __init__(self, application: Application, pattern: str, make: Callable[[], None]) -> None:
        self._application = application
        self._make: Callable[[], None] | None = make
        application.default_router.rules.insert(0, Rule(PathMatches(pattern), self))

    def load(self) -> None:
        """Add the routes now, unless they are there."""
        if self._make is not None:
            self._make()
            self._make = None

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate | None:
        """Add the routes and find the request's; None where they were there before, so that others are looked at."""
        if self._make is None:
            return None
        self.load()
        return self._application.find_handler(request)
