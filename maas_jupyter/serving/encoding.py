"""Compressed bodies: what comes in is inflated within the limit, what goes out is compressed where that is asked."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable

from starlette.exceptions import HTTPException

from maas_jupyter.errors import InvalidInput

#: Smaller answers are sent as they are: they fit into one packet anyway.
COMPRESSED_FROM = 1024
#: Larger bodies are worked on in a thread, so that the event loop goes on meanwhile.
_THREAD_FROM = 64 * 1024

_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, compresslevel=1),
    "deflate": lambda body: zlib.compress(body, level=1),
}
#: zlib's window sizes for the two formats.
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


async def decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Return a body without its ``Content-Encoding``.

    Parameters
    ----------
    body : bytes
        As it came.
    encoding : bytes
        The header; ``gzip``, ``deflate`` or ``identity``.
    limit : int
        Largest size in bytes after decompression; nothing beyond it is inflated.

    Raises
    ------
    HTTPException
        413 if the body is larger than the limit, 415 if the encoding is another.
    InvalidInput
        If the body is not in that encoding, or is cut.
    """
    name = encoding.decode("latin-1").strip().lower().removeprefix("x-")
    if name in ("", "identity"):
        return body
    if name not in _WINDOWS:
        raise HTTPException(415, f"Bodies in the encoding '{name[:40]}' are not read here; send gzip or deflate.")
    if len(body) > _THREAD_FROM:
        return await asyncio.to_thread(_inflate, body, name, limit)
    return _inflate(body, name, limit)


def _inflate(body: bytes, name: str, limit: int) -> bytes:
    inflater = zlib.decompressobj(_WINDOWS[name])
    try:
        whole = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"The body is not {name}, as its Content-Encoding says: {error}") from error
    if len(whole) > limit:
        raise HTTPException(
            413,
            f"The body is larger, decompressed, than the {limit:,} bytes that are taken here.\n"
            "Send it in several smaller requests.",
        )
    if not inflater.eof or inflater.unused_data:
        raise InvalidInput(f"The body is not one complete {name} stream.", hint="It was cut, or something follows it.")
    return whole


async def compressed(body: bytes, accepted: bytes) -> tuple[bytes, str]:
    """Compress an answer in an encoding that the request's ``Accept-Encoding`` names, where it names one that we have.

    Returns
    -------
    tuple of bytes and str
        The body and its encoding; empty where it is as it was.
    """
    offers = {
        offer.split(";")[0].strip(): offer.replace(" ", "").endswith((";q=0", ";q=0.0", ";q=0.00", ";q=0.000"))
        for offer in accepted.decode("latin-1").lower().split(",")
    }
    name = next((name for name in _COMPRESS if offers.get(name) is False), "")
    if not name:
        return body, ""
    if len(body) > _THREAD_FROM:
        return await asyncio.to_thread(_COMPRESS[name], body), name
    return _COMPRESS[name](body), name
