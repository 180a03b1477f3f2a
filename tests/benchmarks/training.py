"""Figures of the training loop, by hand: ``.venv/bin/python tests/benchmarks/training.py [SECTION ...]``.

Sections: ``digits`` (in-memory tensors), ``loader`` (a DataLoader of the user's), ``encoder`` (a sentence encoder of
MiniLM's size), ``memory``. Each runs in a notebook's kernel of its own, with the live view, tracking and checkpoints
on, and prints the time of a step against a bare torch loop and, where ``accelerate`` is installed, against
``transformers.Trainer``: medians of rounds in which all take turns. Beside the clock stands the CPU time of the main
thread, which a machine that others use too disturbs less.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROUNDS = 7
BATCH = 32

Times = tuple[float, float]


def perceptron() -> Any:
    """The digits MLP."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def digits() -> Any:
    """The digits as a dataset in memory."""
    import torch
    from sklearn.datasets import load_digits
    from torch.utils.data import TensorDataset

    X, y = load_digits(return_X_y=True)
    return TensorDataset(torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y))


def bare(module: Any, loader: Any, epochs: int, optimizer: Any = None, clip: float | None = None) -> int:
    """Train with the loop that one writes by hand; return the steps."""
    import torch
    from torch import nn

    optimizer = optimizer or torch.optim.Adam(module.parameters())
    criterion, steps = nn.CrossEntropyLoss(), 0
    module.train()
    for _ in range(epochs):
        for *inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(module(*inputs), targets)
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
            steps += 1
    return steps


def ours(module: Any, data: Any, epochs: int, **options: Any) -> int:
    """Train with ``maas_jupyter.train``, from the entry in MLflow to its end; return the steps."""
    import maas_jupyter

    return maas_jupyter.train(module, data=data, epochs=epochs, **options).state.total_steps


def trainer(module: Any, dataset: Any, epochs: int, names: list[str], **options: Any) -> int:
    """Train with ``transformers.Trainer`` as it comes, without its progress bar; return the steps."""
    import torch
    import transformers
    from torch import nn

    class Labelled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module, self.criterion = module, nn.CrossEntropyLoss()

        def forward(self, labels: Any = None, **inputs: Any) -> dict[str, Any]:
            output = self.module(*(inputs[name] for name in names))
            return {"loss": self.criterion(output, labels), "logits": output}

    class Rows(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(dataset)

        def __getitem__(self, row: int) -> dict[str, Any]:
            return dict(zip([*names, "labels"], dataset[row], strict=True))

    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="maas-trainer-") as folder:
        given = {"per_device_train_batch_size": BATCH, "learning_rate": 1e-3, "save_strategy": "no", **options}
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            num_train_epochs=epochs,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            remove_unused_columns=False,
            label_names=["labels"],
            **given,
        )
        made = transformers.Trainer(model=Labelled(), args=arguments, train_dataset=Rows())
        made.remove_callback(transformers.PrinterCallback)
        made.train()
        return int(made.state.global_step)


def whole(train: Callable[[], int]) -> Times:
    """Seconds by the clock and of the main thread's CPU for a step, all that surrounds the steps included."""
    began, cpu = time.perf_counter(), time.thread_time()
    steps = train()
    return (time.perf_counter() - began) / steps, (time.thread_time() - cpu) / steps


def steady(module: Any, train: Callable[[Any], int]) -> Times:
    """The same from the first forward pass to the last one: what a long training comes to."""
    seen: list[tuple[float, float]] = []

    def look(module: Any, inputs: Any) -> None:
        if module.training:
            seen.append((time.perf_counter(), time.thread_time()))

    # What is wrapped: the wrapper of a transformers model may be made anew.
    hook = next(module.children()).register_forward_pre_hook(look)
    train(module)
    hook.remove()
    (began, cpu), (ended, cpu_ended) = seen[0], seen[-1]
    return (ended - began) / (len(seen) - 1), (cpu_ended - cpu) / (len(seen) - 1)


