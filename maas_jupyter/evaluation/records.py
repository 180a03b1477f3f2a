"""What is kept of an evaluation and of a comparison: one JSON file and the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from maas_jupyter.evaluation.figures import as_png, differences_figure, pictures

if TYPE_CHECKING:
    from maas_jupyter.evaluation.paired import PairedComparison
    from maas_jupyter.evaluation.report import Evaluation


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write ``evaluation.json`` and a PNG file for each picture into a folder."""
    report: dict[str, Any] = {
        name: getattr(evaluation, name)
        for name in (
            "subject",
            "task",
            "rows",
            "metrics",
            "intervals",
            "classes",
            "confusion",
            "slices",
            "module_difference",
            "verdict",
            "notes",
        )
    }
    _write(folder / "evaluation.json", report)
    for name, draw in pictures(evaluation).items():
        (folder / f"{name}.png").write_bytes(as_png(draw())[0])


def write_comparison(comparison: PairedComparison, folder: Path) -> None:
    """Write ``comparison.json`` and ``differences.png`` into a folder."""
    _write(folder / "comparison.json", comparison)
    (folder / "differences.png").write_bytes(as_png(differences_figure(comparison))[0])


def _write(path: Path, report: Any) -> None:
    # Intervals are tuples with names, so they become [low, high].
    text = msgspec.json.encode(report, enc_hook=_plain)
    path.write_bytes(msgspec.json.format(text, indent=2))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(type(value).__name__)
