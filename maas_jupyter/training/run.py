"""One training and what came of it."""

from __future__ import annotations

import atexit
import contextvars
import copy
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from maas_jupyter.data import Prepared, TextPreprocessing
from maas_jupyter.errors import Unavailable, UsageError
from maas_jupyter.language import LanguageIntake, merged
from maas_jupyter.plugins import Displayed
from maas_jupyter.pretrained import is_pretrained, quiet, saved_tokenizer, unwrapped
from maas_jupyter.registry import ModelVersion
from maas_jupyter.runs import LAST, RunState, RunStatus
from maas_jupyter.training.losses import LossFunction

_GOODBYE_SECONDS = 10.0


@dataclass(repr=False, eq=False)
class Run(Displayed):
    """One training, over or going on in the background.

    Attributes
    ----------
    state : RunState
        How far it is; changes while it goes on.
    model : torch.nn.Module
        The module that is trained.
    checkpoint : Path or None
        The weights, in safetensors; None where the disk did not take them.
    version : ModelVersion or None
        What was registered.
    prepared : Prepared or None
        The training rows, what was done to them and what their classes are called; None for a language model.
    held_out : Prepared or None
        The validation rows.
    language : LanguageIntake or None
        How a language model takes its rows.
    loss : callable or None
        What it is trained with, class weights included: a function of (output, targets).
    """

    state: RunState
    model: nn.Module
    checkpoint: Path | None = None
    version: ModelVersion | None = None
    prepared: Prepared | None = None
    held_out: Prepared | None = None
    language: LanguageIntake | None = None
    loss: LossFunction | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _error: BaseException | None = None

    def __post_init__(self) -> None:
        _known[self.run_id] = self

    @property
    def run_id(self) -> str:
        """Its id in MLflow."""
        return self.state.run_id

    @property
    def name(self) -> str:
        """Name of the model that it trains."""
        return self.state.name

    @property
    def status(self) -> RunStatus:
        """``training``, ``finished``, ``stopped_early``, ``interrupted`` or ``failed``.

        Interrupted means that it was stopped by hand; the weights reached so far are kept.
        """
        return self.state.status

    @property
    def history(self) -> list[dict[str, float]]:
        """One entry an epoch: ``epoch``, ``loss``, ``accuracy`` or ``mae``; of validation rows ``val_loss``, ..."""
        return self.state.history

    @property
    def epochs(self) -> int:
        """The number of epochs that was asked for."""
        return self.state.epochs

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.state.seconds

    @property
    def warnings(self) -> list[str]:
        """What did not work on the way without ending the run."""
        return self.state.warnings

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the epoch whose weights the module has; of the last one before it is over."""
        return self.state.metrics

    @property
    def stop_event(self) -> threading.Event:
        """Set by `stop`."""
        return self._stop

    @property
    def tokenizer(self) -> Any:
        """What makes tokens of its texts; None where it takes none."""
        if self.language is not None:
            return self.language.tokenizer
        preprocessing = self.prepared.preprocessing if self.prepared is not None else None
        if not isinstance(preprocessing, TextPreprocessing):
            return None
        from tokenizers import Tokenizer

        return Tokenizer.from_str(preprocessing.tokenizer)

    def stop(self) -> None:
        """Ask it to stop after the step it is in and to keep a checkpoint; `wait` returns when it has."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until it is over, registration included.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at the most.

        Raises
        ------
        Unavailable
            If it goes on after ``timeout``.
        MaasError
            What ended it, if it failed.
        """
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                raise Unavailable(
                    f"Run {self.run_id[:8]} goes on after {timeout:g} s.",
                    hint="Wait longer with run.wait(), or end it with run.stop().",
                )
        if self._error is not None:
            raise self._error
        return self

    def save(self, folder: Path | str) -> Path:
        """Write a model of transformers with its tokenizer, adapters merged, as ``from_pretrained`` reads it.

        Parameters
        ----------
        folder : Path or str
            Created if needed.

        Raises
        ------
        UsageError
            If the model is not one of transformers.
        """
        inner = unwrapped(self.model)
        if not is_pretrained(inner):
            raise UsageError(
                f"A {type(self.model).__name__} is not a model of transformers.",
                hint="Its weights are in run.checkpoint, in safetensors.",
            )
        path = Path(folder).expanduser()
        # Merging changes the adapters' model; the run keeps its own.
        whole: Any = merged(copy.deepcopy(inner))
        with quiet():
            if self.prepared is not None and self.prepared.labels is not None:
                whole.config.id2label = dict(enumerate(map(str, self.prepared.labels)))
                whole.config.label2id = {label: index for index, label in whole.config.id2label.items()}
            whole.save_pretrained(path)
            if self.tokenizer is not None:
                saved_tokenizer(self.tokenizer, whole).save_pretrained(path)
        return path

    def in_background(self, work: Callable[[], None]) -> None:
        """Do the work in a thread whose output stays in this cell; what it raises is kept for `wait`."""
        context = contextvars.copy_context()

        def guarded() -> None:
            try:
                context.run(work)
            except BaseException as error:  # noqa: BLE001 - nobody else would see it
                self._error = error

        self._thread = threading.Thread(target=guarded, name=f"maas-train-{self.run_id[:8]}", daemon=True)
        _going_on.add(self)
        self._thread.start()

    @property
    def weights(self) -> str:
        """Of which epoch the module has the weights, in words; empty before the run is over."""
        state = self.state
        if not state.kept or self.status not in ("finished", "stopped_early"):
            return ""
        best = state.best
        chosen = best is not None and (best.metric.startswith("val_") or state.kept < state.epoch)
        if best is None or best.epoch != state.kept or not chosen:
            return f"weights of the last epoch, {state.kept} of {state.epoch}"
        return f"weights of the best epoch, {state.kept} of {state.epoch}: {best.metric} {best.value:.4f}"

    @property
    def course(self) -> str:
        """How far it came: ``3 of 20 epochs in 4.2 s``."""
        state = self.state
        asked = f"{state.epoch} of {state.epochs} epochs" if state.epochs else f"{state.epoch} epochs"
        if state.status == "training" and not state.total_steps:
            return f"epoch 1 of {state.epochs} begins" if state.epochs else "epoch 1 begins"
        return f"{asked} in {state.seconds:.1f} s"

    def __repr__(self) -> str:
        state = self.state
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        lines = [f"Run {self.run_id[:8]} '{self.name}' {state.word}: {self.course}"]
        if metrics:
            lines.append(f"{state.measured_words}: {metrics}")
        if self.version is not None:
            lines.append(f"registered as {self.version!r}")
            lines.append(self.weights)
        elif self.status == "interrupted":
            kept = f" and in {self.checkpoint}" if self.checkpoint else ""
            lines.append(f"not registered; the weights reached are in the module{kept}")
            lines.append(f"go on: {state.resume_line}" if state.resume_line else "")
        elif self.weights:
            lines.append(f"the module has the {self.weights}")
        elif self.status == "failed":
            lines.append(state.error)
        return "\n".join([line for line in lines if line] + [f"warning: {warning}" for warning in self.warnings])


_going_on: weakref.WeakSet[Run] = weakref.WeakSet()
#: The runs of this process by their ids, as long as somebody holds them.
_known: weakref.WeakValueDictionary[str, Run] = weakref.WeakValueDictionary()
#: The last run that could not be registered: no variable holds what an error took the place of.
_unregistered: list[Run] = []


def keep_unregistered(run: Run) -> None:
    """Keep a run, in the place of the one before, for `register` to find."""
    _unregistered[:] = [run]


def unregistered(word: str) -> Run | None:
    """Return the run that is kept, if its id begins so or the last one is meant."""
    return next((run for run in _unregistered if word == LAST or (word and run.run_id.startswith(word))), None)


def known_run(run_id: str | None) -> Run | None:
    """Return the run of this process with an id, as long as somebody holds it."""
    return None if run_id is None else _known.get(run_id)


def trained_by(module: nn.Module) -> Run | None:
    """Return the run of this process that trains a module, or a part of it, in the background; None where none does."""
    mine = {id(parameter) for parameter in module.parameters()}
    for run in list(_going_on):
        if run._thread is not None and run._thread.is_alive() and not mine.isdisjoint(map(id, run.model.parameters())):
            return run
    return None


@atexit.register
def _say_goodbye() -> None:
    """Give runs in the background the time to keep a checkpoint before the process ends."""
    for run in list(_going_on):
        run.stop()
    for run in list(_going_on):
        if run._thread is not None:
            run._thread.join(_GOODBYE_SECONDS)
