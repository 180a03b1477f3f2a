"""How many channels have to go for a sparsity, a size or a latency."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import UsageError
from maas_jupyter.optimization.finetune import packaged
from maas_jupyter.optimization.original import Original
from maas_jupyter.serving.servable import Servable

#: More cannot go: a layer keeps one channel at least.
_MOST = 0.98
#: Halvings: the amount is found to less than 1 %. Each trial of a latency exports the model, and tells little more.
_TRIALS, _LATENCY_TRIALS = 8, 5
#: So much more goes where a target is missed in the end.
_MORE, _MORE_TIMED = 0.005, 0.05
_TURNS, _SECONDS_PER_TURN = 7, 0.02
#: Bytes: a wider model's graph has some longer numbers.
_LEEWAY = 512
_UNITS = {"sparsity": "", "size": " bytes", "latency": " ms"}

Pruned = Callable[[float], nn.Module]


@dataclass(frozen=True)
class Target:
    """What is to be reached: ``sparsity`` at least, ``size`` in bytes or ``latency`` in milliseconds at most."""

    quantity: str
    value: float

    def __str__(self) -> str:
        return f"a {self.quantity} of {_shown(self.value)}{_UNITS[self.quantity]}"

    def reached_by(self, value: float) -> bool:
        """Say whether a value is good enough."""
        return value >= self.value if self.quantity == "sparsity" else value <= self.value


class Search:
    """The search for the smallest share of channels whose removal reaches a target.

    Parameters
    ----------
    target : Target
    original : Original
    folder : Path
        Empty, and so afterwards: trials are packaged in it.
    """

    def __init__(self, target: Target, original: Original, folder: Path) -> None:
        self.target = target
        self._original, self._folder = original, folder / "trial"
        self._weights = _bytes(original.required_trained().module)
        #: Bytes of a bundle that are no weights.
        self._rest = 0

    def amount(self, pruned: Pruned) -> float:
        """Return the share.

        Parameters
        ----------
        pruned : callable
            Gives a copy of the module without a share of its channels.

        Raises
        ------
        UsageError
            If the target cannot be reached (the hint names the nearest value that can), or is reached as it is.
        """
        target, name = self.target, self._original.reference
        now, nearest = self._now(), self._measured(pruned(_MOST))
        if target.reached_by(now):
            raise UsageError(
                f"{name} has {Target(target.quantity, now)} already.", hint=f"Ask for less than {_shown(now)}."
            )
        if not target.reached_by(nearest):
            raise self._out_of_reach(nearest)
        low, high = 0.0, _MOST
        for _ in range(_LATENCY_TRIALS if target.quantity == "latency" else _TRIALS):
            middle = (low + high) / 2
            module = pruned(middle)
            if target.reached_by(self._measured(module) if target.quantity == "latency" else self._counted(module)):
                high = middle
            else:
                low = middle
        return high

    def reached(self, module: nn.Module, share: float, remove: Callable[[float], None]) -> float:
        """Remove more where other channels are gone than in the trials, until the target is reached.

        Parameters
        ----------
        module : torch.nn.Module
            Without a share of its channels.
        remove : callable
            Removes channels of it until a share is gone.

        Returns
        -------
        float
            The share that is gone.

        Raises
        ------
        UsageError
            If the target cannot be reached.
        """
        timed = self.target.quantity == "latency"
        while not self.target.reached_by(value := self._measured(module) if timed else self._counted(module)):
            if share >= _MOST:
                raise self._out_of_reach(value)
            share = min(_MOST, share + (_MORE_TIMED if timed else _MORE))
            remove(share)
        return share

    def _out_of_reach(self, nearest: float) -> UsageError:
        return UsageError(
            f"{self._original.reference} cannot be pruned to {self.target}: the nearest is "
            f"{Target(self.target.quantity, nearest)}, with {_MOST:.0%} of the channels gone.",
            hint="Ask for no more than that, or name an amount.",
        )

    def _now(self) -> float:
        if self.target.quantity == "latency":
            return self._latency(self._original.bundle)
        return 0.0 if self.target.quantity == "sparsity" else float(self._original.bundle.manifest.size)

    def _measured(self, module: nn.Module) -> float:
        if self.target.quantity == "sparsity":
            return self._counted(module)
        with self._packaged(module) as bundle:
            if self.target.quantity == "latency":
                return self._latency(bundle)
            self._rest = bundle.manifest.size - _bytes(module)
            return float(bundle.manifest.size)

    def _counted(self, module: nn.Module) -> float:
        """Return the sparsity, or the size that a bundle would have: what is no weights hardly changes."""
        if self.target.quantity == "sparsity":
            return 1 - _bytes(module) / self._weights
        return float(_bytes(module) + self._rest + _LEEWAY)

    def _latency(self, bundle: Bundle) -> float:
        servable = Servable.load(bundle, self._original.threads)
        try:
            return p50(servable, {name: array[:1] for name, array in self._original.calibration.raw().items()})
        finally:
            servable.unload()

    @contextmanager
    def _packaged(self, module: nn.Module) -> Iterator[Bundle]:
        self._folder.mkdir()
        try:
            yield packaged(self._original, module, self._folder)
        finally:
            shutil.rmtree(self._folder)


def p50(servable: Servable, row: dict[str, np.ndarray]) -> float:
    """Return the median time of a run in milliseconds, of the turn that was disturbed least."""
    medians = []
    for _ in range(_TURNS):
        taken: list[float] = []
        end = time.perf_counter() + _SECONDS_PER_TURN
        while not taken or time.perf_counter() < end:
            began = time.perf_counter()
            servable.run(row)
            taken.append(time.perf_counter() - began)
        medians.append(statistics.median(taken))
    return min(medians) * 1000


def _bytes(module: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
