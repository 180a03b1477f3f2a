"""The wire and record shapes, each once.

Everything that crosses a process or is written to disk as JSON is one of these structs. Encoding and decoding with
validation is msgspec's; files are written beside and renamed, so a reader never sees half a record.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from maas_jupyter.errors import BundleError, InvalidInput

BUNDLE_FORMAT = 1
MANIFEST_NAME = "maas.json"

#: Open Inference Protocol datatype -> numpy dtype name. BYTES is carried as numpy ``object``.
NUMPY_DTYPES: dict[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
DATATYPES: dict[str, str] = {dtype: datatype for datatype, dtype in NUMPY_DTYPES.items()}

Task = Literal["classification", "regression", "tensor"]
Precision = Literal["fp32", "fp16", "bf16", "int8", "int4"]
VersionState = Literal["loading", "ready", "failed", "unloaded"]
Action = Literal["publish", "canary", "shadow", "promote", "rollback", "unpublish", "load", "unload"]
EndpointState = Literal["ready", "loading", "failed", "unavailable", "stopped"]

#: What decoding bytes of any kind as JSON may raise: malformed or other than asked for, not UTF-8, nested too deeply.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

S = TypeVar("S", bound=Struct)

_building = threading.Lock()


# -- the bundle -------------------------------------------------------------------------------------------------------


class TensorSpec(Struct, frozen=True):
    """Name, Open Inference Protocol datatype and shape (-1 = any size) of one tensor."""

    name: str
    datatype: str
    shape: list[int]

    def __str__(self) -> str:
        return f"{self.name}: {self.datatype}{self.shape}"


class Signature(Struct, frozen=True):
    """What goes into a model and what comes out."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class FileEntry(Struct, frozen=True):
    """Digest and size in bytes of one file of a bundle."""

    sha256: str
    size: Annotated[int, Meta(ge=0, le=2**63 - 1)]


class TextInput(Struct, frozen=True, kw_only=True, tag="text"):
    """An input of raw text (BYTES ``[-1]``), tokenized in the server and padded per batch.

    ``tensors`` says which of the graph's inputs takes what: ``ids``, ``mask`` or ``types``, INT64 ``[rows, tokens]``.
    """

    tensors: dict[str, Literal["ids", "mask", "types"]]
    tokenizer: str = "tokenizer.json"
    max_length: int


class ImageInput(Struct, frozen=True, kw_only=True, tag="image"):
    """An input of PNG or JPEG files (BYTES ``[-1]``), decoded and resized in the server.

    The graph's input ``tensor`` gets FP32 ``(value * scale - mean) / std``; ``mean`` and ``std`` have one number per
    channel: 1 (grey) or 3 (red, green, blue).
    """

    tensor: str
    height: int
    width: int
    mean: list[float]
    std: list[float]
    scale: float = 1 / 255
    layout: Literal["NCHW", "NHWC"] = "NCHW"


class Manifest(Struct, frozen=True, kw_only=True):
    """``maas.json``: what a bundle is. Its own sha256 is the bundle's digest.

    ``preprocessing`` says, by the name of a signature's input, what the server makes of it before the graph; inputs
    that are not named there go to the graph as they are. ``max_batch`` is the number of rows that one run may take.
    """

    format_version: int = BUNDLE_FORMAT
    task: Task
    runtime: str
    precision: Precision
    signature: Signature
    labels: list[str | int] | None = None
    preprocessing: dict[str, TextInput | ImageInput] = field(default_factory=dict)
    max_batch: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 64
    files: dict[str, FileEntry] = field(default_factory=dict)
    parent: str | None = None
    measurements: dict[str, float] = field(default_factory=dict)
    training_data: dict[str, Any] | None = None
    created_by: str = ""

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(entry.size for entry in self.files.values())


# -- the model server -------------------------------------------------------------------------------------------------


class ServedVersion(Struct, frozen=True):
    """One version that a model's desired state asks for; weights are relative."""

    version: str
    digest: str
    weight: int = 100


class ServedModel(Struct, frozen=True):
    """Desired state of one model: ``models/<name>.json`` in the server's home.

    ``shadow`` names the version, of weight 0, that gets a copy of the traffic. A model that is not ``loaded`` is known
    but not in memory. ``revision`` is the number of the history's entry that made this state.
    """

    name: str
    versions: list[ServedVersion]
    shadow: str | None = None
    loaded: bool = True
    revision: int = 0

    @property
    def labels(self) -> dict[str, str]:
        """The version that is ``stable`` (the first with traffic), ``canary`` and ``shadow``, where there is one."""
        weighted = (served.version for served in self.versions if served.weight > 0)
        found = dict(zip(("stable", "canary"), weighted, strict=False))
        return {**found, "shadow": self.shadow} if self.shadow else found


