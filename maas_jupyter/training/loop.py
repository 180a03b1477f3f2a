"""The training loop: epochs of steps, watched by observers, stopped in order, resumed to the same result."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from math import ceil, isfinite
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from maas_jupyter.data import Data
from maas_jupyter.errors import TrainingError
from maas_jupyter.runs import Best, Curve, RunFolder, RunState, RunStatus
from maas_jupyter.training import randomness
from maas_jupyter.training.batches import Batches, Pair
from maas_jupyter.training.best import BestWeights
from maas_jupyter.training.checkpoint import Checkpoint
from maas_jupyter.training.failures import diverged, far_above, out_of_memory
from maas_jupyter.training.fingerprint import fingerprint
from maas_jupyter.training.keeper import Keeper, Standing
from maas_jupyter.training.measures import Totals
from maas_jupyter.training.meter import Meter
from maas_jupyter.training.options import TrainingOptions
from maas_jupyter.training.plan import TrainingPlan
from maas_jupyter.training.scoring import score
from maas_jupyter.training.stopping import StopRequest, Wish
from maas_jupyter.training.threads import one_thread
from maas_jupyter.training.update import Update

_SECONDS_BETWEEN_LOOKS = 0.1
#: Looks take at most a share of the time: where they take long, they become rarer, but not rarer than once a second.
_LOOK_SHARE, _MOST_SECONDS_BETWEEN_LOOKS = 30, 1.0
_MOST_HISTORY = 1000


class TrainingObserver(Protocol):
    """Is shown the state at most ten times a second, and at the end in any case."""

    def update(self, state: RunState, *, final: bool = False) -> None:
        """Look at the state; it is changed in place afterwards."""

    def epoch(self, metrics: dict[str, float]) -> None:
        """Take the metrics of a complete epoch."""


def fit(
    module: nn.Module,
    data: Data,
    plan: TrainingPlan,
    *,
    val: Data | None,
    options: TrainingOptions,
    state: RunState,
    observers: list[TrainingObserver],
    folder: RunFolder | None = None,
    resume: Checkpoint | None = None,
    stop: Wish | None = None,
) -> Path | None:
    """Train a module in place.

    With validation rows the module has the weights of its best epoch at the end (of the watched metric); those of the
    last one are in the checkpoint. A run that is stopped keeps the weights it reached.

    Parameters
    ----------
    module : torch.nn.Module
        On ``plan.device`` already.
    data, val : Data
        Training and validation rows.
    plan : TrainingPlan
        Task, loss, optimizer and device.
    options : TrainingOptions
        The caller's random states are left as they were, whatever the seed.
    state : RunState
        Changed in place; a resumed run's is the one of its checkpoint.
    observers : list of TrainingObserver
        Who watches.
    folder : RunFolder, optional
        Where checkpoints are kept, and where a stop file is looked for.
    resume : Checkpoint, optional
        Go on from there, to the weights that the run would have reached without a break.
    stop : threading.Event or Wish, optional
        Ends the run in order, as the stop button and the stop file do: after the step, with a checkpoint.

    Returns
    -------
    Path or None
        The file that has the module's weights; None where there is no folder or the disk did not take them.

    Raises
    ------
    InvalidInput
        If a label lies outside the model's classes, a walk over the data gives no rows, or the checkpoint is of
        another architecture.
    TrainingError
        If the loss is not a number, or the memory is used up.
    KeyboardInterrupt
        If it is interrupted a second time before the step is over.
    """
    return _Training(module, data, plan, val, options, state, observers, folder, resume, stop).run()


class _Training:
    def __init__(
        self,
        module: nn.Module,
        data: Data,
        plan: TrainingPlan,
        val: Data | None,
        options: TrainingOptions,
        state: RunState,
        observers: list[TrainingObserver],
        folder: RunFolder | None,
        resume: Checkpoint | None,
        stop: Wish | None,
    ) -> None:
        self.module, self.data, self.plan, self.val = module, data, plan, val
        self.options, self.state, self.observers = options, state, observers
        self.resume, self.stop = resume, StopRequest(stop, folder)
        self.update = Update(plan, options)
        self.batches = Batches(data, options.batch_size, options.seed, plan.device, plan.classes)
        self.here = Standing(
            module=module,
            plan=plan,
            options=options,
            state=state,
            best=BestWeights(module),
            totals=Totals(plan.metric, plan.device, plan.weigh),
            data_digest=fingerprint(data),
            val_digest="" if val is None else fingerprint(val),
            generators=randomness.generators_of(data),
            repeatable=self.batches.repeatable,
        )
        self.keeper = Keeper(None if folder is None else folder.path, self.here)
        self.taken_up: randomness.State | None = None
        self.inputs: tuple[Tensor, ...] = ()

    # -- from the start to the end ------------------------------------------------------------------------------------

    def run(self) -> Path | None:
        self._begin()
        try:
            with randomness.kept(self.plan.device), self.stop, one_thread(self.plan.small) as alone:
                if alone:
                    self.state.notes.append("one thread: its steps are too small to be shared")
                randomness.seed_all(self.options.seed)
                kept = self._run()
        except KeyboardInterrupt:
            self.state.status = "interrupted"
            self._end()
            raise
        except BaseException as error:
            rows = len(self.inputs[0]) if self.inputs else self.options.batch_size
            told = out_of_memory(error, self.state, self.options, rows)
            self.state.status, self.state.error = "failed", str(told or error) or type(error).__name__
            self._end()
            if told is not None:
                raise told from error
            raise
        self._end()
        return kept

    def _run(self) -> Path | None:
        state = self.state
        try:
            if self.resume is not None:
                self.taken_up = self.keeper.take_up(self.resume)
            state.status = self._epochs()
        except KeyboardInterrupt:
            if self.stop.forced:
                raise
            # Raised by the code that was trained, somewhere within a step; the weights are the ones of that moment.
            state.status = "interrupted"
        self._take_losses()
        kept = self.keeper.finish(restore_best=state.status != "interrupted" and self.val is not None)
        if state.status != "interrupted":
            for warning in far_above(state, float(self.plan.optimizer.param_groups[0]["lr"]), self.options):
                self._warn(warning)
        return kept

    def _begin(self) -> None:
        state, batches, options = self.state, self.batches.count, self.options
        state.status, state.error, state.kept = "training", "", 0
        state.device = str(self.plan.device)
        state.pid, state.host = os.getpid(), socket.gethostname()
        state.steps = None if batches is None else ceil(batches / options.accumulate)
        if options.epochs is not None:
            state.epochs = options.epochs
            state.goal = None if state.steps is None else options.epochs * state.steps
        else:
            state.goal = options.steps
            state.epochs = 0 if not state.steps else ceil((options.steps or 0) / state.steps)
        state.started = state.started or time.time()
        self.meter = Meter(state, self.plan.device)
        self.next_look = self.look_cost = 0.0

    def _end(self) -> None:
        self.module.eval()
        self.meter.measure()
        for observer in self.observers:
            observer.update(self.state, final=True)

    def _epochs(self) -> RunStatus:
        state, options = self.state, self.options
        while options.steps is not None or state.epoch < (options.epochs or 0):
            if not self._train():
                return "interrupted"
            self._finish_epoch()
            if options.patience is not None and self.here.waited >= options.patience:
                return "stopped_early"
            if options.steps is not None and state.total_steps >= options.steps:
                break
            if self.stop.wished and state.epoch != options.epochs:
                return "interrupted"
        return "finished"

    # -- one epoch ----------------------------------------------------------------------------------------------------

    def _train(self) -> bool:
        """Train to the end of the epoch; False where it was stopped before."""
        state, plan, totals, stop = self.state, self.plan, self.here.totals, self.stop
        module, criterion, precision = self.module, plan.loss, plan.precision
        update, schedule, accumulate = self.update, plan.schedule, self.options.accumulate
        limit, count = self.options.steps, self.batches.count
        module.train()
        clock = time.perf_counter
        for inputs, targets in self._walk():
            if not update.pending:
                update.clear()
                if schedule is not None:
                    schedule.before_step(state.total_steps, state.fraction)
            self.inputs = inputs
            if precision.mixed:
                with precision.autocast():
                    output = module(*inputs)
                    loss = criterion(output, targets)
            else:
                output = module(*inputs)
                loss = criterion(output, targets)
            value = totals.add(loss, output, targets)
            if value is not None and not isfinite(value):
                raise self._diverged(value, state.total_steps + 1)
            update.add(loss, targets)
            state.rows += len(targets)
            if update.pending < accumulate and self.here.batch + update.pending != count:
                continue
            self._step()
            if clock() >= self.next_look:
                self._look()
            if stop.wished and self.here.batch != count:
                return False
            if state.total_steps == limit:
                break
        if stop.wished and self.here.batch != count:
            return False
        if update.pending:
            self._step()
        return True

    def _step(self) -> None:
        self.here.batch += self.update.pending
        self.update.step()
        self.state.step += 1
        self.state.total_steps += 1

    def _walk(self) -> Iterator[Pair]:
        number, device = self.state.epoch + 1, self.plan.device
        if self.batches.repeatable:
            return self.batches.epoch(number, self.here.batch)
        if not self.here.batch:
            self.here.epoch_start = randomness.capture(device, self.here.generators)
        return self._as_far_as_it_goes(self.batches.epoch(number, self.here.batch, self._passed))

    def _passed(self) -> None:
        """Go on with the random states of the checkpoint, behind the batches that were loaded again."""
        if self.taken_up is not None:
            randomness.restore(self.taken_up, self.plan.device, [])
            self.taken_up = None

    def _as_far_as_it_goes(self, walk: Iterator[Pair]) -> Iterator[Pair]:
        try:
            yield from walk
        except RuntimeError as error:
            # An interrupt reaches the workers of a loader too, and ends them.
            if not (self.stop.wished and "DataLoader worker" in str(error)):
                raise

    def _finish_epoch(self) -> None:
        state, plan = self.state, self.plan
        self._take_losses()
        measured = self.here.totals.means()
        if self.val is not None:
            measured |= {
                f"val_{name}": value
                for name, value in score(self.module, self.val, plan, self.options.batch_size).items()
            }
        metrics = {name: value for name, value in measured.items() if isfinite(value)}
        for name in measured.keys() - metrics.keys():
            self._warn(f"{name} is not a number since epoch {state.epoch + 1}")
        state.epoch += 1
        state.step = self.here.batch = 0
        self.here.totals = Totals(plan.metric, plan.device, plan.weigh)
        entry = {"epoch": float(state.epoch), **metrics}
        state.history.append(entry)
        del state.history[:-_MOST_HISTORY]
        for name, value in metrics.items():
            if name != "loss":
                state.curves.setdefault(name, Curve()).add(float(state.epoch), value)
        improved = self._compare(metrics)
        if plan.schedule is not None:
            plan.schedule.after_epoch(metrics.get(plan.watched))
        for observer in self.observers:
            observer.epoch(entry)
        if (improved and self.val is not None and self.here.best.on_disk) or self.keeper.due(time.perf_counter()):
            self.keeper.save()

    def _compare(self, metrics: dict[str, float]) -> bool:
        value, best, upwards = metrics.get(self.plan.watched), self.state.best, self.plan.upwards
        if value is not None and (best is None or (value > best.value if upwards else value < best.value)):
            self.state.best = Best(self.state.epoch, self.plan.watched, value, metrics)
            self.here.waited = 0
            if self.val is not None:
                self.here.best.keep(self.module)
            return True
        self.here.waited += 1
        return False

    # -- looking on ---------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        began = time.thread_time()
        self._take_losses()
        self.meter.measure()
        self.stop.look()
        for observer in self.observers:
            observer.update(self.state)
        cost = time.thread_time() - began
        # The first look, and one that is held up, say nothing of the others.
        usual, self.look_cost = min(cost, self.look_cost), cost
        now = time.perf_counter()
        pause = max(_SECONDS_BETWEEN_LOOKS, _LOOK_SHARE * usual)
        self.next_look = now + min(_MOST_SECONDS_BETWEEN_LOOKS, pause)
        if self.keeper.due(now):
            self.keeper.save()

    def _take_losses(self) -> None:
        state, count = self.state, self.batches.count
        losses = self.here.totals.drain()
        curve = state.curves.setdefault("loss", Curve())
        first = self.here.batch - len(losses)
        for index, value in enumerate(losses, start=first + 1):
            if not isfinite(value):
                # Where numbers stay on the device, some steps have followed.
                raise self._diverged(value, state.total_steps - state.step + ceil(index / self.options.accumulate))
            # Where the length is not known before the end, the epoch is drawn as if it came nearer and nearer.
            curve.add(state.epoch + (index / count if count else index / (index + 1000)), value)

    def _diverged(self, value: float, step: int) -> TrainingError:
        lr = float(self.plan.optimizer.param_groups[0]["lr"])
        return diverged(
            value,
            self.state,
            step=step,
            inputs=self.inputs,
            data=self.data,
            norm=self.update.norm,
            options=self.options,
            lr=lr,
        )

    def _warn(self, text: str) -> None:
        if text not in self.state.warnings:
            self.state.warnings.append(text)
