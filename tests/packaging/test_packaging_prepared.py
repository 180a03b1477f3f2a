"""Raw rows through a sealed bundle give what the torch module gives for the prepared tensors."""

from __future__ import annotations

import threading
import time
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import torch
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from models import cnn, digits, mlp
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import as_source, prepare
from maas_jupyter.errors import Conflict, ExportError, InvalidInput
from maas_jupyter.modules import run_module
from maas_jupyter.packaging import package, package_prepared
from maas_jupyter.registry.mlflow_model import write_mlmodel
from maas_jupyter.serving.app import create_app
from maas_jupyter.serving.client import ServingClient
from maas_jupyter.serving.servable import Servable

TOKEN = "a-token-for-tests"
CITIES = ["Bern", "Oslo", "größer Ort", None]


def people(rows=60, seed=0):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, rows).astype(float),
            "income": random.lognormal(10, 1, rows),
            "city": random.choice(np.array(CITIES, dtype=object), rows),
            "member": random.random(rows) < 0.5,
            "bought": random.choice(["no", "yes", "later"], rows),
        }
    )
    frame.loc[::7, "age"] = np.nan
    return frame


def strangers():
    frame = people(40, seed=1)
    frame.loc[::3, "city"] = "nobody knows this town"
    frame.loc[::5, "income"] = None
    return frame


class Embedded(nn.Module):
    """Takes numbers and indices."""

    def __init__(self, numbers, cardinalities, outputs=3):
        super().__init__()
        torch.manual_seed(0)
        self.embeddings = nn.ModuleList(nn.Embedding(size, 4) for size in cardinalities)
        self.head = nn.Linear(numbers + 4 * len(cardinalities), outputs)

    def forward(self, numbers, indices):
        parts = [embedding(indices[:, place]) for place, embedding in enumerate(self.embeddings)]
        return self.head(torch.cat([numbers, *parts], dim=1))


def expected(net, prepared):
    """Return what the torch module answers, batch by batch."""
    output = torch.cat([run_module(net, batch) for batch in prepared.data.batches(16)])
    return (output.softmax(1) if prepared.task == "classification" else output).numpy()


def answered(bundle, prepared):
    servable = Servable.load(Bundle.open(bundle.folder))
    answer = servable.run(prepared.source.raw())
    servable.unload()
    return answer


def require_same_numbers(net, prepared, others, folder):
    """Package on the first rows, compare on others."""
    made = package_prepared(net, prepared, folder)
    output = "scores" if prepared.task == "classification" else "prediction"
    for rows in (prepared, *others):
        answer = answered(made.bundle, rows)
        np.testing.assert_allclose(answer[output], expected(net, rows), atol=1e-5, rtol=1e-5)
        if prepared.labels:
            assert answer["label"].tolist() == [prepared.labels[index] for index in answer["scores"].argmax(1)]
    return made.bundle


@pytest.mark.parametrize("encode", ["one-hot", "indices"])
def test_a_table_with_missing_values_and_unknown_categories(tmp_path, encode):
    source = as_source(people(), target="bought")
    prepared = prepare(source, encode=encode)
    sizes = prepared.preprocessing.cardinalities
    net = Embedded(2, sizes) if encode == "indices" else mlp(prepared.features, 3)
    like = prepared.like(as_source(strangers(), target="bought"))
    bundle = require_same_numbers(net, prepared, [like], tmp_path / "bundle")
    assert [str(spec) for spec in bundle.manifest.signature.inputs] == [
        "age: FP32[-1]", "income: FP32[-1]", "city: BYTES[-1]", "member: BYTES[-1]",
    ]  # fmt: skip
    assert bundle.manifest.labels == ["later", "no", "yes"]


@pytest.mark.parametrize("columns", [["age", "income"], ["city", "member"]])
def test_a_table_of_one_kind_of_columns(tmp_path, columns):
    prepared = prepare(as_source(people()[[*columns, "bought"]], target="bought"))
    like = prepared.like(as_source(strangers(), target="bought"))
    require_same_numbers(mlp(prepared.features, 3), prepared, [like], tmp_path / "bundle")


