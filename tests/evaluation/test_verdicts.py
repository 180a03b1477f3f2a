from __future__ import annotations

import pytest
from judged import two_digits
from mlflow import MlflowClient
from models import mlp, wine

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.api import subjects
from maas_jupyter.errors import GateError, NotFound, UsageError
from maas_jupyter.registry import require_verdict


@pytest.fixture(scope="module")
def pair(shared_home):
    """A weak version that is the champion, a good one, and rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return two_digits("judged")


def stored(reference):
    return subjects.open_registry().resolve(reference).verdict


def test_a_version_that_passes_is_marked_as_such(home, pair, capsys):
    _, good, rows = pair
    with pytest.raises(GateError, match="never held against gates"):
        require_verdict(good)
    for demanding in (
        lambda: maas_jupyter.alias(good, "staging", require_passed=True),
        lambda: maas_jupyter.publish(good, require_passed=True),
    ):
        with pytest.raises(GateError, match="never held against gates"):
            demanding()
    evaluation = maas_jupyter.evaluate(
        good, data=rows, require=("accuracy>=0.8", "recall[3]>0.3"), no_worse_than="champion"
    )
    assert evaluation.verdict.passed
    assert len(evaluation.verdict.gates) == 3
    assert "judged/2 is better than judged/1" in evaluation.verdict.gates[2].note
    kept = stored("judged/2")
    assert kept.passed
    assert kept.rows == 500
    assert kept.gates[0].startswith("✓ accuracy>=0.8: 0.")
    assert require_verdict(subjects.open_registry().resolve("judged/2")) == kept
    assert "staging" in maas_jupyter.alias("judged/2", "staging", require_passed=True).aliases


def test_a_gate_that_is_not_passed_stops_and_is_kept_and_shown(home, pair, capsys):
    _, good, rows = pair
    maas_jupyter.evaluate(good, data=rows, require=("accuracy>=0.1",))
    with pytest.raises(GateError, match=r"judged/2 does not meet accuracy>=0.999: 0\.\d+") as caught:
        maas_jupyter.evaluate(good, data=rows, require=("accuracy>=0.999",))
    assert caught.value.evaluation.verdict.passed is False
    shown = capsys.readouterr().err
    assert "Evaluation of judged/2" in shown
    assert "✗ accuracy>=0.999" in shown
    assert stored("judged/2").passed is False
    client = MlflowClient(config.current().resolved_registry_uri)
    assert '"passed":false' in client.get_model_version("judged", "2").tags["maas.verdict"]
    with pytest.raises(GateError, match=r"judged/2 did not pass its gates: accuracy>=0.999"):
        require_verdict(subjects.open_registry().resolve("judged/2"))


def test_a_model_that_is_worse_than_another_is_not_passed(home, pair):
    weak, _, rows = pair
    with pytest.raises(GateError, match=r"no worse than judged/2 \(change in accuracy\): -0\.") as caught:
        maas_jupyter.evaluate(weak, data=rows, no_worse_than="judged/2")
    assert "judged/1 is worse than judged/2: accuracy -0." in caught.value.message


def test_a_model_is_no_worse_than_itself(home, pair):
    weak, _, rows = pair
    evaluation = maas_jupyter.evaluate(weak, data=rows, no_worse_than="champion")
    assert evaluation.verdict.passed
    assert evaluation.verdict.gates[0].value == 0


def test_a_module_can_be_held_against_a_version(home, pair):
    _, _, rows = pair
    with pytest.raises(GateError, match="Sequential is worse than judged/2"):
        maas_jupyter.evaluate(mlp(), data=rows, no_worse_than="judged/2")


def test_a_report_does_not_stop(home, pair):
    _, good, rows = pair
    evaluation = maas_jupyter.evaluate(good, data=rows, require=("accuracy>=0.999",), report_only=True)
    assert not evaluation.verdict.passed
    assert "✗ accuracy>=0.999" in repr(evaluation)
    for shown in (evaluation, evaluation.verdict):
        bundle = shown._repr_mimebundle_()
        assert "not passed" in bundle["text/html"]
        assert bundle["text/plain"] == repr(shown)


def test_an_evaluation_without_gates_leaves_the_verdict_alone(home, pair):
    _, good, rows = pair
    maas_jupyter.evaluate(good, data=rows, require=("accuracy>=0.5",))
    before = stored("judged/2")
    maas_jupyter.evaluate(good, data=rows)
    assert stored("judged/2") == before


def test_a_version_that_is_held_from_before_is_judged_as_it_is_now(home, pair):
    _, good, rows = pair
    maas_jupyter.evaluate(good, data=rows, require=("accuracy>=0.5",))
    held = subjects.open_registry().resolve("judged/2")
    maas_jupyter.evaluate(held, data=rows, require=("accuracy>=0.999",), report_only=True)
    assert held.verdict.passed  # of before
    for demanding in (
        lambda: maas_jupyter.alias(held, "live", require_passed=True),
        lambda: maas_jupyter.publish(held, require_passed=True),
    ):
        with pytest.raises(GateError, match="did not pass its gates"):
            demanding()
    maas_jupyter.evaluate(held, data=rows, require=("accuracy>=0.5",))
    assert "staging" in maas_jupyter.alias(good, "staging", require_passed=True).aliases


def test_what_was_not_passed_is_kept_of_many_gates(home, pair):
    _, good, rows = pair
    gates = (*(f"accuracy>=0.{number:02d}" for number in range(25)), "accuracy>=0.999")
    maas_jupyter.evaluate(good, data=rows, require=gates, report_only=True)
    with pytest.raises(GateError, match=r"did not pass its gates: accuracy>=0\.999"):
        require_verdict(subjects.open_registry().resolve("judged/2"))


def test_a_tag_that_somebody_else_wrote_is_no_verdict(home, pair):
    client = MlflowClient(config.current().resolved_registry_uri)
    client.set_model_version_tag("judged", "1", "maas.verdict", "looks fine")
    assert stored("judged/1") is None


def test_a_gate_that_cannot_be_read_is_refused_before_anything_is_run(home):
    with pytest.raises(UsageError, match="cannot be read at character 9"):
        maas_jupyter.evaluate("no such model", data=None, require=("accuracy=>1",))


def test_a_rival_that_does_not_exist_is_not_found(home, pair):
    _, good, rows = pair
    with pytest.raises(NotFound, match="The model 'judged' has no alias 'challenger'"):
        maas_jupyter.evaluate(good, data=rows, no_worse_than="challenger")
    with pytest.raises(NotFound, match="no model called 'challenger'"):
        maas_jupyter.evaluate(mlp(), data=rows, no_worse_than="challenger")
    with pytest.raises(NotFound):
        maas_jupyter.evaluate(good, data=rows, no_worse_than="judged/9")


# -- compare ----------------------------------------------------------------------------------------------------------


def test_versions_are_compared_on_the_same_rows(home, pair):
    _, _, rows = pair
    comparison = maas_jupyter.compare("judged/1", "judged/2", data=rows)
    assert comparison.conclusion.startswith("judged/2 is better than judged/1: accuracy +0.")
    (found,) = comparison.pairs
    assert sum(found.counts.values()) == comparison.rows == 500
    assert len(found.disagreements) >= found.counts["only the other right"]
    bundle = comparison._repr_mimebundle_()
    assert bundle["text/plain"] == repr(comparison)
    assert "data:image/png;base64" in bundle["text/html"]
    assert "only judged/2 right" in bundle["text/html"]


def test_more_than_two_are_each_compared_with_the_first(home, pair):
    weak, good, rows = pair
    comparison = maas_jupyter.compare(weak, good, mlp(), mlp(), data=rows, metric="f1")
    assert [found.other for found in comparison.pairs] == ["judged/2", "Sequential", "Sequential (2)"]
    assert [found.outcome for found in comparison.pairs] == ["better", "worse", "worse"]


def test_a_comparison_is_kept_as_a_run(home, pair):
    _, _, rows = pair
    maas_jupyter.compare("judged/1", "judged/2", data=rows)
    client = MlflowClient(config.current().resolved_registry_uri)
    record = maas_jupyter.runs(limit=1)[0]
    assert record.params["models"] == "judged/1, judged/2"
    files = {item.path for item in client.list_artifacts(record.run_id, "comparison")}
    assert files == {"comparison/comparison.json", "comparison/differences.png"}


def test_modules_alone_need_no_registry(own_home):
    comparison = maas_jupyter.compare(mlp(13, 3), mlp(13, 3, hidden=8), data=wine())
    assert comparison.rows == 178
    assert not (own_home / "mlflow.db").exists()
