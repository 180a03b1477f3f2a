"""Explanations in the user's words: columns, words, pictures as files."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from fitted import fitted
from models import mlp, wine
from PIL import Image
from subjects import explain_bundle, explain_module, word_tokenizer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from maas_jupyter.data import as_source, prepare
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.explanation.baseline import Baseline
from maas_jupyter.explanation.intake import Usual
from maas_jupyter.packaging import package, package_images, package_prepared, package_text

METHODS = ["integrated_gradients", "kernel_shap", "lime"]
WORDS = ["the", "a", "one", "small", "large", "red", "house", "tree", "river", "stands", "flows", "near", "and", "loud"]


class BagOfWords(nn.Module):
    """Looks at the mean of its tokens' embeddings."""

    def __init__(self, tokens):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(tokens, 8)
        self.out = nn.Linear(8, 2)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(-1).float()
        return self.out((self.embedding(input_ids) * mask).sum(1) / mask.sum(1))


@pytest.fixture(scope="module")
def zebras():
    """A model of texts that looks for one word, and what it was trained with."""
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, 8)) for _ in range(200)]
    texts = [f"{text[:20]} zebra {text[20:]}" if row % 2 else text for row, text in enumerate(texts)]
    y = np.arange(200) % 2
    tokenizer = word_tokenizer(texts)
    model = BagOfWords(tokenizer.get_vocab_size())
    prepared = prepare(as_source((texts, y)), model, tokenizer=tokenizer)
    model = fitted(model, *prepared.preprocessing.tensors(prepared.source), targets=y)
    return model, prepared.preprocessing, tokenizer, texts


@pytest.mark.parametrize("method", METHODS)
def test_the_planted_word_has_the_highest_weight(zebras, method):
    model, preprocessing, _, _ = zebras
    text = "a small   house near the\nzebra and one tree"
    (row,) = explain_module(model, [text], preprocessing=preprocessing, method=method, labels=["none", "zebra"]).rows
    assert row.prediction == "zebra"
    assert row.names == text.split()
    assert [text[start:stop] for start, stop in row.spans] == row.names
    assert row.ranked()[0][0] == "zebra"
    assert row.attributions.max() == row.attributions[5]
    if method != "lime":
        assert row.attributions.sum() == pytest.approx(row.difference, abs=0.01)


def test_integrated_gradients_and_the_other_methods_start_at_the_same_baseline(zebras):
    model, preprocessing, _, _ = zebras
    found = [
        explain_module(model, "a zebra near the house", preprocessing=preprocessing, method=method, baseline=baseline)
        for method in METHODS[:2]
        for baseline in (None, "pad")
    ]
    assert found[0][0].baseline_output == pytest.approx(found[2][0].baseline_output, abs=1e-6)
    assert found[1][0].baseline_output == pytest.approx(found[3][0].baseline_output, abs=1e-6)
    assert found[0].baseline == "[MASK] for each token"
    assert found[2].baseline == "[MASK] for each word"
    assert found[3].baseline == "[PAD] for each word"


def test_what_is_cut_off_adds_nothing(zebras):
    model, _, tokenizer, texts = zebras
    short = prepare(as_source(texts), model, tokenizer=tokenizer, max_length=5).preprocessing
    for method in METHODS[:2]:
        (row,) = explain_module(
            model, ["a zebra near the house and the zebra"], preprocessing=short, method=method
        ).rows
        assert row.attributions[1] == np.abs(row.attributions).max()
        assert np.abs(row.attributions[4:]).max() < 1e-6


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_text_bundle_is_explained_as_it_is_served(zebras, method, tmp_path):
    model, preprocessing, tokenizer, texts = zebras
    bundle = package_text(
        model, texts[:8], tokenizer, tmp_path, max_length=64, task="classification", labels=["none", "zebra"]
    ).bundle
    (row,) = explain_bundle(bundle, "a zebra near the house", method=method).rows
    (own,) = explain_module(model, "a zebra near the house", preprocessing=preprocessing, method=method).rows
    assert row.ranked()[0][0] == "zebra"
    np.testing.assert_allclose(row.attributions, own.attributions, atol=1e-4)
    left_out = explain_bundle(bundle, ["a zebra near the house"], baseline="")
    assert left_out.baseline == "words left out"
    assert left_out[0].ranked()[0][0] == "zebra"


