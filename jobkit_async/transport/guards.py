"""Middlewares of a single request, innermost in aiohttp's chain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

__all__ = ["Lost", "never_again", "ours_alone"]


class Lost(ConnectionError):
    """A connection that broke while a request was on it.

    Args:
        name: Class of aiohttp's error.
        stale: Whether it had been idle, and broke before any answer.
    """

    def __init__(self, name: str, *, stale: bool) -> None:
        super().__init__(name)
        self.stale = stale


async def never_again(
    request: aiohttp.ClientRequest,
    handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
) -> aiohttp.ClientResponse:
    """Hide a lost connection from aiohttp, which would send some methods again by itself.

    It would do so past the pace, the budget and the hooks, and whatever the service has done.
    """
    idle = _has_idle(request)
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not repeat it
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        begun = isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(
            error.message, str
        )
        raise Lost(type(error).__name__, stale=idle and not begun) from None


def _has_idle(request: aiohttp.ClientRequest) -> bool:
    """Whether a connection that was used before waits for this request.

    aiohttp tells it to the traces of a session alone, and a caller's session is not ours to change.
    """
    idle = getattr(request.session.connector, "_conns", {}).get(request.connection_key, ())
    return any(protocol.is_connected() for protocol, _ in idle)


def ours_alone(authorization: str | None) -> Any:
    """A middleware that sends our Authorization header, or none, whatever stands there."""

    async def middleware(
        request: aiohttp.ClientRequest,
        handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        request.headers.pop("Authorization", None)
        if authorization is not None:
            request.headers["Authorization"] = authorization
        return await handler(request)

    return middleware
