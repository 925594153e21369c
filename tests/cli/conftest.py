"""Embedded servers in a thread of their own, for a command line that has its own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from jobkit_async.fakes.server import FakeServer
from jobkit_async.fakes.timeline import Plan
from jobkit_async.registry import find_service

LOGINS = {
    "bsubio": {"API_KEY": "bsub-key"},
    "ecotaxa": {"TOKEN": "eco-token"},
    "leia": {"TOKEN": "leia-token"},
    "vidispine": {"USERNAME": "user", "PASSWORD": "secret"},
}


class Served:
    """An embedded server that runs elsewhere.

    Attributes:
        server: The server; to be touched by :meth:`do` alone while requests come in.
        environment: What a client needs to get there.
    """

    def __init__(self, server: FakeServer[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self._loop = loop
        name = server.service.upper()
        words = {"BASE_URL": server.base_url, **LOGINS[server.service]}
        self.environment = {f"{name}_{word}": value for word, value in words.items()}

    def do(self, work: Callable[[], Any]) -> Any:
        """Call something in the server's own loop."""

        async def call() -> Any:
            result = work()
            return await result if isinstance(result, Coroutine) else result

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(30)


def quick(rng: Any, job_type: str) -> Plan:
    return Plan(queued=0.0, running=0.0, outcome="failure" if job_type == "bad" else "success")


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def serve_it(
    elsewhere: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Served]]:
    """Starts an embedded server of a service, and sets the environment to it."""
    servers: list[FakeServer[Any]] = []

    def start(service: str, **options: Any) -> Served:
        async def begin() -> FakeServer[Any]:
            server = find_service(service).fake(**{"planner": quick, **options})
            await server.start()
            return server

        server = asyncio.run_coroutine_threadsafe(begin(), elsewhere).result(30)
        servers.append(server)
        served = Served(server, elsewhere)
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        return served

    yield start
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.aclose(), elsewhere).result(30)