@pytest.mark.parametrize("baseline", ["unicorn", 3, np.zeros(4)])
def test_a_baseline_that_is_no_token_is_refused(zebras, baseline):
    model, preprocessing, _, _ = zebras
    with pytest.raises(InvalidInput, match="token"):
        explain_module(model, "a zebra", preprocessing=preprocessing, baseline=baseline)


def test_a_text_without_words_is_refused(zebras):
    model, preprocessing, _, _ = zebras
    with pytest.raises(InvalidInput, match="without a word"):
        explain_module(model, [" "], preprocessing=preprocessing)


class Encoder(nn.Module):
    """A BERT of transformers, with its logits alone."""

    def __init__(self, kind, tokens):
        super().__init__()
        import transformers

        torch.manual_seed(0)
        configuration = getattr(transformers, f"{kind}Config")(
            vocab_size=tokens,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=40,
            pad_token_id=0,
        )
        self.model = getattr(transformers, f"{kind}ForSequenceClassification")(configuration)

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
@pytest.mark.parametrize("baseline", ["mask", "pad"])
def test_an_encoder_of_transformers_adds_up(zebras, kind, baseline):
    _, _, tokenizer, texts = zebras
    encoder = Encoder(kind, tokenizer.get_vocab_size())
    preprocessing = prepare(as_source(texts), encoder, tokenizer=tokenizer, max_length=32).preprocessing
    (row,) = explain_module(encoder, texts[:1], preprocessing=preprocessing, baseline=baseline).rows
    assert row.error < 1e-3
    assert row.attributions.any()


def table(rows=240):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 10, rows),
            "noise": random.normal(0, 1, rows),
            "city": random.choice(["Paris", "Rome", "Oslo"], rows, p=[0.2, 0.3, 0.5]),
            "colour": random.choice(["red", "blue"], rows),
        }
    )
    target = np.where((frame["city"] == "Rome") ^ (frame["age"] > 55), "yes", "no")
    return frame, target


class Embedded(nn.Module):
    """Numbers, and an embedding for each column of indices."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.city, self.colour = nn.Embedding(5, 4), nn.Embedding(4, 4)
        self.net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, numbers, indices):
        return self.net(torch.cat([numbers, self.city(indices[:, 0]), self.colour(indices[:, 1])], dim=1))


class OneEmbedding(nn.Module):
    """Numbers, and one embedding of all columns, each with an offset of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.all = nn.Embedding(10, 4)
        self.register_buffer("offsets", torch.tensor([0, 5]))
        self.net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, numbers, indices):
        return self.net(torch.cat([numbers, self.all(indices + self.offsets).flatten(1)], dim=1))


def one_hot():
    return mlp(7, 2, hidden=16)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [one_hot, Embedded, OneEmbedding])
def test_a_table_is_explained_in_its_own_columns(make, method):
    frame, y = table()
    net = make()
    prepared = prepare(as_source((frame, y)), net)
    net = fitted(net, *prepared.preprocessing.tensors(prepared.source), targets=prepared.data.targets)
    rows = frame[(frame["city"] == "Rome") & (frame["age"] < 50)][:2]
    explanation = explain_module(
        net, rows.assign(target="no"), preprocessing=prepared.preprocessing, labels=prepared.labels, method=method
    )
    assert explanation.baseline == "the training mean and the most frequent category"
    for row, city in zip(explanation.rows, rows["city"], strict=True):
        assert row.names == ["age", "noise", "city", "colour"]
        assert row.values[2] == city
        assert row.prediction == row.target == "yes"
        assert row.ranked()[0][0] == "city"
        if method != "lime":
            assert row.attributions.sum() == pytest.approx(row.difference, abs=0.01)


