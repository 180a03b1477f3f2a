"""A model is replaced again and again while clients ask for it."""

from __future__ import annotations

import pytest
from supervised import Load


@pytest.mark.parametrize("swaps", [10, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_no_request_fails_while_versions_are_swapped(make_server, scaled, swaps):
    server = make_server("--workers", "2", "--threads", "1")
    with server.client() as client:
        client.publish("digits", "0", scaled(1.0))
        with Load(server.record) as load:
            load.more(10)
            for turn in range(1, swaps + 1):
                if turn % 5 == 0:
                    client.publish("digits", str(turn), scaled(1.0 + turn % 4), canary=20)
                    client.promote("digits")
                else:
                    client.publish("digits", str(turn), scaled(1.0 + turn % 4))
        assert [row.version for row in client.status().models[0].versions] == [str(swaps)]
    assert load.answers.keys() == {200}, load.broken[:3]
    assert load.cut == []
    print(f"{swaps} swaps, {load.total:,} requests answered, 0 failed")
