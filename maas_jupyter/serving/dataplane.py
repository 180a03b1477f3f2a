"""The one choke point of inference: every protocol routes, validates, counts, times and runs here."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.schema import Manifest, Signature, TensorSpec
from maas_jupyter.serving.auth import Principal
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.repository import LoadedVersion, ModelRepository
from maas_jupyter.serving.responses import status_of
from maas_jupyter.signature import validate

#: A request that is expected to compute for less than this runs on the event loop: a thread hop would cost more.
INLINE_SECONDS = 0.002


@dataclass(frozen=True)
class Answer:
    """What a model answered: the version that did, and the outputs that were asked for with their arrays."""

    model: str
    version: str
    outputs: list[tuple[TensorSpec, np.ndarray]]


class Call:
    """One request, as a context: routed when it is entered, counted and timed when it is left.

    Decoding and encoding belong into the context, so that they count too.
    """

    def __init__(self, plane: DataPlane, model: str, version: str | None, principal: Principal, protocol: str) -> None:
        self.model = model
        self.principal = principal
        self.protocol = protocol
        self.served: LoadedVersion | None = None
        self._version = version
        self._plane = plane
        self._started = time.perf_counter()

    def __enter__(self) -> Call:
        try:
            self.served = self._plane.repository.router(self.model).pick(self._version)
        except BaseException as error:
            self._count(status_of(error))
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._count(200 if error is None else status_of(error))

    def _count(self, code: int) -> None:
        # Names that nothing answers to come from outside and would make label values without end.
        model, version = (self.model, self.served.version) if self.served else ("", "")
        self._plane.metrics.count(model, version, self.protocol, code, time.perf_counter() - self._started)

    @property
    def manifest(self) -> Manifest:
        """Manifest of the version that will answer."""
        assert self.served is not None
        return self.served.manifest

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
            If the inputs do not fit the signature; says what was expected and what came.
        """
        served = self.served
        assert served is not None
        signature = served.manifest.signature
        validate(inputs, signature)
        chosen = select(outputs, signature)
        rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=1)
        started = time.perf_counter()
        results = await self._plane.repository.run(
            served, inputs, inline=served.seconds * max(rows, 1) <= INLINE_SECONDS
        )
        self._plane.metrics.inferred(self.model, served.version, time.perf_counter() - started)
        return Answer(self.model, served.version, [(spec, results[spec.name]) for spec in chosen])


class DataPlane:
    """Inference on the models of a repository.

    Parameters
    ----------
    repository : ModelRepository
        What is loaded.
    metrics : Metrics
        Where requests are counted.
    """

    def __init__(self, repository: ModelRepository, metrics: Metrics) -> None:
        self.repository = repository
        self.metrics = metrics

    def request(self, model: str, version: str | None, principal: Principal, protocol: str) -> Call:
        """Begin one request.

        Parameters
        ----------
        model, version : str
            What the request names; without a version one is chosen by weight.
        principal : Principal
            Who asks.
        protocol : str
            For the counter.

        Raises
        ------
        NotFound
            When the call is entered, if there is no such model or version.
        Unavailable
            When the call is entered, if the model is not ready.
        """
        return Call(self, model, version, principal, protocol)


def select(outputs: list[str] | None, signature: Signature) -> list[TensorSpec]:
    """Return the specs of the outputs asked for, in their order; all where none are.

    Raises
    ------
    InvalidInput
        If the model has no such output.
    """
    if not outputs:
        return signature.outputs
    known = {spec.name: spec for spec in signature.outputs}
    for name in outputs:
        if name not in known:
            raise InvalidInput(
                f"The model has no output '{name[:128]}'.",
                hint=nearest(name[:128], known, what="outputs", otherwise=""),
            )
    return [known[name] for name in outputs]
