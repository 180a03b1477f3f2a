"""What methods give on models that were trained: each figure in one process, the models measured in turns.

``.venv/bin/python tests/benchmarks/optimization_training.py [prune] [encoder]``; the encoder takes about eight minutes.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from maas_jupyter import plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Source, as_source, prepare, split
from maas_jupyter.evaluation.predict import predict_bundle
from maas_jupyter.optimization.distil import Distillation
from maas_jupyter.optimization.finetune import finetune
from maas_jupyter.optimization.optimizer import Optimizer
from maas_jupyter.optimization.original import Original, Trained
from maas_jupyter.optimization.prune import MagnitudePruning, StructuredPruning
from maas_jupyter.packaging import package_prepared
from maas_jupyter.pretrained import Logits
from maas_jupyter.runs import RunState
from maas_jupyter.serving.servable import Servable
from maas_jupyter.training import TrainingOptions

THREADS = 2
TURNS = 20


class Silence:
    """Watches a training without drawing it."""

    def update(self, state: RunState, *, final: bool = False) -> None:
        if final:
            print(f"    {state.name}: {state.metrics}, {state.seconds:.1f} s")

    def epoch(self, metrics: dict[str, float]) -> None:
        pass


def original(module: nn.Module, rows: Source, test: Source, options: TrainingOptions, folder: Path, **how: Any) -> Any:
    """Train and package a model."""
    train, val = split(rows, 0.15, seed=0)
    prepared = prepare(train, module, **how)
    trained = Trained(module, prepared, prepared.like(val), lambda title: Silence())
    finetune(trained, module, options, title="original")
    bundle = package_prepared(module, prepared, folder / "original").bundle
    return Original("model/1", bundle, test, rows, trained, THREADS, lambda text: None)


def times(bundles: dict[str, Bundle], inputs: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Milliseconds of runs through the server's runtime, in turns."""
    servables = {name: Servable.load(bundle, THREADS) for name, bundle in bundles.items()}
    taken: dict[str, list[float]] = {name: [] for name in bundles}
    for turn in range(TURNS + 3):
        for name, servable in servables.items():
            began = time.perf_counter()
            for _ in range(5):
                servable.run(inputs)
            if turn >= 3:
                taken[name].append((time.perf_counter() - began) / 5 * 1000)
    return taken


def report(title: str, start: Original, methods: dict[str, Optimizer], folder: Path, batches: tuple[int, ...]) -> None:
    """Run the methods, and print what each came to."""
    bundles = {"original": start.bundle}
    for number, (name, method) in enumerate(methods.items()):
        place = folder / str(number)
        place.mkdir()
        began = time.perf_counter()
        bundles[name] = method.run(start, place)
        print(f"  {name} took {time.perf_counter() - began:.1f} s")
    print(title)
    for name, bundle in bundles.items():
        found = predict_bundle(bundle, start.rows, subject=name)
        truth = predict_bundle(start.bundle, start.rows, subject="original").predicted if name != "original" else None
        agreement = "" if truth is None else f", agreement {(found.predicted == truth).mean():.2%}"
        accuracy = (found.predicted == found.truth).mean()
        print(f"  {name:<24} {bundle.manifest.size / 1000:9,.0f} kB, accuracy {accuracy:.4f}{agreement}", flush=True)
    raw = start.rows.raw()
    for size in batches:
        taken = times(bundles, {name: array[:size] for name, array in raw.items()})
        for name, each in taken.items():
            ratio = statistics.median(a / b for a, b in zip(taken["original"], each, strict=True))
            print(f"  {size:>3} rows: {name:<24} {statistics.median(each):8.3f} ms, {ratio:.2f} times as fast")


def prune_section() -> None:
    """A wide CNN on digits, half of its channels removed."""
    X, y = load_digits(return_X_y=True)
    rows, test = split(as_source(((X / 16).astype("float32").reshape(-1, 1, 8, 8), y)), 0.3, seed=0)
    torch.manual_seed(0)
    wide = nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3, padding=1),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 3, padding=1),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2048, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    with tempfile.TemporaryDirectory(prefix="maas-benchmark-") as scratch:
        folder = Path(scratch)
        start = original(wide, rows, test, TrainingOptions(epochs=6, schedule="linear"), folder)
        methods: dict[str, Optimizer] = {
            "half of the channels": StructuredPruning(amount=0.5, epochs=4),
            "the same in 2 steps": StructuredPruning(amount=0.5, epochs=2, steps=2),
            "90 % of the weights 0": MagnitudePruning(sparsity=0.9, epochs=4),
        }
        report("wide CNN, digits", start, methods, folder, (1, 32))


CHAPTERS = ("debugger", "string-methods", "specialnames", "compound")


def passages(words: int = 24) -> tuple[list[str], list[str]]:
    """Parts of chapters of Python's manual, and which chapter each is from."""
    texts, answers = [], []
    for chapter in CHAPTERS:
        parts = topics[chapter].split()
        for start in range(0, len(parts) - words + 1, words):
            texts.append(" ".join(parts[start : start + words]))
            answers.append(chapter)
    return texts, answers


def encoder_section() -> None:
    """all-MiniLM-L6-v2, fine-tuned: int8 and students of three layers."""
    from encoder import minilm
    from transformers import AutoTokenizer, BertForSequenceClassification

    texts, answers = passages()
    rows, test = split(as_source((texts, answers)), 0.3, seed=0)
    torch.manual_seed(0)
    encoder = Logits(BertForSequenceClassification.from_pretrained(minilm(), num_labels=len(CHAPTERS)))
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    with tempfile.TemporaryDirectory(prefix="maas-benchmark-") as scratch:
        folder = Path(scratch)
        options = TrainingOptions(epochs=4, optimizer="adamw", lr=1e-4, schedule="linear", warmup=0.1)
        start = original(encoder, rows, test, options, folder, tokenizer=tokenizer, max_length=64)
        print(f"  {start.trained.prepared.data.rows} passages to train on, {start.rows.rows} to judge by")
        methods: dict[str, Optimizer] = {
            "dynamic-int8": plugins.load("optimizer", "dynamic-int8")(),
            "openvino-int8": plugins.load("optimizer", "openvino-int8")(),
            "3 layers": Distillation(student="layers=3", epochs=4, hidden=0),
        }
        report("all-MiniLM-L6-v2 fine-tuned on chapters of Python's manual", start, methods, folder, (1, 8))


SECTIONS = {"prune": prune_section, "encoder": encoder_section}


if __name__ == "__main__":
    for section in sys.argv[1:] or SECTIONS:
        SECTIONS[section]()
