"""The client for ordinary code."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import httpx
import numpy as np

from maas_jupyter.errors import UsageError
from maas_jupyter.schema import HistoryEntry, ModelStatus, ServerStatus
from maas_jupyter.serving.client.aio import AsyncServingClient
from maas_jupyter.serving.client.calls import Answer, Call, Flow, Inference, ModelMetadata, NoAnswer, Pause
from maas_jupyter.serving.client.core import Core, IndexEntry
from maas_jupyter.serving.client.transport import no_answer, request_arguments, settings, to_answer

T = TypeVar("T")


class _Lent(NamedTuple):
    """A client of one event loop, and the generator that ends with that."""

    client: AsyncServingClient
    end: AsyncGenerator[None, None]


class ServingClient:
    """Speaks to one model server; safe to use from several threads, which share its connections.

    Every method raises `Unavailable` if the server does not answer, `Unauthorized` if it does not know the token and
    `Forbidden` if the token may not do this. What can safely be asked twice is asked again when a connection is lost,
    or when the server says when to come back, as long as the timeout lasts.

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
        self._core = Core(url, timeout)
        self.url = self._core.url
        self._settings = settings(self.url, token, verify)
        self._http = httpx.Client(**self._settings)
        self._asynchronous: dict[asyncio.AbstractEventLoop, _Lent] = {}

    def __repr__(self) -> str:
        return f"ServingClient({self.url!r})"

    def __enter__(self) -> ServingClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, those of `asynchronous` as soon as their event loops come to it."""
        self._http.close()
        self._asynchronous.clear()  # a generator that nobody holds any more is ended by its event loop

    def asynchronous(self) -> AsyncServingClient:
        """Return the asynchronous client of the same server for the running event loop.

        It is closed when that loop ends, or this client is closed.

        Raises
        ------
        UsageError
            If no event loop runs.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:
            raise UsageError(
                "The asynchronous client belongs to an event loop, and none runs here.",
                hint="Call asynchronous() within an async function, or ask this client itself: client.predict(...)",
            ) from error
        if loop not in self._asynchronous:
            self._drop_closed()
            client = AsyncServingClient.sharing(self._core, self._settings)
            end = self._end_with(loop, client)
            with contextlib.suppress(StopIteration):  # how it says that it came to its yield
                end.__anext__().send(None)
            self._asynchronous[loop] = _Lent(client, end)
        return self._asynchronous[loop].client

    async def _end_with(
        self, loop: asyncio.AbstractEventLoop, client: AsyncServingClient
    ) -> AsyncGenerator[None, None]:
        """Close a client when its loop closes the generators that were begun on it, as `asyncio.run` has it do.

        Nothing says earlier that a loop ends, and nothing can close its connections later.
        """
        try:
            yield
        finally:
            self._asynchronous.pop(loop, None)
            await client.aclose()

    def _drop_closed(self) -> None:
        for loop in [loop for loop in self._asynchronous if loop.is_closed()]:
            del self._asynchronous[loop]

    # -- administering ------------------------------------------------------------------------------------------------

    def status(self) -> ServerStatus:
        """Return what the server serves; asks once."""
        return self._run(self._core.status())

    def model_status(self, name: str) -> ModelStatus:
        """Return the state of one model; asks once.

        Raises
        ------
        NotFound
            If the server has no such model.
        """
        return self._run(self._core.model_status(name))

    def publish(
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
        """Send a bundle, as far as the server does not have it, and make it serve.

        Parameters
        ----------
        name, version : str
            Under which it serves.
        bundle_folder : Path
            The bundle.
        canary : int, optional
            Its share of the traffic in percent, 1 to 99, beside what serves; default all.
        shadow : bool
            It gets a copy of the traffic, and its answers are only compared.
        user, reason : str
            Who asks for it and why, for the history.

        Returns
        -------
        ModelStatus
            The model's state afterwards.

        Raises
        ------
        BundleError
            If the bundle is incomplete, altered or does not load; what served before goes on serving.
        Conflict
            If a canary or a shadow is asked for and nothing serves beside it.
        InvalidInput
            If the name or the share cannot be.
        """
        return self._run(self._core.publish(name, version, bundle_folder, canary, shadow, user, reason))

    def promote(self, name: str, *, user: str = "", reason: str = "") -> ModelStatus:
        """Give all traffic to the canary, or to the shadow where there is no canary.

        Raises
        ------
        NotFound
            If the server has no such model.
        Conflict
            If it has neither.
        """
        return self._run(self._core.change(name, "promote", user, reason))

    def rollback(self, name: str, *, user: str = "", reason: str = "") -> ModelStatus:
        """Go back to what served before.

        Raises
        ------
        NotFound
            If the server has no such model.
        Conflict
            If nothing else served before.
        """
        return self._run(self._core.change(name, "rollback", user, reason))

    def unpublish(self, name: str, *, user: str = "", reason: str = "") -> None:
        """Stop serving a model; its history stays.

        Raises
        ------
        NotFound
            If the server has no such model.
        """
        self._run(self._core.change(name, "unpublish", user, reason))

    def load(self, name: str, *, user: str = "", reason: str = "") -> ModelStatus:
        """Bring a known model back into memory.

        Raises
        ------
        NotFound
            If the server has no such model.
        BundleError
            If none of its versions loads.
        """
        return self._run(self._core.change(name, "load", user, reason))

    def unload(self, name: str, *, user: str = "", reason: str = "") -> ModelStatus:
        """Take a model out of memory and keep it known.

        Raises
        ------
        NotFound
            If the server has no such model.
        """
        return self._run(self._core.change(name, "unload", user, reason))

    def history(self, name: str) -> list[HistoryEntry]:
        """Return what served when, oldest first.

        Raises
        ------
        NotFound
            If there never was such a model.
        """
        return self._run(self._core.history(name))

    def logs(self, lines: int = 20) -> list[str]:
        """Return the last lines of the server's log."""
        return self._run(self._core.logs(lines))

    def shutdown(self) -> None:
        """Ask the server to end; it answers before it does."""
        self._run(self._core.shutdown())

    def metrics_text(self) -> str:
        """Return the server's metrics in Prometheus' text format."""
        return self._run(self._core.metrics_text())

    # -- predicting ---------------------------------------------------------------------------------------------------

    def index(self) -> list[IndexEntry]:
        """Return every version that the server knows; a token for predicting is enough."""
        return self._run(self._core.index())

    def metadata(self, name: str, version: str | None = None) -> ModelMetadata:
        """Return a model's versions and signature.

        Raises
        ------
        NotFound
            If the server has no such model or version.
        """
        return self._run(self._core.metadata(name, version))

    def infer(self, name: str, inputs: dict[str, np.ndarray], version: str | None = None) -> Inference:
        """Return a model's outputs.

        Parameters
        ----------
        name : str
            The model.
        inputs : dict of str to ndarray
            One array per input, of the dtype and shape of the signature. NaN and infinity are values like others.
        version : str, optional
            One version; default by the model's traffic.

        Raises
        ------
        InvalidInput
            If the inputs do not fit the signature.
        NotFound
            If there is no such model or version.
        TooManyRequests
            If the model's queue is full for longer than the timeout.
        """
        return self._run(self._core.infer(name, inputs, version))

    def predict(self, name: str, X: Any, version: str | None = None) -> Inference:
        """Return a model's outputs for what the user has.

        The signature is asked for once and remembered until the server shows that it changed.

        Parameters
        ----------
        name : str
            The model.
        X : array-like, DataFrame, dict, list of dict, str, bytes or Path
            The rows. A model with several inputs takes a dict with one array per input; one that takes a table also a
            DataFrame, or a list of rows as dicts, and bare rows where all its columns are numbers or all are texts. One
            that takes texts a text or a list of them; one that takes files their bytes, or a `Path` that is read here.
            Numbers are cast to the signature's dtypes where no value changes by more than rounding; what is missing
            (None, NaN) is NaN in an input of floating point and an empty text in a table's column of texts.
        version : str, optional
            One version; default by the model's traffic.

        Raises
        ------
        InvalidInput
            If the data does not fit the signature; says what is expected and what was given.
        NotFound
            If there is no such model or version.
        """
        return self._run(self._core.predict(name, X, version))

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = flow.send(None)
                    continue
                try:
                    answer = self._send(step)
                except NoAnswer as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            flow.close()

    def _send(self, call: Call) -> Answer:
        try:
            return to_answer(self._http.request(**request_arguments(call)))
        except httpx.TransportError as error:
            raise no_answer(self.url, error, call) from error
