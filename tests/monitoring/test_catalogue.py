import pytest

from maas_jupyter.errors import InvalidInput, NotFound
from maas_jupyter.monitoring.catalogue import LONGEST_PAGE, Catalogue
from maas_jupyter.monitoring.rows import ModelVersions, VersionRow


def version(number="1", aliases=(), task="classification", precision="fp32", size=1000, metric=None):
    return VersionRow(number, list(aliases), task, precision, size, "accuracy", metric, None, None, 1.0)


def models():
    return [
        ModelVersions("digits", 3.0, [version("2", ["champion"], metric=0.9), version("1", ["old"], metric=0.8)]),
        ModelVersions("Wine", 2.0, [version(precision="int8", size=10, metric=0.95)]),
        ModelVersions("diabetes", 1.0, [version(task="regression", size=500)]),
    ]


@pytest.fixture
def catalogue():
    catalogue = Catalogue()
    catalogue.take(models())
    return catalogue


def names(page):
    return [row.name for row in page.rows]


def test_a_model_is_summed_up(catalogue):
    row = catalogue.page().rows[0]
    assert (row.name, row.versions, row.newest.version) == ("digits", 2, "2")
    assert row.aliases == {"champion": "2", "old": "1"}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["digits", "Wine", "diabetes"]),
        ("DI", ["digits", "diabetes"]),
        ("int8", ["Wine"]),
        ("@champ", ["digits"]),
        ("di regress", ["diabetes"]),
        ("nothing like it", []),
    ],
)
def test_all_words_of_a_search_must_come_up(catalogue, search, found):
    page = catalogue.page(search)
    assert (names(page), page.total) == (found, len(found))


@pytest.mark.parametrize(
    ("sort", "descending", "order"),
    [
        ("updated", True, ["digits", "Wine", "diabetes"]),
        ("name", False, ["diabetes", "digits", "Wine"]),
        ("size", True, ["digits", "diabetes", "Wine"]),
        ("metric", True, ["Wine", "digits", "diabetes"]),
        ("metric", False, ["digits", "Wine", "diabetes"]),
        ("versions", True, ["digits", "Wine", "diabetes"]),
        ("task", False, ["Wine", "digits", "diabetes"]),
    ],
)
def test_models_are_sorted_and_those_without_a_value_come_last(catalogue, sort, descending, order):
    assert names(catalogue.page(sort=sort, descending=descending)) == order


def test_pages_follow_one_another():
    catalogue = Catalogue()
    catalogue.take([ModelVersions(f"m{number:03d}", float(number), [version()]) for number in range(250)])
    pages = [catalogue.page(sort="name", descending=False, offset=offset, limit=100) for offset in (0, 100, 200, 300)]
    assert [len(page.rows) for page in pages] == [100, 100, 50, 0]
    assert {page.total for page in pages} == {250}
    assert [row.name for page in pages for row in page.rows] == [f"m{number:03d}" for number in range(250)]


def test_the_number_changes_with_the_models_only():
    catalogue = Catalogue()
    assert (catalogue.number, catalogue.total) == (0, None)
    catalogue.take(models())
    number = catalogue.number
    catalogue.take(models())
    assert catalogue.number == number
    assert names(catalogue.page("wine")) == ["Wine"]
    catalogue.take(models()[:1])
    assert (catalogue.number, catalogue.total) == (number + 1, 1)
    assert names(catalogue.page("wine")) == []


@pytest.mark.parametrize("wrong", [{"sort": "colour"}, {"offset": -1}, {"limit": 0}, {"limit": LONGEST_PAGE + 1}])
def test_what_cannot_be_asked_for_is_refused(catalogue, wrong):
    with pytest.raises(InvalidInput):
        catalogue.page(**wrong)


def test_versions_of_a_model(catalogue):
    assert [row.version for row in catalogue.versions("digits").versions] == ["2", "1"]
    with pytest.raises(NotFound) as caught:
        catalogue.versions("digit")
    assert "digits" in caught.value.hint
