"""What the supervisor and a worker tell and ask each other."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from maas_jupyter.schema import ModelStatus, ServedModel, VersionStatus
from maas_jupyter.serving.auth import Token
from maas_jupyter.serving.control.base import Control, Replica
from maas_jupyter.serving.counts import Counts
from maas_jupyter.serving.options import ServerOptions

#: How long the clients of a worker that is replaced may take to let go of their connections.
DRAIN_SECONDS = 10.0
#: How long requests may take that are being answered when the server ends.
END_SECONDS = 5
#: How long a worker may wait after that for what it computes for nobody.
CLOSE_SECONDS = 1.0


class Applied(Struct, frozen=True, array_like=True):
    """The last state that a model's replicas were told to serve."""

    model: ServedModel
    others: list[VersionStatus]


class Setup(Struct, frozen=True):
    """The first thing that a worker is told; over the channel, because arguments and environments are public.

    Attributes
    ----------
    grpc_address : str, optional
        Address that the supervisor keeps for gRPC.
    place : int
        In the numbers that all workers see.
    at_once : bool
        Accept connections as soon as the models are known; else not before they are loaded (`WorkerSide.settle`).
    """

    options: ServerOptions
    tokens: list[Token]
    grpc_address: str | None
    place: int
    at_once: bool


class WorkerSide(Replica, Protocol):
    """What a worker offers to the supervisor."""

    async def restore(self, models: list[Applied], carefully: bool) -> list[ModelStatus]:
        """Serve these states; the first call makes all models known.

        ``carefully`` loads one bundle after the other, to tell which one a worker dies of.

        Returns
        -------
        list of ModelStatus
            What does not load, as `Replica.apply` returns it; models of which everything does are left out.
        """

    async def settle(self) -> None:
        """Be ready: everything that should serve does, or failed. Returns when connections are accepted."""

    async def drain(self, seconds: float) -> None:
        """Accept no connection any more, answer what comes on the open ones for at most so long, and end.

        Returns when no further connection is accepted.
        """


class SupervisorSide(Control, Protocol):
    """What the supervisor offers to a worker."""

    async def loading(self, digest: str) -> None:
        """Note that the worker begins to load a bundle, which may be the end of it."""

    async def loaded(self, digest: str) -> None:
        """Note that it survived that."""

    async def hangs(self, digest: str, reason: str) -> None:
        """Note that a bundle does not load in its time, and that the worker cannot get rid of that: replace it."""

    async def report(self, counts: Counts) -> None:
        """Take note of what the worker counted so far."""

    async def leave(self) -> None:
        """Replace the worker, which was told to end by somebody else: its successor first, then its end."""
