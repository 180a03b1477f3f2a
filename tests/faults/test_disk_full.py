"""The server's disk is a small tmpfs that fills up while a bundle is published."""

from __future__ import annotations

import json
import os

import pytest
from supervised import ROW, Caller

from maas_jupyter.errors import Unavailable

DISK_SIZE = "2m"


@pytest.mark.skipif(os.name != "posix", reason="mounts a tmpfs")
def test_a_full_disk_is_a_clear_error_and_the_old_version_serves(make_server, scaled, small_disk, fill):
    server = make_server("--workers", "1", "--threads", "1", home=small_disk / "server")

    def answers():
        with Caller(server.record) as caller:
            return json.loads(caller.ask("POST", "/v2/models/digits/infer", ROW)[1])["model_version"]

    with server.client() as client:
        client.publish("digits", "1", scaled(1.0))
        with pytest.raises(Unavailable, match="disk"):
            client.publish("digits", "2", scaled(2.0, padding=4_000_000))
        assert answers() == "1"
        # Not a byte left: the change itself cannot be written.
        filler = fill(small_disk)
        with pytest.raises(Unavailable, match="disk"):
            client.publish("digits", "3", scaled(1.0))
        assert answers() == "1"
        filler.unlink()
        client.publish("digits", "3", scaled(1.0))
        assert answers() == "3"
        assert [entry.model.versions[0].version for entry in client.history("digits")] == ["1", "3"]
    server.process.kill()
    server.process.wait()
    server.start()
    assert answers() == "3"
