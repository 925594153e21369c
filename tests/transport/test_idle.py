"""Connections that died while they were idle: on raw sockets, as an idle client meets them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import aiohttp
import pytest

from jobkit_async import (
    ConnectionLost,
    Hooks,
    OutcomeUnknown,
    Polling,
    RequestEvent,
    Retry,
    RetryEvent,
)

pytestmark = pytest.mark.looptime(False)

Connect = Callable[..., Awaitable[Any]]


class Impatient:
    """A server in a thread of its own, which does not wait for our loop.

    It ends each connection after its first answer: with ``"close"`` at once, with ``"reset"`` when
    the next request comes in.
    """

    def __init__(self, answer: bytes, end: str) -> None:
        self._answer, self._end = answer, end
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[tuple[int, str]] = []
        self.ended = threading.Event()
        self._peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        for end in (self._listener, self._peer):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        connection = 0
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peer = peer
                connection += 1
                with peer:
                    self._converse(peer, connection)
                self.ended.set()

    def _converse(self, peer: socket.socket, connection: int) -> None:
        while self._take(peer, connection):
            if self._end == "reset" and len(self.requests) == 2:
                # No lingering: the end of this connection is a reset.
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            peer.sendall(self._answer)
            if self._end == "close" and connection == 1:
                return

    def _take(self, peer: socket.socket, connection: int) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            chunk = peer.recv(65536)
            if not chunk:
                return False
            head += chunk
        self.requests.append((connection, head.split(b"\r\n")[0].decode()))
        return True


@pytest.fixture
def impatient(serve: Any) -> Iterator[Callable[[str], Impatient]]:
    servers: list[Impatient] = []

    def start(end: str) -> Impatient:
        servers.append(Impatient(serve.jobs, end))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


async def test_what_is_sent_once_does_not_go_out_on_a_connection_that_was_closed(
    connect: Connect, impatient: Callable[[str], Impatient]
) -> None:
    server = impatient("close")
    client = await connect("bsubio", server.url)
    await client.jobs.list_jobs()
    # The program holds its loop, which therefore has not noticed that the server has closed.
    assert server.ended.wait(5)
    time.sleep(0.02)  # noqa: ASYNC251
    await client.jobs.submit_job("j")
    assert server.requests == [
        (1, "GET /v1/jobs HTTP/1.1"),
        (2, "POST /v1/jobs/j/submit HTTP/1.1"),
    ]


@pytest.mark.parametrize("call", ["list_jobs", "cancel_job"])
async def test_what_may_be_repeated_is_on_another_connection(
    connect: Connect, impatient: Callable[[str], Impatient], call: str
) -> None:
    server = impatient("reset")
    client = await connect("bsubio", server.url)
    await client.jobs.list_jobs()
    await getattr(client.jobs, call)(*(["j"] if call == "cancel_job" else []))
    assert [connection for connection, _ in server.requests] == [1, 1, 2]


async def test_what_is_sent_once_and_may_have_arrived_is_not_repeated(
    connect: Connect, impatient: Callable[[str], Impatient]
) -> None:
    server = impatient("reset")
    client = await connect("bsubio", server.url)
    await client.jobs.list_jobs()
    with pytest.raises(OutcomeUnknown):
        await client.jobs.submit_job("j")
    await asyncio.sleep(0.05)
    assert [connection for connection, _ in server.requests] == [1, 1]
    assert (await client.jobs.list_jobs()).total == 0  # the client goes on


class Kept(Hooks):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def on_request(self, event: RequestEvent) -> None:
        self.told.append((event.attempt, event.status, event.error))

    def on_retry(self, event: RetryEvent) -> None:
        self.told.append((event.attempt, event.pause))


@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
async def test_a_connection_that_died_while_it_was_idle_costs_no_repetition(
    connect: Connect, impatient: Callable[[str], Impatient], own: bool
) -> None:
    server, kept = impatient("reset"), Kept()
    async with aiohttp.ClientSession() as session:
        client = await connect(
            "bsubio",
            server.url,
            hooks=kept,
            retry=Retry(retries=0, budget=0),
            **({} if own else {"session": session}),
        )
        await client.jobs.list_jobs()
        await client.jobs.list_jobs()
        await client.aclose()
    assert [connection for connection, _ in server.requests] == [1, 1, 2]
    assert kept.told == [(1, 200, None), (1, None, ConnectionLost), (1, 0.0), (2, 200, None)]


async def test_a_look_on_a_connection_that_died_is_taken_at_once(
    serve: Any, connect: Connect
) -> None:
    def job(status: str) -> bytes:
        return cast(bytes, serve.json({"success": True, "data": {"id": "7", "status": status}}))

    async def stale(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(job("processing"))
        await reader.readuntil(b"\r\n\r\n")  # the next request is on it, and gets no answer
        writer.transport.abort()

    server, kept = await serve(stale, job("finished")), Kept()
    client = await connect(
        "bsubio", server.url, hooks=kept, polling=Polling(min_interval=0.1, give_up_after=1)
    )
    await client.job("7").wait(timeout=10)
    assert kept.told == [(1, 200, None), (1, None, ConnectionLost), (1, 0.0), (2, 200, None)]


async def test_a_new_connection_that_breaks_is_a_failure(serve: Any, connect: Connect) -> None:
    server, kept = await serve(serve.drop), Kept()
    client = await connect("bsubio", server.url, hooks=kept, retry=Retry(retries=0))
    with pytest.raises(ConnectionLost, match="ServerDisconnectedError"):
        await client.jobs.list_jobs()
    assert kept.told == [(1, None, ConnectionLost)]
    assert len(server.arrivals) == 1


async def test_a_connection_that_breaks_within_the_answer_is_a_failure(
    serve: Any, connect: Connect
) -> None:
    async def half(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(serve.jobs)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        await writer.drain()

    server, kept = await serve(half), Kept()
    client = await connect("bsubio", server.url, hooks=kept, retry=Retry(retries=0))
    await client.jobs.list_jobs()
    with pytest.raises(ConnectionLost):
        await client.jobs.list_jobs()
    assert kept.told == [(1, 200, None), (1, None, ConnectionLost)]
