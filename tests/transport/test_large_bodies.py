"""Bodies of many megabytes: they come in small pieces, and others get their turn meanwhile."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from jobkit_async.transport.reply import BREATH, CHUNK, Reply

Connect = Callable[..., Awaitable[Any]]

ROWS = [{"id": index, "text": "x" * 1000} for index in range(8000)]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the chunks that bodies are read in."""
    read = Reply.chunks
    found: list[int] = []

    async def chunks(self: Reply) -> AsyncIterator[bytes]:
        async for chunk in read(self):
            found.append(len(chunk))
            yield chunk

    monkeypatch.setattr(Reply, "chunks", chunks)
    return found


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_large_body_comes_in_small_chunks(
    serve: Any, connect: Connect, sizes: list[int], coding: str
) -> None:
    text = json.dumps({"success": True, "data": {"jobs": [], "total": 0}, "rows": ROWS}).encode()
    body = gzip.compress(text, mtime=0) if coding == "gzip" else text
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    client = await connect("bsubio", (await serve(head.encode() + body)).url)
    assert (await client.jobs.list_jobs()).total == 0
    assert sum(sizes) == len(text)
    assert max(sizes) <= CHUNK


async def test_others_get_their_turn_where_all_of_a_body_is_there(
    serve: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps({"success": True, "data": {"jobs": [], "total": 0}, "rows": ROWS}).encode()
    pieces = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
    turns, before, after = 0, 0, 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def read_nowait(self: aiohttp.StreamReader, n: int = -1) -> bytes:
        nonlocal before
        before = before or turns
        return pieces.pop(0) if pieces else b""

    async def read(self: aiohttp.StreamReader, n: int = -1) -> bytes:
        nonlocal after
        after = turns
        return b""

    monkeypatch.setattr(aiohttp.StreamReader, "read_nowait", read_nowait)
    monkeypatch.setattr(aiohttp.StreamReader, "read", read)
    monkeypatch.setattr(aiohttp.StreamReader, "is_eof", lambda self: False)
    client = await connect("bsubio", (await serve(serve.json({}))).url)
    counting = asyncio.create_task(count())
    assert (await client.jobs.list_jobs()).total == 0
    counting.cancel()
    assert after - before == len(text) // BREATH
