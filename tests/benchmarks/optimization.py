"""What the methods of optimisation reach: ``.venv/bin/python tests/benchmarks/optimization.py``.

Prints ratios, measured in turns in one run: medians of the ratios of neighbours, and in brackets of the shortest times,
which a busy machine disturbs least. Name sections to run only some: encoder digits repeats whole.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import encoder
import numpy as np
import torch
from sklearn.datasets import load_digits
from tokenizers import Tokenizer
from torch import nn

import maas_jupyter
from maas_jupyter import plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.data import Source, as_source
from maas_jupyter.optimization import Original
from maas_jupyter.packaging import MeanPooling, package, package_text
from maas_jupyter.serving.environment import child_environment
from maas_jupyter.serving.servable import Servable

_CLASSES = 8
#: About 65 tokens, and the rows that predictions are compared on.
_CHARACTERS, _ROWS = 180, 400


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def in_turns(rounds: int, calls: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Call each in turns and return the seconds that each took."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            call()  # what ran before has left its own data in the caches
            started = time.perf_counter()
            call()
            if turn:
                taken[name].append(time.perf_counter() - started)
    return taken


def ratio(base: list[float], other: list[float]) -> str:
    """Return how many times as fast the other one is."""
    median = statistics.median(one / two for one, two in zip(base, other, strict=True))
    return f"{median:.2f} times ({min(base) / min(other):.2f})"


def original(bundle: Bundle, rows: Source, threads: int) -> Original:
    """Return what methods work on."""
    return Original("benchmark/1", bundle, rows, rows, None, threads, lambda step: None)


def variants(subject: Original, methods: list[str], folder: Path) -> dict[str, Bundle]:
    """Make each variant that applies here."""
    made = {}
    for method in methods:
        optimizer = plugins.load("optimizer", method)()
        if not optimizer.applies_to(subject):
            say(f"  {method} does not apply here")
            continue
        place = folder / method
        place.mkdir()
        started = time.perf_counter()
        made[method] = optimizer.run(subject, place)
        say(f"  {method} was made in {time.perf_counter() - started:.1f} s")
    return made


class Probe(nn.Module):
    """A linear classifier on a frozen encoder."""

    def __init__(self, pooled: nn.Module) -> None:
        super().__init__()
        self.pooled = pooled
        self.linear = nn.Linear(384, _CLASSES)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.linear(self.pooled(input_ids, attention_mask))


def probe(texts: list[str], labels: np.ndarray, folder: Path) -> tuple[nn.Module, Bundle]:
    """Fit a classifier on the features of all-MiniLM-L6-v2.

    The rows that predictions are compared on must be others: on its own it is surer than it will be when it serves.
    """
    from transformers import BertModel

    module = Probe(MeanPooling(BertModel.from_pretrained(encoder.minilm(), add_pooling_layer=False))).eval()
    tokenizer = Tokenizer.from_file(str(encoder.minilm() / "tokenizer.json"))
    options = {"max_length": encoder.MAX_LENGTH, "task": "classification"}
    first = package_text(module, texts[:4], tokenizer, folder / "unfitted", **options).bundle
    servable = Servable.load(first)
    features = []
    with torch.inference_mode():
        for start in range(0, len(texts), 16):
            tensors = servable.preprocess({"text": np.array(texts[start : start + 16], dtype=object)})
            features.append(module.pooled(*(torch.from_numpy(array) for array in tensors.values())))
    servable.unload()
    inputs = torch.cat(features)
    mean, spread = inputs.mean(0), inputs.std(0).clamp(min=1e-3)  # one of the features never changes
    scaled = torch.cat([(inputs - mean) / spread, torch.ones(len(inputs), 1)], dim=1)
    goals = nn.functional.one_hot(torch.from_numpy(labels), _CLASSES).float() * 8
    # Ridge regression: strong enough that the classifier does not hang on noise.
    weight = torch.linalg.solve(scaled.T @ scaled + 50 * torch.eye(scaled.shape[1]), scaled.T @ goals)
    with torch.no_grad():
        module.linear.weight.copy_((weight[:-1] / spread[:, None]).T)
        module.linear.bias.copy_(weight[-1] - (mean / spread) @ weight[:-1])
    return module, package_text(module, texts[:4], tokenizer, folder / "fitted", **options).bundle


def encoder_section(folder: Path, options: argparse.Namespace) -> None:
    """A classifier on all-MiniLM-L6-v2, 8 x about 65 tokens, against torch eager fp32."""
    known = encoder.sentences(3 * _ROWS, _CHARACTERS)
    places = np.arange(len(known))
    classes = places * _CLASSES // len(known)  # where in the manual they stand
    learned = places % 3 > 0
    module, bundle = probe([known[place] for place in places[learned]], classes[learned], folder)
    texts = [known[place] for place in places[~learned]]
    calibration = [known[place] for place in places[learned]]
    subject = original(bundle, as_source((calibration, classes[learned])), options.threads)
    made = {"onnxruntime fp32": bundle, **variants(subject, options.methods or ENCODER_METHODS, folder)}
    loaded = {name: Servable.load(each, options.threads) for name, each in made.items()}
    rows = [{"text": np.array(texts[start : start + 8], dtype=object)} for start in range(0, _ROWS, 8)]
    batch = min(rows, key=lambda each: abs(loaded["onnxruntime fp32"].preprocess(each)["input_ids"].shape[1] - 65))
    tokens = loaded["onnxruntime fp32"].preprocess(batch)
    tensors = [torch.from_numpy(array) for array in tokens.values()]

    def eager() -> None:
        with torch.inference_mode():
            module(*tensors)

    torch.set_num_threads(options.threads)
    calls: dict[str, Callable[[], object]] = {"torch": eager}
    calls |= {name: lambda servable=servable: servable.run(batch) for name, servable in loaded.items()}
    taken = in_turns(options.rounds, calls)
    say(
        f"  8 x {tokens['input_ids'].shape[1]} tokens, {options.threads} threads, torch "
        f"{statistics.median(taken['torch']) * 1000:.0f} ms"
    )
    answers = {
        name: np.concatenate([servable.run(each)["label"] for each in rows]) for name, servable in loaded.items()
    }
    truth = answers["onnxruntime fp32"]
    say(f"  predictions of the original: {np.bincount(truth.astype(int), minlength=_CLASSES).tolist()}")
    for name, each in made.items():
        goal = {"dynamic-int8": " (3.3, 99 %)", "openvino-int8": " (4)"}.get(name, "")
        say(
            f"encoder, {name} / torch eager fp32: {ratio(taken['torch'], taken[name])}, agreement "
            f"{(answers[name] == truth).mean():.2%}, {each.manifest.size / bundle.manifest.size:.2f} of the size{goal}"
        )


def digits_section(folder: Path, options: argparse.Namespace) -> None:
    """A CNN of digits: static int8 against its own fp32 at several batch sizes."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype("float32").reshape(-1, 1, 8, 8)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:1200], order[1200:]
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 10)),
    )
    inputs, targets = torch.from_numpy(X[train]), torch.from_numpy(y[train])
    optimizer = torch.optim.Adam(module.parameters())
    for _ in range(30):
        for part in torch.randperm(len(train)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(inputs[part]), targets[part]).backward()
            optimizer.step()
    bundle = package(module.eval(), (inputs[:16],), folder / "digits", task="classification").bundle
    name = bundle.manifest.signature.inputs[0].name
    subject = original(bundle, as_source((X[train], y[train])), options.threads)
    made = {"fp32": bundle, **variants(subject, options.methods or DIGITS_METHODS, folder)}
    loaded = {method: Servable.load(each, options.threads) for method, each in made.items()}
    accuracy = {
        method: (servable.run({name: X[test]})["label"] == y[test]).mean() for method, servable in loaded.items()
    }
    taken = {}
    for size in (1, 8, 32, 64):
        batch = {name: X[test][:size]}

        def repeat(servable: Servable, batch: dict[str, np.ndarray] = batch, size: int = size) -> None:
            for _ in range(max(4, 256 // size)):
                servable.run(batch)

        calls = {method: lambda servable=servable, run=repeat: run(servable) for method, servable in loaded.items()}
        taken[size] = in_turns(options.rounds, calls)
    for method, each in made.items():
        speeds = ", ".join(f"{size}: {ratio(times['fp32'], times[method])}" for size, times in taken.items())
        say(
            f"digits, {method}: {each.manifest.size / bundle.manifest.size:.3f} of the size (0.3), accuracy "
            f"{accuracy[method]:.4f}, {100 * (accuracy[method] - accuracy['fp32']):+.2f} points (-0.5), "
            f"against fp32 by batch size: {speeds}"
        )


def digits_run(home: Path) -> tuple[object, tuple[np.ndarray, np.ndarray]]:
    """Train and register a CNN of digits; returns the run and rows that it has not seen."""
    os.environ["MAAS_HOME"] = str(home)
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype("float32").reshape(-1, 1, 8, 8)
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    run = maas_jupyter.train(module, data=(X[:1300], y[:1300]), epochs=5, lr=2e-3, name="digits")
    return run, (X[1300:], y[1300:])


def repeats_section(folder: Path, options: argparse.Namespace) -> None:
    """The p50 of each candidate over five comparisons."""
    _, rows = digits_run(folder)
    found: dict[str, list[float]] = {}
    for _ in range(5):
        comparison = maas_jupyter.quantize("digits/1", data=rows, method=("dynamic-int8", "static-int8"))
        for candidate in comparison.candidates:
            if candidate.measured is not None and candidate.measured.speed is not None:
                found.setdefault(candidate.method, []).append(candidate.measured.speed.p50_ms)
    for method, times in found.items():
        shown = ", ".join(f"{each:.4f}" for each in times)
        middle = statistics.median(times)
        far = max(abs(each / middle - 1) for each in times)
        say(f"{method}: p50 {shown} ms; the farthest is {far:.1%} from the median (10 %)")


def whole_section(folder: Path, options: argparse.Namespace) -> None:
    """The whole ``optimize`` of a CNN of digits, from a run, with every method that applies."""
    run, rows = digits_run(folder)
    started = time.perf_counter()
    comparison = maas_jupyter.optimize(run, data=rows, max_drop=0.02, budget=60)
    say(repr(comparison))
    say(f"optimize took {time.perf_counter() - started:.0f} s (60)")


ENCODER_METHODS = ["fused", "dynamic-int8", "static-int8", "weight-int8", "openvino-bf16", "openvino-int8"]
DIGITS_METHODS = ["static-int8", "static-int8-entropy", "static-int8-percentile", "dynamic-int8"]
SECTIONS = {
    "encoder": encoder_section,
    "digits": digits_section,
    "repeats": repeats_section,
    "whole": whole_section,
}


def main() -> None:
    """Run the sections that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], default=[], metavar="SECTION")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2, help="of one run")
    parser.add_argument("--methods", nargs="+", help="instead of those of the section")
    options = parser.parse_args()
    allocator = {name: value for name, value in child_environment().items() if name.startswith("MALLOC_")}
    if not allocator.items() <= os.environ.items():
        # Memory is managed as in the server's workers.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **allocator})
    for name in options.sections or SECTIONS:
        folder = Path(tempfile.mkdtemp(prefix="maas-benchmark-"))
        try:
            say(f"{name}: {SECTIONS[name].__doc__}")
            SECTIONS[name](folder, options)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