def take_turns(title: str, contestants: dict[str, Callable[[], Times]], rounds: int = ROUNDS) -> None:
    """Run all in turn; print the medians of a step's times, and those of the first as shares of the others'."""
    taken: dict[str, list[Times]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            gc.collect()
            times = run()
            if turn:  # the first round warms up
                taken[name].append(times)
    print(f"{title}, {rounds} rounds")
    for name, times in taken.items():
        wall, cpu = (statistics.median(each) * 1e6 for each in zip(*times, strict=True))
        print(f"  {name:<28} {wall:10,.0f} us/step by the clock {cpu:10,.0f} us/step of CPU")
    mine, *others = taken
    for other in others:
        pairs = list(zip(taken[mine], taken[other], strict=True))
        wall, cpu = (statistics.median(a[which] / b[which] for a, b in pairs) for which in (0, 1))
        print(f"  {mine} / {other}: {wall:.3f} by the clock, {cpu:.3f} of CPU")


def digits_section() -> None:
    """In-memory tensors."""
    from torch.utils.data import DataLoader

    data = digits()
    contestants = {
        "maas-jupyter": lambda: whole(lambda: ours(perceptron(), data, 100)),
        "bare torch DataLoader loop": lambda: whole(
            lambda: bare(perceptron(), DataLoader(data, batch_size=BATCH, shuffle=True), 40)
        ),
    }
    if importlib.util.find_spec("accelerate"):
        contestants["transformers.Trainer"] = lambda: whole(lambda: trainer(perceptron(), data, 8, ["x"]))
    take_turns("digits MLP 64-128-10, batch 32, tensors in memory", contestants)


def loader_section() -> None:
    """A loader of the user's."""
    from torch.utils.data import DataLoader

    data = digits()

    def loader() -> Any:
        return DataLoader(data, batch_size=BATCH, shuffle=True)

    take_turns(
        "digits MLP 64-128-10, batch 32, the user's DataLoader",
        {
            "maas-jupyter": lambda: whole(lambda: ours(perceptron(), loader(), 60)),
            "the same in a bare loop": lambda: whole(lambda: bare(perceptron(), loader(), 60)),
        },
    )


def encoder_section() -> None:
    """A sentence encoder; AdamW, clipped at 1, as transformers.Trainer does by default."""
    import torch
    from encoder import encoder
    from torch.utils.data import DataLoader, TensorDataset

    rows, length, size = 160, 64, 8
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 30_000, (rows, length), generator=generator)
    data = TensorDataset(tokens, torch.ones_like(tokens), torch.randint(0, 2, (rows,), generator=generator))
    options = {"batch_size": size, "optimizer": "adamw", "clip": 1.0, "schedule": "linear", "lr": 1e-4}
    contestants = {"maas-jupyter": lambda: steady(encoder(2), lambda module: ours(module, data, 1, **options))}
    if importlib.util.find_spec("accelerate"):
        given = {"per_device_train_batch_size": size, "learning_rate": 1e-4}
        names = ["input_ids", "attention_mask"]
        contestants["transformers.Trainer"] = lambda: steady(
            encoder(2), lambda module: trainer(module, data, 1, names, **given)
        )

    def by_hand(module: Any) -> int:
        optimizer = torch.optim.AdamW(module.parameters(), fused=True)
        return bare(module, DataLoader(data, batch_size=size, shuffle=True), 1, optimizer, 1.0)

    contestants["bare loop, fused AdamW"] = lambda: steady(encoder(2), by_hand)
    take_turns("encoder of MiniLM's size, batch 8 x 64 tokens", contestants, rounds=4)


MEMORY = """
import sys
sys.path[:0] = [{here!r}]
import training
print(training.memory_of({who!r}, {what!r}))
"""


def memory_of(who: str, what: str) -> int:
    """Peak resident bytes of this process after a training."""
    import resource

    import torch
    from encoder import encoder
    from torch.utils.data import DataLoader, TensorDataset

    if what == "encoder":
        tokens = torch.randint(5, 30_000, (32, 64))
        data, module, size = TensorDataset(tokens, torch.ones_like(tokens), torch.randint(0, 2, (32,))), encoder(2), 8
    else:
        X = torch.randn(200_000, 256)
        data, module, size = TensorDataset(X, torch.randint(0, 10, (len(X),))), _wide(), 256
    # Both have everything imported: what is compared is the training.
    import maas_jupyter
    from maas_jupyter.api.subjects import open_registry

    open_registry()
    import maas_jupyter.training.job

    if who == "bare":
        bare(module, DataLoader(data, batch_size=size, shuffle=True), 2)
    else:
        maas_jupyter.train(module, data=data, epochs=2, batch_size=size, checkpoint_seconds=0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _wide() -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10))


def memory_section() -> None:
    """Peak memory, each in a process of its own."""
    import subprocess

    for what in ("rows", "encoder"):
        peaks = {}
        for who in ("maas-jupyter", "bare"):
            code = MEMORY.format(here=str(HERE), who=who, what=what)
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            peaks[who] = int(done.stdout.split()[-1])
        print(f"peak memory, {'200,000 rows of 256 numbers in memory' if what == 'rows' else 'encoder'}")
        for who, peak in peaks.items():
            print(f"  {who:<28} {peak / 1e6:10,.0f} MB")
        print(f"  maas-jupyter / bare: {peaks['maas-jupyter'] / peaks['bare']:.3f}")


SECTIONS = {
    "digits": digits_section,
    "loader": loader_section,
    "encoder": encoder_section,
    "memory": memory_section,
}


def in_a_kernel(section: str) -> None:
    """Run a section as a cell of a notebook, so that the view draws what it would draw there."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        code = f"import sys; sys.path[:0] = [{str(HERE)!r}]; import training; training.SECTIONS[{section!r}]()"

        def show(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                sys.stdout.write(message["content"]["text"])
                sys.stdout.flush()
            elif message["msg_type"] == "error":
                print("\n".join(message["content"]["traceback"]))

        client.execute_interactive(code, output_hook=show, timeout=1800)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main() -> None:
    """Print the sections that are asked for, or all."""
    with tempfile.TemporaryDirectory(prefix="maas-benchmark-") as folder:
        os.environ["MAAS_HOME"] = str(Path(folder) / "home")
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        for section in sys.argv[1:] or SECTIONS:
            in_a_kernel(section)


if __name__ == "__main__":
    main()
