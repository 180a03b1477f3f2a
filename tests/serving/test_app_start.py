"""The start of an application that another host mounts."""

from __future__ import annotations

import asyncio

from bundles import linear_softmax
from control_parts import place

from maas_jupyter import schema
from maas_jupyter.schema import ServedModel, ServedVersion
from maas_jupyter.serving.control.plane import ControlPlane


def settle(client):
    """Wait for the end of what an application does at its start."""

    async def end():
        await asyncio.wait([client.app.state.reconciled])

    client.portal.call(end)


def test_a_bundle_that_cannot_be_read_hinders_no_other(server_home, bundles, open_client):
    for name, scale in (("bad", 1.0), ("good", 2.0)):
        digest = place(server_home, bundles.make(linear_softmax(scale)))
        served = ServedModel(name, [ServedVersion("1", digest)], revision=1)
        schema.write_atomic(server_home / "models" / f"{name}.json", schema.encode(served))
        if name == "bad":
            path = server_home / "bundles" / digest / "maas.json"
            path.unlink()
            path.mkdir()  # stands for any error of the disk
    client = open_client(server_home)
    settle(client)
    assert client.get("/v2/health/ready").status_code == 200
    assert client.get("/v2/models/good/ready").status_code == 200
    (row,) = client.get("/maas/v1/models/bad").json()["versions"]
    assert row["state"] == "failed"
    assert "cannot be read" in row["reason"]


def test_a_start_that_fails_is_logged(server_home, open_client, monkeypatch, caplog):
    async def fail(plane):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(ControlPlane, "reconcile", fail)
    client = open_client(server_home)
    settle(client)
    assert client.get("/v2/health/ready").status_code == 503
    (record,) = [record for record in caplog.records if record.name == "maas_jupyter.serving.app"]
    assert "a fault of ours" in str(record.exc_info[1])
