"""An answer says which values of its rows no training row had."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest
import torch
from torch import nn

import maas_jupyter
from maas_jupyter.data.table import CategoryColumn, NumberColumn, TablePreprocessing
from maas_jupyter.packaging import package_table


@pytest.fixture
def endpoint(home, tmp_path):
    frame = pd.DataFrame({"age": [31.0, 44.0, 58.0], "city": ["Rome", "Oslo", "Rome"]})
    preprocessing = TablePreprocessing(
        numbers=[NumberColumn("age")], categories=[CategoryColumn("city", {"Rome": 0, "Oslo": 1}, unknown=2)]
    )
    torch.manual_seed(0)
    made = package_table(
        nn.Linear(preprocessing.features, 2),
        frame,
        tmp_path / "made",
        preprocessing=preprocessing,
        task="classification",
        labels=["no", "yes"],
    )
    maas_jupyter.register(made, name="strangers")
    yield maas_jupyter.publish("strangers")
    maas_jupyter.unpublish("strangers")


def test_values_that_no_training_row_had_are_named(endpoint):
    rows = pd.DataFrame({"age": [1.0, 2.0, 3.0], "city": ["Bonn", "Rome", None]})
    found = maas_jupyter.predict("strangers", rows)
    (note,) = found.notes
    assert note.startswith("'city' has 'Bonn', no value in 2 of the 3 rows, which no training row has")
    assert repr(found).splitlines()[-1] == f"note: {note}"
    assert "Bonn" in found._repr_mimebundle_()["text/html"]
    assert asyncio.run(endpoint.apredict(rows)).notes == [note]


def test_what_is_known_needs_no_note(endpoint):
    assert endpoint.predict([{"age": 31, "city": "Oslo"}]).notes == []
    assert "note" not in repr(endpoint.predict([{"age": 31, "city": "Oslo"}]))
