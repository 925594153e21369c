"""How a fault is carried out on an embedded server's connection."""

from __future__ import annotations

import asyncio
import http
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from jobkit_async.fakes.faults import Broken, Fault, Instead

__all__ = ["strike"]

_RESET: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""Linger for no time: closing sends a reset, and drops what is still to be sent."""


async def strike(
    fault: Fault,
    request: web.Request,
    act: Callable[[], Awaitable[web.StreamResponse]],
    refuse: Callable[[int, str], web.Response],
    date: Callable[[], str],
) -> web.StreamResponse:
    """Let a fault strike.

    Args:
        fault: What happens.
        request: To which request.
        act: Has the service act; gives its answer.
        refuse: Words a refusal as the service does, from status and reason.
        date: Gives the Date header.
    """
    await request.read()
    if isinstance(fault, Instead):
        if fault.after_effect:
            await act()
        return _instead(fault, refuse)
    assert isinstance(fault, Broken)  # noqa: S101 - there are no others
    if fault.at != "before headers":
        return await _broken(fault, request, await act(), date())
    answer = await act() if fault.after_effect else None
    if fault.how != "pause":
        return _cut(request, reset=True)
    await asyncio.sleep(fault.seconds)
    if answer is None and not _connected(request):
        return web.Response()  # to nobody: what came too late is not acted upon
    return await act() if answer is None else answer


def _instead(fault: Instead, refuse: Callable[[int, str], web.Response]) -> web.Response:
    if fault.content is None:
        try:
            reason = http.HTTPStatus(fault.code).phrase
        except ValueError:
            reason = "a fault on purpose"
        answer = refuse(fault.code, reason)
    else:
        answer = web.Response(status=fault.code, body=fault.content)
    answer.headers.update(fault.headers)
    return answer


async def _broken(
    fault: Broken, request: web.Request, answer: web.StreamResponse, date: str
) -> web.Response:
    """Send an answer by hand as far as it gets."""
    body = answer.body if isinstance(answer, web.Response) else None
    content = bytes(body) if isinstance(body, bytes | bytearray) else b""
    headers = {**answer.headers, "Date": date, "Connection": "close"}
    if answer.status not in (204, 304):
        headers["Content-Length"] = str(len(content))
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
    whole = head + content
    cut = len(head) // 2 if fault.at == "in headers" else len(head) + len(content) // 2
    _write(request, whole[:cut])
    if fault.how == "pause":
        await asyncio.sleep(fault.seconds)
        _write(request, whole[cut:])
    return _cut(request, reset=fault.how == "reset")


def _connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _write(request: web.Request, data: bytes) -> None:
    if request.transport is not None and not request.transport.is_closing():
        request.transport.write(data)


def _cut(request: web.Request, *, reset: bool) -> web.Response:
    """End the connection; the answer that is given back goes to nobody."""
    transport = request.transport
    if transport is not None:
        if reset:
            connection = transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        else:
            transport.close()
    return web.Response()
