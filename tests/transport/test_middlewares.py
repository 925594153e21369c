"""Middlewares of the caller's around every request, and in which order they come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from jobkit_async import ConnectionLost, OutcomeUnknown, Retry
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio

pytestmark = pytest.mark.looptime

Connect = Callable[..., Awaitable[Any]]


def naming(name: str, seen: list[str]) -> Any:
    async def middleware(request: Any, handler: Any) -> Any:
        seen.append(f"{name} {request.method}")
        request.headers["X-Way"] = f"{request.headers.get('X-Way', '')}{name}"
        return await handler(request)

    return middleware


@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
async def test_their_order(serve: Any, connect: Connect, own: bool) -> None:
    seen: list[str] = []
    server = await serve(serve.jobs, serve.http(204))
    session = None
    if not own:
        session = aiohttp.ClientSession(middlewares=(naming("a", seen), naming("b", seen)))
    client = await connect(
        "bsubio", server.url, session=session, middlewares=[naming("c", seen), naming("d", seen)]
    )
    await client.jobs.list_jobs()
    await client.with_options(headers={"X-View": "1"}).jobs.delete_job("j")
    names = "cd" if own else "abcd"
    assert seen == [f"{name} {verb}" for verb in ("GET", "DELETE") for name in names]
    assert [arrival.headers["X-Way"] for arrival in server.arrivals] == [names] * 2
    if session is not None:
        await session.close()


async def test_one_that_is_there_for_waits_and_log_ins(connect: Connect) -> None:
    seen: list[str] = []
    async with FakeBsubio() as server:
        client = await connect(
            "bsubio", server.base_url, api_key=server.api_key, middlewares=[naming("m", seen)]
        )
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        await job.upload(b"data")
        await job.submit()
        await job.wait()
        assert len(seen) == sum(server.requests.values())


async def test_one_that_raises_what_is_its_own(serve: Any, connect: Connect) -> None:
    class Mine(Exception):
        pass

    async def refuse(request: Any, handler: Any) -> Any:
        raise Mine

    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url, middlewares=[refuse])
    with pytest.raises(Mine):
        await client.jobs.list_jobs()
    assert server.connections == 0
    assert client._caller.transport.pool.used == 0


@pytest.mark.parametrize(
    ("call", "error"), [("list_jobs", ConnectionLost), ("submit_job", OutcomeUnknown)]
)
async def test_one_that_raises_what_is_the_librarys(
    serve: Any, connect: Connect, call: str, error: type[Exception]
) -> None:
    times = 0

    async def break_down(request: Any, handler: Any) -> Any:
        nonlocal times
        times += 1
        raise aiohttp.ClientPayloadError

    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url, middlewares=[break_down], retry=Retry(retries=1))
    with pytest.raises(error):
        await getattr(client.jobs, call)(*(["j"] if call == "submit_job" else []))
    assert times == (2 if call == "list_jobs" else 1)


async def test_one_that_answers_500_at_first(serve: Any, connect: Connect) -> None:
    answered: list[int] = []

    async def unwilling(request: Any, handler: Any) -> Any:
        answer = await handler(request)
        if not answered:
            answer.status = 500
        answered.append(answer.status)
        return answer

    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url, middlewares=(unwilling,))
    assert (await client.jobs.list_jobs()).total == 0
    assert answered == [500, 200]
    assert len(server.arrivals) == 2


async def test_one_that_takes_its_time_is_under_the_same_limits(
    serve: Any, connect: Connect
) -> None:
    async def slow(request: Any, handler: Any) -> Any:
        await asyncio.sleep(1000)
        return await handler(request)

    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url, middlewares=[slow], timeout=2)
    with pytest.raises(TimeoutError):
        await client.with_options(retries=0).jobs.list_jobs()
    assert asyncio.get_running_loop().time() == 2.0


async def test_none_is_none(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    client = await connect("bsubio", server.url, middlewares=None)
    assert (await client.jobs.list_jobs()).total == 0
