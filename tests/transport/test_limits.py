"""Answers that are too much: bodies, compressed bodies, headers, levels of JSON."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import compression_utils

from jobkit_async import ConnectionLost, DecodeError, JobkitError, OutcomeUnknown, ServerError
from jobkit_async.errors import EXCERPT, LONGEST, AnswerTooLarge

Connect = Callable[..., Awaitable[Any]]

BLOCK: Final = 16 << 20
"""Bytes that each block of a bomb unpacks to."""
ENDLESS: Final = 640
"""Blocks of a bomb: ten gibibytes."""


def blocks(wbits: int) -> tuple[bytes, bytes]:
    """The first block of a stream of zeros, and one that can follow it any number of times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    first, second = (
        packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    return first, second


@cache
def bomb(coding: str) -> tuple[bytes, bytes]:
    """The beginning of a compressed body of zeros, and what it can go on with for ever."""
    if coding == "br":
        brotli = compression_utils.brotli
        return brotli.compress(bytes(BLOCK * 20)), b""
    return blocks({"gzip": 31, "deflate": 15}[coding])


CODINGS = ["gzip", "deflate", *(["br"] if compression_utils.HAS_BROTLI else [])]


def sending(status: int, coding: str) -> Any:
    """Answers with a bomb, as far as anybody takes it."""

    first, block = bomb(coding)

    async def action(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Encoding: {coding}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + first)
        for _ in range(ENDLESS if block else 0):
            await writer.drain()
            writer.write(block)
        await writer.drain()

    return action


async def peak_of(call: Callable[[], Awaitable[Any]]) -> tuple[BaseException | None, int]:
    """The error of a call, and the most bytes that were taken meanwhile."""
    tracemalloc.start()
    try:
        await call()
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error, tracemalloc.get_traced_memory()[1]
    else:
        return None, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_bomb_is_given_up_at_the_limit(serve: Any, connect: Connect, coding: str) -> None:
    client = await connect("bsubio", (await serve(sending(200, coding))).url)
    error, peak = await peak_of(lambda: client.with_options(retries=0).jobs.get_job("7"))
    assert isinstance(error, AnswerTooLarge)
    assert "64 MiB" in str(error)
    # What is there, and what it is copied into when it grows.
    assert peak < 160 << 20


async def test_a_bomb_of_a_refusal_is_not_even_unpacked_that_far(
    serve: Any, connect: Connect
) -> None:
    client = await connect("bsubio", (await serve(sending(500, "gzip"))).url)
    error, peak = await peak_of(lambda: client.with_options(retries=0).jobs.get_job("7"))
    assert isinstance(error, ServerError)
    assert peak < 8 << 20


async def test_a_refusal_is_read_as_far_as_it_is_of_use(serve: Any, connect: Connect) -> None:
    body = json.dumps({"success": False, "error": "no", "trace": "x" * (1 << 20)}).encode()
    client = await connect("bsubio", (await serve(serve.http(503, body))).url)
    with pytest.raises(ServerError) as caught:
        await client.with_options(retries=0).jobs.get_job("7")
    assert caught.value.body.startswith('{"success": false, "error": "no", "trace": "xxx')


@pytest.mark.parametrize(
    "body",
    [b"\x1f\x8b garbage", gzip.compress(b'{"success": true}', mtime=0)[:-12], b""],
    ids=["garbage", "cut off", "empty"],
)
async def test_what_cannot_be_unpacked(serve: Any, connect: Connect, body: bytes) -> None:
    client = await connect(
        "bsubio", (await serve(serve.http(200, body, Content_Encoding="gzip"))).url
    )
    with pytest.raises((DecodeError, ConnectionLost)) as caught:
        await client.with_options(retries=0).jobs.get_job("7")
    assert "get_job" in str(caught.value)


async def test_a_listing_may_be_larger(serve: Any, connect: Connect) -> None:
    spaces = b" " * (65 << 20)
    rows = b'{"success": true, "data": {"jobs": [], "total": 0}' + spaces + b"}"
    job = b'{"success": true, "data": {"id": "7", "status": "pending"}' + spaces + b"}"
    packed = [gzip.compress(body, 1, mtime=0) for body in (rows, job)]
    server = await serve(*(serve.http(200, body, Content_Encoding="gzip") for body in packed))
    client = (await connect("bsubio", server.url)).with_options(retries=0)
    assert (await client.jobs.list_jobs()).total == 0
    with pytest.raises(AnswerTooLarge, match="64 MiB"):
        await client.jobs.get_job("7")


# -- headers

HEADS: Final = {
    "a long line": b"X: " + b"x" * 20_000 + b"\r\n",
    "a long name": b"x" * 20_000 + b": x\r\n",
    "many": b"".join(b"X-%d: x\r\n" % number for number in range(50_000)),
}


@pytest.mark.parametrize("head", HEADS)
async def test_headers_that_are_too_much(serve: Any, connect: Connect, head: str) -> None:
    client = await connect(
        "bsubio", (await serve(serve.cut(b"HTTP/1.1 200 OK\r\n" + HEADS[head] + b"\r\n{}"))).url
    )
    client = client.with_options(retries=0)
    with pytest.raises(ConnectionLost, match="get_job"):
        await client.jobs.get_job("7")
    with pytest.raises(OutcomeUnknown, match="submit_job"):
        await client.jobs.submit_job("7")


async def test_headers_without_end_take_no_memory(serve: Any, connect: Connect) -> None:
    async def endless(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(1 << 20):
            writer.write(b"X-%d: " % number + b"x" * 8000 + b"\r\n")
            await writer.drain()

    client = await connect("bsubio", (await serve(endless)).url)
    error, peak = await peak_of(lambda: client.with_options(retries=0).jobs.get_job("7"))
    assert isinstance(error, ConnectionLost)
    assert peak < 16 << 20


# -- JSON


@pytest.mark.parametrize("levels", [99, 100, 101, 900, 5000, 100_000])
async def test_levels_of_an_answer(serve: Any, connect: Connect, levels: int) -> None:
    inner = b"[" * (levels - 2) + b"]" * (levels - 2)
    body = b'{"success":true,"data":{"id":"7","status":"pending","a":' + inner + b"}}"
    client = await connect("bsubio", (await serve(serve.http(200, body))).url)
    call = client.with_options(retries=0).jobs.get_job("7")
    if levels <= 100:
        assert (await call).id == "7"
        return
    with pytest.raises(DecodeError, match="nested more than 100 levels deep") as caught:
        await call
    assert caught.value.path == "$"


async def test_a_refusal_of_many_levels(serve: Any, connect: Connect) -> None:
    body = b'{"detail":' * 900 + b'"no"' + b"}" * 900
    client = await connect("bsubio", (await serve(serve.http(500, body))).url)
    with pytest.raises(ServerError) as caught:
        await client.with_options(retries=0).jobs.get_job("7")
    assert len(str(caught.value)) <= LONGEST
    assert len(caught.value.body) == EXCERPT


async def test_the_next_answer_is_read_as_ever(serve: Any, connect: Connect) -> None:
    server = await serve(
        sending(200, "gzip"),
        serve.cut(b"HTTP/1.1 200 OK\r\n" + HEADS["many"] + b"\r\n{}"),
        serve.http(200, b"[" * 200 + b"]" * 200),
        serve.jobs,
    )
    client = (await connect("bsubio", server.url)).with_options(retries=0)
    for _ in range(3):
        with pytest.raises(JobkitError):
            await client.jobs.get_job("7")
    assert (await client.jobs.list_jobs()).total == 0
    assert isinstance(client._caller.transport._session, aiohttp.ClientSession)
