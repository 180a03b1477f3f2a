"""The search on a function whose minimum is known."""

import pytest

from maas_jupyter.errors import InvalidInput, NotFound, UsageError
from maas_jupyter.tuning.space import parse_space
from maas_jupyter.tuning.study import Score, Study

SPACE = "x=-2.0..2.0 y=0.01..1:log kind=plain,shifted"


def bowl(params, report):
    value = params["x"] ** 2 + abs(params["y"] - 0.1) + (1.0 if params["kind"] == "shifted" else 0.0)
    return Score(value)


def study(
    folder, *, name="bowl", space=SPACE, sampler="tpe", prune=False, resume=False, seed=0, metric="val_loss", folds=1
):
    return Study(
        folder,
        name,
        metric=metric,
        maximize=False,
        space=parse_space(space),
        sampler=sampler,
        prune=prune,
        seed=seed,
        folds=folds,
        resume=resume,
    )


def quiet(tuning):
    pass


def test_it_finds_the_minimum_and_what_matters(tmp_path):
    tuning = study(tmp_path).run(bowl, trials=40, seconds=None, watch=quiet)
    assert tuning.status == "finished" and len(tuning.trials) == 40
    assert tuning.best.value < 0.3 and tuning.params["kind"] == "plain"
    assert sum(tuning.importances.values()) == pytest.approx(1)
    assert list(tuning.importances)[-1] == "y"
    assert "best val_loss" in repr(tuning)


def test_the_same_seed_tries_the_same(tmp_path):
    one = study(tmp_path, name="one").run(bowl, trials=12, seconds=None, watch=quiet)
    two = study(tmp_path, name="two").run(bowl, trials=12, seconds=None, watch=quiet)
    other = study(tmp_path, name="other", seed=1).run(bowl, trials=12, seconds=None, watch=quiet)
    assert [trial.params for trial in one.trials] == [trial.params for trial in two.trials]
    assert [trial.params for trial in one.trials] != [trial.params for trial in other.trials]


def test_a_grid_tries_every_point_once_and_ends(tmp_path):
    tuning = study(tmp_path, space="x=0,1,2 kind=plain,shifted y=0.1", sampler="grid").run(
        bowl, trials=100, seconds=None, watch=quiet
    )
    assert sorted((trial.params["x"], trial.params["kind"]) for trial in tuning.trials) == [
        (x, kind) for x in (0, 1, 2) for kind in ("plain", "shifted")
    ]


def test_bad_trials_are_given_up_early(tmp_path):
    steps = []

    def slow(params, report):
        for step in range(10):
            steps.append(step)
            report(step, params["x"])
        return Score(params["x"])

    tuning = study(tmp_path, space="x=0.0..1.0", sampler="random", prune=True).run(
        slow, trials=20, seconds=None, watch=quiet
    )
    pruned = [trial for trial in tuning.trials if trial.status == "pruned"]
    assert pruned and len(steps) < 200
    assert min(trial.value for trial in pruned) > tuning.best.value


def test_an_interrupted_search_is_resumed_to_the_same_number(tmp_path):
    calls = []

    def interrupted(params, report):
        calls.append(params)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return bowl(params, report)

    tuning = study(tmp_path).run(interrupted, trials=10, seconds=None, watch=quiet)
    assert tuning.status == "interrupted"
    assert sum(trial.status == "complete" for trial in tuning.trials) == 4
    tuning = study(tmp_path, resume=True).run(bowl, trials=10, seconds=None, watch=quiet)
    assert tuning.status == "finished"
    assert sum(trial.status == "complete" for trial in tuning.trials) == 10


def test_a_stop_from_outside_and_a_time_budget_end_it(tmp_path):
    seen = []
    tuning = study(tmp_path, name="stop").run(
        bowl,
        trials=50,
        seconds=None,
        watch=lambda tuning: seen.append(len(tuning.trials)),
        stopped=lambda: len(seen) > 6,
    )
    assert tuning.status == "interrupted" and 0 < len(tuning.trials) < 50
    tuning = study(tmp_path, name="time").run(bowl, trials=50, seconds=0.0, watch=quiet)
    assert tuning.status == "finished" and not tuning.trials


def test_what_fails_is_a_row_and_only_failures_end_the_search(tmp_path):
    def fussy(params, report):
        if params["kind"] == "shifted":
            raise InvalidInput("a kernel larger than the picture")
        return bowl(params, report)

    tuning = study(tmp_path, sampler="random", name="some").run(fussy, trials=12, seconds=None, watch=quiet)
    assert any(trial.error == "a kernel larger than the picture" for trial in tuning.trials)
    assert tuning.params["kind"] == "plain"

    def broken(params, report):
        raise InvalidInput("the target column is missing")

    with pytest.raises(InvalidInput, match="first 3 trials all failed: the target column is missing"):
        study(tmp_path, name="all").run(broken, trials=12, seconds=None, watch=quiet)


def test_a_study_is_not_mixed_with_another(tmp_path):
    study(tmp_path).run(bowl, trials=2, seconds=None, watch=quiet)
    with pytest.raises(UsageError, match="already"):
        study(tmp_path)
    with pytest.raises(UsageError, match="made for the space"):
        study(tmp_path, space="x=0..1", resume=True)
    with pytest.raises(UsageError, match="made for the folds"):
        study(tmp_path, folds=5, resume=True)
    with pytest.raises(NotFound, match="no study called 'bowls'") as caught:
        study(tmp_path, name="bowls", resume=True)
    assert "bowl" in caught.value.hint
    with pytest.raises(UsageError, match="no sampler called 'tpa'"):
        study(tmp_path, name="new", sampler="tpa")
    with pytest.raises(UsageError, match="points"):
        study(tmp_path, name="new", sampler="grid", space=" ".join(f"p{index}=0.0..1.0" for index in range(7)))
