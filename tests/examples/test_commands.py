"""The commands by which the web applications are started, as their documentation gives them."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession
from aiohttp.test_utils import unused_port

from jobkit_async.testing import Plan

pytestmark = pytest.mark.slow


@asynccontextmanager
async def running(*command: str, cwd: Path, url: str) -> AsyncIterator[Any]:
    """A process that serves at an address, and ends well when it is interrupted."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    reading = asyncio.create_task(process.stdout.read())
    try:
        async with asyncio.timeout(30.0), ClientSession() as session:
            while True:
                assert process.returncode is None, (await reading).decode()
                try:
                    async with session.get(url) as response:
                        assert response.status == 200
                        break
                except ClientConnectionError:
                    await asyncio.sleep(0.05)
        yield process
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(15.0):
            assert await process.wait() in (0, -signal.SIGINT), (await reading).decode()
        assert b"Traceback" not in await reading, (await reading).decode()
    finally:
        if process.returncode is None:
            process.kill()
        await reading


def needs_fastapi(kind: str) -> None:
    if kind == "fastapi":
        pytest.importorskip("fastapi", reason="the extra 'examples' is not installed")
        pytest.importorskip("uvicorn", reason="the extra 'examples' is not installed")


@pytest.mark.parametrize("kind", ["fastapi", "aiohttp"])
async def test_one_command_shows_it_at_work(kind: str, examples: Path) -> None:
    needs_fastapi(kind)
    text = (examples / f"{kind}_app.py").read_text(encoding="utf-8")
    (command,) = re.findall(r"^    (python .*)$", text, re.MULTILINE)
    program, *arguments = shlex.split(command)
    assert program == "python"
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    folder = examples.parents[1]
    async with (
        running(sys.executable, *arguments, "--port", f"{port}", cwd=folder, url=url),
        ClientSession() as session,
    ):
        async with session.post(f"{url}/jobs", json={"document": "a.mov"}) as response:
            page = (await response.json())["page"]
        async with session.get(f"{url}{page}/events") as response:
            assert (await response.content.readline()).startswith(b'data: {"state": ')


async def test_several_workers(place: Any, until: Any, examples: Path) -> None:
    if place.kind != "fastapi":
        pytest.skip("its server of several processes is no dependency of the tests")
    place.plan = Plan(queued=0.1, running=2.0)
    text = (examples / "fastapi_app.py").read_text(encoding="utf-8")
    (command,) = re.findall(r"^    (uvicorn .*)$", text, re.MULTILINE)
    arguments = [sys.executable, "-m", *shlex.split(command), "--port", f"{place.port}"]

    async def start() -> str:
        # On a connection of its own: any worker may take it.
        async with (
            ClientSession() as session,
            session.post(f"{place.url}/jobs", json={"document": "a"}) as response,
        ):
            assert response.status == 201
            page: str = (await response.json())["page"]
            return page

    async def follow(page: str) -> str:
        async with ClientSession() as session, session.get(f"{place.url}{page}/events") as response:
            return (await response.content.read()).decode()

    async with running(*arguments, cwd=examples, url=place.url):
        pages = [await start() for _ in range(20)]
        told = await asyncio.gather(*(follow(page) for page in pages))
        assert all('"state": "succeeded"' in text for text in told)
        with sqlite3.connect(place.path) as connection:

            def owners() -> set[str]:
                return {owner for (owner,) in connection.execute("SELECT owner FROM jobs")}

            def left() -> int:
                found: int = connection.execute(
                    "SELECT count(*) FROM jobs WHERE NOT ended"
                ).fetchone()[0]
                return found

            await until(lambda: left() == 0)
            assert len(owners()) > 1
            assert all(not owner.endswith(f" {os.getpid()}") for owner in owners())
        connection.close()
