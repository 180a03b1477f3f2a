"""The server's disk is a small tmpfs that fills up while a bundle is published."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess

import pytest
from supervised import ROW, Caller

from maas_jupyter.errors import Unavailable


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"A tmpfs cannot be mounted here: {done.stderr.strip() or 'mount failed'}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.skipif(os.name != "posix", reason="mounts a tmpfs")
def test_a_full_disk_is_a_clear_error_and_the_old_version_serves(make_server, scaled, small_disk):
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
        with (small_disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"0" * 512)
        with pytest.raises(Unavailable, match="disk"):
            client.publish("digits", "3", scaled(1.0))
        assert answers() == "1"
        (small_disk / "ballast").unlink()
        client.publish("digits", "3", scaled(1.0))
        assert answers() == "3"
        assert [entry.model.versions[0].version for entry in client.history("digits")] == ["1", "3"]
    server.process.kill()
    server.process.wait()
    server.start()
    assert answers() == "3"
