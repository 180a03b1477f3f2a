"""The OpenAPI document: whole, valid, and nothing but the routes that there are; and the page to read it."""

from __future__ import annotations

import html
import os
import re
import subprocess
from html.parser import HTMLParser

import jsonschema
import pytest
from bundles import Bundles, linear_softmax
from starlette.routing import Route

from maas_jupyter.serving.app import create_app
from maas_jupyter.serving.control.plane import ControlPlane
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.protocols.openapi.document import document
from maas_jupyter.serving.repository import ModelRepository

TOKEN = "a-token-for-tests"
METHODS = {"get", "post", "put", "patch", "delete"}


def described(paths):
    return {(method, path) for path, methods in paths.items() for method in methods}


def existing(app):
    """Every method and path of the application, the direct routes with their versions included."""
    found = set()
    for route in app.routes:
        assert isinstance(route, Route)
        path = re.sub(r":path}", "}", route.path)
        found |= {(method.lower(), path) for method in route.methods - {"HEAD"}}
    for prefix, suffix, _ in app.state.direct.handlers:
        for versions in ("", "/versions/{version}"):
            found.add(("post", f"{prefix}{{model}}{versions}{suffix}"))
    return found


def test_every_route_is_described_and_every_description_has_a_route(tmp_path):
    app = create_app(tmp_path, TOKEN)
    assert described(document(can_stop=False)["paths"]) == existing(app)


def test_also_where_the_server_can_be_stopped(tmp_path):
    from maas_jupyter.serving.app import worker_app

    repository = ModelRepository(tmp_path, Metrics())
    app = worker_app(repository, ControlPlane(tmp_path, repository), TOKEN, limits=Limits(), stop=lambda: None)
    assert described(document(can_stop=True)["paths"]) == existing(app)


