"""What is repeated, how often and after how long: on the wire, in exact virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from jobkit_async import (
    BadRequest,
    BsubioClient,
    Conflict,
    ConnectionLost,
    InvalidArgument,
    NotFound,
    OutcomeUnknown,
    Polling,
    RateLimited,
    Retry,
    ServerError,
)
from jobkit_async.endpoint import ONCE, REPEATABLE, SAFE, Repeat
from jobkit_async.errors import JobkitError, api_error
from jobkit_async.retry import Budget, RetryState
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio, Plan

pytestmark = pytest.mark.looptime

Connect = Callable[..., Awaitable[Any]]
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


# -- reads


async def test_a_read_is_repeated_twice_with_growing_pauses(
    serve: Any, connect: Connect, longest: Any
) -> None:
    server = await serve(serve.http(503), serve.http(503), serve.jobs)
    client = await connect("bsubio", server.url, polling=Polling(rng=longest))
    assert (await client.jobs.list_jobs()).total == 0
    assert server.times == [0.0, 0.5, 1.5]
    assert longest.asked == [(0.0, 0.5), (0.0, 1.0)]


async def test_a_third_failure_stands(serve: Any, connect: Connect, longest: Any) -> None:
    server = await serve(serve.http(503, b"one"), serve.http(502, b"two"), serve.http(500, b"end"))
    client = await connect("bsubio", server.url, polling=Polling(rng=longest))
    with pytest.raises(ServerError, match="end") as caught:
        await client.jobs.list_jobs()
    assert caught.value.status == 500
    assert len(server.arrivals) == 3


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_passes_is_repeated(serve: Any, connect: Connect, status: int) -> None:
    server = await serve(serve.http(status), serve.jobs)
    client = await connect("bsubio", server.url)
    await client.jobs.list_jobs()
    assert len(server.arrivals) == 2


@pytest.mark.parametrize(
    "status", [400, 402, 403, 404, 405, 409, 410, 413, 418, 422, 451, 501, 505]
)
async def test_what_does_not_pass_is_raised_at_once(
    serve: Any, connect: Connect, status: int
) -> None:
    server = await serve(serve.http(status))
    client = await connect("bsubio", server.url)
    with pytest.raises(JobkitError) as caught:
        await client.jobs.list_jobs()
    assert getattr(caught.value, "status", None) == status
    assert len(server.arrivals) == 1
    assert asyncio.get_running_loop().time() == 0.0


async def test_pauses_have_jitter(serve: Any, connect: Connect) -> None:
    gaps = set()
    for seed in range(5):
        server = await serve(serve.http(503), serve.jobs)
        polling = Polling(rng=random.Random(seed))
        client = await connect("bsubio", server.url, polling=polling)
        await client.jobs.list_jobs()
        gap = server.times[1] - server.times[0]
        assert 0.0 <= gap <= 0.5
        gaps.add(round(gap, 3))
    assert len(gaps) == 5


# -- how often


@pytest.mark.parametrize(("retries", "times"), [(0, [0.0]), (1, [0.0, 0.5])])
async def test_a_view_with_fewer_retries(
    serve: Any, connect: Connect, longest: Any, retries: int, times: list[float]
) -> None:
    server = await serve(serve.http(503))
    client = await connect("bsubio", server.url, polling=Polling(rng=longest))
    with pytest.raises(ServerError):
        await client.with_options(retries=retries).jobs.list_jobs()
    assert server.times == times


async def test_a_view_with_more_retries(serve: Any, connect: Connect, longest: Any) -> None:
    server = await serve(serve.http(503))
    client = await connect("bsubio", server.url, polling=Polling(rng=longest))
    with pytest.raises(ServerError):
        await client.with_options(retries=8).jobs.list_jobs()
    assert server.times == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 51.5, 71.5]  # at most 20 s apart


async def test_a_view_leaves_its_client_as_it_is(serve: Any, connect: Connect) -> None:
    server = await serve(serve.http(503))
    client = await connect("bsubio", server.url)
    client.with_options(retries=0)
    with pytest.raises(ServerError):
        await client.jobs.list_jobs()
    assert len(server.arrivals) == 3


async def test_no_retry_shortens_a_lost_connection(serve: Any, connect: Connect) -> None:
    server = await serve(serve.cut(b"HTTP/1.1 200 OK\r\n"))
    client = (await connect("bsubio", server.url)).with_options(retries=0)
    with pytest.raises(ConnectionLost):
        await client.jobs.list_jobs()
    assert len(server.arrivals) == 1


@pytest.mark.parametrize("retries", [-1, 1.5, True, "2"])
async def test_no_number_of_retries(connect: Connect, retries: Any) -> None:
    client = await connect("bsubio", "http://127.0.0.1:1")
    with pytest.raises(InvalidArgument) as caught:
        client.with_options(retries=retries)
    assert caught.value.argument == "retries"


# -- Retry-After


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("hint", "pause"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("0.25", 0.25),
        ("-3", 0.5),
        ("20", 20.0),
        ("Thu, 01 Jan 2026 00:00:12 GMT", 12.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("soon", 0.5),
    ],
)
async def test_retry_after_is_kept_to(
    serve: Any, connect: Connect, longest: Any, status: int, hint: str, pause: float
) -> None:
    server = await serve(serve.http(status, Retry_After=hint, Date=DATE), serve.jobs)
    client = await connect("bsubio", server.url, polling=Polling(rng=longest))
    await client.jobs.list_jobs()
    assert server.times == [0.0, pause]


async def test_each_retry_after_counts_anew(serve: Any, connect: Connect, longest: Any) -> None:
    server = await serve(
        serve.http(503, Retry_After="3"), serve.http(429, Retry_After="5"), serve.jobs
    )
    client = await connect("bsubio", server.url, polling=Polling(rng=longest))
    await client.jobs.list_jobs()
    assert server.times == [0.0, 3.0, 8.0]


@pytest.mark.parametrize(("hint", "told"), [("21", 21.0), ("86400", 3600.0)])
async def test_a_retry_after_that_is_too_long_is_told_to_the_caller(
    serve: Any, connect: Connect, hint: str, told: float
) -> None:
    server = await serve(serve.http(429, Retry_After=hint))
    client = await connect("bsubio", server.url)
    with pytest.raises(RateLimited) as caught:
        await client.jobs.list_jobs()
    assert caught.value.retry_after == told
    assert len(server.arrivals) == 1
    assert asyncio.get_running_loop().time() == 0.0


# -- what is sent once


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_is_sent_once_is_never_repeated(
    serve: Any, connect: Connect, status: int
) -> None:
    server = await serve(serve.http(status, Retry_After="1"))
    client = (await connect("bsubio", server.url)).with_options(retries=9)
    with pytest.raises(JobkitError) as caught:
        await client.jobs.create_job(CreateJobRequest(type="t"))
    assert getattr(caught.value, "status", None) == status
    await asyncio.sleep(100)
    assert len(server.arrivals) == 1


# -- what answers "already done" to a repetition


async def cancel_job(client: Any) -> Any:
    return await client.jobs.cancel_job("j")


async def delete_job(client: Any) -> Any:
    return await client.jobs.delete_job("j")


async def cancel_leia(client: Any) -> Any:
    return await client.jobs.admin_cancel_job("s", "j")


async def untag(client: Any) -> Any:
    return await client.models.admin_untag_model("a", "m", "t")


async def abort(client: Any) -> Any:
    return await client.jobs.abort_job("VX-1")


repeatable = pytest.mark.parametrize(
    ("service", "call"),
    [
        ("bsubio", cancel_job),
        ("bsubio", delete_job),
        ("leia", cancel_leia),
        ("leia", untag),
        ("vidispine", abort),
    ],
)


@repeatable
@pytest.mark.parametrize("no", [400, 404])
@pytest.mark.parametrize("loss", ["drop", "502", "timeout"])
async def test_no_to_a_repetition_means_done(
    serve: Any, connect: Connect, service: str, call: Any, no: int, loss: str
) -> None:
    first = {"drop": serve.drop, "502": serve.http(502), "timeout": serve.hang}[loss]
    server = await serve(first, serve.http(no, b"no"))
    client = await connect(service, server.url, timeout=2)
    result = await call(client)
    if call is cancel_job:
        assert (result.success, result.message) == (None, None)
    else:
        assert result is None


@repeatable
@pytest.mark.parametrize(("no", "error"), [(400, BadRequest), (404, NotFound)])
async def test_no_to_the_first_sending_is_no(
    serve: Any, connect: Connect, service: str, call: Any, no: int, error: type[JobkitError]
) -> None:
    server = await serve(serve.http(no))
    client = await connect(service, server.url)
    with pytest.raises(error):
        await call(client)
    assert len(server.arrivals) == 1


@repeatable
async def test_another_no_to_a_repetition_is_no(
    serve: Any, connect: Connect, service: str, call: Any
) -> None:
    server = await serve(serve.http(503), serve.http(409))
    client = await connect(service, server.url)
    with pytest.raises(Conflict):
        await call(client)


@repeatable
async def test_no_after_a_renewed_log_in_is_no(
    serve: Any, connect: Connect, service: str, call: Any
) -> None:
    if service != "leia":
        server = await serve(serve.http(401), serve.http(404))
        client = await connect(service, server.url)
        with pytest.raises(JobkitError, match="401"):
            await call(client)
        assert len(server.arrivals) == 1
        return
    person = {"first_name": "A", "last_name": "B", "email": "e", "api_key": "k"}
    application = {"id": "a", "application_name": "A", "application_type": "admin", **person}
    created = {"creation_time": "2026-01-01T00:00:00Z"}
    login = serve.json({"token": "t", "application": {**application, **created}})
    server = await serve(login, serve.http(401), login, serve.http(404))
    client = await connect("leia", server.url, token=None, api_key="k")
    with pytest.raises(NotFound):
        await call(client)
    assert len(server.arrivals) == 4


@repeatable
async def test_no_where_the_first_attempt_reached_nobody_is_no(
    serve: Any, connect: Connect, service: str, call: Any
) -> None:
    # Nothing can have been done before, so the 404 says that there is no such job.
    attempts = 0

    async def unreachable_at_first(request: Any, handler: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise aiohttp.ClientConnectorError(_key(request), OSError("refused"))
        return await handler(request)

    server = await serve(serve.http(404))
    async with aiohttp.ClientSession(middlewares=(unreachable_at_first,)) as session:
        client = await connect(service, server.url, session=session)
        with pytest.raises(NotFound):
            await call(client)
    assert attempts == 2


def _key(request: Any) -> Any:
    return request.connection_key


@repeatable
@pytest.mark.parametrize("status", [429, 503])
async def test_no_where_the_first_attempt_was_turned_away_is_no(
    serve: Any, connect: Connect, service: str, call: Any, status: int
) -> None:
    # These say that the first attempt was not carried out.
    server = await serve(serve.http(status), serve.http(404))
    client = await connect(service, server.url)
    with pytest.raises(NotFound):
        await call(client)
    assert len(server.arrivals) == 2


@repeatable
async def test_one_attempt_that_may_have_worked_is_enough(
    serve: Any, connect: Connect, service: str, call: Any
) -> None:
    server = await serve(serve.http(504), serve.http(503), serve.http(404))
    client = await connect(service, server.url)
    await call(client)
    assert len(server.arrivals) == 3


async def test_a_cancellation_whose_answer_was_lost_has_happened_once() -> None:
    plan = Plan(queued=100.0, running=100.0)
    lost = 0

    async def lose_the_answer(request: Any, handler: Any) -> Any:
        nonlocal lost
        answer = await handler(request)
        if request.url.path.endswith("/cancel") and not lost:
            lost += 1
            answer.close()
            raise aiohttp.ServerDisconnectedError
        return answer

    async with (
        FakeBsubio(planner=lambda rng, job_type: plan) as server,
        aiohttp.ClientSession(middlewares=(lose_the_answer,)) as session,
        BsubioClient(api_key=server.api_key, base_url=server.base_url, session=session) as client,
    ):
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        await job.upload(b"data")
        await job.submit()
        assert (await client.jobs.cancel_job(job.id)).success is None
        assert lost == 1
        assert server.requests["cancel_job"] == 2
        assert server.ledger.count("cancelled") == 1


# -- uploads


async def test_an_upload_that_may_not_be_repeated_is_not(serve: Any, connect: Connect) -> None:
    server = await serve(serve.drop)
    client = await connect("bsubio", server.url)
    with pytest.raises(OutcomeUnknown, match="data_size"):
        await client.jobs.upload_job_data("j", "token", b"data")
    assert len(server.arrivals) == 1


# -- the decision itself


@pytest.mark.parametrize("repeat", [SAFE, REPEATABLE, ONCE])
async def test_the_decision_is_the_tables_and_not_the_methods(repeat: Repeat) -> None:
    error = api_error(503, operation="op", reason="busy")
    pause = RetryState(repeat, Retry(), Budget(10), random.Random(0)).pause(error, 120)
    assert (pause is None) == (repeat is ONCE)


async def test_the_longest_pauses(longest: Any) -> None:
    error = api_error(503, operation="op", reason="busy")
    state = RetryState(SAFE, Retry(retries=9), Budget(10), longest)
    pauses = [state.pause(error, 120) for _ in range(10)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0, None]
