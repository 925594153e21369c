"""Uploads as aiohttp sends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from aiohttp import payload

from jobkit_async.options import Timeout
from jobkit_async.request import Request
from jobkit_async.transfer import UploadBody

__all__ = ["body_of", "stall_of"]


class Sized(payload.AsyncIterablePayload):
    """Chunks whose number of bytes is known, so that it travels as Content-Length."""

    def __init__(self, chunks: AsyncIterator[Any], size: int | None, **options: Any) -> None:
        super().__init__(chunks, **options)
        if size is not None:
            self._size = size


def stall_of(upload: UploadBody, timeout: Timeout) -> Callable[[], float | None]:
    """Seconds until an upload has stalled, unless the server takes more of it, or answers."""
    loop = asyncio.get_running_loop()
    upload.moved_at = loop.time()

    def left() -> float | None:
        most = timeout.attempt if upload.spent else timeout.read
        return max(0.0, upload.moved_at + most - loop.time())

    return left


async def body_of(request: Request) -> Any:
    """The body of a request: as it is, or as a stream, bare or as the one part of a form."""
    upload = request.body
    if not isinstance(upload, UploadBody):
        return upload
    size = await upload.size()
    if request.part is None:
        return Sized(upload.chunks(size), size, content_type="application/octet-stream")
    form = aiohttp.MultipartWriter("form-data")
    part = form.append(Sized(upload.chunks(size), size, content_type=upload.content_type))
    part.set_content_disposition(
        "form-data", quote_fields=False, name=request.part, filename=upload.name
    )
    return form