def test_every_reference_has_its_schema_and_every_schema_is_one():
    made = document(can_stop=True)
    schemas = made["components"]["schemas"]
    used = set(re.findall(r"#/components/schemas/(\w+)", str(made)))
    assert used == set(schemas)
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_operation_says_what_it_is():
    operations = [each for methods in document(can_stop=True)["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    for each in operations:
        assert each["summary"]
        assert each["tags"]
        assert each["responses"]


def test_parameters_of_the_path_are_those_of_the_description():
    for path, methods in document(can_stop=True)["paths"].items():
        for each in methods.values():
            named = {parameter["name"] for parameter in each.get("parameters", ()) if parameter["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))


def test_it_is_open_and_says_who_needs_a_token(rest):
    with rest.client("wrong") as stranger:
        answer = stranger.get("/openapi.json")
        assert answer.status_code == 200
        made = answer.json()
        assert made["servers"] == [{"url": "/"}]
        for path, methods in made["paths"].items():
            if "get" in methods and "{" not in path:
                is_open = methods["get"].get("security") == []
                assert (stranger.get(path).status_code != 401) == is_open, path


def test_readers_are_refused_where_an_admin_is_asked_for(rest):
    with rest.client("the-token-of-a-reader") as reader:
        for path, methods in document(can_stop=False)["paths"].items():
            for method, operation in methods.items():
                answer = reader.request(method, re.sub(r"{\w+}", "0" * 64, path))
                assert (answer.status_code == 403) == ("403" in operation["responses"]), (method, path)


def test_examples_are_what_the_schemas_say():
    made = document(can_stop=True)
    schemas = {f"#/components/schemas/{name}": schema for name, schema in made["components"]["schemas"].items()}

    def resolved(schema):
        if isinstance(schema, dict):
            return (
                resolved(schemas[schema["$ref"]]) if "$ref" in schema else {k: resolved(v) for k, v in schema.items()}
            )
        return [resolved(each) for each in schema] if isinstance(schema, list) else schema

    examples = 0
    for methods in made["paths"].values():
        for each in methods.values():
            for content in each.get("requestBody", {"content": {}})["content"].values():
                if "example" in content:
                    jsonschema.validate(content["example"], resolved(content["schema"]))
                    examples += 1
    assert examples > 10


class Outline(HTMLParser):
    """What a page loads, where its links go, and which anchors it has."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.anchors = set(), set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            assert name not in ("src", "srcset", "style") and not name.startswith("on")
            if name == "href":
                self.links.add(value)
            if name == "id":
                self.anchors.add(value)


def test_the_page_needs_nothing_but_itself(rest):
    answer = rest.http.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    outline = Outline()
    outline.feed(answer.text)
    assert not outline.tags & {"script", "img", "link", "iframe", "object", "form"}
    assert {link.removeprefix("#") for link in outline.links if link.startswith("#")} <= outline.anchors
    assert {link for link in outline.links if not link.startswith("#")} == {"/openapi.json"}
    assert "the-token-of-an-admin" not in answer.text
    for path in document(can_stop=False)["paths"]:
        assert path in answer.text


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_where_it_is_mounted_it_says_so(tmp_path, path):
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.testclient import TestClient

    host = TestClient(Starlette(routes=[Mount("/models", create_app(tmp_path, TOKEN))]))
    assert '"/models' in host.get(f"/models{path}").text


# -- the lines for a shell --------------------------------------------------------------------------------------------


def shell_lines(rest):
    found = re.findall(r"<pre>(curl .*?|printf .*?)</pre>", rest.http.get("/docs").text, re.S)
    return [html.unescape(line) for line in found]


def in_shell(line, **variables):
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env={**os.environ, **variables})


def test_every_line_runs_and_none_shows_the_token_to_others(rest, tmp_path):
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nprintf "stdin: "; cat\n')
    curl.chmod(0o755)
    lines = shell_lines(rest)
    assert len(lines) > 20
    for line in lines:
        variables = {name: f"a-{name.lower()}" for name in re.findall(r"\$\{?([A-Z_]+)", line)} | {"TOKEN": "secret"}
        done = in_shell(line, **{**variables, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
        assert done.returncode == 0, done.stderr
        words, _, given = done.stdout.partition("stdin: ")
        assert "secret" not in words
        assert "{" not in next(word for word in words.splitlines() if word.startswith("a-url/"))
        assert ("-H\n@-\n" in words) == (given == "Authorization: Bearer secret")


def test_lines_that_ask_a_model_are_answered(rest):
    answered = set()
    for line in shell_lines(rest):
        route = re.search(r'"\$URL(\S+)"', line)[1]
        if re.fullmatch(r"/v2/models/\${MODEL}(/versions/\${VERSION})?/infer", route) or (
            re.fullmatch(r"/v1/models/\${MODEL}(/versions/\${VERSION})?:predict", route)
        ):
            done = in_shell(
                line, URL=f"http://{rest.address}", TOKEN="the-token-of-a-reader", MODEL="digits", VERSION="1"
            )
            assert '"scores"' in done.stdout, (line, done)
            answered.add(route)
    assert len(answered) == 4


def test_a_bundle_is_sent_and_published_by_the_lines(rest):
    folder = rest.bundles.make(linear_softmax(21))
    variables = {
        "URL": f"http://{rest.address}",
        "TOKEN": "the-token-of-an-admin",
        "DIGEST": Bundles.digest(folder),
        "UPLOAD_OFFSET": "0",
        "MODEL": "by-hand",
    }
    lines = {re.search(r'curl -X (\w+) "\$URL(\S+)"', line).groups(): line for line in shell_lines(rest)}

    def run(method, path, **more):
        line = lines[method, path].replace("0" * 64, variables["DIGEST"]).replace('"canary": 10', '"canary": null')
        environment = {**os.environ, **variables, **more}
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=folder, env=environment)
        assert '"error"' not in done.stdout, done.stdout
        return done.stdout

    for name in ("maas.json", "model.onnx"):
        assert '"complete":true' in run("PATCH", "/maas/v1/bundles/${DIGEST}/files/${FILE}", FILE=name)
    rest.http.post(f"/maas/v1/bundles/{variables['DIGEST']}/commit").raise_for_status()
    assert '"ready"' in run("POST", "/maas/v1/models/${MODEL}/publish")
