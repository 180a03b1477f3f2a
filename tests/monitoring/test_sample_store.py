import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_jupyter.errors import Unavailable
from maas_jupyter.monitoring.rows import Sample
from maas_jupyter.monitoring.store import DAY, HOUR, SampleStore

KEY = ("local", "digits")
NOW = 1_000_000.0


def sample(time, rate=1.0):
    return Sample(time, rate, 0.0, 1.5, 2.5, None, 0, None, 80_000_000, 0.25, {"1": rate}, {"200": rate})


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return SampleStore(tmp_path / "monitoring" / "samples.db", clock)


def times(store, since=0.0, key=KEY):
    return [each.time for each in store.read(key, since)]


def test_samples_are_read_before_and_after_they_are_written_and_by_another_process(store, tmp_path, clock):
    store.add(KEY, sample(NOW - 4, 3.0))
    store.add(("local", "wine"), sample(NOW - 3))
    assert store.read(KEY, 0.0) == [sample(NOW - 4, 3.0)]
    store.flush()
    store.add(KEY, sample(NOW - 2))
    again = SampleStore(tmp_path / "monitoring" / "samples.db", clock)
    assert times(store) == [NOW - 4, NOW - 2]
    assert times(store, since=NOW - 3) == [NOW - 2]
    assert again.read(KEY, 0.0) == [sample(NOW - 4, 3.0)]
    assert times(again, key=("gpu", "digits")) == []


def test_nothing_is_made_on_disk_by_reading(store, tmp_path):
    assert store.read(KEY, 0.0) == []
    assert not list(tmp_path.iterdir())


def test_an_hour_is_kept_whole_and_a_day_by_minutes(store, clock):
    began = NOW - 2 * DAY
    for second in range(0, int(2 * DAY), 600):
        clock.now = began + second
        store.add(KEY, sample(clock.now))
        store.add_minute(KEY, sample(clock.now + 0.5))
        store.flush()
    clock.now = NOW
    store.flush()
    found = times(store)
    assert found == sorted(found)
    assert found[0] >= NOW - DAY
    whole = [time for time in found if time == int(time)]
    assert whole[0] >= NOW - HOUR
    # A minute is only shown where nothing finer is known.
    assert [time for time in found if time != int(time) and time > whole[0]] == []
    assert len(found) == pytest.approx((DAY - HOUR) / 600 + HOUR / 600, abs=2)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(Unavailable):
        SampleStore(tmp_path / "monitoring" / "samples.db").flush()


def test_what_could_not_be_written_is_written_the_next_time(tmp_path, clock):
    (tmp_path / "monitoring").write_text("a file is where the folder should be")
    store = SampleStore(tmp_path / "monitoring" / "samples.db", clock)
    store.add(KEY, sample(NOW - 2))
    with pytest.raises(Unavailable) as caught:
        store.flush()
    assert "monitoring" in caught.value.message
    (tmp_path / "monitoring").unlink()
    store.add(KEY, sample(NOW - 1))
    store.flush()
    assert times(SampleStore(tmp_path / "monitoring" / "samples.db", clock)) == [NOW - 2, NOW - 1]


def test_a_damaged_file_is_named(store, tmp_path):
    (tmp_path / "monitoring").mkdir()
    (tmp_path / "monitoring" / "samples.db").write_text("no database" * 100)
    with pytest.raises(Unavailable) as caught:
        store.read(KEY, 0.0)
    assert "samples.db" in caught.value.message


# Each example waits for the disk.
@settings(deadline=None)
@given(rates=st.dictionaries(st.text(max_size=20), st.floats(0, 1e6), max_size=4), p50=st.none() | st.floats(0, 1e6))
def test_a_sample_survives_the_disk(tmp_path_factory, rates, p50):
    kept = Sample(NOW, 1.0, 0.0, p50, None, None, 3, None, None, None, rates, {})
    path = tmp_path_factory.mktemp("store") / "samples.db"
    store = SampleStore(path, lambda: NOW)
    store.add(KEY, kept)
    store.flush()
    assert SampleStore(path).read(KEY, 0.0) == [kept]
