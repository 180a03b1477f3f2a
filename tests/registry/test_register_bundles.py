"""Bundles through the public verbs: packaged, registered, published, asked with what clients have."""

from __future__ import annotations

import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from urllib.parse import urlparse

import msgspec
import numpy as np
import pandas
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from models import mlp, wine
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.bundle import Bundle
from maas_jupyter.data import CategoryColumn, NumberColumn, TablePreprocessing
from maas_jupyter.errors import BundleError, InvalidInput, UsageError
from maas_jupyter.packaging import package, package_images, package_table, package_text

TEXTS = ["a fine film", "a dull film", "fine words", "so dull and so long"]
GOOD = ["good", "bad", "good", "bad"]


class Bag(nn.Module):
    """Calls a text good that has the word fine."""

    def __init__(self, fine):
        super().__init__()
        self.fine = fine

    def forward(self, input_ids):
        found = (input_ids == self.fine).any(1, keepdim=True).float()
        return torch.cat([2 * found, 1 - found], dim=1)


class Brightness(nn.Module):
    """Tells dark pictures from bright ones."""

    def forward(self, pixels):
        light = pixels.mean((1, 2, 3))[:, None]
        return torch.cat([-light, light], dim=1)


class Price(nn.Module):
    """Adds the number to the town's own: Oslo 10, Rome 20, others 0."""

    def forward(self, numbers, categories):
        return numbers + categories * 10


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]"]
    tokenizer.train_from_iterator(TEXTS, trainers.WordLevelTrainer(special_tokens=special, show_progress=False))
    module = Bag(tokenizer.token_to_id("fine"))
    folder = tmp_path_factory.mktemp("bundles") / "texts"
    return package_text(module, TEXTS, tokenizer, folder, max_length=8, task="classification", labels=["good", "bad"])


