from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from data_plane_parts import DataPlaneServer, until
from fake_runtimes import ROWS, Doubling, QuickDoubling
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.schema import ServedVersion, Signature, TensorSpec
from maas_jupyter.serving.shadow import QUEUE, agree

THREE_COLUMNS = Signature([TensorSpec("x", "FP32", [-1, 3])], [TensorSpec("y", "FP32", [-1, 3])])


class Off(Doubling):
    """Answers something else for values over 10."""

    def compute(self, x):
        answer = super().compute(x)
        answer["y"] += x > 10
        return answer


class Failing(Doubling):
    def compute(self, x):
        raise ZeroDivisionError("secret detail")


class Pair:
    """A model with a live version and a shadow, behind real HTTP."""

    def __init__(self, folder, fake_runtime, live, shadow, *, shadow_signature=ROWS, **fields):
        made = iter((live(), shadow()))
        fake_runtime(lambda: next(made))
        self.server = DataPlaneServer(folder)
        self.server.serve(
            "m",
            ServedVersion("1", self.server.bundle(**fields)),
            ServedVersion("2", self.server.bundle(shadow_signature, created_by="shadow"), 0),
            shadow="2",
        )
        self.live, self.shadow = (
            loaded.servable.runtime for loaded in self.server.repository.router("m").versions.values()
        )

    def outcomes(self):
        # Not as it is told outside: what was counted of a version that is gone is not.
        return {outcome: number for (_, _, outcome), number in dict(self.server.plane.metrics.counts.shadow).items()}

    def await_outcomes(self, expected):
        try:
            asyncio.run(until(lambda: self.outcomes() == expected))
        except AssertionError:
            assert self.outcomes() == expected

    def ask(self, value, **options):
        answer = self.server.infer(value, **options)
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"][0]["data"] == [value * 2] * 2
        return answer.json()["model_version"]


@pytest.fixture
def pair(tmp_path, fake_runtime):
    opened = []

    def make(live, shadow, **options):
        opened.append(Pair(tmp_path, fake_runtime, live, shadow, **options))
        return opened[-1]

    yield make
    for each in opened:
        for runtime in (each.live, each.shadow):
            runtime.free.set()
        each.server.close()


@pytest.mark.parametrize("live", [Doubling, QuickDoubling])
def test_answers_are_compared_and_counted(pair, live):
    served = pair(live, Off)
    assert served.ask(1) == "1"
    served.await_outcomes({"agree": 1})
    assert served.ask(11) == "1"
    served.await_outcomes({"agree": 1, "disagree": 1})
    requests = served.server.counts().requests
    assert requests == {("m", "1", "v2-rest", 200): 2}, "a copy is no request"
    assert served.shadow.threads and not set(served.shadow.threads) & {served.server._thread.ident}


def test_a_failing_shadow_changes_nothing(pair, caplog):
    served = pair(Doubling, Failing)
    for number in range(3):
        assert served.ask(number) == "1"
        served.await_outcomes({"failed": number + 1})
    assert sum("the shadow 2 of model m fails" in line for line in caplog.messages) == 1


def test_a_shadow_that_takes_something_else_fails_alone(pair):
    served = pair(Doubling, Doubling, shadow_signature=THREE_COLUMNS)
    assert served.ask(1) == "1"
    served.await_outcomes({"failed": 1})


def test_a_slow_shadow_slows_no_answer_and_holds_few_copies(pair):
    served = pair(Doubling, Doubling)
    served.shadow.free.clear()
    for number in range(QUEUE + 4):
        served.ask(number)  # each answered, though the shadow answers none
        if not number:
            assert served.shadow.began.acquire(timeout=30)
    served.await_outcomes({"dropped": 3})
    served.shadow.free.set()
    served.await_outcomes({"dropped": 3, "agree": QUEUE + 1})
    assert served.shadow.rows == [1] * (QUEUE + 1), "one at a time"


