"""How a program outside of the notebook gets a server's token, and the two programs that show it.

The token itself is never shown, nor in the list of processes: each program takes it from where it is kept.
"""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from maas_jupyter.schema import Signature

_JSON = "-H 'Content-Type: application/json'"
#: Values of a tensor that a line for a shell holds; more are repeated by the shell.
_MOST_VALUES = 16
#: Characters of a body that is a word of a command, which has no room for those of a picture; longer ones are piped.
_MOST_CHARACTERS = 65_536
#: A grey point as a PNG file, in base64.
_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class RecordAccess:
    """The token is in the record that a local server leaves in its home."""

    path: Path

    def curl(self, url: str, request: Request) -> str:
        """Return a line for a shell that posts a request; curl reads the token from its standard input."""
        header = 's/.*"token": "\\([^"]*\\)".*/Authorization: Bearer \\1/p'
        return _posting(f"sed -n {shlex.quote(header)} {_for_shell(self.path)}", "", url, request)

    def program(self, url: str, request: Request) -> str:
        """Return a Python program that posts a request, with the standard library alone."""
        route = url.partition("://")[2].partition("/")[2]
        return f"""\
import json
import urllib.request
from pathlib import Path

record = json.loads(Path({_from_home(self.path)!r}).expanduser().read_text())
request = urllib.request.Request(
    record["url"] + {f"/{route}"!r},
    data=json.dumps({_as_python(request)}).encode(),
    headers={{"Authorization": "Bearer " + record["token"], "Content-Type": "application/json"}},
)
print(json.load(urllib.request.urlopen(request)))
"""


@dataclass(frozen=True)
class EnvironmentAccess:
    """The token is in an environment variable; ``ca_file`` is of the authority that signed the server's certificate."""

    variable: str
    ca_file: Path | None = None

    def curl(self, url: str, request: Request) -> str:
        """Return a line for a shell that posts a request; curl reads the token from its standard input."""
        authority = f"--cacert {_for_shell(self.ca_file)} " if self.ca_file else ""
        return _posting(f"printf 'Authorization: Bearer %s' \"${self.variable}\"", authority, url, request)

    def program(self, url: str, request: Request) -> str:
        """Return a Python program that posts a request, with the standard library alone."""
        imports, context, argument = "import json\nimport os\n", "", ""
        if self.ca_file:
            imports += "import ssl\n"
            context = f"context = ssl.create_default_context(cafile=os.path.expanduser({_from_home(self.ca_file)!r}))\n"
            argument = ", context=context"
        return f"""\
{imports}import urllib.request

request = urllib.request.Request(
    {url!r},
    data=json.dumps({_as_python(request)}).encode(),
    headers={{"Authorization": "Bearer " + os.environ[{self.variable!r}], "Content-Type": "application/json"}},
)
{context}print(json.load(urllib.request.urlopen(request{argument})))
"""


Access = RecordAccess | EnvironmentAccess


@dataclass(frozen=True)
class Tensor:
    """One input of a request, with the same value everywhere."""

    name: str
    shape: list[int]
    datatype: str
    value: Any

    @property
    def head(self) -> str:
        """What stands before its values as JSON."""
        fields = {"name": self.name, "shape": self.shape, "datatype": self.datatype}
        return json.dumps(fields, separators=(",", ":"))[:-1] + ',"data":['


#: The inputs of a request of the protocol's V2.
Request = list[Tensor]


def example(signature: Signature) -> Request:
    """Return a request with one row of zeros, or of texts.

    A signature does not tell files from texts; what is called as `package_images` calls its input gets a picture.
    """
    values = {"BYTES": "text", "BOOL": False}
    return [
        Tensor(
            spec.name,
            [1 if size < 0 else size for size in spec.shape],
            spec.datatype,
            _PICTURE if (spec.name, spec.datatype) == ("image", "BYTES") else values.get(spec.datatype, 0),
        )
        for spec in signature.inputs
    ]


def _posting(token: str, options: str, url: str, request: Request) -> str:
    """Return a line that pipes what prints the token into curl, which posts a request."""
    parts = _parts(request)
    piped = sum(len(part.text) * part.times for part in parts) > _MOST_CHARACTERS
    body = "@/dev/fd/3" if piped else "".join(map(_as_word, parts))
    line = f"{token} | curl -s -H @- {options}{_JSON} -d {body} {shlex.quote(url)}"
    if not piped:
        return line
    # Both come through pipes: the body through the one that the token leaves.
    return f"{{ {'; '.join(map(_as_command, parts))}; }} | {{ {line}; }} 3<&0"


class _Part(NamedTuple):
    """A piece of a request as JSON, and how often it is there."""

    text: str
    times: int = 1


def _parts(request: Request) -> list[_Part]:
    found, text = [], '{"inputs":['
    for index, tensor in enumerate(request):
        value, count = json.dumps(tensor.value), math.prod(tensor.shape)
        text += ("," if index else "") + tensor.head
        if count > _MOST_VALUES:
            found += [_Part(text), _Part(f"{value},", count - 1)]
            text = value
        else:
            text += ",".join([value] * count)
        text += "]}"
    return [*found, _Part(text + "]}")]


def _as_command(part: _Part) -> str:
    """Return a command for a shell that prints a part."""
    if part.times == 1:
        return f"printf %s {shlex.quote(part.text)}"
    return f"printf {shlex.quote(f'{part.text}%.0s')} $(seq {part.times})"


def _as_word(part: _Part) -> str:
    """Return a word for a shell, or a piece of one, that is a part."""
    return shlex.quote(part.text) if part.times == 1 else f'"$({_as_command(part)})"'


def _as_python(request: Request) -> str:
    """Return a request as Python source, with its equal values as one multiplied list."""
    tensors = [
        f'{{"name": {tensor.name!r}, "shape": {tensor.shape}, "datatype": {tensor.datatype!r}, '
        f'"data": [{tensor.value!r}] * {math.prod(tensor.shape)}}}'
        for tensor in request
    ]
    return f'{{"inputs": [{", ".join(tensors)}]}}'


def _from_home(path: Path) -> str:
    """Return a path from the user's home where it lies there: a saved notebook need not tell whose machine it was."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


def _for_shell(path: Path) -> str:
    text = _from_home(path)
    return f"~/{shlex.quote(text[2:])}" if text.startswith("~/") else shlex.quote(text)
