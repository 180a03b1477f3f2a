"""From torch modules to bundles that take raw text, images and table columns, and what such bundles answer."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import CategoryColumn, NumberColumn, TablePreprocessing, as_source
from maas_jupyter.errors import ExportError, InvalidInput
from maas_jupyter.evaluation.predict import loaded
from maas_jupyter.optimization import Original
from maas_jupyter.optimization.quantize import DynamicInt8
from maas_jupyter.packaging import (
    Logits,
    MeanPooling,
    package,
    package_images,
    package_table,
    package_text,
)
from maas_jupyter.serving.app import create_app
from maas_jupyter.serving.servable import Servable

TEXTS = ["the cat sat", "dogs bark at the moon every night", "a", "rain falls on the plain in spain", "cats and dogs"]
MAX_LENGTH = 12


def objects(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def word_tokenizer(special=True):
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        TEXTS, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False)
    )
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))],
        )
    return tokenizer


class MaskedMean(nn.Module):
    """Classifies a text by the mean of its words."""

    def __init__(self, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(40, 8), nn.Linear(8, classes)

    def forward(self, input_ids, attention_mask):
        weights = attention_mask.unsqueeze(-1).float()
        return self.head((self.words(input_ids) * weights).sum(1) / weights.sum(1))


def torch_scores(module, tokenizer, text):
    ids = torch.tensor([tokenizer.encode(text).ids])
    with torch.no_grad():
        return module(ids, torch.ones_like(ids)).softmax(1)[0].numpy()


@pytest.fixture(scope="module")
def text_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    return package_text(
        MaskedMean(),
        TEXTS,
        word_tokenizer(),
        folder,
        max_length=MAX_LENGTH,
        task="classification",
        labels=["cat", "dog", "rain"],
    ).bundle


# -- text -------------------------------------------------------------------------------------------------------------


def test_raw_text_in_labels_and_scores_as_torch_gives_them(text_bundle):
    servable = Servable.load(Bundle.open(text_bundle.folder))
    answer = servable.run({"text": objects(TEXTS)})
    expected = np.array([torch_scores(MaskedMean(), word_tokenizer(), text) for text in TEXTS])
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    assert answer["label"].tolist() == [["cat", "dog", "rain"][index] for index in expected.argmax(1)]


def test_the_manifest_declares_what_is_made_of_the_text(text_bundle):
    manifest = text_bundle.manifest
    assert [str(spec) for spec in manifest.signature.inputs] == ["text: BYTES[-1]"]
    assert manifest.preprocessing["text"].tensors == {"input_ids": "ids", "attention_mask": "mask"}
    assert set(manifest.files) == {"model.onnx", "tokenizer.json"}


def test_the_tokenizer_of_the_caller_is_left_as_it_is(tmp_path):
    tokenizer = word_tokenizer()
    package_text(MaskedMean(), TEXTS, tokenizer, tmp_path, max_length=MAX_LENGTH, task="classification")
    assert tokenizer.truncation is None
    assert tokenizer.padding is None


def test_a_tokenizer_as_a_file_and_a_module_of_one_argument(tmp_path):
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(40, 8, padding_idx=0)

        def forward(self, x):
            return self.words(x).sum(1)

    path = tmp_path / "mine.json"
    word_tokenizer().save(str(path))
    folder = tmp_path / "bundle"
    folder.mkdir()
    net = Bag().eval()
    bundle = package_text(net, TEXTS, path, folder, max_length=MAX_LENGTH, task="tensor", name="sentence").bundle
    answer = Servable.load(bundle).run({"sentence": objects(TEXTS[:1])})
    expected = net(torch.tensor([word_tokenizer().encode(TEXTS[0]).ids])).detach().numpy()
    np.testing.assert_allclose(answer["output"], expected, atol=1e-5)
    assert [str(spec) for spec in bundle.manifest.signature.outputs] == ["output: FP32[-1, 8]"]


def test_a_model_whose_answer_hangs_on_the_padding_is_refused(tmp_path):
    class Careless(MaskedMean):
        def forward(self, input_ids):
            return self.head(self.words(input_ids).mean(1))

    with pytest.raises(ExportError, match="Row 0 alone is answered otherwise than beside others") as refused:
        package_text(Careless(), TEXTS, word_tokenizer(), tmp_path, max_length=MAX_LENGTH, task="classification")
    assert "attention_mask" in refused.value.hint


def test_a_model_whose_answer_hangs_on_other_rows_is_refused(tmp_path):
    class Centred(nn.Linear):
        def forward(self, x):
            return super().forward(x - x.mean(0))

    with pytest.raises(ExportError, match="Row 0 alone is answered otherwise than beside others") as refused:
        package(Centred(4, 2), (torch.rand(8, 4),), tmp_path, task="classification")
    assert "over the rows" in refused.value.hint


def test_a_model_of_fewer_positions_than_max_length_is_refused(tmp_path):
    class Positions(MaskedMean):
        def __init__(self):
            super().__init__()
            self.places = nn.Embedding(10, 8)

        def forward(self, input_ids, attention_mask):
            hidden = self.words(input_ids) + self.places(torch.arange(input_ids.shape[1]))
            weights = attention_mask.unsqueeze(-1).float()
            return self.head((hidden * weights).sum(1) / weights.sum(1))

    with pytest.raises((InvalidInput, ExportError)):
        package_text(Positions(), TEXTS, word_tokenizer(), tmp_path, max_length=MAX_LENGTH, task="classification")


def test_one_vector_per_token_is_served_but_not_batched(tmp_path):
    net = nn.Embedding(40, 8)
    bundle = package_text(net, TEXTS, word_tokenizer(), tmp_path, max_length=MAX_LENGTH, task="tensor").bundle
    assert bundle.manifest.signature.outputs[0].shape == [-1, -1, 8]
    servable = Servable.load(bundle)
    assert not servable.batchable
    assert servable.run({"text": objects(["the cat"])})["output"].shape == (1, 4, 8)


@pytest.mark.parametrize("arguments", ["x, y", "attention_mask", "ids, tokens"])
def test_arguments_that_nobody_understands_are_refused(tmp_path, arguments):
    scope = {"nn": nn}
    exec(f"class Odd(nn.Module):\n def forward(self, {arguments}):\n  return None", scope)
    net = scope["Odd"]()
    if arguments == "attention_mask":
        net.forward = lambda attention_mask, ids_of_words: None
    with pytest.raises(InvalidInput, match="not clear") as caught:
        package_text(net, TEXTS, word_tokenizer(), tmp_path, max_length=MAX_LENGTH, task="tensor")
    assert "input_ids" in caught.value.hint


def test_what_is_no_tokenizer_and_no_texts_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="not a tokenizer"):
        package_text(MaskedMean(), TEXTS, str.split, tmp_path, max_length=MAX_LENGTH, task="classification")
    with pytest.raises(InvalidInput, match="no file"):
        package_text(
            MaskedMean(), TEXTS, tmp_path / "none.json", tmp_path, max_length=MAX_LENGTH, task="classification"
        )
    with pytest.raises(InvalidInput, match="no texts"):
        package_text(MaskedMean(), [" "], word_tokenizer(), tmp_path, max_length=MAX_LENGTH, task="classification")


def test_transformers_models_answer_with_logits_or_a_mean(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=3
    )
    tokenizer = word_tokenizer()
    encoding = tokenizer.encode(TEXTS[1])
    ids, mask = torch.tensor([encoding.ids]), torch.tensor([encoding.attention_mask])
    for name, net, task, output in (
        ("logits", Logits(transformers.BertForSequenceClassification(config)), "classification", "scores"),
        ("mean", MeanPooling(transformers.BertModel(config)), "tensor", "output"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        bundle = package_text(net, TEXTS, tokenizer, folder, max_length=MAX_LENGTH, task=task).bundle
        with torch.no_grad():
            expected = net.eval()(ids, mask)
        expected = expected.softmax(1) if task == "classification" else expected
        answer = Servable.load(bundle).run({"text": objects([TEXTS[1], TEXTS[2]])})[output]
        np.testing.assert_allclose(answer[0], expected[0].numpy(), atol=1e-5)


# -- images -----------------------------------------------------------------------------------------------------------


def picture(width, height, kind="PNG", mode="RGB", seed=0):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def image_classifier(channels):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()


@pytest.mark.parametrize(("mode", "mean", "std"), [("RGB", [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), ("L", [0.5], [0.2])])
def test_pictures_in_labels_and_scores_as_torch_gives_them(tmp_path, mode, mean, std):
    net = image_classifier(len(mean))
    files = [picture(20, 30), picture(9, 7, "JPEG", seed=1), picture(16, 12, mode="P", seed=2)]
    made = package_images(
        net, files, tmp_path, height=12, width=16, mean=mean, std=std, task="classification", labels=["a", "b", "c"]
    )
    expected = []
    for file in files:
        resized = Image.open(BytesIO(file)).convert(mode).resize((16, 12), Image.Resampling.BILINEAR)
        values = np.asarray(resized).reshape(12, 16, len(mean)) / 255
        row = torch.tensor(((values - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32)
        expected.append(net(row).softmax(1)[0].detach().numpy())
    servable = Servable.load(made.bundle)
    answer = servable.run({"image": objects(files)})
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    assert answer["label"].tolist() == [["a", "b", "c"][index] for index in np.argmax(expected, 1)]
    as_text = objects([base64.b64encode(file).decode() for file in files])
    np.testing.assert_array_equal(servable.run({"image": as_text})["scores"], answer["scores"])
    assert not servable.uniform
    assert servable.batchable


def test_channels_last(tmp_path):
    class Last(nn.Module):
        def forward(self, pixels):
            return pixels.mean((1, 2))

    made = package_images(
        Last(), [picture(8, 8)], tmp_path, height=4, width=6, mean=[0] * 3, std=[1] * 3, scale=1, layout="NHWC",
        task="tensor",
    )  # fmt: skip
    answer = Servable.load(made.bundle).run({"image": objects([picture(6, 4)])})["output"]
    np.testing.assert_allclose(answer[0], np.asarray(Image.open(BytesIO(picture(6, 4)))).mean((0, 1)), rtol=1e-5)


# -- tables -----------------------------------------------------------------------------------------------------------

TOKEN = "a-token-for-tests"
COLORS = CategoryColumn("color", {"red": 1, "green": 2, "größer": 3}, unknown=0)
SHAPES = CategoryColumn("shape", {"round": 0, "square": 1}, unknown=2)
SIZE_AND_WEIGHT = TablePreprocessing(
    numbers=[NumberColumn("size"), NumberColumn("weight")], categories=[COLORS, SHAPES], encoding="indices"
)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.colors, self.shapes, self.head = nn.Embedding(4, 5), nn.Embedding(3, 5), nn.Linear(12, 2)

    def forward(self, numbers, categories):
        embedded = [self.colors(categories[:, 0]), self.shapes(categories[:, 1])]
        return self.head(torch.cat([numbers, *embedded], dim=1))


def table():
    return {
        "size": [1.5, 2.0, -3.0],
        "color": ["red", "blue", "größer"],
        "weight": np.array([1, 2, 3]),
        "shape": ["square", "round", "flat"],
    }


def test_columns_in_labels_and_scores_as_torch_gives_them(tmp_path):
    net = Mixed().eval()
    bundle = package_table(net, table(), tmp_path, preprocessing=SIZE_AND_WEIGHT, task="classification").bundle
    assert [str(spec) for spec in bundle.manifest.signature.inputs] == [
        "size: FP32[-1]",
        "weight: FP32[-1]",
        "color: BYTES[-1]",
        "shape: BYTES[-1]",
    ]
    numbers, categories = torch.tensor([[1.5, 1], [2, 2], [-3, 3]]), torch.tensor([[1, 1], [0, 0], [3, 2]])
    expected = net(numbers, categories).softmax(1).detach().numpy()
    sent = {
        "size": np.array([1.5, 2, -3], dtype=np.float32),
        "weight": np.array([1, 2, 3], dtype=np.float32),
        "color": objects(["red", "blue", "größer".encode()]),
        "shape": objects([b"square", b"round", ""]),
    }
    answer = Servable.load(bundle).run(sent)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    assert answer["label"].tolist() == expected.argmax(1).tolist()


def test_columns_of_one_kind_and_names_that_the_graph_uses(tmp_path):
    class Numbers(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 1))

        def forward(self, x):
            return x @ self.weight

    (tmp_path / "numbers").mkdir()
    columns = {"weight": [1.0, 2.0], "x": [3.0, 4.0]}
    numbers = TablePreprocessing(numbers=[NumberColumn("weight"), NumberColumn("x")])
    bundle = package_table(Numbers(), columns, tmp_path / "numbers", preprocessing=numbers, task="regression").bundle
    sent = {name: np.array(values, dtype=np.float32) for name, values in columns.items()}
    np.testing.assert_allclose(Servable.load(bundle).run(sent)["prediction"], [[4], [6]])

    (tmp_path / "texts").mkdir()
    bundle = package_table(
        nn.Embedding(3, 4),
        {"shape": ["round", "oval"]},
        tmp_path / "texts",
        preprocessing=TablePreprocessing(categories=[SHAPES], encoding="indices"),
        task="tensor",
    ).bundle
    assert Servable.load(bundle).run({"shape": objects(["round"])})["output"].shape == (1, 1, 4)


def test_a_data_frame_is_a_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    bundle = package_table(
        Mixed(),
        pandas.DataFrame(table()),
        tmp_path,
        preprocessing=SIZE_AND_WEIGHT,
        task="classification",
    ).bundle
    assert {spec.name for spec in bundle.manifest.signature.inputs} == set(table())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": ["a", "b", "c"]}, "'size' does not hold one number"),
        ({"color": [1, 2, 3]}, "'color' does not hold one text"),
        ({"color": None}, "no column 'color'"),
        ({"weight": [1.0, 2.0]}, "length"),
    ],
)
def test_columns_that_cannot_be_are_refused(tmp_path, changes, words):
    columns = {name: values for name, values in {**table(), **changes}.items() if values is not None}
    with pytest.raises(InvalidInput, match=words):
        package_table(Mixed(), columns, tmp_path, preprocessing=SIZE_AND_WEIGHT, task="classification")


def test_a_column_with_a_name_of_the_answer_is_refused(tmp_path):
    preprocessing = TablePreprocessing(numbers=[NumberColumn("label")])
    with pytest.raises(InvalidInput, match="cannot be called 'label'"):
        package_table(nn.Linear(1, 2), {"label": [1.0]}, tmp_path, preprocessing=preprocessing, task="classification")


def test_rows_of_a_table_over_http(tmp_path):
    (tmp_path / "bundle").mkdir()
    bundle = package_table(
        Mixed(), table(), tmp_path / "bundle", preprocessing=SIZE_AND_WEIGHT, task="classification"
    ).bundle
    row = {"size": 1.5, "weight": 1, "color": "red", "shape": "square"}
    scores = Mixed()(torch.tensor([[1.5, 1.0]]), torch.tensor([[1, 1]])).softmax(1)[0].tolist()
    with TestClient(create_app(tmp_path / "home", TOKEN), headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        for name in ("maas.json", *bundle.manifest.files):
            path, content = f"/maas/v1/bundles/{bundle.digest}/files/{name}", (bundle.folder / name).read_bytes()
            assert client.patch(path, content=content, headers={"Upload-Offset": "0"}).status_code == 200
        assert client.post(f"/maas/v1/bundles/{bundle.digest}/commit").status_code == 200
        request = {"version": "1", "digest": bundle.digest}
        assert client.post("/maas/v1/models/table/publish", json=request).status_code == 200
        (v1,) = client.post("/v1/models/table:predict", json={"instances": [row]}).json()["predictions"]
        assert v1["scores"] == pytest.approx(scores, abs=1e-5)
        columns = list(row)
        for body in (
            {"dataframe_records": [row]},
            {"dataframe_split": {"columns": columns, "data": [[row[name] for name in columns]]}},
        ):
            (mlflow,) = client.post("/invocations", json=body).json()["predictions"]
            assert mlflow["scores"] == pytest.approx(scores, abs=1e-5)
        answers = [
            client.post("/v1/models/table:predict", json={"instances": [{**row, "color": value}]}).json()
            for value in (True, "True")
        ]
        assert answers[0] == answers[1]
        assert client.post("/invocations", json={"dataframe_records": [{**row, "color": True}]}).is_success
        uneven = {"size": [1.5], "weight": [1], "color": ["red", "red"], "shape": ["square"]}
        answer = client.post("/v1/models/table:predict", json={"inputs": uneven})
        assert answer.status_code == 400
        assert "refuses this input" in answer.json()["error"]


# -- tensors ----------------------------------------------------------------------------------------------------------


def test_a_module_without_a_task_answers_with_its_tensor(tmp_path):
    net = nn.Linear(4, 6).half().eval()
    rows = torch.rand(8, 4).half()
    bundle = package(net, (rows,), tmp_path, task="tensor").bundle
    assert [str(spec) for spec in bundle.manifest.signature.outputs] == ["output: FP16[-1, 6]"]
    answer = Servable.load(bundle).run({"input": rows.numpy()})["output"]
    np.testing.assert_allclose(answer, net(rows).detach().numpy(), atol=1e-3)
    with pytest.raises(InvalidInput, match="cannot be evaluated"), loaded(bundle):
        pass


def test_a_quantized_text_bundle_keeps_its_tokenizer(text_bundle, tmp_path):
    rows = as_source(TEXTS, name="data")
    original = Original("texts/1", text_bundle, rows, rows, None, 1, lambda step: None)
    quantized = DynamicInt8().run(original, tmp_path)
    assert quantized.manifest.preprocessing == text_bundle.manifest.preprocessing
    assert set(quantized.manifest.files) == set(text_bundle.manifest.files)
    scores = Servable.load(quantized).run({"text": objects(TEXTS)})["scores"]
    assert np.abs(scores - Servable.load(text_bundle).run({"text": objects(TEXTS)})["scores"]).max() < 0.1