def test_a_table_of_numbers_to_predict(tmp_path):
    prepared = prepare(as_source(people().drop(columns="bought"), target="income"))
    assert prepared.task == "regression"
    require_same_numbers(mlp(prepared.features, 1), prepared, [], tmp_path / "bundle")


def test_columns_with_odd_names_and_odd_texts(tmp_path):
    frame = pd.DataFrame(
        {
            "raw": [1.0, 2.0, 3.0],
            "a b/ü": ["", " ", "\u2028"],
            0: [3, 4, 5],
            "x": pd.Categorical(["1e5", "nan", "\U0001f600"]),
            "y": [0, 1, 0],
        }
    )
    prepared = prepare(as_source(frame, target="y"))
    require_same_numbers(mlp(prepared.features, 2), prepared, [], tmp_path / "bundle")


TEXTS = ["the cat sat", "dogs bark at the moon every night", "a", "rain falls on the plain in spain", "cats and dogs"]


def word_tokenizer(left=False):
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        TEXTS, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    )
    if left:
        tokenizer.enable_padding(direction="left")
    return tokenizer


class MaskedMean(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(40, 8), nn.Linear(8, 2)
        self.tokenizer = None

    def forward(self, input_ids, attention_mask):
        weights = attention_mask.unsqueeze(-1).float()
        return self.head((self.words(input_ids) * weights).sum(1) / weights.sum(1))


@pytest.mark.parametrize("left", [False, True])
def test_texts(tmp_path, left):
    net = MaskedMean()
    net.tokenizer = word_tokenizer(left)
    prepared = prepare(as_source((TEXTS, ["pet", "pet", "other", "other", "pet"])), net, max_length=6)
    like = prepared.like(as_source(["unknown words only", "the cat sat at night in the rain on and on"]))
    bundle = require_same_numbers(net, prepared, [like], tmp_path / "bundle")
    assert bundle.manifest.preprocessing["text"].max_length == 6


def file(pixels, kind="PNG"):
    written = BytesIO()
    Image.fromarray(pixels).save(written, kind)
    return written.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_images(tmp_path, kind):
    X, y = digits(60)
    pictures = (X.reshape(-1, 8, 8) * 255).astype(np.uint8)
    prepared = prepare(as_source(([file(each, kind) for each in pictures], [f"digit {each}" for each in y])), cnn())
    other = np.random.default_rng(0).integers(0, 256, (3, 20, 12), dtype=np.uint8)
    like = prepared.like(as_source([file(each, kind) for each in other]))
    require_same_numbers(cnn(), prepared, [like], tmp_path / "bundle")


@pytest.mark.parametrize("form", ["arrays", "text labels", "loader"])
def test_arrays_and_loaders(tmp_path, form):
    X, y = digits(100)
    if form == "loader":
        prepared = prepare(as_source(DataLoader(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=10)))
        bundle = package_prepared(mlp(), prepared, tmp_path / "bundle").bundle
        answer = Servable.load(bundle).run({"input": X})["scores"]
        np.testing.assert_allclose(answer, expected(mlp(), prepared), atol=1e-5)
        return
    prepared = prepare(as_source((X, y if form == "arrays" else [f"digit {each}" for each in y])))
    bundle = require_same_numbers(mlp(), prepared, [], tmp_path / "bundle")
    assert bundle.manifest.labels[3] == (3 if form == "arrays" else "digit 3")


# -- any table ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    prepared = prepare(as_source(people(), target="bought"))
    net = mlp(prepared.features, 3)
    bundle = package_prepared(net, prepared, tmp_path_factory.mktemp("any") / "bundle").bundle
    return net, prepared, Servable.load(bundle)


NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.integers(-(10**6), 10**6))
WORDS = st.one_of(
    st.none(), st.sampled_from(CITIES), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, WORDS, st.booleans()), min_size=1, max_size=8))
