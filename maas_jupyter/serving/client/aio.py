"""The client for code on an event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import numpy as np

from maas_jupyter.schema import HistoryEntry, ModelStatus, ServerStatus
from maas_jupyter.serving.client.calls import Answer, Call, Flow, Inference, ModelMetadata, NoAnswer, Pause
from maas_jupyter.serving.client.core import Core
from maas_jupyter.serving.client.transport import no_answer, request_arguments, settings, to_answer

T = TypeVar("T")


class AsyncServingClient:
    """`ServingClient` for one event loop: the same methods with the same parameters, errors and retries, awaited.

    Parameters
    ----------
    url : str
        Address of the server.
    token : str
        Its bearer token; never shown.
    timeout : float
        Seconds that an answer may take, loading and uploading apart.
    verify : Path, optional
        PEM file of the certificate authority that signed an https server's certificate; default those that the system
        trusts.
    """

    def __init__(self, url: str, token: str, timeout: float = 30.0, *, verify: Path | None = None) -> None:
        core = Core(url, timeout)
        self._begin(core, settings(core.url, token, verify))

    @classmethod
    def sharing(cls, core: Core, arguments: dict[str, Any]) -> AsyncServingClient:
        """Return a client that shares what another one knows of the server."""
        client = cls.__new__(cls)
        client._begin(core, arguments)
        return client

    def _begin(self, core: Core, arguments: dict[str, Any]) -> None:
        self._core = core
        self.url = core.url
        self._http = httpx.AsyncClient(**arguments)

    def __repr__(self) -> str:
        return f"AsyncServingClient({self.url!r})"

    async def __aenter__(self) -> AsyncServingClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def status(self) -> ServerStatus:
        """Return what the server serves; asks once."""
        return await self._run(self._core.status())

    async def model_status(self, name: str) -> ModelStatus:
        """Return the state of one model; asks once."""
        return await self._run(self._core.model_status(name))

    async def publish(
        self,
        name: str,
        version: str,
        bundle_folder: Path,
        *,
        canary: int | None = None,
        shadow: bool = False,
        user: str = "",
        reason: str = "",
    ) -> ModelStatus:
        """Send a bundle, as far as the server does not have it, and make it serve."""
        return await self._run(self._core.publish(name, version, bundle_folder, canary, shadow, user, reason))

    async def promote(self, name: str, *, user: str = "", reason: str = "") -> ModelStatus:
        """Give all traffic to the canary, or to the shadow where there is no canary."""
        return await self._run(self._core.change(name, "promote", user, reason))

    async def rollback(self, name: str, *, user: str = "", reason: str = "") -> ModelStatus:
        """Go back to what served before."""
        return await self._run(self._core.change(name, "rollback", user, reason))

    async def unpublish(self, name: str, *, user: str = "", reason: str = "") -> None:
        """Stop serving a model; its history stays."""
        await self._run(self._core.change(name, "unpublish", user, reason))

    async def load(self, name: str, *, user: str = "", reason: str = "") -> ModelStatus:
        """Bring a known model back into memory."""
        return await self._run(self._core.change(name, "load", user, reason))

    async def unload(self, name: str, *, user: str = "", reason: str = "") -> ModelStatus:
        """Take a model out of memory and keep it known."""
        return await self._run(self._core.change(name, "unload", user, reason))

    async def history(self, name: str) -> list[HistoryEntry]:
        """Return what served when, oldest first."""
        return await self._run(self._core.history(name))

    async def logs(self, lines: int = 20) -> list[str]:
        """Return the last lines of the server's log."""
        return await self._run(self._core.logs(lines))

    async def metrics_text(self) -> str:
        """Return the server's metrics in Prometheus' text format."""
        return await self._run(self._core.metrics_text())

    async def metadata(self, name: str, version: str | None = None) -> ModelMetadata:
        """Return a model's versions and signature."""
        return await self._run(self._core.metadata(name, version))

    async def infer(self, name: str, inputs: dict[str, np.ndarray], version: str | None = None) -> Inference:
        """Return a model's outputs."""
        return await self._run(self._core.infer(name, inputs, version))

    async def predict(self, name: str, X: Any, version: str | None = None) -> Inference:
        """Return a model's outputs for what the user has."""
        return await self._run(self._core.predict(name, X, version))

    async def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = flow.send(None)
                    continue
                try:
                    answer = await self._send(step)
                except NoAnswer as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            flow.close()

    async def _send(self, call: Call) -> Answer:
        try:
            return to_answer(await self._http.request(**request_arguments(call)))
        except httpx.TransportError as error:
            raise no_answer(self.url, error, call) from error
