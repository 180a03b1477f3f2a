"""A search for candidates, without a registry: methods of all kinds, budgets, metrics, notes."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
import torch
from models import diabetes, digits, mlp
from msgspec import structs
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from maas_jupyter.bundle import Bundle
from maas_jupyter.data import as_source
from maas_jupyter.errors import InvalidInput
from maas_jupyter.evaluation import Evaluation, Predictions, parse_gate
from maas_jupyter.optimization import Original, Quality, Search, Trained, limits_of, parse_goal
from maas_jupyter.optimization.deadline import Deadline, OutOfTime
from maas_jupyter.optimization.measure import measure_speeds, seconds_to_time, speeds
from maas_jupyter.packaging import package


class Method:
    """Somebody's method; a copy of the original unless a test says otherwise."""

    name, description, family, seconds = "copy", "for tests", "other", 0.1

    def __init__(self, **changes):
        vars(self).update(changes)

    def applies_to(self, original):
        return True

    def run(self, original, folder):
        manifest = original.bundle.manifest
        for name in manifest.files:
            shutil.copyfile(original.bundle.folder / name, folder / name)
        return Bundle.seal(folder, structs.replace(manifest, parent=original.bundle.digest), manifest.files)


def replaced_by(network):
    """Return a method that puts another network in the original's place."""

    def run(self, original, folder):
        made = package(network, (torch.rand(4, 64),), folder, task="classification").bundle
        return Bundle.seal(folder, structs.replace(made.manifest, parent=original.bundle.digest), made.manifest.files)

    return run


class Small(Method):
    name = "small"
    run = replaced_by(mlp(64, 10, hidden=2))


class Smaller(Method):
    name = "small"
    run = replaced_by(nn.Linear(64, 10))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    network = mlp(64, 10, hidden=512)
    return package(network, (torch.rand(4, 64),), tmp_path_factory.mktemp("wide"), task="classification").bundle


@pytest.fixture
def search(bundle, tmp_path):
    """Return a function that searches."""

    def search(*methods, rows=None, max_drop=1.0, goals=(), gates=(), budget=None, of=bundle, named=False, **options):
        source = as_source(rows or digits(), name="data")
        original = Original("wide/1", of, source, source, None, 1, lambda words: None)
        limits = limits_of(of.manifest.task, max_drop, [parse_goal(goal) for goal in goals])
        folder = tmp_path / "candidates"
        folder.mkdir(exist_ok=True)
        return Search(original, limits, [parse_gate(gate) for gate in gates], folder, budget, named).run(
            list(methods), **options
        )

    return search


def by_method(comparison):
    return {candidate.method: candidate for candidate in comparison.candidates}


# -- what methods do wrong --------------------------------------------------------------------------------------------


def raising(self, *_):
    raise ValueError("no such axis\nwith more lines")


def test_a_method_that_fails_in_its_own_way_is_shown_as_failed_and_the_others_go_on(search):
    methods = Method(name="a", run=lambda *_: 1 / 0), Method(name="b", applies_to=lambda _: raising(None)), Small()
    comparison, winner = search(*methods, Method(name="c", run=lambda original, folder: None))
    rows = by_method(comparison)
    assert (rows["a"].verdict, rows["a"].reason) == ("failed", "ZeroDivisionError: division by zero")
    assert (rows["b"].verdict, rows["b"].reason) == ("failed", "ValueError: no such axis")
    assert rows["c"].verdict == "failed"
    assert winner is not None


def test_a_method_that_was_asked_for_and_does_not_apply_says_why(search):
    class Elsewhere(Method):
        def applies_to(self, original):
            return False

        def run(self, original, folder):
            raise InvalidInput("A Sequential has no layers to choose from.")

    comparison, _ = search(Elsewhere())
    assert len(comparison.candidates) == 1
    comparison, _ = search(Elsewhere(), named=True)
    _, row = comparison.candidates
    assert (row.verdict, row.reason) == ("failed", "A Sequential has no layers to choose from.")


def test_a_machine_that_stalls_for_a_moment_condemns_no_candidate(search, monkeypatch):
    from maas_jupyter.optimization.measure import Stand

    time_of, calls = Stand.time, []

    def stalling(stand, rows, seconds):
        calls.append(rows)
        # The original's two trials come first; the next one is the candidate's.
        return time_of(stand, rows, seconds) * (1000 if len(calls) in (3, 4) else 1)

    monkeypatch.setattr(Stand, "time", stalling)
    comparison, _ = search(Method())
    assert "not timed further" not in comparison.candidates[1].reason
    assert comparison.candidates[1].measured.speed is not None


def test_methods_of_one_name_are_told_apart_and_the_right_one_is_the_winner(search):
    comparison, winner = search(Method(name="small"), Smaller(), goals=("size<1GB",))
    assert [each.method for each in comparison.candidates] == ["original", "small", "small (2)"]
    assert comparison.winner.method == "small (2)"
    assert winner.manifest.size < 20_000


