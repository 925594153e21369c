"""What hooks are told of requests and repetitions, and that they cannot harm a call."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from jobkit_async import (
    AnswerTooLarge,
    ClientClosed,
    ConnectFailed,
    ConnectionLost,
    DecodeError,
    EndEvent,
    Hooks,
    InvalidArgument,
    Limits,
    LookEvent,
    Polling,
    RequestEvent,
    RequestTimeout,
    RetryEvent,
    ServerError,
    Unauthorized,
    combine_hooks,
    hooks,
)
from jobkit_async.services.leia.fake.documents import application_document

pytestmark = pytest.mark.looptime(end=1000)

Connect = Callable[..., Awaitable[Any]]


class Kept(Hooks):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.requests: list[RequestEvent] = []
        self.retries: list[RetryEvent] = []
        self.looks: list[LookEvent] = []
        self.ends: list[EndEvent] = []

    def on_request(self, event: RequestEvent) -> None:
        self.requests.append(event)

    def on_retry(self, event: RetryEvent) -> None:
        self.retries.append(event)

    def on_look(self, event: LookEvent) -> None:
        self.looks.append(event)

    def on_end(self, event: EndEvent) -> None:
        self.ends.append(event)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def job(serve: Any, status: str = "pending") -> bytes:
    return serve.json({"success": True, "data": {"id": "7", "status": status}})


async def test_each_try_is_told_and_so_is_the_repetition(
    serve: Any, connect: Connect, kept: Kept, longest: Any
) -> None:
    answer = job(serve)
    server = await serve(serve.http(503, b"busy"), answer)
    client = await connect("bsubio", server.url, hooks=kept, polling=Polling(rng=longest))
    await client.jobs.get_job("7")
    port = int(server.url.rpartition(":")[2])
    first = RequestEvent(
        service="bsubio",
        operation="get_job",
        method="GET",
        route="/v1/jobs/{jobId}",
        host="127.0.0.1",
        port=port,
        status=503,
        error=None,
        whole=True,
        seconds=pytest.approx(0.0, abs=0.01),
        attempt=1,
        sent=0,
        received=4,
        poll=False,
    )
    received = len(answer.partition(b"\r\n\r\n")[2])
    assert kept.requests == [
        first,
        attrs.evolve(first, status=200, attempt=2, received=received),
    ]
    assert kept.retries == [
        RetryEvent(
            service="bsubio",
            operation="get_job",
            attempt=1,
            pause=0.5,
            error=ServerError,
            status=503,
        )
    ]
    assert kept.looks == kept.ends == []


async def test_what_goes_wrong_on_the_way_is_told_by_its_class(
    serve: Any, connect: Connect, kept: Kept
) -> None:
    server = await serve(
        serve.drop,
        serve.cut(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"),
        serve.hang,
    )
    client = (await connect("bsubio", server.url, hooks=kept, timeout=3.0)).with_options(retries=0)
    with pytest.raises(ConnectionLost):
        await client.jobs.cancel_job("7")
    for error in (DecodeError, RequestTimeout):
        with pytest.raises(error):
            await client.jobs.get_job("7")
    await server.aclose()
    with pytest.raises(ConnectFailed):
        await client.jobs.get_job("7")
    told = [(event.status, event.error, event.received) for event in kept.requests]
    assert told == [
        (None, ConnectionLost, 0),
        (200, ConnectionLost, 2),
        (None, RequestTimeout, 0),
        (None, ConnectFailed, 0),
    ]
    assert kept.requests[2].seconds == pytest.approx(3.0, abs=0.1)


async def test_an_answer_beyond_all_bounds_is_told(
    serve: Any, connect: Connect, kept: Kept
) -> None:
    server = await serve(serve.http(200, b"x" * 101))
    client = await connect("bsubio", server.url, hooks=kept, limits=Limits(max_body=100))
    with pytest.raises(AnswerTooLarge):
        await client.jobs.get_job("7")
    (event,) = kept.requests
    assert (event.status, event.error, event.received) == (200, AnswerTooLarge, 101)


async def test_a_cancelled_call_is_told(serve: Any, connect: Connect, kept: Kept) -> None:
    server = await serve(serve.hang)
    client = await connect("bsubio", server.url, hooks=kept)
    call = asyncio.create_task(client.jobs.get_job("7"))
    await asyncio.sleep(5)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    (event,) = kept.requests
    assert (event.status, event.error) == (None, asyncio.CancelledError)
    assert event.seconds == pytest.approx(5.0, abs=0.1)


async def test_bytes_of_an_upload(serve: Any, connect: Connect, kept: Kept) -> None:
    server = await serve(serve.json({"success": True, "data": {}}), serve.drop)
    client = await connect("bsubio", server.url, hooks=kept)
    await client.jobs.upload_job_data("7", "up-1", b"x" * 5000)
    with pytest.raises(Exception, match="lost"):
        await client.jobs.upload_job_data("7", "up-1", b"x" * 5000)
    assert [event.sent for event in kept.requests] == [5000, None]


async def test_a_download_is_told_when_it_is_read(serve: Any, connect: Connect, kept: Kept) -> None:
    server = await serve(serve.http(200, b"x" * 5000))
    client = await connect("ecotaxa", server.url, hooks=kept)
    download = await client.jobs.get_job_file(7)
    await asyncio.sleep(7)
    assert kept.requests == []
    assert len(await download.read()) == 5000
    (event,) = kept.requests
    assert (event.operation, event.status, event.received) == ("get_job_file", 200, 5000)
    assert event.seconds == pytest.approx(7.0, abs=0.1)
    download.close()
    assert len(kept.requests) == 1


async def test_a_download_that_was_not_read_to_its_end_is_told_as_such(
    serve: Any, connect: Connect, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="jobkit_async.transport")
    server = await serve(serve.http(200, b"x" * 2_000_000))
    client = await connect("ecotaxa", server.url, hooks=kept)
    async with await client.jobs.get_job_file(7) as download:
        assert len(await download.read()) == 2_000_000
    async with await client.jobs.get_job_file(7) as download:
        await anext(aiter(download))
    unread = await client.jobs.get_job_file(7)
    reading = asyncio.create_task(client.jobs.get_job_file(7))
    await asyncio.wait([reading])
    await client.aclose()
    told = [(event.status, event.error, event.whole) for event in kept.requests]
    assert told == [
        (200, None, True),
        (200, None, False),
        *[(200, ClientClosed, False)] * 2,
    ]
    assert [": 200 after" in line for line in caplog.messages] == [True, False, False, False]
    assert "200, not read to its end, after" in caplog.messages[1]
    assert "200, ClientClosed after" in caplog.messages[2]
    del unread


async def test_a_download_can_be_closed_where_no_loop_runs(
    serve: Any, connect: Connect, kept: Kept
) -> None:
    server = await serve(serve.http(200, b"x" * 5000))
    client = await connect("ecotaxa", server.url, hooks=kept)
    download = await client.jobs.get_job_file(7)
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(None)  # type: ignore[attr-defined]  # as in a finalizer
    try:
        download.close()
    finally:
        asyncio._set_running_loop(loop)  # type: ignore[attr-defined]
    assert [event.received for event in kept.requests] == [0]


async def test_a_hook_runs_in_the_context_of_the_call(serve: Any, connect: Connect) -> None:
    place = contextvars.ContextVar("place", default="nowhere")
    places: list[str] = []

    class Placed(Hooks):
        def on_request(self, event: RequestEvent) -> None:
            places.append(place.get())

    server = await serve(serve.http(200, b"x" * 5000))
    client = await connect("ecotaxa", server.url, hooks=Placed())
    place.set("here")
    download = await client.jobs.get_job_file(7)
    place.set("there")
    await download.read()
    assert places == ["here"]


async def test_log_ins_are_told(serve: Any, connect: Connect, kept: Kept) -> None:
    welcome = serve.json({"token": "t", "application": application_document("k")})
    server = await serve(welcome, serve.http(401), welcome, serve.json([]))
    client = await connect("leia", server.url, api_key="k", token=None, hooks=kept)
    await client.jobs.admin_get_jobs()
    told = [(event.operation, event.status, event.attempt) for event in kept.requests]
    assert told == [
        ("login", 200, 1),
        ("admin_get_jobs", 401, 1),
        ("login", 200, 1),
        ("admin_get_jobs", 200, 2),
    ]
    (retry,) = kept.retries
    assert (retry.operation, retry.pause, retry.error) == ("admin_get_jobs", 0.0, Unauthorized)


async def test_a_view_tells_its_own_hooks(serve: Any, connect: Connect, kept: Kept) -> None:
    server = await serve(job(serve, "finished"))
    client = await connect("bsubio", server.url, hooks=kept)
    other = Kept()
    view = client.with_options(hooks=other)
    await view.jobs.get_job("7")
    assert (len(kept.requests), len(other.requests)) == (0, 1)
    await view.job("8").wait()
    assert ([event.poll for event in kept.requests], len(other.requests)) == ([True], 1)
    assert (len(kept.ends), len(other.ends)) == (1, 0)
    await view.with_options(retries=0).jobs.get_job("7")
    await client.jobs.get_job("7")
    assert (len(kept.requests), len(other.requests)) == (2, 2)


# -- hooks that raise


class Broken(Hooks):
    """Raises whenever it is told anything."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_request(self, event: RequestEvent) -> None:
        raise self.error

    def on_retry(self, event: RetryEvent) -> None:
        raise self.error

    def on_look(self, event: LookEvent) -> None:
        raise self.error

    def on_end(self, event: EndEvent) -> None:
        raise self.error


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), asyncio.CancelledError()])
async def test_what_a_hook_raises_is_logged_once_and_harms_nobody(
    serve: Any,
    connect: Connect,
    kept: Kept,
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = await serve(serve.http(503), job(serve), serve.http(503), job(serve, "finished"))
    client = await connect("bsubio", server.url, hooks=combine_hooks(Broken(error), kept))
    await client.jobs.get_job("7")
    final = await client.job("7").wait()
    await client.jobs.get_job("7")
    assert final.status == "finished"
    assert len(kept.requests) == 5
    assert (len(kept.retries), len(kept.looks), len(kept.ends)) == (1, 2, 1)
    logged = [one for one in caplog.records if one.name == "jobkit_async.hooks"]
    assert [one.levelno for one in logged] == [logging.ERROR] * 4
    assert all(one.exc_info is not None and one.exc_info[1] is error for one in logged)
    kinds = {one.getMessage().partition(" raised in ")[2].partition(";")[0] for one in logged}
    assert kinds == {"on_request", "on_retry", "on_look", "on_end"}


async def test_an_interrupt_in_a_hook_is_no_error_of_the_hooks(
    serve: Any, connect: Connect
) -> None:
    class Stop(BaseException):
        """As ``KeyboardInterrupt`` is."""

    server = await serve(job(serve))
    client = await connect("bsubio", server.url, hooks=Broken(Stop()))
    with pytest.raises(Stop):
        await client.jobs.get_job("7")


# -- what can be passed


class Coroutine(Hooks):
    async def on_look(self, event: LookEvent) -> None:  # type: ignore[override]
        """Nobody would await it."""


class Switched(Hooks):
    on_request = None  # type: ignore[assignment]  # as if that turned it off


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (Switched(), "hooks: on_request is no method, but a NoneType"),
        (Kept, "hooks: a Hooks is due, not the class Kept itself"),
        (print, "hooks: a Hooks is due, not builtin_function_or_method"),
        ([Kept()], "hooks: a Hooks is due, not list"),
        (Coroutine(), "hooks: on_look is a coroutine; it has to be a plain method"),
    ],
)
async def test_what_is_no_hooks_is_refused(connect: Connect, wrong: Any, problem: str) -> None:
    url = "http://127.0.0.1:1"
    with pytest.raises(InvalidArgument) as caught:
        await connect("bsubio", url, hooks=wrong)
    assert str(caught.value) == problem
    client = await connect("bsubio", url)
    with pytest.raises(InvalidArgument, match="hooks: "):
        client.with_options(hooks=wrong)
    with pytest.raises(InvalidArgument, match="hooks: "):
        combine_hooks(Kept(), wrong)


