"""What the tests of transport, credentials and transfers share: a server told byte for byte."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import attrs
import pytest
from multidict import CIMultiDict

from jobkit_async.registry import find_service
from jobkit_async.service import ServiceClient

Action = Callable[["Arrival", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Reply = bytes | Action


@attrs.frozen
class Arrival:
    """One request as it came over the wire; ``connection`` numbers the connections from 1."""

    at: float
    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    connection: int


class RawServer:
    """Gives its replies in turn, the last for ever: bytes as they are, or what a function does.

    After a function the connection is closed.
    """

    def __init__(self, replies: tuple[Reply, ...], *, early: bool) -> None:
        self._replies = list(replies)
        self._early = early
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.arrivals: list[Arrival] = []
        self.connections = 0
        self.url = ""

    @property
    def targets(self) -> list[str]:
        return [f"{arrival.method} {arrival.target}" for arrival in self.arrivals]

    @property
    def times(self) -> list[float]:
        return [arrival.at for arrival in self.arrivals]

    async def start(self, ssl: Any = None) -> None:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0, ssl=ssl)
        scheme = "http" if ssl is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def aclose(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        self._writers.add(writer)
        try:
            while (arrival := await self._read(reader, connection)) is not None:
                self.arrivals.append(arrival)
                reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
                if not isinstance(reply, bytes):
                    await reply(arrival, reader, writer)
                    return
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> Arrival | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            at = asyncio.get_running_loop().time()
            first, *lines = head.decode("latin-1").strip().split("\r\n")
            method, target, _ = first.split(" ")
            headers = CIMultiDict(line.split(": ", 1) for line in lines)
            body = b"" if self._early else await self._body(reader, headers)
        except asyncio.IncompleteReadError:
            return None
        return Arrival(at, method, target, headers, body, connection)

    @staticmethod
    async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
        if headers.get("Transfer-Encoding") != "chunked":
            return await reader.readexactly(int(headers.get("Content-Length", "0")))
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body


async def _drop(arrival: Arrival, reader: Any, writer: asyncio.StreamWriter) -> None:
    """Close without an answer."""


async def _reset(arrival: Arrival, reader: Any, writer: asyncio.StreamWriter) -> None:
    """Break the connection off without an answer."""
    writer.transport.abort()


async def _hang(arrival: Arrival, reader: asyncio.StreamReader, writer: Any) -> None:
    """Never answer; take note when the client goes."""
    await reader.read()


class Serve:
    """Starts servers: ``await serve(reply, ...)``; and makes replies."""

    drop = staticmethod(_drop)
    reset = staticmethod(_reset)
    hang = staticmethod(_hang)

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def __call__(self, *replies: Reply, early: bool = False, ssl: Any = None) -> RawServer:
        server = RawServer(replies, early=early)
        await server.start(ssl)
        self._stack.push_async_callback(server.aclose)
        return server

    @staticmethod
    def http(status: int, body: bytes = b"", **headers: str) -> bytes:
        """An answer; underscores in the names of headers stand for dashes."""
        fields = {"Content-Length": str(len(body)), **headers}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode() + body

    @classmethod
    def json(cls, document: object, status: int = 200, **headers: str) -> bytes:
        body = json.dumps(document).encode()
        return cls.http(status, body, Content_Type="application/json", **headers)

    @staticmethod
    def cut(head: bytes) -> Action:
        """Send this much and close."""

        async def action(arrival: Arrival, reader: Any, writer: asyncio.StreamWriter) -> None:
            writer.write(head)
            await writer.drain()

        return action

    @staticmethod
    def stall(head: bytes) -> Action:
        """Send this much and nothing more."""

        async def action(
            arrival: Arrival, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            writer.write(head)
            await reader.read()

        return action

    @property
    def jobs(self) -> bytes:
        """bsub.io's answer to a listing that finds nothing."""
        return self.json({"success": True, "data": {"jobs": [], "total": 0}})


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:
        yield Serve(stack)


CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    "bsubio": {"api_key": "bsub-key"},
    "ecotaxa": {"token": "eco-token"},
    "leia": {"token": "leia-token"},
    "vidispine": {"username": "user", "password": "secret"},
}


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Opens clients with credentials that need no log-in: ``await connect("leia", url)``."""
    async with AsyncExitStack() as stack:

        async def open_client(service: str, url: str, **options: Any) -> ServiceClient[Any, Any]:
            make = find_service(service).client
            client = make(base_url=url, **{**CREDENTIALS[service], **options})
            return await stack.enter_async_context(client)

        yield open_client


class FixedRandom(random.Random):
    """Draws the longest pause each time, and keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__(0)
        self.asked: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.asked.append((a, b))
        return b


@pytest.fixture
def longest() -> FixedRandom:
    """Random numbers for ``Polling(rng=...)`` that make pauses exact."""
    return FixedRandom()
