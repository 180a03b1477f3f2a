"""Traffic, history and requests of endpoints on this machine."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest
from bundles import linear_softmax

from maas_jupyter.errors import Conflict, NotFound, Unavailable
from maas_jupyter.targets.local import LocalTarget

X = np.array([[1, 0, 0, 0], [0, 0, 0, 1]])


def test_a_canary_is_promoted_and_rolled_back(target, bundles):
    with pytest.raises(Conflict):
        target.publish("digits", "1", bundles.make(linear_softmax()), canary=10)
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()), reason="first")
    canary = target.publish("digits", "2", bundles.make(linear_softmax(2)), canary=10)
    assert canary.labels == {"1": "stable", "2": "canary"}
    assert [row.version for row in target.promote("digits").traffic] == ["2"]
    assert endpoint.predict(X).version == "2"
    assert {row.version for row in target.rollback("digits", reason="worse").traffic} == {"1", "2"}
    assert [row.version for row in endpoint.refresh().traffic] == ["1", "2"]
    assert [(entry.action, entry.reason) for entry in target.history("digits")] == [
        ("publish", "first"),
        ("canary", ""),
        ("promote", ""),
        ("rollback", "worse"),
    ]


def test_the_history_is_there_while_the_server_rests(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    target.stop()
    assert [entry.action for entry in target.history("digits")] == ["publish"]
    target.unpublish("digits", reason="no more")
    assert target.endpoints() == []
    entry = target.history("digits")[-1]
    assert (entry.action, entry.reason, entry.model) == ("unpublish", "no more", None)
    with pytest.raises(NotFound, match="ever served") as caught:
        target.history("digit")
    assert "'digits'" in caught.value.hint
    for attempt in (target.unpublish, target.promote, target.rollback):
        with pytest.raises(NotFound):
            attempt("digits")
    target.client()  # the next start does not bring it back
    assert target.endpoints() == []


def test_a_prediction_is_one_request_after_the_first(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    sent = []
    target.connection()._http.event_hooks = {"request": [lambda request: sent.append(request.url.path)]}
    for _ in range(3):
        endpoint.predict(X)
    assert sent == ["/v2/models/digits", *["/v2/models/digits/infer"] * 3]


def test_a_held_endpoint_finds_the_server_that_came_after(target, bundles):
    endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
    endpoint.predict(X)
    LocalTarget(target.home).stop()
    with pytest.raises(Unavailable, match="does not run"):
        endpoint.predict(X)
    with pytest.raises(Unavailable, match="does not run"):
        asyncio.run(endpoint.apredict(X))
    LocalTarget(target.home).client()
    assert endpoint.predict(X).version == "1"
    assert asyncio.run(endpoint.apredict(X)).version == "1"


def test_what_was_withdrawn_says_how_it_comes_back(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    target.publish("digits", "2", bundles.make(linear_softmax(2)), canary=10)
    target.publish("other", "1", bundles.make(linear_softmax()))
    target.unpublish("digits")
    for attempt in (target.rollback, target.promote, target.endpoint, target.unpublish):
        with pytest.raises(NotFound, match="no endpoint 'digits'") as caught:
            attempt("digits")
        assert re.fullmatch(
            r"It was unpublished \(\d+-.*\)\. Serve it again: %maas publish digits/1", caught.value.hint
        )
    with pytest.raises(NotFound) as caught:
        target.rollback("othr")
    assert "'other'" in caught.value.hint
    with pytest.raises(NotFound):
        target.endpoint("../digits")


def test_a_server_that_is_gone_says_what_brings_its_models_back(target, bundles, kill):
    held = target.publish("digits", "1", bundles.make(linear_softmax()))
    target.publish("digits", "2", bundles.make(linear_softmax(2)), canary=25)
    target.publish("shadowed", "1", bundles.make(linear_softmax()))
    target.publish("shadowed", "2", bundles.make(linear_softmax(2)), shadow=True)
    target.publish("plain", "7", bundles.make(linear_softmax()))
    start = "Start it with all that it serves: %maas start"
    for end, state in ((kill, "unavailable"), (target.stop, "stopped")):
        target.client()
        end()
        for name in ("digits", "plain", "shadowed"):
            endpoint = target.endpoint(name)
            assert endpoint.state == state
            assert endpoint.reason.endswith(start)
            for ask in (endpoint.metrics_text, lambda asked=endpoint: asked.predict(X), held.metrics_text):
                with pytest.raises(
                    Unavailable, match="is published, but the local model server does not run"
                ) as caught:
                    ask()
            assert caught.value.hint == start
            with pytest.raises(Unavailable) as caught:
                asyncio.run(endpoint.apredict(X))
            assert caught.value.hint == start
    target.start()
    assert [(row.version, row.weight) for row in target.endpoint("digits").traffic] == [("1", 75), ("2", 25)]
    assert [(row.version, row.shadow) for row in target.endpoint("shadowed").traffic] == [("1", False), ("2", True)]
    assert held.predict(X).version in ("1", "2")


def test_how_the_target_is(target, bundles):
    assert (target.status().state, target.status().url) == ("stopped", "")
    target.publish("digits", "1", bundles.make(linear_softmax()))
    assert (target.status().state, target.status().models) == ("ready", 1)
    assert "1 model" in repr(target.status())


def test_an_unloaded_model_rests(target, bundles):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    endpoint = target.unload("digits", reason="the night")
    resting = "The model is not in memory. To bring it back: %maas load digits"
    assert (endpoint.state, endpoint.reason) == ("stopped", resting)
    with pytest.raises(Unavailable, match="not in memory"):
        endpoint.predict(X)
    assert target.load("digits", reason="the day").state == "ready"
    assert endpoint.refresh().predict(X).version == "1"
    told = [(entry.action, entry.reason) for entry in target.history("digits")]
    assert told == [("publish", ""), ("unload", "the night"), ("load", "the day")]


def test_a_server_that_starts_while_a_model_is_withdrawn_from_its_files_withdraws_it(target, bundles, monkeypatch):
    target.publish("digits", "1", bundles.make(linear_softmax()))
    target.publish("other", "1", bundles.make(linear_softmax()))
    # What another notebook does between this one's look for a server and its change of the files.
    monkeypatch.setattr(target._server, "settled", lambda: None)
    target.unpublish("digits")
    monkeypatch.undo()
    assert [model.name for model in target.client().status().models] == ["other"]
    target.stop()
    assert [model.name for model in target.client().status().models] == ["other"]
