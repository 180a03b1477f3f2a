import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.errors import UsageError
from maas_jupyter.tuning.space import Choice, Range, combinations, magnitude, parse_space


def test_the_space_of_the_manual():
    assert parse_space("lr=1e-4..1e-1:log batch=16,32,64") == [
        Range("lr", 1e-4, 1e-1, log=True),
        Choice("batch", (16, 32, 64)),
    ]


def test_whole_numbers_steps_words_and_semicolons():
    assert parse_space(
        "layers=1..4; width=16..64:16  dropout=0..0.5:0.1\nact=relu,tanh bias=true,false cut=none,1.5"
    ) == [
        Range("layers", 1, 4),
        Range("width", 16, 64, step=16),
        Range("dropout", 0.0, 0.5, step=0.1),
        Choice("act", ("relu", "tanh")),
        Choice("bias", (True, False)),
        Choice("cut", (None, 1.5)),
    ]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", 1, "nothing to search"),
        ("  ", 3, "nothing to search"),
        ("lr", 3, "'=' is expected"),
        ("=3", 1, "a name"),
        ("lr=", 4, "a value"),
        ("lr=1..", 7, "a number"),
        ("lr=1..x", 7, "a number"),
        ("lr=5..1", 7, "above 5"),
        ("lr=0..1:log", 9, "above 0"),
        ("lr=1..2:lag", 9, "'log' or a step"),
        ("lr=1..2:5", 9, "a step"),
        ("lr=1,,2", 6, "a value"),
        ("lr=1..2:log,3", 12, "a space"),
        ("lr=1 2=3", 6, "a name"),
        ("a=1 b=2 a=3", 9, "twice"),
        ("lr=1e-4.1e-1", 8, "'..' between two numbers"),
        ("lr=1,2.5.7", 9, "'..' between two numbers"),
    ],
)
def test_what_does_not_parse_is_pointed_at(text, place, words):
    with pytest.raises(UsageError, match=words) as caught:
        parse_space(text)
    message = caught.value.message
    assert f"character {place}:" in message
    shown, mark = message.splitlines()[1:]
    assert mark.index("^") - 2 == place - 1
    assert shown[2:].rstrip() == text.rstrip()


def test_grids():
    assert Range("a", 1, 4).grid(5) == [1, 2, 3, 4]
    assert Range("a", 0.001, 0.1, log=True).grid(3) == pytest.approx([0.001, 0.01, 0.1])
    assert Range("a", 0.0, 0.5, step=0.25).grid(9) == [0.0, 0.25, 0.5]
    assert combinations(parse_space("a=1..3 b=x,y"), 5) == 6
    assert magnitude(Range("a", 0.001, 0.1, log=True), 0.01) == pytest.approx(0.5)


names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
words = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True).filter(
    lambda word: word not in ("true", "false", "none")
)
values = st.one_of(
    st.integers(-1000, 1000),
    st.floats(-1e6, 1e6).filter(lambda value: value != int(value)),
    st.booleans(),
    st.none(),
    words,
)
choices = st.builds(Choice, names, st.lists(values, min_size=1, max_size=4).map(tuple))
ranges = st.builds(
    lambda name, low, width, log: Range(name, low, low + width, log),
    names,
    st.integers(1, 1000),
    st.integers(1, 1000),
    st.booleans(),
)


@given(st.lists(st.one_of(choices, ranges), min_size=1, max_size=5, unique_by=lambda dimension: dimension.name))
def test_what_is_written_is_read_again(space):
    assert parse_space(" ".join(map(str, space))) == space


@given(st.text(max_size=30))
def test_any_text_is_a_space_or_a_pointed_error(text):
    try:
        assert parse_space(text)
    except UsageError as error:
        assert "^" in error.message


def test_no_point_of_a_grid_lies_beyond_its_range():
    for low, high in [(0.1, 0.7), (1e-4, 3e-2), (0.003, 0.3), (1e-5, 0.9), (0.1, 0.3), (1.1, 3.3), (7e-4, 2.3)]:
        for log in (False, True):
            for points in (2, 3, 5):
                values = Range("x", low, high, log).grid(points)
                assert low <= min(values)
                assert max(values) <= high


def test_a_whole_number_may_be_written_with_an_exponent():
    (batch,) = parse_space("batch=1e2,64,2.5e1,1e-1")
    assert [type(option) for option in batch.options] == [int, int, float, float]
    assert batch.options[0] == 100
