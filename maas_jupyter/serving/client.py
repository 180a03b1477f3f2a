"""The Python side of the model server's HTTP, the same for a local and a remote one."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import numpy as np

from maas_jupyter import schema
from maas_jupyter.errors import BundleError, InvalidInput, MaasError, NotFound, Unauthorized, Unavailable
from maas_jupyter.schema import (
    MANIFEST_NAME,
    Manifest,
    ModelStatus,
    PublishRequest,
    ServerStatus,
    Signature,
    TensorSpec,
    check_name,
)
from maas_jupyter.serving.tensors import JsonTensor, decode_tensor, encode_tensor

#: Seconds that a model may take to load.
LOAD_TIMEOUT = 300.0
#: Seconds that a server may take to say that it is there.
STATUS_TIMEOUT = 5.0

_KINDS: dict[int, type[MaasError]] = {
    400: InvalidInput,
    401: Unauthorized,
    404: NotFound,
    413: InvalidInput,
    422: BundleError,
    503: Unavailable,
}

T = TypeVar("T")


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a served model says about itself."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        return Signature(self.inputs, self.outputs)


class _InferResponse(msgspec.Struct):
    model_name: str
    model_version: str
    outputs: list[JsonTensor]


class ServingClient:
    """Speaks to one model server; safe to use from several threads.

    Parameters
    ----------
    url : str
        Address of the server, without a path.
    token : str
        Its bearer token; never shown.
    timeout : float
        Seconds that an answer may take, loading and uploading apart.
    """

    def __init__(self, url: str, token: str, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        local = _is_loopback(self.url)
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            trust_env=not local,  # a proxy of the environment cannot reach this machine's loopback
            verify=self.url.startswith("https:"),  # reading the certificates takes longer than a request
        )

    def __repr__(self) -> str:
        return f"ServingClient({self.url!r})"

    def __enter__(self) -> ServingClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- administering ------------------------------------------------------------------------------------------------

    def status(self) -> ServerStatus:
        """Return what the server serves.

        Raises
        ------
        Unavailable
            If it does not answer.
        Unauthorized
            If it does not know the token.
        """
        return self._decode(self._request("GET", "/maas/v1/status", timeout=STATUS_TIMEOUT), ServerStatus)

    def publish(self, name: str, version: str, bundle_folder: Path) -> ModelStatus:
        """Send a bundle, as far as the server does not have it, and make it serve with all of the traffic.

        Parameters
        ----------
        name, version : str
            Under which it serves.
        bundle_folder : Path
            The bundle.

        Returns
        -------
        ModelStatus
            The model's state afterwards.

        Raises
        ------
        BundleError
            If the bundle is incomplete, altered or does not load; what served before goes on serving.
        InvalidInput
            If the name cannot be served.
        """
        check_name(name)
        data = _read(bundle_folder, MANIFEST_NAME)
        digest = hashlib.sha256(data).hexdigest()
        manifest = schema.decode(data, Manifest, where=str(bundle_folder / MANIFEST_NAME))
        path = f"/maas/v1/models/{quote(name, safe='')}/publish"
        body = msgspec.json.encode(PublishRequest(version, digest))
        self._upload(bundle_folder, digest, data, manifest)
        try:
            answer = self._request("POST", path, content=body, timeout=LOAD_TIMEOUT)
        except NotFound:  # withdrawn by another client in this moment, with the model that it belonged to
            self._upload(bundle_folder, digest, data, manifest)
            answer = self._request("POST", path, content=body, timeout=LOAD_TIMEOUT)
        return self._decode(answer, ModelStatus)

    def _upload(self, folder: Path, digest: str, data: bytes, manifest: Manifest) -> None:
        with contextlib.suppress(NotFound):
            self._request("GET", f"/maas/v1/bundles/{digest}")
            return
        files = f"/maas/v1/bundles/{digest}/files/"
        self._request("PUT", files + MANIFEST_NAME, content=data)
        for name in manifest.files:
            path = folder / name
            size = path.stat().st_size if path.is_file() else 0
            self._request(
                "PUT", files + quote(name), content=_chunks(folder, name), headers={"Content-Length": str(size)}
            )
        self._request("POST", f"/maas/v1/bundles/{digest}/commit", timeout=LOAD_TIMEOUT)

    def withdraw(self, name: str) -> None:
        """Stop serving a model.

        Raises
        ------
        NotFound
            If the server has no such model.
        """
        self._request("DELETE", f"/maas/v1/models/{quote(name, safe='')}")

    def shutdown(self) -> None:
        """Ask the server to end; it answers before it does."""
        self._request("POST", "/maas/v1/shutdown")

    def metrics_text(self) -> str:
        """Return the server's metrics in Prometheus' text format."""
        return self._request("GET", "/metrics").text

    # -- predicting ---------------------------------------------------------------------------------------------------

    def metadata(self, name: str) -> ModelMetadata:
        """Return a model's versions and signature.

        Raises
        ------
        NotFound
            If the server has no such model.
        Unavailable
            If the model is not ready.
        """
        return self._decode(self._request("GET", f"/v2/models/{quote(name, safe='')}"), ModelMetadata)

    def infer(self, name: str, inputs: dict[str, np.ndarray], version: str | None = None) -> dict[str, np.ndarray]:
        """Return a model's outputs.

        Parameters
        ----------
        name : str
            The model.
        inputs : dict of str to ndarray
            One array per input, of the dtype and shape of the signature.
        version : str, optional
            One version; default by the model's traffic.

        Returns
        -------
        dict of str to ndarray
            One array per output.

        Raises
        ------
        InvalidInput
            If the inputs do not fit the signature, or hold NaN or infinity.
        NotFound
            If there is no such model or version.
        """
        return self.infer_versioned(name, inputs, version)[1]

    def infer_versioned(
        self, name: str, inputs: dict[str, np.ndarray], version: str | None = None
    ) -> tuple[str, dict[str, np.ndarray]]:
        """Return the version that answered, and what `infer` returns."""
        tensors = []
        for key, array in inputs.items():
            datatype = schema.DATATYPES.get(array.dtype.name)
            if datatype is None:
                raise InvalidInput(
                    f"Input '{key}' has the dtype {array.dtype}, which cannot be sent.",
                    hint=f"The dtypes are {', '.join(schema.DATATYPES)}.",
                )
            tensors.append(encode_tensor(TensorSpec(key, datatype, list(array.shape)), array))
        chosen = f"/versions/{quote(version, safe='')}" if version is not None else ""
        answer = self._decode(
            self._request(
                "POST",
                f"/v2/models/{quote(name, safe='')}{chosen}/infer",
                content=msgspec.json.encode({"inputs": tensors}),
                headers={"Content-Type": "application/json"},
            ),
            _InferResponse,
        )
        return answer.model_version, {tensor.name: decode_tensor(tensor) for tensor in answer.outputs}

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException as error:
            raise Unavailable(
                f"The model server at {self.url} does not answer in time.", hint="Look at %maas endpoints and its log."
            ) from error
        except httpx.TransportError as error:
            raise Unavailable(
                f"The model server at {self.url} does not answer.", hint="Start it again: %maas publish NAME"
            ) from error
        if response.is_success:
            return response
        try:
            text = str(msgspec.json.decode(response.content)["error"])
        except (msgspec.DecodeError, KeyError, TypeError):
            text = f"The server answered {response.status_code}."
        message, _, hint = text.partition("\n")
        raise _KINDS.get(response.status_code, MaasError)(message, hint)

    def _decode(self, response: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"What answers at {self.url} is not this version's model server: {error}",
                hint="Stop it with %maas stop and publish again.",
            ) from error


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise _unreadable(folder, name, error) from error


def _chunks(folder: Path, name: str) -> Iterator[bytes]:
    try:
        with (folder / name).open("rb") as file:
            while chunk := file.read(1 << 18):
                yield chunk
    except OSError as error:
        raise _unreadable(folder, name, error) from error


def _unreadable(folder: Path, name: str, error: OSError) -> BundleError:
    return BundleError(f"The bundle's file {folder / name} cannot be read: {error}", hint="Register the model again.")
