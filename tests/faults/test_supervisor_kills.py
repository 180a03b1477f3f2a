"""The whole server is killed at random moments of changes; each next start serves one consistent state."""

from __future__ import annotations

import random
import threading
import time

import pytest

from maas_jupyter.errors import MaasError


def serving(client):
    """Return what serves, and what answers, as (version, weight) pairs."""
    return {(row.version, row.weight, row.state) for row in client.model_status("digits").versions}


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_a_kill_at_any_moment_leaves_one_consistent_state(make_server, scaled, kills):
    server = make_server("--workers", "2", "--threads", "1")
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    with server.client() as client:
        client.publish("still", "1", scaled(9.0))
        client.publish("digits", "0", scaled(1.0))
        client.publish("digits", "1", scaled(2.0))
        started = time.monotonic()
        client.publish("digits", "2", scaled(3.0), canary=10)
        client.promote("digits")
        took = time.monotonic() - started
    changes_seen = set()
    for turn in range(kills):
        server_before = server
        with server.client(timeout=10) as client:
            history_before = client.history("digits")
        version = str(3 + turn)

        def change(target=server_before, version=version, turn=turn):
            try:
                with target.client(timeout=10) as client:
                    client.publish("digits", version, scaled(1.0 + turn % 7), canary=10)
                    client.promote("digits")
                    client.rollback("digits")
            except (MaasError, OSError):
                pass  # that it is cut off is what happens here

        thread = threading.Thread(target=change)
        thread.start()
        time.sleep(chance.uniform(0, took * 1.5))
        server.kill()
        thread.join()
        server.start()
        with server.client() as client:
            history = client.history("digits")
            assert history[: len(history_before)] == history_before, f"seed {seed}"
            state = history[-1].model
            wanted = {(row.version, row.weight, "ready") for row in state.versions}
            assert serving(client) == wanted, f"seed {seed}"
            assert [entry.revision for entry in history] == sorted({entry.revision for entry in history})
            assert {model.name for model in client.status().models} == {"digits", "still"}
            changes_seen.add(len(history) - len(history_before))
        with server.http() as http:
            body = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
            assert http.post("/v2/models/still/infer", json=body).is_success
            for row in state.versions:
                assert http.post(f"/v2/models/digits/versions/{row.version}/infer", json=body).is_success
    print(f"{kills} kills (seed {seed}): entries that a cut-off change had written: {sorted(changes_seen)}")
