"""What can be asked of a model server, as flows that either client carries out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
from msgspec import Struct

from maas_jupyter import schema
from maas_jupyter.errors import InvalidInput, NotFound
from maas_jupyter.schema import (
    MANIFEST_NAME,
    ChangeRequest,
    HistoryEntry,
    Manifest,
    ModelStatus,
    PublishRequest,
    ServerStatus,
    check_name,
)
from maas_jupyter.serving.client.calls import Call, Flow, Inference, ModelMetadata, ask, decode
from maas_jupyter.serving.client.tensors import decode_answer, encode_request
from maas_jupyter.serving.client.upload import Upload, read
from maas_jupyter.signature import conform

#: Seconds that a model may take to load.
LOAD_TIMEOUT = 300.0
#: Seconds that a server may take to say that it is there.
STATUS_TIMEOUT = 5.0


class IndexEntry(Struct, frozen=True):
    """One version in the answer of the model repository extension's index."""

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


class _Lines(Struct):
    lines: list[str]


class Core:
    """One server: its address, and what is known of its models.

    Parameters
    ----------
    url : str
        Address of the server.
    timeout : float
        Seconds that an answer may take, loading and uploading apart.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        # By model and the version that is asked for. An entry is only a guess: the server has the last word.
        self._metadata: dict[tuple[str, str | None], ModelMetadata] = {}

    # -- administering ------------------------------------------------------------------------------------------------

    def status(self) -> Flow[ServerStatus]:
        """Ask for the state of every model."""
        answer = yield from ask(Call("GET", "/maas/v1/status", STATUS_TIMEOUT, repeatable=True, attempts=False))
        return decode(answer, ServerStatus, url=self.url)

    def model_status(self, name: str) -> Flow[ModelStatus]:
        """Ask for the state of one model."""
        answer = yield from ask(Call("GET", _admin(name), STATUS_TIMEOUT, repeatable=True, attempts=False))
        return decode(answer, ModelStatus, url=self.url)

    def publish(
        self, name: str, version: str, bundle_folder: Path, canary: int | None, shadow: bool, user: str, reason: str
    ) -> Flow[ModelStatus]:
        """Send a bundle and have it served."""
        check_name(name)
        data = read(bundle_folder, MANIFEST_NAME)
        digest = hashlib.sha256(data).hexdigest()
        manifest = schema.decode(data, Manifest, where=str(bundle_folder / MANIFEST_NAME))
        upload = Upload(self.url, bundle_folder, digest, data, manifest, self.timeout)
        body = msgspec.json.encode(PublishRequest(version, digest, canary, shadow, user, reason))
        call = Call("POST", _admin(name, "/publish"), LOAD_TIMEOUT, body)
        yield from upload.send()
        try:
            answer = yield from ask(call)
        except NotFound:  # withdrawn by another client in this moment, with the model that it belonged to
            yield from upload.send()
            answer = yield from ask(call)
        return decode(answer, ModelStatus, url=self.url)

    def change(self, name: str, what: str, user: str, reason: str) -> Flow[ModelStatus]:
        """Promote, roll back, unpublish, load or unload a model."""
        body = msgspec.json.encode(ChangeRequest(user, reason))
        answer = yield from ask(Call("POST", _admin(name, f"/{what}"), LOAD_TIMEOUT, body))
        return decode(answer, ModelStatus, url=self.url)

    def history(self, name: str) -> Flow[list[HistoryEntry]]:
        """Ask what served when."""
        answer = yield from ask(Call("GET", _admin(name, "/history"), self.timeout, repeatable=True))
        return decode(answer, list[HistoryEntry], url=self.url)

    def logs(self, lines: int) -> Flow[list[str]]:
        """Ask for the last lines of the log."""
        answer = yield from ask(Call("GET", f"/maas/v1/logs?lines={lines}", self.timeout, repeatable=True))
        return decode(answer, _Lines, url=self.url).lines

    def shutdown(self) -> Flow[None]:
        """Ask the server to end."""
        yield from ask(Call("POST", "/maas/v1/shutdown", self.timeout))

    def metrics_text(self) -> Flow[str]:
        """Ask for the metrics."""
        answer = yield from ask(Call("GET", "/metrics", self.timeout, repeatable=True))
        return answer.content.decode(errors="replace")

    # -- predicting ---------------------------------------------------------------------------------------------------

    def index(self) -> Flow[list[IndexEntry]]:
        """Ask for all versions."""
        call = Call("POST", "/v2/repository/index", STATUS_TIMEOUT, b"{}", repeatable=True, attempts=False)
        return decode((yield from ask(call)), list[IndexEntry], url=self.url)

    def metadata(self, name: str, version: str | None = None) -> Flow[ModelMetadata]:
        """Ask for a model's signature, and remember it."""
        answer = yield from ask(Call("GET", _model(name, version), self.timeout, repeatable=True))
        found = self._metadata[name, version] = decode(answer, ModelMetadata, url=self.url)
        return found

    def infer(self, name: str, inputs: dict[str, np.ndarray], version: str | None = None) -> Flow[Inference]:
        """Ask a model, with arrays of its signature."""
        body, headers = encode_request(inputs)
        headers["X-Request-Timeout"] = str(self.timeout)
        answer = yield from ask(
            Call("POST", _model(name, version) + "/infer", self.timeout, body, headers, repeatable=True)
        )
        return decode_answer(answer, url=self.url, request_id=answer.headers.get("x-request-id", ""))

    def predict(self, name: str, X: Any, version: str | None = None) -> Flow[Inference]:
        """Ask a model, with what the user has."""
        remembered = self._metadata.get((name, version))
        known = remembered or (yield from self.metadata(name, version))
        try:
            answer = yield from self.infer(name, conform(X, known.signature), version)
        except (InvalidInput, NotFound):
            # What is remembered may be of a version that serves no longer.
            if remembered is None:
                raise
            known = yield from self.metadata(name, version)
            if known.signature == remembered.signature:
                raise
            answer = yield from self.infer(name, conform(X, known.signature), version)
        if answer.version not in known.versions:
            self._metadata.pop((name, version), None)  # the next one looks what this version takes
        return answer


def _admin(name: str, what: str = "") -> str:
    return f"/maas/v1/models/{quote(name, safe='')}{what}"


def _model(name: str, version: str | None) -> str:
    chosen = f"/versions/{quote(version, safe='')}" if version is not None else ""
    return f"/v2/models/{quote(name, safe='')}{chosen}"