def test_a_table_may_come_as_a_dict_or_as_dicts():
    frame, y = table()
    net = one_hot()
    preprocessing = prepare(as_source((frame, y)), net).preprocessing
    forms = [
        frame[:1],
        frame[:1].to_dict("list"),
        frame[:1].to_dict("records"),
        frame.iloc[0].to_dict(),
    ]
    found = [explain_module(net, rows, preprocessing=preprocessing)[0].attributions for rows in forms]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-6)


def test_a_frame_is_the_baseline_of_a_table():
    frame, y = table()
    net = one_hot()
    preprocessing = prepare(as_source((frame, y)), net).preprocessing
    explanation = explain_module(net, frame[:1], preprocessing=preprocessing, baseline=frame)
    assert explanation.baseline == "the mean of 240 given rows and the most frequent value of 240 given rows"
    with pytest.raises(InvalidInput, match="no 'city'"):
        explain_module(net, frame[:1], preprocessing=preprocessing, baseline=frame.drop(columns="city"))


class SharedEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.all = nn.Embedding(4, 2)

    def forward(self, indices):
        return self.all(indices[:, 0]) + self.all(indices[:, 1])


class Counted(nn.Module):
    def forward(self, indices):
        return nn.functional.one_hot(indices, 4).float().sum(1)


@pytest.mark.parametrize("make", [SharedEmbedding, Counted])
def test_indices_that_cannot_be_traced_are_refused_and_explained_otherwise(make):
    rows = np.array([[1, 2], [3, 1]])
    with pytest.raises(InvalidInput, match="embedding") as caught:
        explain_module(make(), rows)
    assert "kernel_shap" in caught.value.hint
    assert len(explain_module(make(), rows, method="kernel_shap")) == 2


@pytest.mark.parametrize("make", [one_hot, Embedded])
def test_a_table_bundle_is_explained_in_its_columns_from_the_same_baseline(make, tmp_path):
    frame, y = table()
    net = make()
    prepared = prepare(as_source((frame, y)), net)
    net = fitted(net, *prepared.preprocessing.tensors(prepared.source), targets=prepared.data.targets)
    bundle = package_prepared(net, prepared, tmp_path / "bundle").bundle
    chosen = frame[(frame["city"] == "Rome") & (frame["age"] < 50)][:1]
    explanation = explain_bundle(bundle, chosen)
    own = explain_module(net, chosen, preprocessing=prepared.preprocessing, method="kernel_shap")
    assert explanation.method == "kernel_shap"
    assert explanation.baseline == own.baseline == "the training mean and the most frequent category"
    assert explanation[0].ranked()[0][0] == "city"
    np.testing.assert_allclose(explanation[0].attributions, own[0].attributions, atol=1e-4)
    with pytest.raises(InvalidInput, match="no column 'city'"):
        explain_bundle(bundle, chosen.drop(columns="city"))


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("method", METHODS)
def test_an_image_file_is_explained_where_its_light_is(method, tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 20, (120, 16, 16, 3), dtype=np.uint8)
    y = np.arange(120) % 2
    pixels[y == 1, 8:12, 0:4] = 250
    files = [png(each) for each in pixels]
    torch.manual_seed(0)
    net = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(48, 2))
    prepared = prepare(as_source((files, y)), net)
    net = fitted(net, *prepared.preprocessing.tensors(prepared.source), targets=y, steps=60)
    path = tmp_path / "light.png"
    path.write_bytes(files[1])
    subjects = [
        lambda rows: explain_module(net, rows, preprocessing=prepared.preprocessing, method=method, samples=600)
    ]
    if method != "integrated_gradients":
        folder = tmp_path / "bundle"
        folder.mkdir()
        bundle = package_images(
            net,
            files[:4],
            folder,
            height=16,
            width=16,
            mean=prepared.preprocessing.mean,
            std=prepared.preprocessing.std,
            task="classification",
        ).bundle
        subjects.append(lambda rows: explain_bundle(bundle, rows, method=method, samples=600))
    for explain in subjects:
        for rows in ([files[1]], str(path), [path], files[1]):
            explanation = explain(rows)
            (row,) = explanation.rows
            assert explanation.baseline == "black"
            np.testing.assert_array_equal(row.picture, pixels[1])
            rows_of, columns_of = np.unravel_index(np.argsort(-row.attributions.ravel())[:16], (16, 16))
            assert set(rows_of) == {8, 9, 10, 11}
            assert set(columns_of) == {0, 1, 2, 3}


