"""What is known of a version is told: its details, and the card that is written from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from models import mlp, wine

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.errors import NotFound, UsageError
from maas_jupyter.registry import Registry
from maas_jupyter.registry.last_evaluation import MOST_CLASSES, ClassScores, confusion_of

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def registry(home):
    return Registry(config.current())


@pytest.fixture
def client(registry):
    return MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)


@pytest.fixture(scope="module")
def run(shared_home):
    """A run of this home, registered as ``carded/1`` and evaluated against a gate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        trained = maas_jupyter.train(
            mlp(13, 3), data=wine(), val=wine(), epochs=1, name="carded", labels=["a|b", "<i>", "c"], source="X = 1"
        )
        maas_jupyter.evaluate("carded", data=wine(), require=("accuracy>=0",))
    return trained


def artifacts(client, run_id):
    return Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://"))


def test_details_of_a_trained_version(run, registry):
    found = registry.details("carded/1")
    assert (found.reference, found.task, found.precision, found.trained_as) == (
        "carded/1",
        "classification",
        "fp32",
        "carded/1",
    )
    assert found.parameters == sum(each.numel() for each in run.model.parameters())
    assert found.labels == ["a|b", "<i>", "c"]
    assert [spec.shape for spec in found.inputs] == [[-1, 13]]
    origin = found.origin
    assert (origin.verb, origin.run_id, origin.command) == ("train", run.run_id, "X = 1")
    assert origin.params["rows"] == str(len(wine()[0]))
    assert found.training == origin
    assert "torch" in found.packages
    assert found.troubles == []


def test_details_tell_the_last_evaluation(run, registry):
    found = registry.details("carded")
    evaluation = found.evaluation
    assert evaluation.subject == "carded/1"
    assert evaluation.time == pytest.approx(found.created, abs=600)
    low, high = evaluation.intervals["accuracy"]
    assert low <= evaluation.metrics["accuracy"] <= high
    assert evaluation.confusion.labels == ["a|b", "<i>", "c"]
    assert np.sum(evaluation.confusion.counts) == evaluation.rows == len(wine()[0])
    assert found.passed is True
    assert found.gates[0].startswith("✓ accuracy>=0")


def test_a_version_that_was_made_from_another_tells_how(run, registry, client):
    bundle = registry.fetch(registry.resolve("carded/1"))
    run_id = registry.start_run(
        "quantize carded/1", {"method": "static-int8", "command": "%maas quantize"}, {"maas.verb": "quantize"}
    )
    folder = artifacts(client, run_id) / "comparison"
    folder.mkdir(parents=True)
    (folder / "comparison.txt").write_text("original\nstatic-int8 winner\n")
    made = registry.register("carded", bundle, run_id=run_id, metrics={"accuracy": 0.5}, parent="carded/1")
    found = registry.details(made.reference)
    assert (found.origin.verb, found.origin.method, found.origin.command) == (
        "quantize",
        "static-int8",
        "%maas quantize",
    )
    assert (found.trained_as, found.training.run_id) == ("carded/1", run.run_id)
    assert found.parameters == sum(each.numel() for each in run.model.parameters())
    assert (found.evaluation, found.comparison) == (None, "original\nstatic-int8 winner\n")
    card = maas_jupyter.card(made).text
    assert f"carded/1 → **{made.reference}** by static-int8" in card
    assert "as carded/1" in card


def test_a_model_that_was_reshaped_does_not_have_its_parents_parameters(run, registry):
    bundle = registry.fetch(registry.resolve("carded/1"))
    for method in ("structured-pruning + static-int8", "somebody's own"):
        run_id = registry.start_run("optimize", {"method": method}, {"maas.verb": "optimize"})
        made = registry.register("carded", bundle, run_id=run_id, metrics={}, parent="carded/1")
        assert registry.details(made.reference).parameters is None


