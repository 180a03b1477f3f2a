"""Batches of rows in memory."""

from __future__ import annotations

import pytest
import torch

from maas_jupyter.data import TensorData, as_data, batches
from maas_jupyter.errors import InvalidInput


def numbered(rows, targets=True):
    numbers = torch.arange(rows, dtype=torch.float32)
    return TensorData((numbers.reshape(-1, 1), numbers.long()), numbers.long() if targets else None)


def test_batches_in_order_are_views_of_the_tensors():
    data = numbered(10)
    parts = list(data.batches(4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert parts[1].inputs[0].data_ptr() == data.all().inputs[0][4:].data_ptr()
    assert torch.cat([part.targets for part in parts]).tolist() == list(range(10))


@pytest.mark.parametrize(("rows", "sizes"), [(12, [4, 4, 4]), (10, [4, 4, 2]), (13, [4, 4, 5]), (1, [1]), (3, [3])])
def test_a_random_order_holds_every_row_once_and_no_batch_of_one(rows, sizes):
    parts = list(numbered(rows).batches(4, generator=torch.Generator().manual_seed(0)))
    assert [len(part) for part in parts] == sizes
    assert sorted(torch.cat([part.targets for part in parts]).tolist()) == list(range(rows))
    for part in parts:
        assert part.inputs[0].flatten().tolist() == part.inputs[1].tolist() == part.targets.tolist()


def test_an_epoch_that_is_copied_in_blocks_is_the_same(monkeypatch):
    def order():
        parts = numbered(101).batches(4, generator=torch.Generator().manual_seed(3))
        return [part.targets.tolist() for part in parts]

    whole = order()
    monkeypatch.setattr(batches, "_BLOCK_BYTES", 3 * 4 * 20)
    assert order() == whole
    expected = torch.randperm(101, generator=torch.Generator().manual_seed(3)).tolist()
    assert [row for part in whole for row in part] == expected


def test_the_rows_of_the_caller_are_not_changed_by_a_batch():
    data = numbered(8)
    for part in data.batches(4, generator=torch.Generator()):
        part.inputs[0].zero_()
    assert data.all().inputs[0].sum() == 28


def test_inputs_alone_have_batches_without_targets():
    data = numbered(5, targets=False)
    assert [part.targets for part in data.batches(2, generator=torch.Generator())] == [None] * 2
    with pytest.raises(InvalidInput, match="no targets"):
        data.head(2).required_targets()


def test_a_batch_larger_than_the_data_holds_all_of_it():
    (part,) = numbered(3).batches(64, generator=torch.Generator())
    assert len(part) == 3
    assert len(as_data((torch.rand(3, 2), [0, 1, 0])).head(64)) == 3
