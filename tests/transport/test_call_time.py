"""The time of a call with all its attempts, what its parts may take, and the budget."""

from __future__ import annotations

import asyncio
import gzip
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from jobkit_async import (
    BsubioClient,
    ConnectFailed,
    DecodeError,
    InvalidArgument,
    Limits,
    NotFound,
    OutcomeUnknown,
    Polling,
    RateLimited,
    RequestTimeout,
    Retry,
    ServerError,
    Timeout,
)
from jobkit_async.endpoint import SAFE
from jobkit_async.errors import api_error
from jobkit_async.retry import Budget, RetryState
from jobkit_async.services.bsubio.models import CreateJobRequest

pytestmark = pytest.mark.looptime

Connect = Callable[..., Awaitable[Any]]
CUT = b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"success": true'


def now() -> float:
    return asyncio.get_running_loop().time()


# -- what can be set


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        *((Timeout, name, value) for name in ("connect", "read", "attempt", "call")
          for value in (0, -1, float("nan"), float("inf"), None, "3", True)),
        *((Retry, "retries", value) for value in (-1, 1.5, None, True, "2")),
        *((Retry, name, value) for name in ("base", "cap") for value in (-1, float("inf"), "1")),
        *((Retry, "budget", value) for value in (-0.1, float("nan"), None, True)),
        *((Limits, name, value) for name in ("max_concurrent", "max_body", "max_listing")
          for value in (0, -1, 1.5, None, True)),
        *((Limits, "max_rps", value) for value in (0, -1, float("nan"), float("inf"), "9", True)),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds(cls: type, name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        cls(**{name: value})
    assert caught.value.argument == name


def test_a_number_that_python_refuses_to_write() -> None:
    with pytest.raises(InvalidArgument, match="this int"):
        Retry(retries=-(10**5000))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry", 3),
        ("limits", 64),
        ("timeout", Retry()),
        ("middlewares", [3]),
        ("middlewares", "ab"),
        ("middlewares", lambda request, handler: None),
    ],
)
async def test_what_is_of_another_type(connect: Connect, name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        BsubioClient(api_key="k", **{name: value})
    assert caught.value.argument == name
    client = await connect("bsubio", "http://127.0.0.1:1")
    if name in ("retry", "timeout"):
        with pytest.raises(InvalidArgument) as caught:
            client.with_options(**{name: value})
        assert caught.value.argument == name


def test_a_number_stands_for_the_time_of_an_attempt() -> None:
    assert Timeout.of(4) == Timeout(connect=4, read=4, attempt=4, call=120)
    assert Timeout.of(60) == Timeout(connect=15, read=60, attempt=60, call=240)
    assert Timeout.of(Timeout(call=7)) == Timeout(call=7)


# -- the time of a call


async def test_an_attempt_is_cut_when_the_time_of_the_call_is_over(
    serve: Any, connect: Connect, longest: Any
) -> None:
    server = await serve(serve.http(503, b"busy"), serve.hang)
    client = await connect(
        "bsubio", server.url, polling=Polling(rng=longest), timeout=Timeout(call=20)
    )
    with pytest.raises(
        RequestTimeout, match=r"20 s, is over; .* ended with: .*503: busy"
    ) as caught:
        await client.jobs.list_jobs()
    assert server.times == [0.0, 0.5]
    assert now() == 20.0
    assert isinstance(caught.value.__cause__, ServerError)
    assert caught.value.operation == "list_jobs"


async def test_the_first_attempt_is_cut_too(serve: Any, connect: Connect) -> None:
    server = await serve(serve.hang)
    client = await connect("bsubio", server.url, timeout=Timeout(call=7))
    with pytest.raises(RequestTimeout, match=r"time of the call, 7 s, is over$"):
        await client.jobs.list_jobs()
    assert now() == 7.0
    assert len(server.arrivals) == 1


async def test_an_attempt_that_ends_before_is_no_end_of_the_call(
    serve: Any, connect: Connect, longest: Any
) -> None:
    server = await serve(serve.hang)
    client = await connect(
        "bsubio", server.url, polling=Polling(rng=longest), timeout=Timeout(attempt=8, call=30)
    )
    with pytest.raises(RequestTimeout, match="no answer in time"):
        await client.jobs.list_jobs()
    assert server.times == [0.0, 8.5, 17.5]
    assert now() == 25.5


async def test_what_is_sent_once_is_cut_and_says_that_nobody_knows(
    serve: Any, connect: Connect
) -> None:
    server = await serve(serve.hang)
    client = await connect("bsubio", server.url, timeout=Timeout(call=7))
    with pytest.raises(OutcomeUnknown):
        await client.jobs.create_job(CreateJobRequest(type="t"))
    assert now() == 7.0


async def test_a_pause_that_would_be_too_long_is_not_begun(
    serve: Any, connect: Connect, longest: Any
) -> None:
    server = await serve(serve.http(503))
    client = await connect(
        "bsubio", server.url, polling=Polling(rng=longest), timeout=Timeout(call=1.25)
    )
    with pytest.raises(ServerError):
        await client.with_options(retries=9).jobs.list_jobs()
    assert server.times == [0.0, 0.5]
    assert now() == 0.5


@pytest.mark.parametrize(("call", "arrivals"), [(10.0, 1), (10.5, 2)])
async def test_a_hint_that_is_longer_than_the_call_ends_it(
    serve: Any, connect: Connect, call: float, arrivals: int
) -> None:
    server = await serve(serve.http(429, Retry_After="10"), serve.jobs)
    client = await connect("bsubio", server.url, timeout=Timeout(call=call))
    if arrivals == 1:
        with pytest.raises(RateLimited) as caught:
            await client.jobs.list_jobs()
        assert caught.value.retry_after == 10.0
        assert now() == 0.0
    else:
        await client.jobs.list_jobs()
    assert len(server.arrivals) == arrivals


async def test_a_log_in_has_no_more_time_than_the_call(serve: Any, connect: Connect) -> None:
    server = await serve(serve.hang)
    client = await connect("ecotaxa", server.url, token=None, username="u", password="p")
    with pytest.raises(RequestTimeout, match="list_jobs: the time of the call, 5 s"):
        await client.with_options(timeout=Timeout(call=5)).jobs.list_jobs(False)
    assert now() == 5.0


async def test_a_call_out_of_a_task_that_was_cancelled(serve: Any, connect: Connect) -> None:
    # What cleans up after itself when it is cancelled gets our errors, not a second cancellation.
    server = await serve(serve.hang)
    client = await connect(
        "ecotaxa", server.url, token=None, username="u", password="p", timeout=Timeout(call=3)
    )

    async def work() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await client.jobs.list_jobs(False)  # which has to log in first

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(RequestTimeout):
        await task
    assert now() == 4.0


async def test_the_streaming_of_an_upload_costs_no_time_of_the_call(
    serve: Any, connect: Connect
) -> None:
    person = {"first_name": "A", "last_name": "B", "email": "e", "api_key": "k"}
    application = {"id": "a", "application_name": "A", "application_type": "admin", **person}
    created = {"creation_time": "2026-01-01T00:00:00Z"}
    login = serve.json({"token": "t", "application": {**application, **created}})

    async def refuse_late(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)
        writer.write(serve.http(401, Connection="close"))

    server = await serve(login, refuse_late, login, serve.http(404))
    client = await connect("leia", server.url, token=None, api_key="k", timeout=Timeout(call=10))
    with pytest.raises(NotFound):
        await client.models.admin_create_model(b"zip", "name", "a")
    assert [arrival.target.partition("?")[0] for arrival in server.arrivals] == [
        "/login",
        "/admin/a/model",
    ] * 2


# -- slow servers


def drip(head: bytes, seconds: float = 1.0) -> Any:
    """An action that sends a head, and then a byte now and then, for ever."""

    async def action(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            await asyncio.sleep(seconds)
            writer.write(b"a")

    return action


HEADS = [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]


@pytest.mark.parametrize("head", HEADS, ids=["status", "headers", "body"])
async def test_a_read_from_a_slow_server(serve: Any, connect: Connect, head: bytes) -> None:
    server = await serve(drip(head))
    client = await connect("bsubio", server.url, timeout=Timeout(attempt=9, call=15))
    with pytest.raises((RequestTimeout, DecodeError, ConnectionError)):
        await client.jobs.list_jobs()
    assert now() <= 15.0


@pytest.mark.parametrize(
    "head",
    [*HEADS[:2], b"HTTP/1.1 404 No\r\nContent-Length: 9999\r\n\r\n"],
    ids=["status", "headers", "refusal"],
)
async def test_a_download_from_a_slow_server(serve: Any, connect: Connect, head: bytes) -> None:
    server = await serve(drip(head))
    client = await connect("ecotaxa", server.url, timeout=Timeout(call=15))
    with pytest.raises((RequestTimeout, ConnectionError, NotFound)):
        await client.jobs.get_job_file(1)
    assert now() <= 15.0
    assert client._caller.transport.pool.used == 0


async def test_the_answer_to_an_upload_from_a_slow_server(serve: Any, connect: Connect) -> None:
    server = await serve(drip(HEADS[2]))
    client = await connect("bsubio", server.url, timeout=Timeout(attempt=9))
    with pytest.raises(OutcomeUnknown):
        await client.jobs.upload_job_data("j", "up", b"data")
    assert now() == 9.0
    assert client._caller.transport.pool.used == 0


# -- the time to connect


class Nowhere(AbstractResolver):
    """Looks names up for ever."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        await asyncio.sleep(1e6)
        return []

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("operation", ["list_jobs", "create_job"])
@pytest.mark.parametrize(
    ("timeout", "seconds"), [(Timeout(connect=3), 3.0), (4, 3.92), (Timeout(), 15.0)]
)
async def test_a_connection_that_does_not_come_about_in_time(
    connect: Connect, longest: Any, operation: str, timeout: Any, seconds: float
) -> None:
    resolver = Nowhere()
    connector = aiohttp.TCPConnector(resolver=resolver)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = await connect(
            "bsubio",
            "https://service.invalid",
            session=session,
            timeout=timeout,
            polling=Polling(rng=longest),
        )
        arguments = [CreateJobRequest(type="t")] if operation == "create_job" else []
        with pytest.raises(ConnectFailed, match="took too long"):
            await getattr(client.jobs, operation)(*arguments)
    assert now() == pytest.approx(3 * seconds + 1.5)


# -- answers that cannot be read


@pytest.mark.parametrize(
    "first",
    [
        CUT,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
    ],
    ids=["length", "chunked", "bad chunk", "bad gzip"],
)
async def test_a_broken_answer_is_asked_for_again(
    serve: Any, connect: Connect, first: bytes
) -> None:
    server = await serve(serve.cut(first), serve.jobs)
    client = await connect("bsubio", server.url)
    assert (await client.jobs.list_jobs()).total == 0
    assert len(server.arrivals) == 2


async def test_one_that_stays_broken_says_so(serve: Any, connect: Connect) -> None:
    server = await serve(serve.cut(CUT))
    client = await connect("bsubio", server.url)
    with pytest.raises(DecodeError) as caught:
        await client.jobs.list_jobs()
    assert caught.value.cut
    assert len(server.arrivals) == 3


@pytest.mark.parametrize("body", [b"<html>proxy</html>", b"{", b"[]", gzip.compress(b"x", mtime=0)])
async def test_a_whole_answer_that_cannot_be_read_is_not_asked_for_again(
    serve: Any, connect: Connect, body: bytes
) -> None:
    server = await serve(serve.http(200, body))
    client = await connect("bsubio", server.url)
    with pytest.raises(DecodeError) as caught:
        await client.jobs.list_jobs()
    assert not caught.value.cut
    assert len(server.arrivals) == 1


async def test_no_to_a_repetition_after_a_broken_answer_means_done(
    serve: Any, connect: Connect
) -> None:
    server = await serve(serve.cut(CUT), serve.http(404))
    client = await connect("bsubio", server.url)
    assert (await client.jobs.cancel_job("j")).success is None
    assert len(server.arrivals) == 2


# -- the budget


async def test_an_outage_is_not_multiplied(
    serve: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve(serve.http(503, b"told-in-confidence"))
    client = await connect("bsubio", server.url, retry=Retry(budget=5))
    caplog.set_level(logging.INFO, "jobkit_async")
    view = client.with_options(retries=9)
    for user in (client, view, client, view):
        with pytest.raises(ServerError):
            await user.jobs.list_jobs()
    assert len(server.arrivals) == 4 + 5
    repeated = [r for r in caplog.records if r.levelno == logging.INFO]
    assert len(repeated) == 5
    assert all("list_jobs: HTTP 503; again in" in record.getMessage() for record in repeated)
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "5 repetitions are used up" in warning.getMessage()
    assert "confidence" not in caplog.text


async def test_successes_fill_the_budget_again(
    serve: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    no = serve.http(503)
    server = await serve(*[no] * 3, *[serve.jobs] * 20, *[no] * 3, serve.jobs)
    client = await connect("bsubio", server.url, retry=Retry(budget=2))
    with pytest.raises(ServerError):
        await client.jobs.list_jobs()
    for _ in range(20):
        await client.jobs.list_jobs()
    with pytest.raises(ServerError):
        await client.jobs.list_jobs()  # 2 more repetitions
    assert len(server.arrivals) == 26
    assert [r for r in caplog.records if r.levelno == logging.WARNING] == []


def test_the_warning_comes_back_when_the_budget_has_recovered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    budget = Budget(4)
    assert [budget.take() for _ in range(7)] == [True] * 4 + [False] * 3
    assert len(caplog.records) == 1
    for _ in range(19):
        budget.give()
    assert (budget.take(), budget.take()) == (True, False)
    assert len(caplog.records) == 1
    for _ in range(100):
        budget.give()
    assert repr(budget) == "<Budget of 4 repetitions, at most 4>"
    assert [budget.take() for _ in range(5)] == [True] * 4 + [False]
    assert len(caplog.records) == 2


@pytest.mark.parametrize(("budget", "repetitions"), [(0, 0), (0.9, 0), (float("inf"), 50)])
def test_budgets_at_the_bounds(budget: float, repetitions: int) -> None:
    error = api_error(503, operation="op", reason="busy")
    shared = Budget(budget)
    found = 0
    for _ in range(50):
        state = RetryState(SAFE, Retry(), shared, random.Random(0))
        found += state.pause(error, 120.0) is not None
    assert found == repetitions


async def test_what_is_not_repeated_costs_nothing(serve: Any, connect: Connect) -> None:
    server = await serve(*[serve.http(404)] * 3, *[serve.http(503)] * 3, serve.jobs)
    client = await connect("bsubio", server.url, retry=Retry(budget=1))
    for _ in range(3):
        with pytest.raises(NotFound):
            await client.jobs.get_job("j")
    for _ in range(2):
        with pytest.raises(ServerError):
            await client.jobs.submit_job("j")
    await client.jobs.list_jobs()
    assert len(server.arrivals) == 7


async def test_the_pauses_of_a_client_and_of_a_view(
    serve: Any, connect: Connect, longest: Any
) -> None:
    server = await serve(serve.http(503))
    client = await connect(
        "bsubio", server.url, polling=Polling(rng=longest), retry=Retry(retries=1, base=4)
    )
    view = client.with_options(retry=Retry(base=2, cap=3), retries=3)
    for user in (client, view):
        with pytest.raises(ServerError):
            await user.jobs.list_jobs()
    assert server.times == [0.0, 4.0, 4.0, 6.0, 9.0, 12.0]
