"""Every documented operation, asked by schemathesis with what its schema allows and with what it does not."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter

import httpx
import pytest
import requests
import schemathesis
from bundles import Bundles
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from rest_server import publish_all
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from supervised import Caller, Server

CONFORMANCE = [status_code_conformance, content_type_conformance, response_schema_conformance]
NAMES = {
    "model": ["digits", "words", "pair", "echo", "picture", "é/%00"],
    "version": ["1", "7", "x y"],
    "label": ["stable", "canary", "no"],
    "digest": ["0" * 64, "x", "../.."],
    "file": ["maas.json", "../model.onnx", "a/b"],
}
#: Only what does not exist is changed, so that what is asked stays.
CHANGING = ("/load", "/unload", "/publish", "/promote", "/rollback", "/unpublish")


@schemathesis.serializer("application/offset+octet-stream")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


def operations(document):
    """Return schemathesis' operations of a document whose paths lead to models that there are, and to others."""
    document["paths"].pop("/maas/v1/shutdown", None)
    del document["security"], document["components"]["securitySchemes"]  # else it leaves the token out
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            changes = path.startswith(("/maas/", "/v2/repository/")) and (path.endswith(CHANGING) or method == "delete")
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    names = ["nothing", "no/thing"] if changes else NAMES[parameter["name"]]
                    parameter["schema"] = {"type": "string", "enum": names}
    return [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]


def ask_everything(url, token, examples):
    """Ask every operation so often with data of each kind; return how many answers had which status."""
    statuses = Counter()
    document = httpx.get(f"{url}/openapi.json").json()
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        for operation in operations(document):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

                @seed(20_000)
                @settings(
                    max_examples=examples,
                    database=None,
                    deadline=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                @given(operation.as_strategy(generation_mode=mode))
                def ask(case):
                    response = case.call(base_url=url, session=session)
                    statuses[response.status_code] += 1
                    checks = CONFORMANCE if response.status_code != 405 else []
                    if response.status_code != 503:
                        checks = [not_a_server_error, *checks]
                    if checks:
                        case.validate_response(response, checks=checks)

                with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
                    ask()
    return statuses


def test_every_operation_a_few_times(rest):
    statuses = ask_everything(f"http://{rest.address}", "the-token-of-an-admin", examples=2)
    assert statuses.total() > 150
    assert {200, 400, 404} <= set(statuses)
    assert rest.http.get("/v2/models/digits/ready").status_code == 200


def test_a_share_beyond_what_the_channel_to_the_supervisor_carries(tmp_path):
    server = Server(tmp_path / "home", "--workers", "1").start()
    try:
        wanted = '{"version": "1", "digest": "", "canary": -16918543191137400832}'
        with Caller(server.record) as caller:
            status, body = caller.ask("POST", "/maas/v1/models/nothing/publish", wanted)
        assert (status, b"canary" in body) == (400, True), body
    finally:
        server.close()


def resident(server):
    """Return the resident memory of the workers in MiB."""
    return sum(
        float(line.rsplit(" ", 1)[1]) / 2**20
        for line in server.metrics().splitlines()
        if line.startswith("maas_process_resident_memory_bytes") and 'role="worker"' in line
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_twenty_thousand_requests(tmp_path, capsys):
    server = Server(tmp_path / "home", "--workers", "1").start()
    try:
        url, token = server.record.url, server.record.token
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
            publish_all(http, Bundles(tmp_path / "made"))
        workers = server.workers()
        ask_everything(url, token, examples=20)
        before = resident(server)
        statuses = ask_everything(url, token, examples=310)
        after = resident(server)
        with capsys.disabled():
            sys.stdout.write(
                f"\n{statuses.total()} requests, {sorted(statuses.items())}, {before:.1f} -> {after:.1f} MiB\n"
            )
        assert statuses.total() >= 20_000
        assert server.workers() == workers
        assert after < before + 10
    finally:
        server.close()