def picture(level, kind="PNG"):
    file = BytesIO()
    Image.new("RGB", (12, 9), (level,) * 3).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "pictures"
    files = [picture(0), picture(255)]
    return package_images(
        Brightness(), files, folder, height=8, width=8, mean=[0.5] * 3, std=[0.5] * 3,
        task="classification", labels=["dark", "bright"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def houses(tmp_path_factory):
    columns = {"area": [80.0, 120.0, 45.0], "town": ["Rome", "Oslo", "Bern"]}
    preprocessing = TablePreprocessing(
        numbers=(NumberColumn("area"),),
        categories=(CategoryColumn("town", indices={"Oslo": 1, "Rome": 2}, unknown=0),),
        encoding="indices",
    )
    folder = tmp_path_factory.mktemp("bundles") / "houses"
    return package_table(Price(), columns, folder, preprocessing=preprocessing, task="regression")


@pytest.fixture
def shell(home):
    shell = InteractiveShell()
    InteractiveShell._instance = shell
    shell.run_line_magic("load_ext", "maas_jupyter")
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def run(shell):
    def run(line):
        result = shell.run_cell(f"_found = %maas {line}")
        assert result.success, result.error_in_exec
        return shell.user_ns["_found"]

    return run


@pytest.fixture
def fail(shell):
    def fail(line):
        result = shell.run_cell(f"%maas {line}")
        assert not result.success
        return result.error_in_exec

    return fail


def test_texts_from_a_notebook(shell, run, texts):
    shell.user_ns.update(packaged=texts, texts=TEXTS, goals=GOOD)
    version = run("register packaged --name reviews --data (texts, goals)")
    assert (version.name, version.version, version.aliases) == ("reviews", "1", ["champion"])
    assert version.digest == texts.bundle.digest
    assert version.metrics["accuracy"] == 1
    assert run("publish reviews@champion").state == "ready"
    for line in ("predict reviews texts", "predict reviews ['a fine film', 'a dull film']"):
        answer = run(line)
        assert answer.labels.tolist()[:2] == ["good", "bad"]
        assert answer.scores.shape == (len(answer.labels), 2)
    shell.user_ns["text"] = "so dull"
    assert run("predict reviews text").labels.tolist() == ["bad"]
    endpoint = run("publish reviews")
    assert endpoint.predict("a fine film").labels.tolist() == ["good"]
    assert endpoint.predict(pandas.DataFrame({"text": TEXTS})).labels.tolist() == GOOD
    run("stop reviews")


def test_pictures_from_python(home, pictures, tmp_path):
    version = maas_jupyter.register(pictures.bundle, name="pictures")
    assert version.metrics == {}
    endpoint = maas_jupyter.publish("pictures")
    path = tmp_path / "night.jpg"
    path.write_bytes(picture(10, "JPEG"))
    assert maas_jupyter.predict("pictures", picture(250)).labels.tolist() == ["bright"]
    assert maas_jupyter.predict("pictures", path).labels.tolist() == ["dark"]
    answer = endpoint.predict([picture(250), path, picture(0)])
    assert answer.labels.tolist() == ["bright", "dark", "dark"]
    np.testing.assert_allclose(answer.scores.sum(1), 1, atol=1e-5)
    with pytest.raises(InvalidInput, match="not an image in base64"):
        endpoint.predict("night.jpg")
    maas_jupyter.stop("pictures")


def test_a_table_from_a_terminal(home, houses, child_environment):
    def maas(*words):
        code = "import sys; from maas_jupyter.cli import main; sys.argv[0] = 'maas'; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            env=child_environment,
            cwd=houses.bundle.folder.parent,
        )

    registered = maas("register", "./houses", "--name", "houses")
    assert registered.returncode == 0, registered.stderr
    assert registered.stdout.startswith("houses/1 @champion: regression")
    assert maas("publish", "houses").returncode == 0
    for rows in (
        '[{"town": "Rome", "area": 80}, {"town": "Oslo", "area": 5}]',
        '{"area": [80, 5], "town": ["Rome", "Oslo"]}',
    ):
        answer = maas("predict", "houses", rows)
        assert answer.returncode == 0, answer.stderr
        assert "100" in answer.stdout
        assert "15" in answer.stdout
    wrong = maas("predict", "houses", '[{"twn": "Rome", "area": 80}]')
    assert "unknown: 'twn'" in wrong.stderr
    assert "hint: Did you mean 'town'?" in wrong.stderr
    frame = pandas.DataFrame({"town": ["Oslo", None], "area": [1.5, 2]})
    answer = maas_jupyter.predict("houses", frame)
    assert answer.outputs["prediction"].ravel().tolist() == [11.5, 2]
    again = maas_jupyter.register(houses, name="houses", data=(frame, [11.5, 4]))
    assert again.version == "2"
    assert again.metrics["mae"] == pytest.approx(1)
    assert maas("stop", "houses").returncode == 0
    unregistered = maas("publish", "./houses")
    assert unregistered.returncode
    assert "maas register ./houses --name MODEL" in unregistered.stderr
    for words, said in (
        (["register", "nothing", "--name", "x"], "There is no folder 'nothing'"),
        (["register", ".", "--name", "x"], "The folder '.' holds no bundle"),
        (["register", "./houses"], "--name is missing"),
    ):
        refused = maas(*words)
        assert refused.returncode
        assert said in refused.stderr
        assert "hint:" in refused.stderr


def test_a_bundle_of_tensors_and_one_that_was_registered_before(home, tmp_path):
    X, y = wine()
    net = mlp(13, 3)
    packaged = package(net, (torch.tensor(X),), tmp_path / "made", task="classification", labels=["a", "b", "c"])
    version = maas_jupyter.register(packaged, name="tensors", data=(X, y))
    with torch.no_grad():
        assert version.metrics["accuracy"] == pytest.approx((net(torch.tensor(X)).argmax(1).numpy() == y).mean())
    assert maas_jupyter.register(str(tmp_path / "made"), name="tensors").digest == version.digest
    assert maas_jupyter.register(Path(tmp_path / "made"), name="tensors").version == "3"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (TEXTS, "no targets"),
        ((TEXTS, ["good", "bad", "good", "ugly"]), "'ugly'"),
        ((TEXTS[:3], GOOD), "3 rows"),
        ((np.zeros((4, 3)), [0, 1, 0, 1]), "shape|text"),
        (7, "form of data"),
    ],
)
def test_data_that_does_not_fit_a_bundle_registers_nothing(home, texts, data, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        maas_jupyter.register(texts, name="unfit", data=data)
    assert caught.value.hint
    with pytest.raises(maas_jupyter.MaasError, match="no model called 'unfit'"):
        maas_jupyter.models("unfit")


def test_what_cannot_be_measured_says_so(home, tmp_path):
    packaged = package(nn.Linear(4, 2), (torch.rand(8, 4),), tmp_path / "made", task="tensor")
    with pytest.raises(InvalidInput, match="task 'tensor' cannot be evaluated"):
        maas_jupyter.register(packaged, name="plain", data=(np.zeros((2, 4), "float32"), [0, 1]))
    assert maas_jupyter.register(packaged, name="plain").task == "tensor"


@pytest.mark.parametrize("damage", ["altered", "gone", "other"])
def test_a_damaged_bundle_is_refused(home, texts, tmp_path, damage):
    folder = tmp_path / "copy"
    shutil.copytree(texts.bundle.folder, folder)
    given = folder
    if damage == "altered":
        (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-1])
    elif damage == "gone":
        (folder / "tokenizer.json").unlink()
    else:  # its folder was used for another one since
        given = type(texts.bundle)(folder, texts.bundle.manifest, "0" * 64)
    with pytest.raises(BundleError, match="cannot be registered") as caught:
        maas_jupyter.register(given, name="damaged")
    assert "Package the model again" in caught.value.hint


