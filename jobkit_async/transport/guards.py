"""Middlewares of a single request, innermost in aiohttp's chain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

__all__ = ["Lost", "never_again", "ours_alone"]


class Lost(ConnectionError):
    """A connection that broke while a request that must not be repeated was on it."""


async def never_again(
    request: aiohttp.ClientRequest,
    handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
) -> aiohttp.ClientResponse:
    """Hide a lost connection from aiohttp, which would send some methods again by itself."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing was sent, and aiohttp does not repeat it
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise Lost(type(error).__name__) from None


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
