"""An embedded service beside a web application, so that one command shows it at work."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

from jobkit_async import CallbackReceiver, VidispineClient
from jobkit_async.fakes.server import FakeServer
from jobkit_async.testing import FakeLeia, FakeVidispine, Plan

ServerT = TypeVar("ServerT", bound=FakeServer[Any])


def arguments(text: str | None) -> int:
    """What the command line says: the port of the application."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8000, help="8000 by default")
    port: int = parser.parse_args().port
    return port


def planned(rng: Any, job_type: str) -> Plan:
    """Long enough to watch; one job in five fails."""
    return Plan(
        queued=2.0,
        running=rng.uniform(5.0, 20.0),
        outcome="failure" if rng.random() < 0.2 else "success",
        message="there was no paper left",
    )


@contextmanager
def a_vidispine(port: int) -> Iterator[int]:
    """Runs a Vidispine, and tells the application by the environment where it is."""
    with _running(lambda: FakeVidispine(planner=planned)) as server, _environment(port) as say:
        say(
            VIDISPINE_USERNAME=server.username,
            VIDISPINE_PASSWORD=server.password,
            VIDISPINE_BASE_URL=server.base_url,
        )
        receiver = CallbackReceiver(
            os.environ["PUBLIC_URL"] + "/callbacks", secret=os.environ["CALLBACK_SECRET"]
        )
        url = receiver.url_for(VidispineClient.from_env())
        say(VIDISPINE_NOTIFICATION=server.add_notification(url))
        yield port


@contextmanager
def a_leia(port: int) -> Iterator[int]:
    """Runs a Leia with one model, and tells the application by the environment where it is."""

    def prepare(server: FakeLeia) -> None:
        server.add_model("invoices", short_name="invoices")

    with (
        _running(lambda: FakeLeia(planner=planned), prepare) as server,
        _environment(port) as say,
    ):
        say(LEIA_API_KEY=server.api_key, LEIA_BASE_URL=server.base_url)
        yield port


@contextmanager
def _environment(port: int) -> Iterator[Callable[..., None]]:
    """The environment of an application that is only tried, and what adds to it."""
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ):
        os.environ["PUBLIC_URL"] = f"http://127.0.0.1:{port}"
        os.environ["JOBS_DB"] = f"{folder}/jobs.sqlite"
        os.environ["CALLBACK_SECRET"] = secrets.token_urlsafe(32)
        yield os.environ.update


@contextmanager
def _running(
    make: Callable[[], ServerT], prepare: Callable[[ServerT], None] = lambda _: None
) -> Iterator[ServerT]:
    """A server in a thread with an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> ServerT:
        server = make()
        await server.start()
        prepare(server)
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