def test_columns_of_a_frame_name_the_features_of_an_array(tmp_path):
    X, y = wine()
    frame = pd.DataFrame(X, columns=[f"c{index}" for index in range(13)])
    net = fitted(mlp(13, 3), X, targets=y)
    bundle = package(net, (torch.tensor(X),), tmp_path, task="classification").bundle
    own, served = explain_module(net, frame[:1], method="kernel_shap"), explain_bundle(bundle, frame[:1])
    assert own[0].names == served[0].names == list(frame)
    np.testing.assert_allclose(own[0].attributions, served[0].attributions, atol=1e-4)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["some text"], "are texts, but the model takes arrays"),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}), "a table with texts, but the model takes arrays"),
        (np.zeros((2, 12), "float32"), "does not fit the model"),
        (np.zeros((0, 13), "float32"), "no rows"),
        (np.zeros((21, 13), "float32"), "At most 20 rows"),
        (np.full((1, 13), np.nan, "float32"), "NaN"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        explain_module(mlp(13, 3), rows)
    assert caught.value.hint


def test_a_share_is_no_colour_of_whole_numbers():
    row = np.zeros((4, 4, 1), np.uint8)
    with pytest.raises(InvalidInput, match=r"holds 0\.5, but the rows are whole numbers"):
        Baseline(0.5).of_array(row, Usual(0, "zeros"))
    assert Baseline(255.0).of_array(row, Usual(0, "zeros"))[0].max() == 255


@pytest.mark.parametrize(
    ("baseline", "kind", "said"),
    [
        (np.zeros(5), InvalidInput, r"shape \[5\], a row \[13\]"),
        ("meen", UsageError, "no baseline called 'meen'"),
        (np.mean, UsageError, "a function"),
        ({"other": 1}, InvalidInput, "baseline"),
    ],
)
def test_baselines_that_do_not_fit_are_refused(baseline, kind, said):
    with pytest.raises(kind, match=said):
        explain_module(mlp(13, 3), wine()[0][:1], baseline=baseline)


def test_several_numbers_a_row_need_a_target():
    net = nn.Linear(3, 2)
    from maas_jupyter.explanation import ModuleSubject, explain_rows, intake_of, read_rows, split_rows, tensors_of

    intake = intake_of(None)
    raw, columns = read_rows(np.ones((1, 3), "float32"), intake, net)
    subject = ModuleSubject(net, "net", tensors_of(None), raw, task="regression")
    rows = split_rows(raw, columns, intake)
    with pytest.raises(UsageError, match="2 numbers a row") as caught:
        explain_rows(subject, rows)
    assert caught.value.hint == "Name one: --target 0"
    assert explain_rows(subject, rows, target=1)[0].output == pytest.approx(net(torch.ones(1, 3))[0, 1].item())


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru, self.out = nn.GRU(3, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.gru(x)[0][:, -1])


def test_a_sequence_is_explained_by_its_steps():
    X = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    for method in METHODS[:2]:
        (row, _) = explain_module(Recurrent(), X, method=method).rows
        assert row.attributions.shape == (6, 3)
        assert row.attributions.sum() == pytest.approx(row.difference, abs=1e-3)


def test_rows_may_come_in_a_data_set_or_by_the_names_of_the_arguments(zebras):
    model, preprocessing, _, texts = zebras
    ids, mask = preprocessing.tensors(as_source(texts[:2]))
    forms = [
        {"attention_mask": mask, "input_ids": ids},
        TensorDataset(ids, mask, torch.zeros(2)),
        DataLoader(TensorDataset(ids, mask, torch.zeros(2)), batch_size=1),
    ]
    first, *others = [explain_module(model, rows) for rows in forms]
    assert first.kind == "table"
    assert first[0].names[1] == "input_ids[1]"
    assert len(first[0].names) == ids.shape[1]  # the mask is no feature
    for other in others:
        np.testing.assert_array_equal(other[0].attributions, first[0].attributions)
