"""What a run should be remembered with: its choices, the code, the packages and the machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import Any

import torch

from maas_jupyter.training.fingerprint import fingerprint
from maas_jupyter.training.intake import Subject
from maas_jupyter.training.options import TrainingOptions
from maas_jupyter.training.plan import TrainingPlan

_GIT_SECONDS = 2.0


def parameters_of(subject: Subject, plan: TrainingPlan, options: TrainingOptions) -> dict[str, Any]:
    """Return a run's parameters: what was chosen and what was decided from it."""
    loss = plan.loss
    return {
        **options.parameters(),
        **subject.params,
        "model": subject.name,
        "parameters": sum(parameter.numel() for parameter in subject.module.parameters()),
        "task": plan.task,
        "lr": plan.optimizer.param_groups[0].get("initial_lr", plan.optimizer.param_groups[0]["lr"]),
        "optimizer": type(plan.optimizer).__name__,
        "loss": getattr(loss, "__name__", type(loss).__name__),
        "watch": plan.watched,
        "device": str(plan.device),
        "rows": subject.data.rows,
        "data": fingerprint(subject.data),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def tags_of() -> dict[str, str]:
    """Return the commit of the folder that this process works in, and whether it was changed since."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {"mlflow.source.git.commit": commit, "maas.git.dirty": str(changed is None or bool(changed)).lower()}


def environment() -> dict[str, Any]:
    """Return the machine and the versions of the packages that are imported, for the run's ``environment.json``."""
    versions = {}
    for name, module in sorted(sys.modules.items()):
        version = vars(module).get("__version__") if module is not None and "." not in name else None
        if isinstance(version, str) and not name.startswith("_"):
            versions[name] = str(version)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": versions,
    }


def _git(*words: str) -> str | None:
    """Return git's answer; None where there is no git, no repository, or no answer in time."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=_GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