def test_a_name_may_hold_what_no_folder_may_and_a_method_may_take_no_time(search):
    comparison, _ = search(Small(name="mine/1: <b>", seconds=0), budget=600)
    assert comparison.winner.method == "mine/1: <b>"


def test_the_parent_of_methods_that_were_combined_is_the_original(search, bundle):
    comparison, winner = search(
        Small(family="prune"), Method(name="q", family="quantize"), goals=("size<1GB",), combine=True
    )
    assert "small + q" in by_method(comparison)
    assert winner.manifest.parent == bundle.digest


# -- the budget -------------------------------------------------------------------------------------------------------


class Counted:
    """A stand that counts how often one row is timed, and how often its process was replaced."""

    seconds_to_load = 0.1

    def __init__(self):
        self.turns = self.restarted = 0

    def restart(self):
        self.restarted += 1

    def reload(self):
        assert self.restarted == 1

    def time(self, rows, seconds):
        self.turns += rows == 1
        return np.full(3, 1e-3 * rows)


@pytest.mark.parametrize(("seconds", "turns"), [(float("inf"), 14), (0.0, 5), (-1.0, 5)])
def test_there_are_fewer_turns_where_time_is_short(seconds, turns, monkeypatch):
    monkeypatch.setattr(speeds, "TURNS", 14)
    stands = {"a": Counted(), "b": Counted()}
    found, _ = measure_speeds(stands, largest_batch=4, on_step=lambda words: None, seconds=seconds)
    assert found["a"].p50_ms == pytest.approx(1)
    assert stands["a"].turns - 2 in (turns, 2 * turns)  # two to find the batch; a batch may be one row too
    assert stands["a"].restarted == (turns > 5)


def test_a_burst_while_the_best_batch_is_looked_for_does_not_choose_it():
    class Stalled(Counted):
        def time(self, rows, seconds):
            self.turns += 1
            # Batches cost as much as one row, but seem to cost far more when they are looked at first.
            return np.full(3, 1e-3 * (rows * 2 if 1 < self.turns < 5 else 1))

    found, _ = measure_speeds({"a": Stalled()}, largest_batch=64, on_step=lambda words: None)
    assert found["a"].batch_size == 64


def test_a_process_that_is_slow_all_its_life_does_not_condemn_its_candidate():
    class Unlucky(Counted):
        def time(self, rows, seconds):
            return np.full(3, 1e-3 * (1 if self.restarted else 2))

    found, _ = measure_speeds({"a": Unlucky()}, largest_batch=1, on_step=lambda words: None)
    assert found["a"].p50_ms == pytest.approx(1)


def test_slow_models_are_expected_to_take_long_to_time():
    assert seconds_to_time([(0.1, 1.0)]) > 15
    assert seconds_to_time([(1e-5, 1e-4)]) < 2


def test_a_training_ends_with_the_budget():
    class Picture:
        def __init__(self):
            self.seen = []

        def update(self, state, *, final=False):
            self.seen.append(final)

        def epoch(self, metrics):
            self.seen.append(metrics)

    picture = Picture()
    Deadline(lambda title: picture, time.monotonic() + 100, 100)("distil").update(None)
    watched = Deadline(lambda title: picture, time.monotonic() - 1, 60)("distil")
    watched.epoch({})
    with pytest.raises(OutOfTime, match="what was left of 60 s"):
        watched.update(None)
    watched.update(None, final=True)
    assert picture.seen == [False, {}, False, True]


def test_a_method_that_trains_is_given_an_end_and_its_row_says_that_it_was_skipped(bundle, tmp_path, monkeypatch):
    def train(original, folder):
        observer = original.trained.watch("training")
        while True:
            observer.update(None)

    class Picture:
        def update(self, state, *, final=False):
            pass

    past = time.monotonic() - 1
    monkeypatch.setattr(
        "maas_jupyter.optimization.search.Deadline", lambda watch, end, budget: Deadline(watch, past, budget)
    )
    source = as_source(digits(), name="data")
    trained = Trained(mlp(), None, None, lambda title: Picture())
    original = Original("wide/1", bundle, source, source, trained, 1, lambda words: None)
    comparison, _ = Search(original, limits_of("classification", 1.0, []), [], tmp_path, 600.0).run(
        [Method(name="endless", run=train)]
    )
    row = by_method(comparison)["endless"]
    assert (row.verdict, row.reason) == (
        "skipped",
        "it was stopped: its training did not end within what was left of 600 s",
    )


# -- numbers ----------------------------------------------------------------------------------------------------------


def regression_bundle(folder):
    X, _ = diabetes()
    return package(mlp(10, 1), (torch.from_numpy(X[:4]),), folder, task="regression").bundle


