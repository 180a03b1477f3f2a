"""A model server on another machine, reached by its address."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from maas_jupyter.errors import Forbidden, MaasError, NotFound, Unauthorized, Unavailable, UsageError, nearest
from maas_jupyter.schema import ModelStatus, Signature, VersionState, VersionStatus
from maas_jupyter.serving.client import NoAnswer, ServingClient
from maas_jupyter.targets.access import EnvironmentAccess
from maas_jupyter.targets.connections import Connection, set_variable, user_name, without_path
from maas_jupyter.targets.endpoint import UNKNOWN, Endpoint, EndpointList
from maas_jupyter.targets.nouns import History, Notice, TargetStatus, withdrawn_hint


class RemoteTarget:
    """A connected server; safe to use from several threads.

    Parameters
    ----------
    connection : Connection
        Its address, and where its token is.
    how_to_set : callable
        Given the variable that the token is in, returns how it is set where errors are shown.
    """

    def __init__(self, connection: Connection, how_to_set: Callable[[str], str] = set_variable) -> None:
        self.name = connection.name
        self._connection = connection
        self._how_to_set = how_to_set
        self._client: tuple[str, ServingClient] | None = None
        self._lock = threading.Lock()
        # By digest: a bundle's signature never changes.
        self._signatures: dict[str, Signature] = {}
        self._known: list[Endpoint] = []  # what it had when it last answered

    def __repr__(self) -> str:
        return f"RemoteTarget({self.name!r}, {self._connection.url!r})"

    def connection(self, *, checked: bool = False, name: str = "") -> ServingClient:
        """Return a client with the token that the environment holds now.

        Raises
        ------
        Unauthorized
            If the environment holds none or, where that is ``checked``, the server does not know it.
        Unavailable
            If it is ``checked`` and the server does not answer.
        """
        token = self._connection.token(self._how_to_set)
        with self._lock:
            if self._client is None or self._client[0] != token:
                ca_file = self._connection.ca_file
                verify = None if ca_file is None else Path(ca_file)
                self._client = (token, self._open(token, verify))
            client = self._client[1]
        if checked:
            self.check()
        return client

    def _open(self, token: str, verify: Path | None) -> ServingClient:
        try:
            return ServingClient(self._connection.url, token, verify=verify)
        except Unauthorized as error:
            variable = self._connection.token_env
            raise Unauthorized(
                f"The token of '{self.name}' cannot be what {variable} holds: it is empty, or has characters that no "
                "token has.",
                hint=f"Look for a space or a line break in it. {self._how_to_set(variable)}",
            ) from error

    @contextmanager
    def _asked(self, model: str = "") -> Iterator[ServingClient]:
        """Give a client; says of a token that is refused where it came from, and of a model what became of it."""
        client = self.connection()
        try:
            yield client
        except Unauthorized as error:
            variable = self._connection.token_env
            raise Unauthorized(
                f"{self.name} ({self._connection.url}) does not know the token that {variable} holds.",
                hint=f"Get one from who runs that server. {self._how_to_set(variable)}",
            ) from error
        except Forbidden as error:
            variable = self._connection.token_env
            raise Forbidden(
                f"The token of '{self.name}' that {variable} holds may ask models, but not administer the server.",
                hint=f"Get an admin's token from who runs that server. {self._how_to_set(variable)}",
            ) from error
        except NotFound as error:
            if not model:
                raise
            raise self._not_found(model, [each.name for each in client.status().models]) from error

    def prepare(self) -> None:
        """Check that the server answers.

        Raises
        ------
        Unavailable
            If it does not.
        """
        with self._asked() as client:
            client.status()

    def release(self) -> None:
        """Do nothing: the server is not ours to end."""

    # -- changing -----------------------------------------------------------------------------------------------------

    def publish(
        self,
        name: str,
        version: str,
        bundle_folder: Path,
        *,
        canary: int | None = None,
        shadow: bool = False,
        reason: str = "",
    ) -> Endpoint:
        """Send a bundle and make it serve. See `Target`."""
        with self._asked() as client:
            status = client.publish(
                name, version, bundle_folder, canary=canary, shadow=shadow, user=user_name(), reason=reason
            )
            return self._endpoint(client, status)

    def promote(self, name: str, *, reason: str = "") -> Endpoint:
        """Move traffic. See `Target`."""
        with self._asked(name) as client:
            return self._endpoint(client, client.promote(name, user=user_name(), reason=reason))

    def rollback(self, name: str, *, reason: str = "") -> Endpoint:
        """Move traffic. See `Target`."""
        with self._asked(name) as client:
            return self._endpoint(client, client.rollback(name, user=user_name(), reason=reason))

    def load(self, name: str, *, reason: str = "") -> Endpoint:
        """Bring a model back into memory. See `Target`."""
        with self._asked(name) as client:
            return self._endpoint(client, client.load(name, user=user_name(), reason=reason))

    def unload(self, name: str, *, reason: str = "") -> Endpoint:
        """Take a model out of memory. See `Target`."""
        with self._asked(name) as client:
            return self._endpoint(client, client.unload(name, user=user_name(), reason=reason))

    def unpublish(self, name: str, *, reason: str = "") -> Notice:
        """Withdraw one model. See `Target`."""
        with self._asked(name) as client:
            client.unpublish(name, user=user_name(), reason=reason)
        return Notice.withdrawn(name, self.name)

    def start(self) -> Notice:
        """Refuse: the server is started where it runs.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(
            f"The server at {self._connection.url} is started where it runs, not from here.",
            hint="In a terminal there: maas serve --help. The local server: %maas start --on local",
        )

    def stop(self, name: str | None = None) -> Notice:
        """Withdraw one model; the server itself is ended where it was started.

        Raises
        ------
        UsageError
            Without a name.
        """
        if name is None:
            raise UsageError(
                f"The server at {self._connection.url} is ended where it was started, not from here.",
                hint=f"To withdraw a model of it: %maas unpublish NAME --on {self.name}",
            )
        return self.unpublish(name)

    # -- looking ------------------------------------------------------------------------------------------------------

    def history(self, name: str) -> History:
        """Return what served when, also of a model that was withdrawn."""
        with self._asked() as client:
            return History(name, self.name, client.history(name))

    def logs(self, lines: int = 20) -> list[str]:
        """Return the last lines of the server's log."""
        with self._asked() as client:
            return client.logs(lines)

    def endpoints(self) -> EndpointList:
        """Return every model that the server knows; while it does not answer, those that were known, unavailable."""
        try:
            with self._asked() as client:
                try:
                    models = client.status().models
                except Forbidden:
                    models = _indexed(client)
        except MaasError as error:
            reason = f"{error.message} {error.hint}".strip()
            unknown = Endpoint(UNKNOWN, self.name, self._connection.url, "unavailable", _target=self)
            known = self._known or [unknown]
            return EndpointList(replace(each, state="unavailable", reason=reason) for each in known)
        self._known = [self._endpoint(client, model) for model in models]
        return EndpointList(self._known)

    def endpoint(self, name: str) -> Endpoint:
        """Return one model's endpoint, with its signature.

        Raises
        ------
        NotFound
            If the server has no such model.
        """
        with self._asked() as client:
            try:
                status = client.model_status(name)
            except Forbidden:
                known = {model.name: model for model in _indexed(client)}
                if name not in known:
                    raise self._not_found(name, known) from None
                status = known[name]
            except NotFound:
                raise self._not_found(name, [model.name for model in client.status().models]) from None
            return self._endpoint(client, status, look=True)

    def _not_found(self, name: str, known: Iterable[str]) -> NotFound:
        hint = ""
        with suppress(NotFound, Forbidden):
            hint = withdrawn_hint(self.connection().history(name), self.name)
        otherwise = f"Nothing is published there yet: %maas publish MODEL --to {self.name}"
        return NotFound(
            f"There is no endpoint '{name}' on {self.name}.",
            hint=hint or nearest(name, known, what="endpoints", otherwise=otherwise),
        )

    def status(self) -> TargetStatus:
        """Return how the server is; one that does not answer is ``unavailable``."""
        try:
            return self.check()
        except MaasError as error:
            return self._status("unavailable", reason=f"{error.message} {error.hint}".strip())

    def check(self) -> TargetStatus:
        """Return how the server is, if it answers and takes the token.

        Raises
        ------
        Unavailable
            If it does not answer.
        Unauthorized
            If it does not know the token, or the environment holds none.
        """
        self.connection()
        try:
            with self._asked() as client:
                try:
                    return self._status("ready", role="admin", models=len(client.status().models))
                except Forbidden:
                    return self._status("ready", role="predict", models=len(_indexed(client)))
        except (NoAnswer, Unauthorized):
            raise
        except MaasError as error:
            # What is asked here every server of ours answers.
            url = self._connection.url
            hint = "Look whether the address is right, and whether a model server of this version runs there."
            if (alone := without_path(url)) != url:
                hint = f"Leave out the path, unless a proxy passes it on to a model server: {alone}"
            raise Unavailable(f"What answers at {url} is no model server: {error.message}", hint=hint) from error

    def _status(self, state: str, *, reason: str = "", role: str = "", models: int | None = None) -> TargetStatus:
        connection = self._connection
        return TargetStatus(
            name=self.name,
            url=connection.url,
            state=state,  # type: ignore[arg-type]
            reason=reason,
            role=role,
            models=models,
            token_env=connection.token_env,
            ca_file=connection.ca_file,
        )

    def _endpoint(self, client: ServingClient, status: ModelStatus, *, look: bool = False) -> Endpoint:
        ready = next((row for row in status.versions if row.state == "ready"), None)
        signature = self._signatures.get(ready.digest) if ready and ready.digest else None
        if look and ready and signature is None:
            signature = client.metadata(status.name, ready.version).signature
            if ready.digest:
                self._signatures[ready.digest] = signature
        ca_file = self._connection.ca_file
        access = EnvironmentAccess(self._connection.token_env, None if ca_file is None else Path(ca_file))
        return Endpoint.serving(status, self, self._connection.url, access, signature)


def _indexed(client: ServingClient) -> list[ModelStatus]:
    """Return what a token for predicting may know: names, versions and states, without weights."""
    states: dict[str, VersionState] = {"READY": "ready", "LOADING": "loading"}
    found: dict[str, list[VersionStatus]] = {}
    for entry in client.index():
        row = VersionStatus(entry.version, "", 0, states.get(entry.state, "failed"), entry.reason)
        found.setdefault(entry.name, []).append(row)
    return [ModelStatus(name, rows) for name, rows in found.items()]
