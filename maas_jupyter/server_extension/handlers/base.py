"""What all handlers share: errors in the user's words."""

from __future__ import annotations

from typing import Any

from jupyter_server.base.handlers import APIHandler

from maas_jupyter.errors import (
    BundleError,
    Conflict,
    Forbidden,
    GateError,
    InvalidInput,
    MaasError,
    NotFound,
    Unauthorized,
    Unavailable,
    UsageError,
)

#: A pattern of a route, its handler, and what the handler is given.
Route = tuple[str, type["MaasHandler"], dict[str, Any]]

_STATUS: dict[type[MaasError], int] = {
    InvalidInput: 400,
    UsageError: 400,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
    GateError: 409,
    BundleError: 422,
    # Not 401 or 403: those would say that the user is not logged in to Jupyter, or may not do this there.
    Unauthorized: 502,
    Forbidden: 502,
}


class MaasHandler(APIHandler):
    """A handler whose errors are ours: the status that belongs to their kind, message and hint as JSON."""

    auth_resource = "maas-jupyter"

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log an error; one that is in the user's words needs no traceback."""
        if isinstance(value, MaasError):
            self.log.warning("%s %s: %s", self.request.method, self.request.path, value.message)
        else:
            super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with an error as JSON."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, MaasError):
            self.set_status(next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500))
            self.finish({"message": error.message, "hint": error.hint})
        else:
            super().write_error(status_code, **kwargs)
