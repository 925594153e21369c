"""A server of raw sockets, for what no HTTP library would ever send."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import attrs
import pytest
from multidict import CIMultiDict

Step: TypeAlias = "bytes | float | str | tuple[float, Any] | Callable[[Arrival], bytes]"
"""One thing that the server does:

- bytes: sends them; a function of the arrival: sends what it gives;
- ``"head"``, ``"half head"``, ``"body"``, ``"half body"``: sends this of the good answer;
- a number: waits for so many seconds;
- a pair of a number and one of the above: sends that in 24 pieces, or byte by byte if it is no
  longer, with so many seconds after each;
- ``"reset"``, ``"close"``: breaks the connection off, or ends it in good order;
- ``"silence"``: does nothing until the client goes;
- ``"at once"``, as the first step only: does not read the request at all.
"""
Script: TypeAlias = "tuple[Step, ...]"


@attrs.frozen
class Arrival:
    """One request as it came; ``connection`` numbers the connections from 1.

    ``good`` is what a server in good order answers, head and body.
    """

    at: float
    method: str
    target: str
    headers: CIMultiDict[str]
    raw: bytes
    connection: int
    good: tuple[bytes, bytes] = (b"", b"")


class RawServer:
    """Gives good answers, but for the requests that are to be struck.

    Args:
        answer: The good answer to a request, head and body.
    """

    def __init__(self, answer: Callable[[Arrival], tuple[bytes, bytes]]) -> None:
        self._answer = answer
        self._script: Script = ()
        self._times = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.ssl: Any = None
        self.port = 0
        self.connections = 0
        self.arrivals: list[Arrival] = []

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'http' if self.ssl is None else 'https'}://127.0.0.1:{self.port}"

    def strike(self, *script: Step, times: int | None = None) -> None:
        """Play a script for so many requests from now on, by default for all."""
        self._script = script
        self._times = 1 << 30 if times is None else times

    def calm(self) -> None:
        """Strike no more."""
        self._times = 0

    @property
    def struck(self) -> bool:
        """Whether all strikes have been dealt."""
        return self._times == 0

    async def up(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, ssl=self.ssl
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Stop listening, and cut all connections."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self.hang_up()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    def hang_up(self) -> None:
        """End the connections that are open, and go on listening."""
        for writer in self._writers:
            writer.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(
            self._converse(reader, writer, self.connections)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        self._writers.add(writer)
        try:
            while True:
                if self._times and self._script[0] == "at once":
                    self._times -= 1
                    await self._play(self._script[1:], None, reader, writer)
                    return
                arrival = await self._read(reader, connection)
                self.arrivals.append(arrival)
                arrival = attrs.evolve(arrival, good=self._answer(arrival))
                if self._times:
                    self._times -= 1
                    if await self._play(self._script, arrival, reader, writer):
                        return
                else:
                    writer.write(b"".join(arrival.good))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            self._writers.discard(writer)
            writer.close()

    @staticmethod
    async def _read(reader: asyncio.StreamReader, connection: int) -> Arrival:
        raw = await reader.readuntil(b"\r\n\r\n")
        at = asyncio.get_running_loop().time()
        first, *lines = raw.decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = CIMultiDict(tuple(line.split(": ", 1)) for line in lines)
        if headers.get("Transfer-Encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readline()
        else:
            await reader.readexactly(int(headers.get("Content-Length", "0")))
        return Arrival(at, method, target, headers, raw, connection)

    async def _play(
        self,
        script: Script,
        arrival: Arrival | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Play a script; whether the connection has ended with it."""
        for step in script:
            if step == "reset":
                linger = struct.pack("ii", 1, 0)  # for no time: the peer is sent a reset
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                writer.transport.abort()
                return True
            if step == "close":
                return True
            if step == "silence":
                await reader.read()
                return True
            if isinstance(step, int | float):
                await asyncio.sleep(step)
            elif isinstance(step, tuple):
                gap, part = step
                content = self._bytes(part, arrival)
                size = -(-len(content) // 24)
                for first in range(0, len(content), size):
                    writer.write(content[first : first + size])
                    await writer.drain()
                    await asyncio.sleep(gap)
            else:
                writer.write(self._bytes(step, arrival))
                await writer.drain()
        return False

    @staticmethod
    def _bytes(step: Any, arrival: Arrival | None) -> bytes:
        if isinstance(step, bytes):
            return step
        assert arrival is not None
        if callable(step):
            return bytes(step(arrival))
        head, body = arrival.good
        return {
            "head": head,
            "half head": head[: len(head) // 2],
            "body": body,
            "half body": body[: len(body) // 2],
        }[step]


# -- good answers


FILE = b"0123456789" * 20
"""The file that there is to be downloaded."""


class Services(RawServer):
    """Answers as bsub.io and EcoTaxa do, for one job and its file.

    Attributes:
        status: Status of the job.
        file: Content of its file.
        refused: Paths that begin like this are answered with 401.
    """

    def __init__(self) -> None:
        super().__init__(self._good)
        self.status = "finished"
        self.file = FILE
        self.refused: str | None = None

    def _good(self, arrival: Arrival) -> tuple[bytes, bytes]:
        path = arrival.target.partition("?")[0]
        job = {"id": "j1", "status": self.status, "type": "pdf/extract", "data_size": 4321}
        if self.refused is not None and path.startswith(self.refused):
            return http(401, {"detail": f"no: {arrival.raw!r}"})
        if arrival.method == "POST" and path == "/v1/jobs":
            job["status"] = "created"
            return http(201, {"success": True, "data": job})
        if path == "/v1/jobs/j1":
            return http(200, {"success": True, "data": job})
        if path == "/v1/upload/j1":
            document = {"success": True, "message": "pdf/extract", "data_size": 4321}
            return http(200, document)
        if path == "/api/login":
            return http(200, f"eco-token-{len(self.arrivals)}")
        if path == "/api/jobs/7/file":
            return self._part_of_file(arrival)
        return http(404, {"detail": "no such thing"})

    def _part_of_file(self, arrival: Arrival) -> tuple[bytes, bytes]:
        offer = {"Accept_Ranges": "bytes", "ETag": '"v1"'}
        wanted = re.fullmatch(r"bytes=(\d+)-", arrival.headers.get("Range", ""))
        if wanted is None or arrival.headers.get("If-Range", '"v1"') != '"v1"':
            return http(200, self.file, **offer)
        first, size = int(wanted[1]), len(self.file)
        where = {"Content_Range": f"bytes {first}-{size - 1}/{size}"}
        return http(206, self.file[first:], **offer, **where)


def http(status: int, body: Any = b"", **headers: str) -> tuple[bytes, bytes]:
    """Head and body of an answer; underscores in the names of headers stand for dashes."""
    kind = "application/octet-stream"
    if not isinstance(body, bytes):
        body, kind = json.dumps(body).encode(), "application/json"
    fields = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Told", *lines, "", ""]).encode(), body


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """A raw server that answers as bsub.io and EcoTaxa do; listening."""
    server = Services()
    await server.up()
    yield server
    await server.down()


@pytest.fixture
async def entered() -> AsyncIterator[Callable[[Any], Awaitable[Any]]]:
    """Enters asynchronous context managers, and leaves them after the test."""
    async with AsyncExitStack() as stack:
        yield stack.enter_async_context


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be read and written in the loop: virtual time does not wait for a thread."""

    async def run_sync(function: Any, *arguments: Any, **options: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr("anyio.to_thread.run_sync", run_sync)
