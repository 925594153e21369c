"""How long an upload may take: as long as something goes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import pytest

from jobkit_async import OutcomeUnknown, Timeout
from jobkit_async.transport import bodies

Connect = Callable[..., Awaitable[Any]]

ACCEPTED = {"success": True, "data_size": 1}


class Slow:
    """A server that takes an upload at its own pace, through a small window.

    Args:
        answer: What it says in the end.
        pause: Seconds before each 40 kB; None to take the first of them only.
    """

    def __init__(self, answer: bytes, pause: float | None) -> None:
        self._answer = answer
        self._pause = pause
        self._tasks: list[asyncio.Task[None]] = []
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self._socket.setblocking(False)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.taken = 0

    async def __aenter__(self) -> Self:
        self._tasks.append(asyncio.create_task(self._serve()))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._tasks[0].cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.close()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self._socket)
        with connection:
            connection.setblocking(False)
            tail = b""
            while not tail.endswith(b"--\r\n"):
                piece = await loop.sock_recv(connection, 40_000)
                if not piece:
                    return
                self.taken += len(piece)
                tail = (tail + piece)[-4:]
                await asyncio.sleep(1e6 if self._pause is None else self._pause)
            await loop.sock_sendall(connection, self._answer)
            await asyncio.sleep(1e6)


@pytest.mark.parametrize("told", [True, False])
async def test_what_the_system_still_sends_is_under_way(
    serve: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    monkeypatch.setattr(bodies, "TOLD", bodies.TOLD and told)
    loop = asyncio.get_running_loop()
    async with Slow(serve.json(ACCEPTED), 0.05) as server:
        client = await connect("bsubio", server.url, timeout=Timeout(read=0.6, attempt=0.6))
        start = loop.time()
        await client.jobs.upload_job_data("j", "token", bytes(1_200_000))
        assert loop.time() - start > 1.2
        assert server.taken > 1_200_000


@pytest.mark.looptime
async def test_what_the_system_can_not_send_has_stalled(serve: Any, connect: Connect) -> None:
    async with Slow(serve.json(ACCEPTED), None) as server:
        client = await connect("bsubio", server.url, timeout=Timeout(read=10, attempt=10))
        with pytest.raises(OutcomeUnknown):
            await client.jobs.upload_job_data("j", "token", bytes(1_200_000))
        assert 10.0 <= asyncio.get_running_loop().time() <= 10.0 + 2 * bodies.LOOK


@pytest.mark.looptime
async def test_a_source_takes_its_time(serve: Any, connect: Connect) -> None:
    async def slow() -> AsyncIterator[bytes]:
        await asyncio.sleep(100)
        yield b"one"
        await asyncio.sleep(200)
        yield b"two"
        await asyncio.sleep(300)

    server = await serve(serve.json(ACCEPTED))
    client = await connect("bsubio", server.url, timeout=Timeout(read=10, attempt=5, call=20))
    await client.jobs.upload_job_data("j", "token", slow())
    assert b"onetwo" in server.arrivals[0].body.replace(b"\r\n3\r\n", b"")
    assert asyncio.get_running_loop().time() == 600.0


@pytest.mark.looptime
async def test_the_clock_runs_again_after_a_slow_source(serve: Any, connect: Connect) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(100)

    server = await serve(serve.hang)
    client = await connect("bsubio", server.url, timeout=Timeout(read=10, attempt=5))
    with pytest.raises(OutcomeUnknown):
        await client.jobs.upload_job_data("j", "token", slow())
    assert asyncio.get_running_loop().time() == 105.0
