"""Applications that a receiver is mounted in, and services that call them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from jobkit_async import CallbackReceiver, LeiaClient, VidispineClient
from jobkit_async.services.vidispine import models
from jobkit_async.testing import FakeLeia, FakeVidispine

SECRET = "a secret of the tests"


@asynccontextmanager
async def serving(app: web.Application, port: int = 0) -> AsyncIterator[int]:
    """Serves an application of ``aiohttp.web`` on loopback; gives the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
def serve() -> Callable[..., Any]:
    return serving


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def mounted(**options: Any) -> AsyncIterator[CallbackReceiver]:
    """A receiver that is mounted in an application on loopback."""
    port = free_port()
    receiver = CallbackReceiver(
        f"http://127.0.0.1:{port}/callbacks", **{"secret": SECRET, **options}
    )
    app = web.Application()
    app.add_subapp("/callbacks", receiver.aiohttp_app())
    async with serving(app, port):
        yield receiver


@pytest.fixture
def mount() -> Callable[..., Any]:
    return mounted


class World:
    """A service that calls back, a client of it, and a receiver.

    Attributes:
        server: The service.
        client: The client.
        receiver: The receiver.
        url: The address for calls about the client's jobs.
    """

    def __init__(self, server: Any, client: Any, receiver: CallbackReceiver) -> None:
        self.server = server
        self.client = client
        self.receiver = receiver
        self.url = receiver.url_for(client)
        if client.service == "vidispine":
            self.notification = server.add_notification(self.url)
        else:
            self.model = server.add_model("invoices").id

    async def start(self, *, called: bool = True) -> Any:
        """Start a job; of which the service is to call, or not."""
        if self.client.service == "vidispine":
            return await self.client.jobs.create_custom_job(
                "TRANSCODE",
                models.SimpleMetadataType(),
                notification=self.notification if called else None,
            )
        return await self.client.models.admin_apply_model_async(
            "app-1", self.model, ["doc-1"], callback_url=self.url if called else None
        )

    @property
    def looks(self) -> int:
        """Number of requests that the service has had for the waits."""
        names = ("get_job", "get_jobs", "admin_get_job", "admin_get_job_statuses")
        return sum(self.server.requests[name] for name in (*names, "admin_get_jobs"))


@pytest.fixture
def world() -> Callable[..., Any]:
    """Opens a service by its name, with a client and a receiver."""

    @asynccontextmanager
    async def opened(name: str, *, polling: Any = None, **options: Any) -> AsyncIterator[World]:
        fake: Any = {"leia": FakeLeia, "vidispine": FakeVidispine}[name]
        async with fake(**options) as server, mounted() as receiver:
            if name == "leia":
                client: Any = LeiaClient(
                    token="leia-token", base_url=server.base_url, polling=polling
                )
            else:
                client = VidispineClient(
                    username="user", password="secret", base_url=server.base_url, polling=polling
                )
            async with client:
                yield World(server, client, receiver)

    return opened


@pytest.fixture
def now() -> Callable[[], float]:
    """The loop's time."""
    return lambda: asyncio.get_running_loop().time()
