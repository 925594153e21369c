"""Servers in processes of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

__all__ = ["AnswerServer", "AppServer", "Server", "answer_all"]

HOST: Final = "127.0.0.1"


class Server:
    """A process that serves on loopback; use it with ``with``.

    Args:
        target: What it runs: with a pipe, through which it sends its port, and the arguments.
        arguments: Further arguments.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(theirs, *arguments), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self._port: int = self._pipe.recv()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.join()

    @property
    def base_url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self._port}"


class AppServer(Server):
    """Runs an aiohttp application.

    Args:
        make: A function of a module that makes the application from the arguments.
        arguments: What can be sent to another process.
    """

    def __init__(self, make: Callable[..., web.Application], *arguments: Any) -> None:
        super().__init__(_run, make, arguments)


class AnswerServer(Server):
    """Gives one answer to whatever it is asked; nothing could do so for less.

    Args:
        body: JSON text.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__(_answer, body)

    def cpu(self) -> float:
        """Seconds of the processor that it has taken so far."""
        self._pipe.send(None)
        seconds: float = self._pipe.recv()
        return seconds


def _run(pipe: Connection, make: Callable[..., web.Application], arguments: Any) -> None:
    async def serve() -> None:
        runner = web.AppRunner(make(*arguments))
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())


class _Answering(asyncio.Protocol):
    """Answers each request that has no body."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._seen = (self._seen + data).split(b"\r\n\r\n")
        if requests and isinstance(self._transport, asyncio.WriteTransport):
            self._transport.write(b"".join(map(self._answer, requests)))


def answer_all(
    pipe: Connection, answer: Callable[[bytes], bytes], told: Callable[[Any], Any]
) -> None:
    """Serve for ever, as the target of a :class:`Server`.

    Args:
        pipe: The pipe.
        answer: Gives the answer, all of it, to the head of a request.
        told: Gives the answer to what comes through the pipe.
    """

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Answering(answer), HOST, 0)
        loop.add_reader(pipe.fileno(), lambda: pipe.send(told(pipe.recv())))
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _answer(pipe: Connection, body: bytes) -> None:
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = head.encode() + body
    answer_all(pipe, lambda _: answer, lambda _: time.process_time())
