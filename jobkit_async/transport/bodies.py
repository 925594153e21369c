"""Uploads as aiohttp sends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from aiohttp import payload

from jobkit_async.request import Request
from jobkit_async.transfer import Cargo

__all__ = ["body_of", "stall_of"]


class Sized(payload.AsyncIterablePayload):
    """Chunks whose number of bytes is known, so that it travels as Content-Length."""

    def __init__(self, chunks: AsyncIterator[bytes], size: int | None, **options: Any) -> None:
        super().__init__(chunks, **options)
        if size is not None:
            self._size = size


def stall_of(cargo: Cargo, timeout: float) -> Callable[[], float | None]:
    """Seconds until an upload has stalled, unless the server takes more of it."""
    loop = asyncio.get_running_loop()
    cargo.moved_at = loop.time()

    def left() -> float | None:
        if cargo.spent:
            return timeout  # it has been sent: what is awaited now is the answer
        return max(0.0, cargo.moved_at + timeout - loop.time())

    return left


async def body_of(request: Request) -> Any:
    """The body of a request: as it is, or as a stream, bare or as the one part of a form."""
    cargo = request.body
    if not isinstance(cargo, Cargo):
        return cargo
    size = await cargo.size()
    if request.part is None:
        return Sized(cargo.chunks(size), size, content_type="application/octet-stream")
    form = aiohttp.MultipartWriter("form-data")
    part = form.append(Sized(cargo.chunks(size), size, content_type=cargo.content_type))
    part.set_content_disposition(
        "form-data", quote_fields=False, name=request.part, filename=cargo.name
    )
    return form
