"""A published model as a notebook holds it."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maas_jupyter.plugins import Displayed
from maas_jupyter.schema import EndpointState, Signature, TrafficRow
from maas_jupyter.serving.client import ServingClient
from maas_jupyter.signature import conform

_SHOWN_ROWS = 10


@dataclass(repr=False)
class Prediction(Displayed):
    """What an endpoint answered.

    Attributes
    ----------
    endpoint, version : str
        Which model, and which of its versions.
    outputs : dict of str to ndarray
        The model's outputs.
    """

    endpoint: str
    version: str
    outputs: dict[str, np.ndarray]

    @property
    def labels(self) -> np.ndarray | None:
        """Predicted class per row, shape ``(rows,)``; None for a model that does not classify."""
        return self.outputs.get("label")

    @property
    def scores(self) -> np.ndarray | None:
        """Score per row and class, shape ``(rows, classes)``; None for a model that does not classify."""
        return self.outputs.get("scores")

    def __repr__(self) -> str:
        title = f"{self.endpoint} version {self.version}"
        if self.labels is None or self.scores is None:
            return "\n".join([title, *(f"{name}: {value}" for name, value in self.outputs.items())])
        rows = zip(self.labels[:_SHOWN_ROWS], self.scores[:_SHOWN_ROWS], strict=True)
        lines = [f"{row:>5}  {label}  {scores.max():.4f}" for row, (label, scores) in enumerate(rows)]
        more = [f"  and {len(self.labels) - _SHOWN_ROWS:,} more rows"] if len(self.labels) > _SHOWN_ROWS else []
        return "\n".join([f"{title}: row, label, score", *lines, *more])


@dataclass(repr=False)
class Endpoint(Displayed):
    """A published model.

    Attributes
    ----------
    name, target : str
        The model, and where it is published.
    url : str
        Where predictions are posted (Open Inference Protocol V2); empty while nothing serves.
    state : str
        One of `EndpointState`; ``reason`` says why it is not ready.
    traffic : list of TrafficRow
        The versions and their shares.
    signature : Signature or None
        What goes in and comes out, where it is known.
    """

    name: str
    target: str
    url: str
    state: EndpointState
    reason: str = ""
    traffic: list[TrafficRow] = field(default_factory=list)
    signature: Signature | None = None
    record_path: Path | None = None
    _client: Callable[[], ServingClient] | None = field(default=None, compare=False)
    _logs: Callable[[int], list[str]] | None = field(default=None, compare=False)

    def predict(self, X: Any, version: str | None = None) -> Prediction:
        """Send rows and return the answer.

        Parameters
        ----------
        X : array-like, or dict of str to array-like
            The rows; for a model with several inputs one array per input. Numbers are cast to the signature's dtypes
            where no value changes by more than rounding.
        version : str, optional
            One version; default by the endpoint's traffic.

        Raises
        ------
        InvalidInput
            If the data does not fit the signature; says what is expected and what was given.
        Unavailable
            If the endpoint does not answer.
        """
        client = self._serving()
        inputs = conform(X, client.metadata(self.name).signature)
        answered, outputs = client.infer_versioned(self.name, inputs, version)
        return Prediction(self.name, answered, outputs)

    def __repr__(self) -> str:
        total = sum(row.weight for row in self.traffic) or 1
        shares = ", ".join(f"version {row.version} {row.weight / total:.0%}" for row in self.traffic)
        what = f"{self.name} is {self.state} on {self.target}" + (f": {shares}" if shares else "")
        return "\n".join(line for line in (what, self.reason, self.url) if line)

    def metrics_text(self) -> str:
        """Return the server's metrics in Prometheus' text format."""
        return self._serving().metrics_text()

    def logs(self, lines: int = 20) -> LogLines:
        """Return the last lines of the server's log."""
        assert self._logs is not None
        return LogLines(self._logs(lines))

    def _serving(self) -> ServingClient:
        assert self._client is not None
        return self._client()

    def _example(self) -> dict[str, Any]:
        """Return a V2 request with one row of zeros."""
        specs = self.signature.inputs if self.signature else []
        tensors = []
        for spec in specs:
            shape = [1 if size < 0 else size for size in spec.shape]
            value: Any = {"BYTES": "text", "BOOL": False}.get(spec.datatype, 0)
            tensors.append(
                {"name": spec.name, "shape": shape, "datatype": spec.datatype, "data": [value] * math.prod(shape)}
            )
        return {"inputs": tensors}

    @property
    def curl(self) -> str:
        """A line for a shell that sends one row of zeros; empty while nothing serves.

        It takes the token from the server's record through curl's standard input, so that the token is neither shown
        nor in the list of processes.
        """
        if not self.url or self.record_path is None:
            return ""
        body = json.dumps(self._example(), separators=(",", ":"))
        header = 's/.*"token": "\\([^"]*\\)".*/Authorization: Bearer \\1/p'
        return (
            f"sed -n {shlex.quote(header)} {_for_shell(self.record_path)} | "
            f"curl -s -H @- -H 'Content-Type: application/json' -d {shlex.quote(body)} {shlex.quote(self.url)}"
        )

    @property
    def python_client(self) -> str:
        """A program that sends one row of zeros, with the standard library alone; empty while nothing serves."""
        if not self.url or self.record_path is None:
            return ""
        return f"""\
import json
import urllib.request
from pathlib import Path

record = json.loads(Path({_from_home(self.record_path)!r}).expanduser().read_text())
request = urllib.request.Request(
    record["url"] + "/v2/models/{self.name}/infer",
    data=json.dumps({_shorten(self._example())}).encode(),
    headers={{"Authorization": "Bearer " + record["token"], "Content-Type": "application/json"}},
)
print(json.load(urllib.request.urlopen(request)))
"""


class EndpointList(list[Endpoint], Displayed):
    """Endpoints, in the order of their names."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "No endpoints. Publish one: %maas publish NAME"


class LogLines(list[str]):
    """Lines of a log, shown as they stand in it."""

    def __repr__(self) -> str:
        return "\n".join(self)


def _from_home(path: Path) -> str:
    """Return a path from the user's home where it lies there: a saved notebook need not tell whose machine it was."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


def _for_shell(path: Path) -> str:
    text = _from_home(path)
    return f"~/{shlex.quote(text[2:])}" if text.startswith("~/") else shlex.quote(text)


def _shorten(request: dict[str, Any]) -> str:
    """Return a request as Python source, with its equal values as one multiplied list."""
    tensors = [
        f'{{"name": {tensor["name"]!r}, "shape": {tensor["shape"]}, "datatype": {tensor["datatype"]!r}, '
        f'"data": [{tensor["data"][0]!r}] * {len(tensor["data"])}}}'
        if tensor["data"]
        else repr(tensor)
        for tensor in request["inputs"]
    ]
    return f'{{"inputs": [{", ".join(tensors)}]}}'