def test_only_those_ancestors_are_read_that_say_something(run, registry, monkeypatch):
    name, bundle = "descended", registry.fetch(registry.resolve("carded/1"))
    made = None
    for number in range(4):
        params = {"method": "static-int8", **({"parameters": 7} if number == 2 else {})}
        run_id = registry.start_run("optimize", params, {"maas.verb": "optimize"})
        made = registry.register(name, bundle, run_id=run_id, metrics={}, parent=f"{name}/{number}")
    read = []
    get_run = type(registry._client).get_run
    monkeypatch.setattr(type(registry._client), "get_run", lambda self, id_: read.append(id_) or get_run(self, id_))
    found = registry.details(made.reference)
    assert found.parameters == 7
    # Its own, its parent's, and the first ancestor's.
    assert len(set(read)) == 3


def test_what_cannot_be_read_is_told_and_the_rest_is_there(registry, client, home):
    version = maas_jupyter.register(mlp(13, 3), name="damaged", data=wine())
    maas_jupyter.evaluate("damaged", data=wine())
    kept = artifacts(client, version.run_id) / "evaluation" / "evaluation.json"
    said = json.loads(kept.read_text())
    kept.write_text(json.dumps({**said, "intervals": {"accuracy": [0.5]}}))
    assert any("evaluation" in trouble for trouble in registry.details("damaged").troubles)
    kept.write_text('{"rows": "many"}')
    manifest = Path(version.source.removeprefix("file://")) / "maas.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "task": "regression"}))
    # What is kept on this machine would be asked first.
    shutil.rmtree(home / "bundles" / version.digest, ignore_errors=True)
    found = registry.details("damaged")
    assert found.metrics == version.metrics
    assert (found.evaluation, found.inputs) == (None, [])
    assert any("digest is another" in trouble for trouble in found.troubles)
    assert any("evaluation" in trouble for trouble in found.troubles)
    card = maas_jupyter.card("damaged").text
    assert "## Not known" in card
    manifest.unlink()
    (trouble,) = (each for each in registry.details("damaged").troubles if "manifest" in each)
    assert str(home) not in trouble


def test_the_words_of_the_owner_come_first(run, client):
    client.update_registered_model("carded", "Wines of **Italy**.")
    client.update_model_version("carded", "1", "The first one.")
    lines = [line for line in maas_jupyter.card("carded/1").text.splitlines() if line]
    assert lines[:3] == ["# carded/1", "The first one.", "Wines of **Italy**."]


def test_a_card_tells_what_is_needed(run):
    text = maas_jupyter.card("carded/1").text
    for words in (
        'mlflow.pyfunc.load_model("models:/carded/1")',
        "/v2/models/carded/infer",
        "| in |",
        "fingerprint",
        "95 % interval",
        "```python\nX = 1\n```",
        "Gates: passed",
        "torch ",
    ):
        assert words in text
    # What is a label and no Markdown or HTML stays one.
    assert r"a\|b" in text
    assert "| `<i>` |" in text


def test_a_card_shows_itself_as_markdown(run, tmp_path):
    card = maas_jupyter.card("carded/1", save=str(tmp_path / "cards" / "README.md"))
    assert card._repr_markdown_() == repr(card) == (tmp_path / "cards" / "README.md").read_text()
    with pytest.raises(UsageError, match="cannot be written"):
        maas_jupyter.card("carded/1", save=str(tmp_path / "cards"))


@pytest.mark.parametrize("reference", ["nobody", "carded/99", "carded@nobody"])
def test_what_is_not_there_has_no_card(run, reference):
    with pytest.raises(NotFound):
        maas_jupyter.card(reference)


def test_of_many_classes_the_most_confused_are_shown():
    size = MOST_CLASSES + 5
    classes = [ClassScores(str(place), 1.0, 1.0, 1.0, 10) for place in range(size)]
    counts = [[10 if row == column else 0 for column in range(size)] for row in range(size)]
    counts[3][size - 1] = 7
    found = confusion_of(classes, counts)
    assert len(found.labels) == len(found.counts) == MOST_CLASSES
    assert found.left_out == 5
    assert {"3", str(size - 1)} <= set(found.labels)
    assert found.counts[found.labels.index("3")][found.labels.index(str(size - 1))] == 7


@pytest.mark.parametrize("counts", [[], [[1]], [[1, 2], [3]]])
def test_a_matrix_that_fits_no_classes_is_none(counts):
    assert confusion_of([ClassScores("a", 1.0, 1.0, 1.0, 1), ClassScores("b", 1.0, 1.0, 1.0, 1)], counts) is None
