"""The whole server is killed at random moments of changes; each next start serves one consistent state."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import pytest
from supervised import ROW, Caller

from maas_jupyter.errors import MaasError
from maas_jupyter.serving.client import ServingClient


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
        with server.client() as client:
            history_before = client.history("digits")
        version = str(3 + turn)

        def change(record=server.record, version=version, turn=turn):
            try:
                with ServingClient(record.url, record.token, timeout=2) as client:
                    client.publish("digits", version, scaled(1.0 + turn % 7), canary=10)
                    client.promote("digits")
                    client.rollback("digits")
            except (MaasError, OSError):
                pass  # that it is cut off is what happens here

        thread = threading.Thread(target=change)
        thread.start()
        time.sleep(chance.uniform(0, took * 1.5))
        for process in (server.process.pid, *server.workers()):
            os.kill(process, signal.SIGKILL)
        server.process.wait()
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
        with Caller(server.record) as caller:
            assert caller.ask("POST", "/v2/models/still/infer", ROW)[0] == 200
            for row in state.versions:
                assert caller.ask("POST", f"/v2/models/digits/versions/{row.version}/infer", ROW)[0] == 200
    print(f"{kills} kills (seed {seed}): entries that a cut-off change had written: {sorted(changes_seen)}")