def test_copies_are_dropped_while_live_requests_wait(pair):
    served = pair(Doubling, Doubling, max_batch=1)
    served.live.free.clear()
    with ThreadPoolExecutor(3) as pool:
        batcher = served.server.repository.router("m").pick("1").batcher
        asked = [pool.submit(served.ask, 1)]
        assert served.live.began.acquire(timeout=30)
        asked += [pool.submit(served.ask, value) for value in (2, 3)]
        asyncio.run(until(lambda: batcher.depth == 2))
        served.live.free.set()
        assert [each.result() for each in asked] == ["1"] * 3
    asyncio.run(until(lambda: sum(served.outcomes().values()) == 3))
    assert served.outcomes()["dropped"] >= 1


def test_requests_for_the_shadow_itself_and_failed_ones_are_not_copied(pair):
    served = pair(Doubling, Doubling)
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    answer = served.server.http.post("/v2/models/m/versions/2/infer", json=body)
    assert answer.json()["model_version"] == "2"
    body["inputs"][0]["data"] = [-1, -1]
    assert served.server.http.post("/v2/models/m/infer", json=body).status_code == 400
    served.ask(1)
    served.await_outcomes({"agree": 1})
    assert served.shadow.rows == [1, 1]


def test_a_copy_of_traffic_that_changed_meanwhile_is_dropped(pair):
    served = pair(Doubling, Doubling)
    served.shadow.free.clear()
    served.ask(1)
    assert served.shadow.began.acquire(timeout=30)
    served.ask(2)
    live = served.server.repository.router("m").pick("1")
    served.server.serve("m", ServedVersion("1", live.digest))
    assert not served.shadow.unloaded
    served.shadow.free.set()
    served.await_outcomes({"agree": 1, "dropped": 1})
    asyncio.run(until(lambda: served.shadow.unloaded))


def test_the_copy_runs_after_the_answer_was_sent(pair):
    served = pair(QuickDoubling, QuickDoubling)
    runs_when_sent = []

    async def ask():
        async def receive():
            data = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}'
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message):
            for _ in range(20):  # a client that reads slowly
                await asyncio.sleep(0)
            runs_when_sent.append(len(served.shadow.runs))

        headers = [(b"authorization", b"Bearer the-token-of-ann")]
        scope = {"type": "http", "method": "POST", "path": "/v2/models/m/infer", "headers": headers}
        await served.server.app(scope, receive, send)

    served.server.call(ask())
    assert runs_when_sent == [0, 0]
    served.await_outcomes({"agree": 1})


# -- comparing --------------------------------------------------------------------------------------------------------


def outputs(scores, labels=None):
    found = {"scores": np.array(scores, dtype=np.float32)}
    return found if labels is None else {"label": np.array(labels), **found}


def test_labels_decide_where_there_are_some():
    assert agree(outputs([0.9, 0.1], [0]), outputs([0.6, 0.4], [0]))
    assert not agree(outputs([0.51, 0.49], [0]), outputs([0.49, 0.51], [1]))
    words = [np.array(each, dtype=object) for each in (["a", "b"], ["a", "b"], ["a", "c"])]
    assert agree({"label": words[0]}, {"label": words[1]})
    assert not agree({"label": words[0]}, {"label": words[2]})


def test_numbers_agree_within_the_tolerance():
    assert agree(outputs([1000.0, 0.0]), outputs([1000.9, 0.000009]))
    assert not agree(outputs([1000.0, 0.0]), outputs([1001.1, 0.0]))
    assert not agree(outputs([1000.0, 0.0]), outputs([1000.0, 0.00002]))


def test_other_names_and_shapes_disagree():
    assert not agree(outputs([1.0]), {"other": np.ones(1, np.float32)})
    assert not agree(outputs([1.0]), outputs([1.0, 1.0]))


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_an_answer_agrees_with_itself(values):
    assert agree(outputs(values), outputs(values))
