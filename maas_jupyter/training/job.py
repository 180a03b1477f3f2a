"""A training with all that surrounds it: the loop, who watches, what is written down, what is kept."""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from maas_jupyter.data import Data
from maas_jupyter.registry import Registry
from maas_jupyter.runs import RunFolder, RunState
from maas_jupyter.training.checkpoint import Checkpoint
from maas_jupyter.training.environment import environment, parameters_of, tags_of
from maas_jupyter.training.intake import Subject
from maas_jupyter.training.loop import TrainingObserver, fit
from maas_jupyter.training.options import TrainingOptions
from maas_jupyter.training.plan import TrainingPlan
from maas_jupyter.training.recorder import Recorder, write_origin
from maas_jupyter.training.resume import compare
from maas_jupyter.training.run import Run


@dataclass
class TrainingJob:
    """One training, from its entry in MLflow to its last checkpoint.

    Attributes
    ----------
    run : Run
        What a user holds.
    """

    run: Run
    data: Data
    val: Data | None
    plan: TrainingPlan
    options: TrainingOptions
    folder: RunFolder
    recorder: Recorder
    resume: Checkpoint | None
    files: list[tuple[Path, str]]

    @classmethod
    def make(
        cls,
        registry: Registry,
        home: Path,
        title: str,
        subject: Subject,
        plan: TrainingPlan,
        options: TrainingOptions,
        *,
        resume: Checkpoint | None = None,
        source: str | None = None,
    ) -> TrainingJob:
        """Enter the run in MLflow and make its folder.

        Parameters
        ----------
        home : Path
            The maas home.
        title : str
            The run's name.
        subject : Subject
            What is trained, on what.
        source : str, optional
            Code that is kept with the run.

        Raises
        ------
        Unavailable
            If MLflow does not answer.
        InvalidInput
            If the checkpoint is of another architecture.
        """
        tags = {"maas.verb": "train", **tags_of()}
        module, data = subject.module, subject.data
        told = [*subject.notes, *plan.notes]
        if resume is None:
            entries = parameters_of(subject, plan, options)
            state = RunState(run_id=registry.start_run(title, entries, tags), name=title, notes=told)
        else:
            resume.check_architecture(module)
            state = resume.state.run
            changed = compare(resume, options, data, subject.val)
            registry.resume_run(state.run_id, {**tags, "maas.resumed": "; ".join(changed) or "unchanged"})
            told.append(f"resumed at epoch {state.epoch + 1}, step {state.total_steps + 1}")
            told += [f"not the result of a run without a break: {', '.join(changed)}"] if changed else []
            state.notes = told
        state.warnings += [warning for warning in subject.warnings if warning not in state.warnings]
        state.epochs = options.epochs or 0
        # At once, so that it is the last run for whoever asks, though its thread may not have begun.
        state.started = state.started or time.time()
        state.pid, state.host = os.getpid(), socket.gethostname()
        folder = RunFolder(home, state.run_id)
        if resume is None:
            # Before anybody can see it: a wish that comes from now on is meant for this training.
            folder.clear_stop()
        recorder = Recorder(registry, folder, state)
        files = []
        try:
            folder.write(state)
            files = write_origin(folder, source, {**environment(), **tags})
        except OSError as error:
            state.warnings.append(f"cannot keep the run's code and environment: {error.strerror or error}")
        run = Run(
            state,
            module,
            prepared=subject.prepared,
            held_out=subject.held_out,
            language=subject.language,
            loss=plan.loss,
        )
        return cls(run, data, subject.val, plan, options, folder, recorder, resume, files)

    def train(self, observers: list[TrainingObserver]) -> None:
        """Train, and close the run in MLflow however it ends."""
        run = self.run
        self.recorder.start()
        try:
            run.checkpoint = fit(
                run.model,
                self.data,
                self.plan,
                val=self.val,
                options=self.options,
                state=run.state,
                observers=[*observers, self.recorder],
                folder=self.folder,
                resume=self.resume,
                stop=run.stop_event,
            )
        finally:
            if run.state.status == "training":
                # It was cut off before its first step.
                error = sys.exc_info()[1]
                interrupted = isinstance(error, KeyboardInterrupt)
                run.state.status = "interrupted" if interrupted else "failed"
                run.state.error = "" if interrupted else str(error)
            weights = [(run.checkpoint, "training")] if run.checkpoint is not None else []
            self.recorder.close([*self.files, *weights])
