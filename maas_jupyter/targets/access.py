"""How a program outside of the notebook gets a server's token, and the two programs that show it.

The token itself is never shown, nor in the list of processes: each program takes it from where it is kept.
"""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maas_jupyter.schema import Signature

_JSON = "-H 'Content-Type: application/json'"


@dataclass(frozen=True)
class RecordAccess:
    """The token is in the record that a local server leaves in its home."""

    path: Path

    def curl(self, url: str, body: str) -> str:
        """Return a line for a shell that posts a body; curl reads the token from its standard input."""
        header = 's/.*"token": "\\([^"]*\\)".*/Authorization: Bearer \\1/p'
        return (
            f"sed -n {shlex.quote(header)} {_for_shell(self.path)} | "
            f"curl -s -H @- {_JSON} -d {shlex.quote(body)} {shlex.quote(url)}"
        )

    def program(self, url: str, body: str) -> str:
        """Return a Python program that posts a body, with the standard library alone."""
        route = url.partition("://")[2].partition("/")[2]
        return f"""\
import json
import urllib.request
from pathlib import Path

record = json.loads(Path({_from_home(self.path)!r}).expanduser().read_text())
request = urllib.request.Request(
    record["url"] + {f"/{route}"!r},
    data=json.dumps({body}).encode(),
    headers={{"Authorization": "Bearer " + record["token"], "Content-Type": "application/json"}},
)
print(json.load(urllib.request.urlopen(request)))
"""


@dataclass(frozen=True)
class EnvironmentAccess:
    """The token is in an environment variable; ``ca_file`` is of the authority that signed the server's certificate."""

    variable: str
    ca_file: Path | None = None

    def curl(self, url: str, body: str) -> str:
        """Return a line for a shell that posts a body; curl reads the token from its standard input."""
        authority = f"--cacert {_for_shell(self.ca_file)} " if self.ca_file else ""
        return (
            f"printf 'Authorization: Bearer %s' \"${self.variable}\" | "
            f"curl -s -H @- {authority}{_JSON} -d {shlex.quote(body)} {shlex.quote(url)}"
        )

    def program(self, url: str, body: str) -> str:
        """Return a Python program that posts a body, with the standard library alone."""
        imports, context, argument = "import json\nimport os\n", "", ""
        if self.ca_file:
            imports += "import ssl\n"
            context = f"context = ssl.create_default_context(cafile=os.path.expanduser({_from_home(self.ca_file)!r}))\n"
            argument = ", context=context"
        return f"""\
{imports}import urllib.request

request = urllib.request.Request(
    {url!r},
    data=json.dumps({body}).encode(),
    headers={{"Authorization": "Bearer " + os.environ[{self.variable!r}], "Content-Type": "application/json"}},
)
{context}print(json.load(urllib.request.urlopen(request{argument})))
"""


Access = RecordAccess | EnvironmentAccess


def example(signature: Signature | None) -> dict[str, Any]:
    """Return a V2 request with one row of zeros."""
    tensors = []
    for spec in signature.inputs if signature else []:
        shape = [1 if size < 0 else size for size in spec.shape]
        value: Any = {"BYTES": "text", "BOOL": False}.get(spec.datatype, 0)
        tensors.append(
            {"name": spec.name, "shape": shape, "datatype": spec.datatype, "data": [value] * math.prod(shape)}
        )
    return {"inputs": tensors}


def as_json(request: dict[str, Any]) -> str:
    """Return a request as it is sent."""
    return json.dumps(request, separators=(",", ":"))


def as_python(request: dict[str, Any]) -> str:
    """Return a request as Python source, with its equal values as one multiplied list."""
    tensors = [
        f'{{"name": {tensor["name"]!r}, "shape": {tensor["shape"]}, "datatype": {tensor["datatype"]!r}, '
        f'"data": [{tensor["data"][0]!r}] * {len(tensor["data"])}}}'
        if tensor["data"]
        else repr(tensor)
        for tensor in request["inputs"]
    ]
    return f'{{"inputs": [{", ".join(tensors)}]}}'


def _from_home(path: Path) -> str:
    """Return a path from the user's home where it lies there: a saved notebook need not tell whose machine it was."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


def _for_shell(path: Path) -> str:
    text = _from_home(path)
    return f"~/{shlex.quote(text[2:])}" if text.startswith("~/") else shlex.quote(text)
