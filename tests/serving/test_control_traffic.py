"""Changes of traffic, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.errors import Conflict, InvalidInput
from maas_jupyter.schema import HistoryEntry, ServedModel, ServedVersion
from maas_jupyter.serving.control import traffic


def shares(model):
    return {served.version: served.weight for served in model.versions}, model.shadow


def publish(model, version, **how):
    return traffic.publish(model, "digits", version, f"digest of {version}", **how)


ONE = publish(None, "1")
CANARY = publish(ONE, "2", canary=10)
SHADOW = publish(ONE, "3", shadow=True)
BOTH = publish(CANARY, "3", shadow=True)


def test_publish_gives_all_traffic_to_one_version():
    assert shares(ONE) == ({"1": 100}, None)
    assert shares(publish(BOTH, "4")) == ({"4": 100}, None)


def test_a_canary_takes_its_share_from_the_stable_version():
    assert shares(CANARY) == ({"1": 90, "2": 10}, None)
    assert shares(publish(CANARY, "2", canary=60)) == ({"1": 40, "2": 60}, None)
    assert publish(CANARY, "2", canary=60).labels == {"stable": "1", "canary": "2"}
    assert shares(publish(CANARY, "4", canary=1)) == ({"1": 99, "4": 1}, None)
    assert shares(publish(SHADOW, "2", canary=25)) == ({"1": 75, "2": 25, "3": 0}, "3")


def test_a_shadow_takes_no_traffic():
    assert shares(SHADOW) == ({"1": 100, "3": 0}, "3")
    assert shares(publish(SHADOW, "4", shadow=True)) == ({"1": 100, "4": 0}, "4")
    assert shares(BOTH) == ({"1": 90, "2": 10, "3": 0}, "3")


def test_a_version_is_one_thing_at_a_time():
    assert shares(publish(CANARY, "2", shadow=True)) == ({"1": 100, "2": 0}, "2")
    assert shares(publish(SHADOW, "3", canary=5)) == ({"1": 95, "3": 5}, None)


@pytest.mark.parametrize("share", [-1, 0, 100, 1000])
def test_a_share_out_of_range(share):
    with pytest.raises(InvalidInput, match="1 to 99 percent"):
        publish(ONE, "2", canary=share)


def test_canary_and_shadow_at_once():
    with pytest.raises(InvalidInput, match="at once"):
        publish(ONE, "2", canary=10, shadow=True)


@pytest.mark.parametrize("how", [{"canary": 10}, {"shadow": True}])
@pytest.mark.parametrize("model", [None, traffic.unload(ONE)])
def test_nothing_serves_beside_a_canary_or_a_shadow(model, how):
    with pytest.raises(Conflict, match="No version of 'digits' serves"):
        publish(model, "2", **how)


@pytest.mark.parametrize("how", [{"canary": 10}, {"shadow": True}])
def test_the_stable_version_beside_itself(how):
    with pytest.raises(Conflict, match="cannot be its own"):
        publish(CANARY, "1", **how)


def test_promote():
    assert shares(traffic.promote(CANARY)) == ({"2": 100}, None)
    assert shares(traffic.promote(SHADOW)) == ({"3": 100}, None)
    assert shares(traffic.promote(BOTH)) == ({"2": 100, "3": 0}, "3")
    assert shares(traffic.promote(publish(ONE, "2", canary=90))) == ({"2": 100}, None)
    with pytest.raises(Conflict, match="no canary and no shadow"):
        traffic.promote(ONE)
    with pytest.raises(Conflict, match="not loaded"):
        traffic.promote(traffic.unload(CANARY))


# -- the way back -----------------------------------------------------------------------------------------------------


class Story:
    """Applies operations as the control plane does, and keeps their history."""

    def __init__(self):
        self.model = None
        self.history = []

    def do(self, action, model):
        self.model = model
        self.history.append(HistoryEntry(len(self.history) + 1, 0.0, action, "me", model))

    def publish(self, version, **how):
        after = publish(self.model, version, **how)
        if not (self.model and self.model.loaded and traffic.same(self.model, after)):
            self.do("canary" if "canary" in how else "shadow" if "shadow" in how else "publish", after)

    def promote(self):
        self.do("promote", traffic.promote(self.model))

    def rollback(self):
        self.do("rollback", traffic.rollback(self.model, self.history))

    def unpublish(self):
        self.do("unpublish", None)

    def unload(self):
        self.do("unload", traffic.unload(self.model))

    def load(self):
        self.do("load", traffic.load(self.model))


def test_rollbacks_go_further_and_further_back():
    story = Story()
    for version in "123":
        story.publish(version)
    story.rollback()
    assert shares(story.model) == ({"2": 100}, None)
    story.rollback()
    assert shares(story.model) == ({"1": 100}, None)
    with pytest.raises(Conflict, match="Nothing else served"):
        story.rollback()


def test_what_is_published_after_a_rollback_goes_back_to_what_the_rollback_returned_to():
    story = Story()
    story.publish("1")
    story.publish("2")
    story.rollback()
    story.publish("3")
    story.rollback()
    assert shares(story.model) == ({"1": 100}, None)
    with pytest.raises(Conflict):
        story.rollback()


def test_each_step_of_a_canary_is_a_state():
    story = Story()
    story.publish("1")
    story.publish("2", canary=10)
    story.publish("2", canary=50)
    story.promote()
    for expected in ({"1": 50, "2": 50}, {"1": 90, "2": 10}, {"1": 100}):
        story.rollback()
        assert shares(story.model)[0] == expected


def test_loading_is_no_state_and_withdrawing_leaves_them_all():
    story = Story()
    story.publish("1")
    story.publish("2")
    story.unload()
    story.load()
    story.unload()
    story.rollback()
    assert story.model.loaded
    assert shares(story.model) == ({"1": 100}, None)
    story.unpublish()
    assert traffic.kept(None, story.history) == set()
    story.publish("2")
    with pytest.raises(Conflict):
        story.rollback()


def test_a_state_that_the_history_does_not_know():
    by_hand = ServedModel("digits", [ServedVersion("9", "digest of 9")])
    with pytest.raises(Conflict):
        traffic.rollback(by_hand, [])
    story = Story()
    story.publish("1")
    assert shares(traffic.rollback(by_hand, story.history)) == ({"1": 100}, None)


def test_kept_are_what_serves_and_what_a_rollback_may_need():
    story = Story()
    for version in "123456789":
        story.publish(version)
    assert traffic.kept(story.model, story.history) == {f"digest of {version}" for version in "56789"}
    alive = traffic.kept(story.model, story.history)
    for version in "8765":
        story.rollback()
        assert shares(story.model) == ({version: 100}, None)
        assert f"digest of {version}" in alive
        alive &= traffic.kept(story.model, story.history)


VERSIONS = st.sampled_from("12345")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), VERSIONS, st.just({})),
        st.tuples(st.just("publish"), VERSIONS, st.fixed_dictionaries({"canary": st.integers(1, 99)})),
        st.tuples(st.just("publish"), VERSIONS, st.just({"shadow": True})),
        st.tuples(st.sampled_from(["promote", "rollback", "unpublish", "unload", "load"])),
    ),
    max_size=30,
)


def told(steps):
    """Tell a story; yields it after every step that was possible, with the state before the step."""
    story = Story()
    for action, *arguments in steps:
        before = story.model
        if story.model is None and action != "publish":
            continue
        try:
            if arguments:
                story.publish(arguments[0], **arguments[1])
            else:
                getattr(story, action)()
        except Conflict:
            continue
        yield story, before


@given(STEPS)
def test_every_state_is_whole(steps):
    for story, _ in told(steps):
        if story.model:
            versions = [served.version for served in story.model.versions]
            assert len(set(versions)) == len(versions) <= 3
            assert sum(served.weight for served in story.model.versions) == 100
            weightless = [served.version for served in story.model.versions if not served.weight]
            assert weightless == ([story.model.shadow] if story.model.shadow else [])


@given(STEPS)
def test_rollback_undoes_the_last_change_of_traffic(steps):
    for story, before in told(steps):
        entry = story.history[-1]
        if before and story.model and entry.action in ("publish", "canary", "shadow", "promote"):
            if traffic.same(before, story.model):
                continue  # loaded again by being published
            assert traffic.same(traffic.rollback(story.model, story.history), before)


@given(STEPS)
def test_rollbacks_end_and_never_stand_still(steps):
    story = None
    for story, _ in told(steps):  # noqa: B007
        pass
    if story is None or story.model is None:
        return
    for _ in range(len(story.history)):
        before = story.model
        try:
            story.rollback()
        except Conflict:
            return
        assert not traffic.same(before, story.model)
    raise AssertionError("it went round in circles")