def test_a_bundle_that_no_server_can_load_is_refused(home, texts, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(texts.bundle.folder, folder)
    (folder / "model.onnx").write_bytes(b"no graph")
    (folder / "maas.json").unlink()
    manifest = msgspec.structs.replace(texts.bundle.manifest, files={})
    Bundle.seal(folder, manifest, ["model.onnx", "tokenizer.json"])
    with pytest.raises(BundleError, match=r"cannot be registered, .* be served: model\.onnx cannot be loaded"):
        maas_jupyter.register(folder, name="broken")
    assert not [model for model in maas_jupyter.models() if model.name == "broken"]


def test_a_packaged_model_whose_folder_is_gone(home, tmp_path):
    packaged = package(nn.Linear(4, 2), (torch.rand(8, 4),), tmp_path / "made", task="tensor")
    shutil.rmtree(tmp_path / "made")
    with pytest.raises(BundleError, match=r"maas\.json is missing") as caught:
        maas_jupyter.register(packaged, name="lost")
    assert "kept until it is registered" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "kind", "said", "hint"),
    [
        ("register net --name x", UsageError, "with rows", "%maas register VARIABLE --name x --data ROWS"),
        ("register packaged --name x --labels ['a','b']", UsageError, "labels already", "Leave --labels out"),
        ("register number --name x", UsageError, "A int cannot be registered", "a torch module, a run, a bundle"),
        ("register unknown --name x", UsageError, "no folder 'unknown'", "package_text"),
        ("register packaged --name reviews/2", InvalidInput, "is a reference", "--name reviews:"),
        ("register packaged --name a@b", InvalidInput, "is a reference", "--name a:"),
        ("register packaged --name 'my model'", InvalidInput, "cannot be the name", "letters, digits"),
        ("register packaged --name ''", InvalidInput, "cannot be the name", "letters, digits"),
        ("register packaged", UsageError, "--name is missing", "%maas register --help"),
        ("publish packaged", maas_jupyter.MaasError, "no model called 'packaged'",
         "%maas register packaged --name NAME"),
        ("publish net", maas_jupyter.MaasError, "no model called 'net'", "%maas register net --name NAME"),
        ("publish packaged --to moon", maas_jupyter.MaasError, "no target called 'moon'", "%maas connect moon"),
        ("runs --limit 0", UsageError, "--limit", "20"),
        ("runs --limit -3", UsageError, "--limit", "20"),
        ("runs --limit", UsageError, "'--limit' requires an argument", "%maas runs --help"),
        ("publish packaged --canary -3", UsageError, "--canary -3 is no share", "1 to 99"),
    ],
)  # fmt: skip
def test_an_error_says_what_to_do(shell, fail, texts, line, kind, said, hint):
    shell.user_ns.update(packaged=texts, net=mlp(13, 3), number=7)
    error = fail(line)
    assert isinstance(error, kind), error
    assert said in error.message
    assert hint in error.hint


def test_a_bundle_is_published_once_it_is_registered(home, texts):
    for given in (texts, texts.bundle, texts.bundle.folder, str(texts.bundle.folder)):
        with pytest.raises(UsageError, match="not registered") as caught:
            maas_jupyter.publish(given)
        assert "Register it first: %maas register" in caught.value.hint


def test_names_that_are_none(home, texts):
    for name in (None, 7):
        with pytest.raises(UsageError, match="cannot be the name"):
            maas_jupyter.register(texts, name=name)


def test_a_model_is_found_though_a_variable_has_its_name(shell, run, texts):
    shell.user_ns.update(words=texts)
    run("register words --name words")
    assert run("publish words").name == "words"
    run("stop words")


def test_what_can_be_registered_is_completed(shell, texts):
    from IPython.core.completer import provisionalcompleter

    shell.user_ns.update(my_bundle=texts, my_net=mlp(13, 3), my_number=7)
    with provisionalcompleter():
        found = [each.text for each in shell.Completer.completions("%maas register my_", 18)]
    assert found == ["my_bundle", "my_net"]


def test_bundles_of_texts_and_pictures_are_mlflow_models_that_take_these(home, texts, pictures, monkeypatch):
    import mlflow.pyfunc

    monkeypatch.setenv("MLFLOW_TRACKING_URI", config.current().resolved_registry_uri)
    maas_jupyter.register(texts, name="mlflow-texts")
    maas_jupyter.register(pictures, name="mlflow-pictures")
    model = mlflow.pyfunc.load_model("models:/mlflow-texts@champion")
    answer = model.predict(np.array(["a dull thing", "fine"], dtype=object))
    assert answer["label"].tolist() == ["bad", "good"]
    assert answer["scores"].sum(axis=1) == pytest.approx(1)
    assert model.predict(pandas.DataFrame({"text": ["fine"]}))["label"].tolist() == ["good"]
    model = mlflow.pyfunc.load_model("models:/mlflow-pictures@champion")
    sent = np.array([picture(250), picture(3, "JPEG")], dtype=object)
    assert model.predict(sent)["label"].tolist() == ["bright", "dark"]
    files = Path(urlparse(maas_jupyter.models("mlflow-texts")[0].versions[0].source).path)
    assert "maas-jupyter[text]==" in (files / "requirements.txt").read_text()
