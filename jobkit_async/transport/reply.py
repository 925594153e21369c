"""One answer on its way in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, NoReturn

import aiohttp

from jobkit_async.calls import Calls
from jobkit_async.request import Request
from jobkit_async.transfer import UploadBody
from jobkit_async.transport.exchange import Exchange

__all__ = ["CHUNK", "Reply"]

CHUNK: Final = 1 << 18
"""The most bytes of a body that are taken at once, however many have been unpacked."""
BREATH: Final = 1 << 20
"""Bytes that were there already, or unpacked from what was, before the event loop gets a turn."""
WATCH: Final = 1.0
"""Seconds between two looks at a connection on which nothing comes."""


class Reply:
    """An answer whose body is still to be read; what a download streams from.

    Args:
        request: What was asked.
        response: What has come so far.
        exchange: What is told of both.
        calls: Those that wait for the server just now.
        fail: Raises what a failure of aiohttp means to our callers.
        leave: Gives the request's turn to another; called when the reply is closed.
    """

    def __init__(
        self,
        request: Request,
        response: aiohttp.ClientResponse,
        exchange: Exchange,
        *,
        calls: Calls,
        fail: Callable[[BaseException], NoReturn],
        leave: Callable[[], None],
    ) -> None:
        self._request = request
        self._response = response
        self.exchange: Final = exchange
        self._calls = calls
        self._fail = fail
        self._leave = leave
        self._waiting = False
        self._watch: asyncio.TimerHandle | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer; names compare without case."""
        return self._response.headers

    def at_once(self) -> bytes | None:
        """All of the body, if it came with the headers; None if it did not, or is broken."""
        content = self._response.content
        if not content.is_eof() or content.exception() is not None:
            return None
        body = content.read_nowait()
        self.exchange.received += len(body)
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, decompressed, in chunks as they come, of :data:`CHUNK` bytes at the most."""
        content = self._response.content
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(WATCH, self._look, True)
        unbroken = 0
        while True:
            chunk: bytes | BaseException
            try:
                if unbroken >= BREATH:
                    unbroken = 0
                    await asyncio.sleep(0)
                chunk = content.read_nowait(CHUNK)
                if not chunk:
                    unbroken = 0
                    with self._calls.under_way():
                        self._waiting = True
                        chunk = await content.read(CHUNK)
            except BaseException as error:  # noqa: BLE001 - mapped or raised as it is
                chunk = error
            self._waiting = False
            if isinstance(chunk, BaseException):
                with self.exchange.failing():
                    self._fail(chunk)
            if not chunk:
                break
            self.exchange.received += len(chunk)
            unbroken += len(chunk)
            yield chunk
            del chunk  # its memory serves for the next one, which is a third faster

    def _look(self, connected: bool) -> None:
        """End a wait for a chunk that no connection can bring any more.

        Where a body breaks the rules, such as those of chunks, aiohttp closes the connection and
        drops its timeouts, but whoever waits for more of the body is told nothing.
        """
        connection = self._response.connection
        protocol = None if connection is None else connection.protocol
        connected, before = protocol is not None and protocol.is_connected(), connected
        if self._waiting and not connected and not before:
            self._response.content.set_exception(ConnectionResetError("it was closed"))
        self._watch = asyncio.get_running_loop().call_later(WATCH, self._look, connected)

    def close(self, error: type[BaseException] | None = None) -> None:
        """Give the connection back: to the pool if the body was read to its end.

        Args:
            error: Class of what ends it before its end.
        """
        whole = self._response.content.at_eof()
        if self._watch is not None:
            self._watch.cancel()
        try:
            if whole:
                self._response.release()
            else:
                self._response.close()
        finally:
            try:
                self._leave()
            finally:
                if isinstance(self._request.body, UploadBody):
                    self._request.body.close()
                self.exchange.end(None if whole else error, whole=whole)