def test_any_rows_are_answered_as_torch_answers_them(served, rows):
    net, prepared, servable = served
    frame = pd.DataFrame(rows, columns=["age", "income", "city", "member"])
    frame = frame.astype({"age": float, "income": float, "city": "category"})
    like = prepared.like(as_source(frame))
    np.testing.assert_allclose(servable.run(like.source.raw())["scores"], expected(net, like), atol=1e-5)


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_any_table_is_packaged(tmp_path_factory, data):
    rows = data.draw(st.integers(2, 12))
    columns = {}
    for place in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            values = data.draw(st.lists(NUMBERS, min_size=rows, max_size=rows))
            columns[f"number {place}"] = np.array([1.0, *values[1:]], dtype=float)
        else:
            values = data.draw(st.lists(WORDS, min_size=rows, max_size=rows))
            columns[f"word {place}"] = pd.Categorical(["one", *values[1:]])
    prepared = prepare(as_source((pd.DataFrame(columns), np.linspace(0, 1, rows))))
    folder = tmp_path_factory.mktemp("table") / "bundle"
    require_same_numbers(mlp(prepared.features, 2), prepared, [], folder)


# -- over a real server, and in MLflow --------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    from maas_jupyter.serving.auth import Token

    app = create_app(tmp_path / "home", [Token("ann", "admin", TOKEN)])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    with ServingClient(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", TOKEN) as client:
        yield client
    server.should_exit = True
    thread.join()


def test_a_table_over_http(server, tmp_path):
    prepared = prepare(as_source(people(), target="bought"))
    net = mlp(prepared.features, 3)
    bundle = package_prepared(net, prepared, tmp_path / "bundle").bundle
    server.publish("people", "1", bundle.folder)
    like = prepared.like(as_source(strangers(), target="bought"))
    answer = server.infer("people", like.source.raw()).outputs
    np.testing.assert_allclose(answer["scores"], expected(net, like), atol=1e-5)


def test_a_table_is_an_ordinary_mlflow_model(tmp_path):
    import mlflow.pyfunc

    prepared = prepare(as_source(people(), target="bought"))
    net = mlp(prepared.features, 3)
    bundle = package_prepared(net, prepared, tmp_path / "bundle").bundle
    write_mlmodel(bundle.folder, bundle.manifest)
    model = mlflow.pyfunc.load_model(str(bundle.folder))
    like = prepared.like(as_source(strangers(), target="bought"))
    assert np.isnan(like.source.raw()["income"]).any()
    for rows in (
        like.source.raw(),
        pd.DataFrame(like.source.raw()),
        strangers(),
        strangers().set_index(pd.Index(range(7, 7 + len(strangers())))),
        strangers().to_dict("records"),
        {name: np.asarray(values, dtype=None) for name, values in strangers().items()},
    ):
        answer = model.predict(rows)
        np.testing.assert_allclose(np.asarray(answer["scores"].tolist()), expected(net, like), atol=1e-5)


# -- folders -----------------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_made_and_a_text_is_a_path(tmp_path):
    folder = tmp_path / "deep" / "down"
    assert package(mlp(), (torch.rand(4, 64),), str(folder), task="classification").bundle.folder == folder


def test_a_folder_that_holds_something_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for folder, words in ((tmp_path, r"not empty: it holds mine\.txt"), (tmp_path / "mine.txt", "is a file")):
        with pytest.raises(Conflict, match=words):
            package(mlp(), (torch.rand(4, 64),), folder, task="classification")
        with pytest.raises(Conflict, match=words):
            package_prepared(mlp(), prepare(as_source(digits(20))), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_cannot_be_packaged_leaves_no_folder(tmp_path):
    class Careless(MaskedMean):
        def forward(self, input_ids):
            return self.head(self.words(input_ids).mean(1))

    # Its export is right; that its answer hangs on the padding shows when the sealed bundle is run.
    prepared = prepare(as_source((TEXTS, [0, 1, 0, 1, 0])), tokenizer=word_tokenizer(), max_length=6)
    with pytest.raises(ExportError, match="beside others"):
        package_prepared(Careless(), prepared, tmp_path / "deep" / "bundle")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ExportError):
        package_prepared(Careless(), prepared, tmp_path)
    assert not list(tmp_path.iterdir())


def test_labels_that_are_not_as_many_as_outputs_are_refused(tmp_path):
    prepared = prepare(as_source(people(), target="bought"))
    with pytest.raises(InvalidInput, match="3 labels for 5 classes"):
        package_prepared(mlp(prepared.features, 5), prepared, tmp_path / "bundle")