class HistoryEntry(Struct, frozen=True):
    """One change of what a model serves: a line of ``history/<name>.jsonl`` in the server's home.

    ``time`` in epoch seconds; ``by`` is the principal that asked, ``user`` who that says to be, ``reason`` in the
    user's words. ``model`` is the desired state from then on, null once the model is withdrawn.
    """

    revision: int
    time: float
    action: Action
    by: str
    model: ServedModel | None
    user: str = ""
    reason: str = ""


class ProbeRecord(Struct, frozen=True):
    """How a bundle loaded in a process of its own: ``probes/<digest>.json`` in the server's home.

    A bundle with a ``reason`` is quarantined. ``versions`` are those of the packages it was loaded with, by their
    names; with others it has to be loaded again to know.
    """

    reason: str = ""
    hint: str = ""
    runtime: str = ""
    versions: dict[str, str] = field(default_factory=dict)


class VersionStatus(Struct, frozen=True):
    """Actual state of one version."""

    version: str
    digest: str
    weight: int
    state: VersionState
    reason: str = ""
    shadow: bool = False


class ModelStatus(Struct, frozen=True):
    """Actual state of one model."""

    name: str
    versions: list[VersionStatus]


class ServerStatus(Struct, frozen=True):
    """Answer of ``GET /maas/v1/status``."""

    version: str
    pid: int
    started: float
    models: list[ModelStatus]


class PublishRequest(Struct, frozen=True):
    """Body of ``POST /maas/v1/models/{name}/publish``.

    With ``canary`` (percent, 1 to 99) the version takes that share of the traffic beside the stable one; as ``shadow``
    it gets a copy; with neither it takes all.
    """

    version: str
    digest: str
    canary: Annotated[int, Meta(ge=1, le=99)] | None = None
    shadow: bool = False
    user: str = ""
    reason: str = ""


class ChangeRequest(Struct, frozen=True):
    """Body of ``POST /maas/v1/models/{name}/{promote,rollback,unpublish}``; an empty body is an empty object."""

    user: str = ""
    reason: str = ""


class UploadState(Struct, frozen=True):
    """How far one file of a bundle has arrived: answer of ``GET`` and ``PATCH /maas/v1/bundles/{digest}/files/{file}``.

    ``offset`` of ``size`` bytes are there; ``complete`` means that they are verified too.
    """

    offset: int
    size: int
    complete: bool


class ServerRecord(Struct, frozen=True):
    """``server.json``: how the local server is found again. Holds the token, so the file has mode 0600.

    ``grpc`` is ``host:port``, null where the server speaks no gRPC; ``moved_from`` the port that the server before had,
    where that was taken when this one started.
    """

    pid: int
    url: str
    token: str
    started: float
    version: str
    grpc: str | None = None
    moved_from: int | None = None

    def __repr__(self) -> str:
        return f"ServerRecord(pid={self.pid}, url={self.url!r}, token='***')"


# -- names ------------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_name(name: str) -> bool:
    """Say whether a model or a version can have a name: one that is safe as a file name and in a URL."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str, *, what: str = "model") -> str:
    """Return the name of a model or a version if it is safe as a file name and in a URL.

    Raises
    ------
    InvalidInput
        If it is not.
    """
    if not is_name(name):
        raise InvalidInput(
            f"'{name[:140]}' cannot be the name of a {what}.",
            hint="Use at most 128 letters, digits, '.', '_' and '-', and start with a letter or a digit.",
        )
    return name


# -- reading and writing ----------------------------------------------------------------------------------------------


def encode(record: Struct) -> bytes:
    """Encode a record as JSON with stable bytes: the same record always gives the same digest."""
    return msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=2) + b"\n"


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a type, made once.

    Use it instead of ``msgspec.json.decode(data, type=...)``: the first use of a type builds tables that another thread
    may read half built, and that crashes the process.
    """
    with _building:
        return _decoder(kind)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(data: bytes, kind: type[S], *, where: str) -> S:
    """Decode and validate JSON.

    Raises
    ------
    BundleError
        If the JSON is malformed or is not a ``kind``; names the place and the field.
    """
    try:
        decoded: S = decoder(kind).decode(data)
        return decoded
    except UNREADABLE as error:
        raise BundleError(
            f"{where} is not a valid {kind.__name__}: {error}", hint="It may have been cut or edited."
        ) from error


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
