"""Paths that lead to pipes and devices: read once, and waited for no longer than the call has."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobkit_async import ClientClosed, InvalidArgument, RequestTimeout, Timeout, Unauthorized
from jobkit_async.testing import FakeLeia
from jobkit_async.transfer import pipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such paths")

Connect = Callable[..., Awaitable[Any]]

ACCEPTED = {"success": True, "data_size": 1}


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    folder = Path("/proc/self/fd")
    before = len(list(folder.iterdir())) if folder.is_dir() else 0
    yield
    assert not folder.is_dir() or len(list(folder.iterdir())) <= before


def piped(*pieces: bytes) -> int:
    """The reading end of a pipe that holds these and has ended."""
    reading, writing = os.pipe()
    for piece in pieces:
        os.write(writing, piece)
    os.close(writing)
    return reading


async def sent(serve: Any, connect: Connect, path: Any) -> bytes:
    """What arrives of an upload."""
    server = await serve(serve.json(ACCEPTED))
    client = await connect("bsubio", server.url)
    await client.jobs.upload_job_data("j", "token", path)
    (arrival,) = server.arrivals
    return arrival.body.split(b"\r\n\r\n", 1)[1].rpartition(b"\r\n--")[0]


@pytest.mark.parametrize("pieces", [(b"one", b"two"), (b"x" * 60_000,), ()], ids=len)
async def test_a_pipe_by_its_number(
    serve: Any, connect: Connect, pieces: tuple[bytes, ...]
) -> None:
    reading = piped(*pieces)
    try:
        assert await sent(serve, connect, f"/dev/fd/{reading}") == b"".join(pieces)
    finally:
        os.close(reading)


async def test_a_pipe_that_is_written_slowly(serve: Any, connect: Connect, fifo: Path) -> None:
    upload = asyncio.create_task(sent(serve, connect, fifo))
    await asyncio.sleep(0.1)
    with fifo.open("wb", buffering=0) as writer:
        for _ in range(3):
            writer.write(b"piece ")
            await asyncio.sleep(0.03)
    assert await asyncio.wait_for(upload, 5) == b"piece " * 3


async def test_much_through_a_pipe(serve: Any, connect: Connect, fifo: Path) -> None:
    data = os.urandom(1 << 20)
    upload = asyncio.create_task(sent(serve, connect, fifo))
    await asyncio.to_thread(fifo.write_bytes, data)
    assert await asyncio.wait_for(upload, 5) == data


async def test_a_device_that_never_waits(serve: Any, connect: Connect) -> None:
    assert await sent(serve, connect, os.devnull) == b""


async def test_a_pipe_is_not_sent_again(serve: Any, connect: Connect) -> None:
    reading = piped(b"payload")
    try:
        async with FakeLeia() as fake:
            client = await connect("leia", fake.base_url, token=None, api_key=fake.api_key)
            await client.models.admin_create_model(b"first", "m", "app-1")
            fake.expire_tokens()
            with pytest.raises(Unauthorized):
                await client.models.admin_create_model(f"/dev/fd/{reading}", "m", "app-1")
            assert [model.contents for model in fake.models.values()] == [b"first"]
    finally:
        os.close(reading)


async def test_nobody_writes(serve: Any, connect: Connect, fifo: Path) -> None:
    server = await serve(serve.json(ACCEPTED))
    client = await connect("bsubio", server.url, timeout=Timeout(call=0.2))
    with pytest.raises(RequestTimeout, match=r"not sent.*within 0\.2 s"):
        await asyncio.wait_for(client.jobs.upload_job_data("j", "token", fifo), 5)
    assert server.arrivals == []


async def test_nobody_writes_and_the_client_is_closed(
    serve: Any, connect: Connect, fifo: Path
) -> None:
    server = await serve(serve.json(ACCEPTED))
    client = await connect("bsubio", server.url)
    upload = asyncio.create_task(client.jobs.upload_job_data("j", "token", fifo))
    await asyncio.sleep(0.05)
    await client.aclose()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(upload, 5)
    assert server.arrivals == []


async def test_a_writer_falls_silent_and_the_client_is_closed(
    serve: Any, connect: Connect, fifo: Path
) -> None:
    server = await serve(serve.json(ACCEPTED))
    client = await connect("bsubio", server.url)
    upload = asyncio.create_task(client.jobs.upload_job_data("j", "token", fifo))
    await asyncio.sleep(0.05)
    with fifo.open("wb", buffering=0) as writer:
        writer.write(b"some")
        await asyncio.sleep(0.05)
        await client.aclose()
        with pytest.raises(ClientClosed):
            await asyncio.wait_for(upload, 5)
        await asyncio.sleep(0.05)


async def test_where_a_system_does_not_tell_that_nobody_writes_yet(
    serve: Any, connect: Connect, fifo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "TOLD", False)
    take, nothing = pipe.Pipe._take, iter([b"", b""])

    async def early(self: pipe.Pipe) -> bytes:
        ended = next(nothing, None)
        return await take(self) if ended is None else ended

    monkeypatch.setattr(pipe.Pipe, "_take", early)
    upload = asyncio.create_task(sent(serve, connect, fifo))
    await asyncio.sleep(0.05)
    with fifo.open("wb", buffering=0) as writer:
        writer.write(b"late")
        await asyncio.sleep(0.2)
    assert await asyncio.wait_for(upload, 5) == b"late"


async def test_a_pipe_that_may_not_be_read(
    connect: Connect, serve: Any, fifo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    server = await serve(serve.json(ACCEPTED))
    client = await connect("bsubio", server.url)
    with pytest.raises(InvalidArgument, match="may not be read") as caught:
        await client.jobs.upload_job_data("j", "token", fifo)
    assert caught.value.argument == "file"
    assert server.arrivals == []
