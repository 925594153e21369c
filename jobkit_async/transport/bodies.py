"""Uploads as aiohttp sends them."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, cast

import aiohttp
from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from jobkit_async.options import Timeout
from jobkit_async.request import Request
from jobkit_async.transfer import UploadBody

__all__ = ["body_of", "stall_of"]


LOOK: Final = 1.0
"""Seconds, at the most, between two looks at what is still to leave."""
UNSENT: Final = 1 << 17
"""Bytes that a system which does not tell how many it holds is to hold at the most."""
TOLD: Final = sys.platform == "linux"
"""Whether the system tells how many bytes it holds."""
_SIOCOUTQNSD: Final = 0x894B
"""Linux: how many bytes of a TCP socket have not been sent for the first time (tcp(7))."""


class Sized(payload.AsyncIterablePayload):
    """An upload whose number of bytes, where known, travels as Content-Length."""

    def __init__(self, upload: UploadBody, size: int | None, **options: Any) -> None:
        # What it yields is as good as bytes, and is not copied for it.
        super().__init__(cast("AsyncIterator[bytes]", upload.chunks(size)), **options)
        self._upload = upload
        if size is not None:
            self._size = size

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Send it, and let the upload know how much of it is still to leave."""
        transport = getattr(writer, "transport", None)
        if transport is not None:
            self._upload.unsent = _unsent_of(transport)
        await super().write_with_length(writer, content_length)


def _unsent_of(transport: asyncio.WriteTransport) -> Callable[[], int]:
    """How many of the bytes written to a connection have not left this machine yet.

    The system may hold megabytes: what was handed to it can be on its way for minutes.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and not TOLD and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with suppress(OSError):  # no TCP socket
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    def unsent() -> int:
        if transport.is_closing():
            return 0
        return transport.get_write_buffer_size() + _held(sock)

    return unsent


def _held(sock: Any) -> int:
    """How many unsent bytes of a socket the system holds, as far as it tells."""
    if sock is None or not TOLD:
        return 0
    from fcntl import ioctl  # noqa: PLC0415 - not on every system

    try:
        held: int = struct.unpack("i", ioctl(sock.fileno(), _SIOCOUTQNSD, bytes(4)))[0]
    except OSError:  # no TCP socket
        return 0
    return held


def stall_of(upload: UploadBody, timeout: Timeout) -> Callable[[], float | None]:
    """Seconds until an upload has stalled, unless something goes on before.

    That is: the source gives more, which has all the time that it takes; some of what it gave
    leaves this machine; or, once all has left, the server answers.
    """
    loop = asyncio.get_running_loop()
    upload.moved_at = loop.time()
    before = 0

    def left() -> float | None:
        nonlocal before
        now = loop.time()
        unsent = upload.unsent()
        if upload.awaited or unsent < before or (unsent and not before):
            upload.moved_at = now
        before = unsent
        sent = upload.spent and not unsent
        most = min(timeout.attempt, timeout.read) if sent else timeout.read
        due = max(0.0, upload.moved_at + most - now)
        return due if sent else min(due, LOOK, timeout.read / 4)

    return left


async def body_of(request: Request) -> tuple[Any, Mapping[str, str]]:
    """The body of a request: as it is, or as a stream, bare or as the one part of a form.

    Returns:
        The body, and the headers that only it can tell.
    """
    upload = request.body
    if not isinstance(upload, UploadBody):
        return upload, {}
    size = await upload.size()
    if request.part is None:
        return Sized(upload, size, content_type="application/octet-stream"), {}
    form = aiohttp.MultipartWriter("form-data")
    part = form.append(Sized(upload, size, content_type=upload.content_type))
    part.set_content_disposition(
        "form-data", quote_fields=False, name=request.part, filename=upload.name
    )
    # Told here, as a session's own default would keep aiohttp from telling it.
    return form, {"Content-Type": form.content_type}