async def test_hooks_are_told_in_their_order(serve: Any, connect: Connect) -> None:
    told: list[str] = []

    class Named(Hooks):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_request(self, event: RequestEvent) -> None:
            told.append(self.name)

    server = await serve(job(serve))
    several = combine_hooks(Named("a"), combine_hooks(Named("b"), Named("c")))
    client = await connect("bsubio", server.url, hooks=several)
    await client.jobs.get_job("7")
    assert told == ["a", "b", "c"]


class OnlyEnds(Hooks):
    def __init__(self) -> None:
        self.ends = 0

    def on_end(self, event: EndEvent) -> None:
        self.ends += 1


async def test_no_event_is_made_that_nobody_takes(
    serve: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(**fields: Any) -> None:
        raise AssertionError(fields)

    for name in ("RequestEvent", "RetryEvent", "LookEvent"):
        monkeypatch.setattr(hooks, name, made)
    server = await serve(serve.http(503), job(serve, "finished"))
    only = OnlyEnds()
    client = await connect("bsubio", server.url, hooks=only)
    await client.jobs.get_job("7")
    await client.job("8").wait()
    assert only.ends == 1
    monkeypatch.setattr(hooks, "EndEvent", made)
    silent = await connect("bsubio", server.url)
    await silent.job("8").wait()
    patched = Hooks()
    seen: list[object] = []
    monkeypatch.undo()
    patched.on_request = seen.append  # type: ignore[method-assign]
    assigned = await connect("bsubio", server.url, hooks=patched)
    await assigned.jobs.get_job("7")
    assert len(seen) == 1


@pytest.mark.parametrize("event", [RequestEvent, RetryEvent, LookEvent, EndEvent])
def test_events_are_frozen_and_have_no_room_for_more(event: Any) -> None:
    made = event(**dict.fromkeys(attrs.fields_dict(event)))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.service = "other"
    assert not hasattr(made, "__dict__")
    documented = str(inspect.getdoc(event)).partition("Attributes:")[2]
    assert all(f"\n    {name}: " in documented for name in attrs.fields_dict(event))
