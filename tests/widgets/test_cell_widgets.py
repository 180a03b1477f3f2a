"""The widgets without a browser: what they ask and do for the page, and the static twin that stays."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

from bundles import Bundles, linear_softmax, two_inputs
from test_comparison_display import EVIL, comparison, measured

import maas_jupyter
from maas_jupyter.api.playing import known_of
from maas_jupyter.errors import NotFound, Unavailable
from maas_jupyter.optimization import Candidate
from maas_jupyter.widgets.live import Errand
from maas_jupyter.widgets.sparkline import sparkline

VIEW = "application/vnd.jupyter.widget-view+json"
LABELS = ["ada", "bo", "cy"]


@pytest.fixture(scope="module")
def served(shared_home, tmp_path_factory):
    """A classifier in two versions, the first of which is published."""
    made = Bundles(tmp_path_factory.mktemp("widgets"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for scale in (1.0, 2.0):
            maas_jupyter.register(made.make(linear_softmax(scale), labels=LABELS), name="flowers")
        maas_jupyter.register(made.make(two_inputs(), task="regression"), name="sums")
        maas_jupyter.publish("sums")
        yield maas_jupyter.publish("flowers/1")


@pytest.fixture
def endpoint(served, home):
    return maas_jupyter.publish("flowers/1")


def row(*numbers):
    return {"x": {"kind": "number", "value": [str(number) for number in numbers]}}


# -- the playground ---------------------------------------------------------------------------------------------------


def test_a_playground_answers_with_the_names_of_the_classes(endpoint):
    playground = endpoint.playground()
    assert [each["kind"] for each in playground.fields] == ["number"]
    assert playground.fields[0]["length"] == 4
    answer = playground.ask(row(1, 2, 3, 4))
    assert sorted(name for name, _ in answer["scores"]) == LABELS
    assert sum(score for _, score in answer["scores"]) == pytest.approx(1)
    assert answer["ms"] > 0
    assert answer["version"] == "1"
    assert playground.prediction.endpoint == "flowers"


def test_its_code_asks_the_same(endpoint):
    playground = endpoint.playground()
    playground.ask(row(1, 0, 0, 0.5))
    scope = {}
    exec(playground.code.rpartition("\n")[0], scope)
    assert np.allclose(scope["answer"].scores, playground.prediction.scores)


def test_what_the_browser_asks_for_is_answered_beside_the_cell(endpoint):
    playground = maas_jupyter.play("flowers")
    playground.request = {"id": "a", "values": row(1, 2, 3, 4), "version": ""}
    playground.wait()
    assert playground.answer["id"] == "a"
    assert "error" not in playground.answer


def test_a_request_that_cannot_be_is_an_error_in_words_and_kept(endpoint):
    playground = endpoint.playground()
    playground.ask(row("one", 2, 3, 4))
    assert "takes numbers" in playground.answer["error"]["message"]
    playground.ask({})
    assert "no value for 'x'" in playground.answer["error"]["message"]
    playground.ask(row(1, 2, 3, 4), version="7")
    assert "7" in playground.answer["error"]["message"]
    assert len(playground.tries) == 3
    assert "takes numbers" in repr(playground)


def test_scores_that_are_no_numbers_are_said_to_be_so(endpoint):
    playground = endpoint.playground()
    answer = playground.ask(row("", 2, 3, 4))
    assert [score for _, score in answer["scores"]] == [None, None, None]
    assert "no number" in playground.static()["text/html"]
    (note,) = answer["notes"]
    assert note in playground.static()["text/html"]
    assert f"note: {note}" in playground.static()["text/plain"]
    assert "(nothing), 2, 3, 4: " in repr(playground)
    json.dumps([answer, playground.tries], allow_nan=False)


def test_an_endpoint_that_was_withdrawn_meanwhile_is_not_asked_for_among_others(served, home, tmp_path):
    maas_jupyter.register(Bundles(tmp_path).make(linear_softmax()), name="withdrawn-while-played")
    playground = maas_jupyter.publish("withdrawn-while-played").playground()
    maas_jupyter.unpublish("withdrawn-while-played")
    error = playground.ask(row(1, 2, 3, 4))["error"]
    assert error["message"] == "withdrawn-while-played on local is not published any more."
    assert error["hint"] == "%maas publish withdrawn-while-played"
    assert playground.versions == []
    maas_jupyter.publish("withdrawn-while-played")
    assert "error" not in playground.ask(row(1, 2, 3, 4))
    assert playground.versions == ["1"]


def test_a_server_that_was_stopped_meanwhile_is_started_again_by_its_own_word(served, own_home, tmp_path):
    maas_jupyter.register(Bundles(tmp_path).make(linear_softmax()), name="stopped-while-played")
    playground = maas_jupyter.publish("stopped-while-played").playground()
    maas_jupyter.stop()
    assert "%maas start" in playground.ask(row(1, 2, 3, 4))["error"]["hint"]
    maas_jupyter.start()
    assert "error" not in playground.ask(row(1, 2, 3, 4))
    maas_jupyter.unpublish("stopped-while-played")
    assert playground.ask(row(1, 2, 3, 4))["error"]["hint"] == "%maas publish stopped-while-played"


def test_a_version_that_came_meanwhile_can_be_chosen(endpoint):
    playground = endpoint.playground()
    maas_jupyter.publish("flowers/2")
    assert playground.ask(row(1, 2, 3, 4))["version"] == "2"
    assert playground.versions == ["2"]


def test_only_the_last_tries_are_kept(endpoint):
    playground = endpoint.playground()
    for number in range(25):
        playground.ask(row(number, 0, 0, 0))
    assert len(playground.tries) == 20
    assert playground.tries[0]["given"] == "24, 0, 0, 0"


def test_a_regression_answers_with_its_number(served, home):
    playground = maas_jupyter.play("sums")
    answer = playground.ask({"a": {"kind": "number", "value": ["1"]}, "i": {"kind": "number", "value": ["2"]}})
    assert answer["scores"] == []
    assert answer["outputs"]["prediction"] == playground.prediction.outputs["prediction"][0]
    assert "1 more" not in answer["given"]


def test_what_does_not_serve_has_no_playground(endpoint):
    endpoint.signature, endpoint.state, endpoint.reason = None, "stopped", "It rests."
    with pytest.raises(Unavailable, match="does not serve"):
        endpoint.playground()


def test_without_the_registrys_version_the_note_says_what_is_missing(endpoint):
    endpoint.traffic = [type(each)(each.version, "0" * 64, each.weight, each.state) for each in endpoint.traffic]
    assert "another registry" in known_of(endpoint).note
    endpoint.name = "nobody"
    assert "nobody" in known_of(endpoint).note


def test_columns_of_texts_are_choices(home, tmp_path):
    from torch import nn

    from maas_jupyter.categories import known_categories
    from maas_jupyter.data.table import CategoryColumn, NumberColumn, TablePreprocessing
    from maas_jupyter.packaging import package_table

    frame = pd.DataFrame({"size": [1.0, 2.0, 3.0], "colour": ["red", "blue", "red"]})
    colour = CategoryColumn("colour", {"red": 0, "blue": 1}, unknown=2)
    preprocessing = TablePreprocessing(numbers=[NumberColumn("size")], categories=[colour])
    net = nn.Linear(preprocessing.features, 1)
    made = package_table(net, frame, tmp_path / "made", preprocessing=preprocessing, task="regression")
    assert known_categories(made.bundle.folder / "model.onnx", ["colour"]) == {"colour": ["red", "blue"]}


# -- the view of an endpoint ------------------------------------------------------------------------------------------


def test_a_view_shows_what_was_asked_since_the_last_look(endpoint):
    view = endpoint.view()
    before = view.row["requests"]
    endpoint.predict(np.ones((3, 4), dtype=np.float32))
    view.look()
    assert view.row["state"] == "ready"
    assert view.row["requests"] == before + 1
    assert view.points[-1]["requests"] > 0
    assert view.row["versions"][0]["share"] == 1
    assert "flowers on local is ready" in repr(view)


def test_a_view_looks_by_itself_until_it_is_stopped(endpoint):
    view = endpoint.view()
    view.interval = 0.05
    looked = threading.Event()
    view.observe(lambda change: looked.set(), "points")
    view.watch()
    thread = view._thread
    assert looked.wait(10)
    view.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_view_of_what_was_withdrawn_says_so(served, home, tmp_path):
    maas_jupyter.register(Bundles(tmp_path).make(linear_softmax()), name="gone")
    view = maas_jupyter.publish("gone").view()
    maas_jupyter.unpublish("gone")
    view.look()
    assert view.row["state"] == "stopped"
    assert "not published any more" in repr(view) + view.static()["text/html"]


def test_a_sparkline_is_broken_where_nothing_was_measured():
    shown = sparkline([[1.0, None, 2.0, 3.0]], "latency")
    assert 'alt="latency"' in shown
    assert sparkline([[1.0]], "latency") == ""


# -- the form that publishes ------------------------------------------------------------------------------------------


def test_a_form_publishes_a_canary_and_shows_what_serves(endpoint):
    form = maas_jupyter.PublishForm("flowers")
    assert [each["version"] for each in form.versions] == ["2", "1"]
    assert form.serving["versions"] == ["1"]
    done = form.publish(version="2", mode="canary", canary=20, reason="try it")
    assert "canary version 2 20%" in done["line"]
    assert form.endpoint.name == "flowers"
    assert done["url"] in repr(form)


def test_a_form_begins_with_the_version_that_is_named(endpoint):
    assert maas_jupyter.PublishForm("flowers/1").choice["version"] == "1"
    assert maas_jupyter.PublishForm(maas_jupyter.models("flowers")[0].versions[1]).choice["version"] == "1"
    assert maas_jupyter.PublishForm("flowers").choice["version"] in ("1", "2")


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"version": "9"}, "9"),
        ({"to": "nowhere"}, "nowhere"),
        ({"mode": "all of it"}, "no way to publish"),
        ({"version": "2", "mode": "canary", "canary": 100}, "no share"),
        ({"version": "2", "require_passed": True}, "flowers/2"),
    ],
)
def test_what_cannot_be_published_is_an_error_in_words(endpoint, choice, words):
    form = maas_jupyter.PublishForm("flowers/1")
    assert words in form.publish(**choice)["error"]["message"]
    assert form.busy == ""
    assert words in form.static()["text/html"]


def test_a_form_looks_at_another_target_when_it_is_chosen(endpoint):
    form = maas_jupyter.PublishForm("flowers")
    form.request = {"id": "a", "do": "look", "to": "local"}
    form.wait()
    assert form.serving["target"] == "local"
    form.request = {"id": "b", "do": "look", "to": "nowhere"}
    form.wait()
    assert form.serving["line"] == ""


def test_a_form_of_an_unknown_model_says_so(home):
    with pytest.raises(NotFound):
        maas_jupyter.PublishForm("nobody-has-this")


# -- the view of a comparison -----------------------------------------------------------------------------------------


def winner():
    return Candidate("int8", "as int8", "int8", measured(p50=0.5), "winner", "faster")


def test_a_candidate_is_picked_and_given_back():
    view = comparison(winner(), Candidate("bad", "", "", None, "failed", "it broke"), command="%maas quantize d").view()
    assert view.picked.method == "int8"
    view.selected = "bad"
    assert view.picked.verdict == "failed"
    assert view.rows[2]["code"] == "%maas quantize d --method bad"
    assert view.rows[2]["p50"] is None
    with pytest.raises(NotFound, match="no candidate"):
        view.selected = "int9"
    assert "picked: bad" in repr(view)


def test_the_winner_and_the_original_can_become_the_champion(served, home):
    version = maas_jupyter.models("flowers")[0].versions[0]
    view = comparison(winner(), version=version).view()
    assert view.reference == "flowers/2"
    assert view.make_champion()["line"] == "flowers/2 is the champion now."
    assert maas_jupyter.models("flowers")[0].versions[0].aliases == ["champion"]


def test_what_is_not_registered_cannot():
    view = comparison(winner()).view()
    assert "not registered" in view.make_champion()["error"]["message"]
    assert "not made by this kernel" in view.register()["error"]["message"]
    assert not any(each["free"] for each in view.rows)


def test_what_was_measured_as_no_number_is_shown_and_left_out_of_the_picture():
    view = comparison(winner(), Candidate("odd", "", "int8", measured(float("nan"), 0.7), "worse", "it is nan")).view()
    json.dumps(view.rows, allow_nan=False)
    assert view.rows[2]["metric"] is None
    assert [each.method for each in view.comparison.front] == ["int8"]
    picture = base64.b64decode(re.search(r"svg\+xml;base64,([^\"]+)", view.static()["text/html"])[1]).decode()
    assert "nan" not in picture


# -- what all have in common ------------------------------------------------------------------------------------------


def test_a_bundle_holds_the_widget_and_both_static_forms(endpoint):
    for widget in (endpoint.view(), endpoint.playground(), maas_jupyter.PublishForm("flowers")):
        bundle = widget._repr_mimebundle_()
        assert bundle[VIEW]["model_id"] == widget.model_id
        assert bundle["text/plain"] == repr(widget)
        assert "flowers" in bundle["text/html"]


def test_a_cell_shows_the_static_twin_and_the_widget_and_keeps_the_twin_up_to_date(endpoint, cell):
    playground = endpoint.playground()
    playground._ipython_display_()
    twin, live = cell
    assert "not asked yet" in twin["data"]["text/html"]
    assert live["data"][VIEW]["model_id"] == playground.model_id
    playground.ask(row(1, 2, 3, 4))
    assert "1, 2, 3, 4" in cell[-1]["data"]["text/html"]
    assert cell[-1]["transient"] == twin["transient"]


def test_texts_are_escaped():
    view = comparison(Candidate(EVIL, EVIL, "int8", measured(p50=0.5), "winner", EVIL)).view()
    assert "<img src=x" not in view.static()["text/html"]


def test_of_what_is_asked_meanwhile_the_newest_alone_is_done():
    begun, go_on, done = threading.Event(), threading.Event(), []
    errand = Errand()

    def slow():
        begun.set()
        go_on.wait(10)

    errand.do(slow)
    assert begun.wait(10)
    for number in range(3):
        errand.do(lambda number=number: done.append(number))
    go_on.set()
    errand.wait()
    assert done == [2]


def test_the_package_brings_its_front_end_and_imports_it_only_when_it_is_used():
    script = "import sys, maas_jupyter, maas_jupyter.targets; assert 'anywidget' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
