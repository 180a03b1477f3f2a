"""The model server on this machine as a target."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from maas_jupyter import config, schema
from maas_jupyter.errors import BundleError, NotFound, Unavailable, nearest
from maas_jupyter.schema import MANIFEST_NAME, Manifest, ModelStatus, Signature, check_name, is_name
from maas_jupyter.serving.client import ServingClient
from maas_jupyter.serving.control.desired import DesiredState
from maas_jupyter.serving.control.history import History as RecordedHistory
from maas_jupyter.serving.record import read_record, record_path
from maas_jupyter.targets.access import RecordAccess
from maas_jupyter.targets.connections import user_name
from maas_jupyter.targets.endpoint import Endpoint, EndpointList
from maas_jupyter.targets.nouns import History, Notice, TargetStatus, listed, withdrawn_hint
from maas_jupyter.targets.process import LocalServer

_START = "Start it with all that it serves: %maas start"


class LocalTarget:
    """The local model server.

    Parameters
    ----------
    home : Path, optional
        Its folder; default the configured one.
    """

    name = "local"

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or config.current().server_home
        self._server = LocalServer(self.home)

    def __repr__(self) -> str:
        return f"LocalTarget({str(self.home)!r})"

    def prepare(self) -> None:
        """Start the server unless it runs, without waiting until it serves.

        Raises
        ------
        Unavailable
            If it runs but does not answer.
        """
        self._server.prepare()

    def release(self) -> None:
        """End the server if this object started it and it serves nothing; waits for one that is still starting.

        For a publish that fails before it has sent anything.

        Raises
        ------
        Unavailable
            If the server does not answer or does not end.
        """
        if self._server.started_here() and not any(DesiredState(self.home).read()):
            self._server.end_if_unused()

    def client(self) -> ServingClient:
        """Return a client of the server, after starting it where that is needed.

        Raises
        ------
        Unavailable
            If it cannot be started, or does not answer.
        """
        return self._server.client()

    # -- the target ---------------------------------------------------------------------------------------------------

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
        """Make a bundle serve; starts the server where that is needed. See `Target`."""
        client = self.client()
        status = client.publish(
            name, version, bundle_folder, canary=canary, shadow=shadow, user=user_name(), reason=reason
        )
        return self._serving_endpoint(status, client)

    def promote(self, name: str, *, reason: str = "") -> Endpoint:
        """Move traffic; starts the server where that is needed. See `Target`."""
        return self._change(name, lambda client: client.promote(name, user=user_name(), reason=reason))

    def rollback(self, name: str, *, reason: str = "") -> Endpoint:
        """Move traffic; starts the server where that is needed. See `Target`."""
        return self._change(name, lambda client: client.rollback(name, user=user_name(), reason=reason))

    def load(self, name: str, *, reason: str = "") -> Endpoint:
        """Bring a model back into memory; starts the server where that is needed. See `Target`."""
        return self._change(name, lambda client: client.load(name, user=user_name(), reason=reason))

    def unload(self, name: str, *, reason: str = "") -> Endpoint:
        """Take a model out of memory; starts the server where that is needed. See `Target`."""
        return self._change(name, lambda client: client.unload(name, user=user_name(), reason=reason))

    def _change(self, name: str, change: Callable[[ServingClient], ModelStatus]) -> Endpoint:
        self.endpoint(name)
        client = self.client()
        return self._serving_endpoint(change(client), client)

    def history(self, name: str) -> History:
        """Return what served when, also of a model that was withdrawn; the server need not run."""
        recorded = RecordedHistory(self.home)
        entries = recorded.read(check_name(name))
        if not entries:
            raise NotFound(
                f"No model '{name}' ever served on this machine.",
                hint=nearest(name, recorded.names(), what="models", otherwise="Publish one: %maas publish MODEL."),
            )
        return History(name, self.name, entries)

    def endpoints(self) -> EndpointList:
        """Return every model that is published on this machine.

        While the server does not run they are ``stopped`` after a clean end and ``unavailable`` after any other.
        """
        try:
            client = self._server.running()
        except Unavailable as error:
            return EndpointList(self._resting_endpoints(error))
        if client:
            return EndpointList(self._serving_endpoint(model, client) for model in client.status().models)
        return EndpointList(self._resting_endpoints())

    def endpoint(self, name: str) -> Endpoint:
        """Return one model's endpoint.

        Raises
        ------
        NotFound
            If it is not published on this machine.
        """
        found = {endpoint.name: endpoint for endpoint in self.endpoints()}
        if name not in found:
            raise NotFound(
                f"There is no endpoint '{name}' on this machine.",
                hint=self._withdrawn_hint(name)
                or nearest(name, found, what="endpoints", otherwise="Nothing is published yet: %maas publish MODEL."),
            )
        return found[name]

    def _withdrawn_hint(self, name: str) -> str:
        if not is_name(name):
            return ""
        return withdrawn_hint(RecordedHistory(self.home).recent(name).entries, self.name)

    def start(self) -> Notice:
        """Start the server unless it runs; everything that was published serves when this returns, or failed.

        Raises
        ------
        Unavailable
            If it cannot be started, or does not answer.
        """
        runs = self._server.settled() is not None
        client = self._server.client()
        ready: list[str] = []
        others: list[str] = []
        for model in client.status().models:
            (ready if any(row.state == "ready" for row in model.versions) else others).append(model.name)
        words = [f"The local server {'runs already' if runs else 'was started'} at {client.url}."]
        words += [f"It serves {listed(ready)}."] if ready else []
        words += [f"{listed(others)} cannot be served now: see %maas endpoints."] if others else []
        words += [] if ready or others else ["Nothing is published yet: %maas publish MODEL."]
        return Notice(" ".join([*words, self._server.moved]).strip())

    def stop(self, name: str | None = None) -> Notice:
        """Withdraw one model, or end the server; it also ends with its last model.

        Parameters
        ----------
        name : str, optional
            The model to withdraw. Without it the server ends and what was published stays for its next start.

        Raises
        ------
        NotFound
            If the model is not published on this machine.
        Unavailable
            If the server does not answer or does not end; it is still known then, and what was published too.
        """
        if name is not None:
            return self.unpublish(name)
        client = self._server.settled()
        if client is not None:
            self._server.end(client)
        else:
            record_path(self.home).unlink(missing_ok=True)
        models, broken = DesiredState(self.home).read()
        kept = listed(sorted({*models, *broken}))
        comes = "comes" if len({*models, *broken}) == 1 else "come"
        how = f"; {kept} {comes} back with %maas start, or with the next publish." if kept else "."
        return Notice(("The local server was stopped" if client is not None else "The local server does not run") + how)

    def unpublish(self, name: str, *, reason: str = "") -> Notice:
        """Withdraw one model; the server ends with its last one.

        Raises
        ------
        NotFound
            If the model is not published on this machine.
        Unavailable
            If the server does not answer.
        """
        client = self._server.settled()
        self.endpoint(name)
        if client is None:
            with self._server.alone() as alone:
                if alone:
                    desired = DesiredState(self.home)
                    desired.commit(name, "unpublish", None, by=self.name, user=user_name(), reason=reason)
                    return Notice.withdrawn(name, self.name)
            # Another notebook has started it in this moment.
            client = self.client()
        client.unpublish(name, user=user_name(), reason=reason)
        if client.status().models:
            return Notice.withdrawn(name, self.name)
        self._server.end(client)
        return Notice.withdrawn(name, self.name, "It was the last one, so the local server ended.")

    def logs(self, lines: int = 20) -> list[str]:
        """Return the last lines of the server's log."""
        return self._server.logs(lines)

    # -- endpoints ----------------------------------------------------------------------------------------------------

    def _serving_endpoint(self, model: ModelStatus, client: ServingClient) -> Endpoint:
        rows = [row for row in model.versions if row.state == "ready"] or model.versions
        signature = self._signature(rows[0].digest) if rows else None
        access = RecordAccess(record_path(self.home))
        return Endpoint.serving(model, self, client.url, access, signature, note=self._server.moved)

    def _resting_endpoints(self, error: Unavailable | None = None) -> Iterator[Endpoint]:
        record = read_record(self.home)
        models, broken = DesiredState(self.home).read()
        gone = False
        if error:
            state, reason = "unavailable", f"{error.message} {error.hint}"
        elif self._server.starting():
            state, reason = "loading", "The model server is starting."
        elif record is None:
            state, reason, gone = "stopped", "The local model server was stopped.", True
        else:
            state, reason, gone = "unavailable", f"The local model server (process {record.pid}) is gone.", True
        for name in sorted({*models, *broken}):
            how = f" {_START}" if gone else ""
            yield Endpoint(
                name=name,
                target=self.name,
                url="",
                state=state,  # type: ignore[arg-type]
                reason=broken.get(name, reason + how),
                signature=self._signature(models[name].versions[0].digest) if name in models else None,
                _access=RecordAccess(record_path(self.home)),
                _target=self,
            )

    def _signature(self, digest: str) -> Signature | None:
        path = self.home / "bundles" / digest / MANIFEST_NAME
        with contextlib.suppress(OSError, BundleError):
            return schema.decode(path.read_bytes(), Manifest, where=str(path)).signature
        return None

    def refusal(self, digest: str) -> str:
        """Return why this machine's server does not load a bundle; empty where it does, or was never asked to."""
        from maas_jupyter.serving.control.quarantine import read_probe

        with contextlib.suppress(OSError, BundleError):
            record = read_probe(self.home, digest)
            return record.reason if record else ""
        return ""

    def connection(self, *, checked: bool = False, name: str = "") -> ServingClient:
        """Return a client of the running server, found by its record. See `Target`."""
        record = read_record(self.home)
        client = self._server.running() if checked else self._server.client_of(record) if record else None
        if client is None:
            models, _ = DesiredState(self.home).read()
            what = f"'{name}' is published, but the" if name in models else "The"
            raise Unavailable(f"{what} local model server does not run.", hint=_START)
        return client

    def status(self) -> TargetStatus:
        """Return how the server is."""
        try:
            client = self._server.running()
        except Unavailable as error:
            return TargetStatus(self.name, "", "unavailable", f"{error.message} {error.hint}")
        if client is None:
            return TargetStatus(self.name, "", "stopped", f"{_START}.")
        return TargetStatus(self.name, client.url, "ready", role="admin", models=len(client.status().models))
