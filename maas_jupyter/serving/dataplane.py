"""The one choke point of inference: every protocol routes, validates, counts, times and runs here."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

import numpy as np

from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.schema import Manifest, ServedModel, Signature, TensorSpec
from maas_jupyter.serving.exchange import RequestContext
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.repository import LoadedVersion, ModelRepository
from maas_jupyter.serving.responses import status_of
from maas_jupyter.serving.router import Router
from maas_jupyter.serving.runtimes.base import StreamingRuntime
from maas_jupyter.serving.shadow import Copy, Shadow


class Answer(NamedTuple):
    """What a model answered: the version that did, and the outputs that were asked for with their arrays."""

    model: str
    version: str
    outputs: list[tuple[TensorSpec, np.ndarray]]

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for _, array in self.outputs)


class Call:
    """One request, as a context: routed when it is entered, counted and timed when it is left.

    Decoding and encoding belong into the context, so that they count too.
    """

    __slots__ = ("_label", "_plane", "_router", "_started", "_version", "context", "model", "protocol", "served")

    def __init__(
        self,
        plane: DataPlane,
        model: str,
        version: str | None,
        context: RequestContext,
        protocol: str,
        label: str | None = None,
    ) -> None:
        self.model = model
        self.context = context
        self.protocol = protocol
        self.served: LoadedVersion | None = None
        self._router: Router[LoadedVersion]
        self._version = version
        self._label = label
        self._plane = plane
        self._started = time.perf_counter()

    def __enter__(self) -> Call:
        plane = self._plane
        plane.started += 1
        try:
            if self._label is not None:
                self._version = labelled(plane.repository.model(self.model), self._label)
            self._router = plane.repository.router(self.model)
            self.served = self._router.pick(self._version, self.context.routing_key)
            # From here on, not only while it computes: a version that is replaced waits for the body too.
            self.served.enter()
        except BaseException as error:
            self._count(status_of(error))
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        assert self.served is not None
        self.served.leave()
        self._count(200 if error is None else status_of(error))

    def _count(self, code: int) -> None:
        # Names that nothing answers to come from outside and would make label values without end.
        model, version = (self.model, self.served.version) if self.served else ("", "")
        seconds = time.perf_counter() - self._started
        self._plane.metrics.count(model, version, self.protocol, code, self.context.principal.name, seconds)

    @property
    def manifest(self) -> Manifest:
        """Manifest of the version that will answer."""
        assert self.served is not None
        return self.served.manifest

    @property
    def streams(self) -> bool:
        """Whether the version answers in parts."""
        assert self.served is not None
        return isinstance(self.served.servable.runtime, StreamingRuntime)

    async def infer(self, inputs: dict[str, np.ndarray], outputs: list[str] | None = None) -> Answer:
        """Validate the inputs and compute the outputs.

        Parameters
        ----------
        inputs : dict of str to ndarray
            One array per input of the signature.
        outputs : list of str, optional
            The outputs to return, in this order; default all.

        Raises
        ------
        InvalidInput
            If the inputs do not fit the signature, or the model refuses their values; says what was expected and what
            came.
        TooManyRequests
            If too many requests wait for this version.
        Unavailable
            If the request's deadline passes before it is computed.
        ClientDisconnect
            If the client hangs up before it is computed.
        """
        served = self.served
        assert served is not None
        rows = served.validate(inputs)
        chosen = select(outputs, served.manifest.signature)
        results = await served.batcher.infer(inputs, rows, self.context)
        shadow = self._router.shadow
        if shadow is not None and shadow != served.version:
            copy = Copy(self.model, served, shadow, inputs, results)
            self.context.afterwards = partial(self._plane.shadow.offer, copy)
        return Answer(self.model, served.version, [(spec, results[spec.name]) for spec in chosen])

    async def stream(
        self, inputs: dict[str, np.ndarray], outputs: list[str] | None = None
    ) -> AsyncGenerator[Answer, None]:
        """Validate the inputs and yield the outputs in parts, as a `StreamingRuntime` makes them.

        Close the generator (`contextlib.aclosing`) where it is not read to its end.

        Parameters
        ----------
        inputs, outputs
            As for `infer`.

        Raises
        ------
        InvalidInput
            As for `infer`, and if the model answers in one piece.
        TooManyRequests, Unavailable, ClientDisconnect
            As for `infer`, but at any time of the stream.
        """
        served = self.served
        assert served is not None
        rows = served.validate(inputs)
        chosen = select(outputs, served.manifest.signature)
        async with aclosing(served.batcher.stream(inputs, rows, self.context)) as parts:
            async for part in parts:
                yield Answer(
                    self.model, served.version, [(spec, part[spec.name]) for spec in chosen if spec.name in part]
                )


class DataPlane:
    """Inference on the models of a repository.

    Parameters
    ----------
    repository : ModelRepository
        What is loaded.
    metrics : Metrics
        Where requests are counted.

    Attributes
    ----------
    started : int
        Requests that were begun.
    """

    def __init__(self, repository: ModelRepository, metrics: Metrics) -> None:
        self.repository = repository
        self.metrics = metrics
        self.started = 0
        self.shadow = Shadow(repository, metrics, lambda: self.started)

    def request(
        self, model: str, version: str | None, context: RequestContext, protocol: str, label: str | None = None
    ) -> Call:
        """Begin one request.

        Parameters
        ----------
        model, version : str
            What the request names; without a version one is chosen by weight.
        context : RequestContext
            Who asks, until when, and what the answer's version hangs on.
        protocol : str
            For the counter.
        label : str, optional
            Names the version by what it is, in place of ``version``; see `labelled`.

        Raises
        ------
        InvalidInput
            When the call is entered, if no version has the label.
        NotFound
            When the call is entered, if there is no such model or version.
        Unavailable
            When the call is entered, if the model is not ready.
        """
        return Call(self, model, version, context, protocol, label)


def labelled(model: ServedModel, label: str) -> str:
    """Return the version that a label stands for: ``stable``, ``canary`` or ``shadow``.

    Raises
    ------
    InvalidInput
        If no version has the label now.
    """
    labels = model.labels
    if label not in labels:
        raise InvalidInput(
            f"Model '{model.name}' has no version with the label '{label[:128]}'.",
            hint=nearest(label[:128], labels, what="labels", otherwise="No version takes traffic."),
        )
    return labels[label]


def select(outputs: list[str] | None, signature: Signature) -> list[TensorSpec]:
    """Return the specs of the outputs asked for, in their order; all where none are.

    Raises
    ------
    InvalidInput
        If the model has no such output, or one is asked for twice.
    """
    if not outputs:
        return signature.outputs
    if len(set(outputs)) != len(outputs):
        raise InvalidInput("Two outputs of the request have the same name.")
    known = {spec.name: spec for spec in signature.outputs}
    for name in outputs:
        if name not in known:
            raise InvalidInput(
                f"The model has no output '{name[:128]}'.",
                hint=nearest(name[:128], known, what="outputs", otherwise=""),
            )
    return [known[name] for name in outputs]