@pytest.mark.parametrize("rows", [1, 20])
def test_rows_that_do_not_give_the_metric_are_refused_before_anything_is_made(search, tmp_path, rows):
    made = []
    X, y = diabetes()
    with pytest.raises(InvalidInput, match=r"judged by r2, which .* do not give: .* do not vary") as caught:
        search(
            Method(run=lambda *_: made.append(1)),
            of=regression_bundle(tmp_path / "r"),
            rows=(X[:rows], np.ones_like(y[:rows])),
        )
    assert "more rows" in caught.value.hint
    assert not made


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_loader_that_shuffles_is_refused(search, shuffle):
    X, y = map(torch.from_numpy, digits(200))
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=shuffle)
    if not shuffle:
        assert search(Small(), rows=loader)[1] is not None
        return
    with pytest.raises(InvalidInput, match="gives other rows each time") as caught:
        search(Small(), rows=loader)
    assert "shuffle=False" in caught.value.hint


def test_one_row_and_one_class_are_measured_and_what_they_cannot_tell_is_said(search):
    X, y = digits()
    comparison, _ = search(Small(), rows=(X[:1], y[:1]), max_drop=0.01)
    assert comparison.rows == 1
    assert comparison.candidates[1].measured.quality.change_interval is None
    assert comparison.notes == [
        "one of 1 row is 1 of accuracy, more than may be lost (0.01): more rows would tell more"
    ]


def test_a_winner_that_may_lose_more_than_allowed_is_said_to(search, bundle):
    X, _ = digits(100)
    y = mlp(64, 10, hidden=512)(torch.from_numpy(X)).argmax(1).numpy()
    y[50:] = (y[50:] + 1) % 10
    always = nn.Linear(64, 10)
    with torch.no_grad():
        always.weight.zero_()
        always.bias.copy_(torch.eye(10)[int(y[-1])])  # right where the original is wrong, so that nothing is lost
    comparison, _ = search(
        Method(name="small", run=lambda *given: replaced_by(always)(None, *given)), rows=(X, y), max_drop=0.05
    )
    assert comparison.winner is not None
    assert comparison.notes[0].startswith("small may lose more than 0.05 of accuracy: its change is [-0.")


def numbers(truth, predicted):
    return Predictions.of_numbers(np.asarray(truth), np.asarray(predicted), subject="it")


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_agreement_of_numbers_does_not_depend_on_their_scale(scale):
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(500, 1)) * scale
    reference = numbers(truth, truth + 0.1 * scale)
    near = numbers(truth, reference.output * 1.005)
    far = numbers(truth, reference.output + 0.5 * scale)
    found = [Quality.of(each, reference, Evaluation.of(each, subject="it"), "r2") for each in (near, far)]
    assert found[0].agreement == 1
    assert found[1].agreement < 0.1


def test_the_numbers_are_those_of_scikit_learn_and_of_a_plain_bootstrap():
    from sklearn.metrics import accuracy_score

    generator = np.random.default_rng(1)
    truth = generator.integers(0, 3, 400)
    scores = [np.eye(3)[np.where(generator.random(400) < share, truth, (truth + 1) % 3)] for share in (0.9, 0.84)]
    reference, found = (Predictions.of_classes(truth, each, None, subject="it") for each in scores)
    quality = Quality.of(found, reference, Evaluation.of(found, subject="it"), "accuracy")
    right = [each.argmax(1) == truth for each in scores]
    assert quality.metric == pytest.approx(accuracy_score(truth, scores[1].argmax(1)))
    assert quality.change == pytest.approx(right[1].mean() - right[0].mean())
    assert quality.agreement == pytest.approx((scores[0].argmax(1) == scores[1].argmax(1)).mean())
    apart = right[1].astype(float) - right[0]
    drawn = apart[generator.integers(0, 400, (4000, 400))].mean(axis=1)
    assert quality.change_interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.006)


def test_classes_in_another_order_are_brought_into_the_originals():
    truth, scores = np.array([0, 1, 2, 1]), np.eye(3)[[0, 1, 2, 0]]
    order = [2, 0, 1]
    reference = Predictions.of_classes(truth, scores, ["a", "b", "c"], subject="it")
    turned = Predictions.of_classes(np.argsort(order)[truth], scores[:, order], ["c", "a", "b"], subject="it")
    quality = Quality.of(turned, reference, Evaluation.of(turned, subject="it"), "accuracy")
    assert (quality.agreement, quality.max_difference, quality.change) == (1, 0, 0)


def test_of_candidates_that_fail_a_gate_the_nearest_is_named(search):
    comparison, winner = search(Small(name="far"), Method(name="near"), gates=("log_loss<0.001",))
    assert winner is None
    rows = by_method(comparison)
    assert all(rows[name].verdict == "worse" for name in ("far", "near"))
    nearest = min(("far", "near"), key=lambda name: rows[name].shortfall)
    assert rows[nearest].shortfall > 0
    assert comparison.closest.startswith(nearest)
