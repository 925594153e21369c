"""What tools that report errors, values and telemetry show: no credential, even with variables.

A tool that renders the variables of a traceback shows the arguments of the user's own calls, and so
an upload token that was passed by hand. The client's credentials, tokens from log-ins, and upload
tokens that a job found by itself are in no frame.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobkit_async import (
    BsubioClient,
    ClientClosed,
    ConnectionLost,
    EndEvent,
    Hooks,
    InvalidArgument,
    JobkitError,
    LookEvent,
    NotFound,
    Polling,
    PollingFailed,
    RequestEvent,
    RetryEvent,
    combine_hooks,
)
from jobkit_async.otel import OpenTelemetryHooks
from jobkit_async.redact import forget_frames
from jobkit_async.registry import find_service
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.leia.fake.documents import application_document

pytestmark = pytest.mark.looptime(end=100_000)

Connect = Callable[..., Awaitable[Any]]

ID = "00000000-0000-4000-8000-000000000007"
CREDENTIALS: dict[str, dict[str, str | None]] = {
    "bsubio": {"api_key": "planted-api-key"},
    "ecotaxa": {"token": "planted-token"},
    "leia": {"token": "planted-token"},
    "vidispine": {"username": "ann", "password": "planted-password"},
}
LOG_INS: dict[str, dict[str, str | None]] = {
    "ecotaxa": {"token": None, "username": "ann", "password": "planted-password"},
    "leia": {"token": None, "api_key": "planted-api-key"},
}
CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "bsubio, a read": lambda client: client.jobs.get_job(ID),
    "bsubio, a listing": lambda client: client.jobs.list_jobs(),
    "bsubio, sent once": lambda client: client.jobs.submit_job(ID),
    "ecotaxa, a read": lambda client: client.jobs.get_job(7),
    "ecotaxa, a download": lambda client: client.jobs.get_job_file(7),
    "leia, a read": lambda client: client.jobs.admin_get_job("s", "7"),
    "leia, sent once": lambda client: client.models.admin_apply_model_async("s", "7", ["d"]),
    "vidispine, a read": lambda client: client.jobs.get_job("VX-7"),
    "vidispine, sent once": lambda client: client.jobs.create_duplicate_job("VX-7"),
}
ODD = {"data": {"jobs": [{"id": ID, "upload_token": "planted-up", "data_size": "many"}]}}
FAULTS: dict[str, Callable[[Any], Any]] = {
    "refused": lambda serve: None,
    "dropped": lambda serve: serve.drop,
    "silent": lambda serve: serve.hang,
    "garbage": lambda serve: serve.cut(b"HTTP/1.1 200 OK\r\nX\r\n\r\n"),
    "cut": lambda serve: serve.cut(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"'),
    "401": lambda serve: serve.http(401),
    "500": lambda serve: serve.http(500),
    "no JSON": lambda serve: serve.http(200, b'{"upload_token": "planted-up", '),
    "odd JSON": lambda serve: serve.json(ODD),
}
NEEDLES = ("planted", "YW5uOnBsYW50ZWQ")  # the latter is how Basic writes ann:planted


def assert_clean(text: str) -> None:
    for needle in NEEDLES:
        assert needle not in text


def linked(error: BaseException) -> Iterator[BaseException]:
    """An error and whatever it is linked to, shown in tracebacks or not."""
    left: list[BaseException | None] = [error]
    met: set[int] = set()
    while left:
        one = left.pop()
        if one is not None and id(one) not in met:
            met.add(id(one))
            yield one
            left += [one.__cause__, one.__context__]


def reported(error: BaseException) -> str:
    """All that a tool gets hold of: each linked error with the variables of our frames."""
    told: list[str] = []
    for one in linked(error):
        told.append(f"{one} {one!r} {one.args} {vars(one)}")
        shown = traceback.TracebackException.from_exception(one, capture_locals=True)
        ours = [frame for frame in shown.stack if frame.filename != __file__]
        shown.stack = traceback.StackSummary.from_list(ours)
        told += shown.format(chain=False)
    return "\n".join(told)


async def failed(connect: Connect, call: str, url: str, **options: Any) -> JobkitError:
    """How a call fails."""
    service = call.partition(",")[0]
    client = await connect(service, url, **{**CREDENTIALS[service], **options})
    with pytest.raises(JobkitError) as caught:
        async with await CALLS[call](client.with_options(retries=1)) as download:
            await download.read()
    return caught.value


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_report_with_variables_shows_no_credential(
    serve: Any, connect: Connect, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "jobkit_async")
    for call in CALLS:
        if "JSON" in fault and "bsubio" not in call:
            continue  # it is one of bsub.io's answers
        if fault == "odd JSON" and call != "bsubio, a listing":
            continue
        server = await serve(FAULTS[fault](serve) or serve.drop)
        if fault == "refused":
            await server.aclose()
        error = await failed(connect, call, server.url, timeout=2.0)
        report = reported(error)
        if "download" not in call:
            assert re.search(r"\n    self = <\w+Api of <\w+Client http", report)  # a variable
        assert_clean(report)
        assert str(error) in report
    assert_clean(caplog.text)
    assert "/jobs" in caplog.text


@pytest.mark.parametrize("service", LOG_INS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_report_of_a_log_in_shows_no_credential(
    serve: Any, connect: Connect, service: str, fault: str
) -> None:
    server = await serve(FAULTS[fault](serve) or serve.drop)
    if fault == "refused":
        await server.aclose()
    error = await failed(connect, f"{service}, a read", server.url, **LOG_INS[service])
    assert_clean(reported(error))


async def test_a_token_from_a_log_in_is_in_no_report(serve: Any, connect: Connect) -> None:
    application = application_document("planted-api-key")
    welcome = serve.json({"token": "planted-token", "application": application})
    server = await serve(welcome, serve.hang)
    options: dict[str, Any] = {"timeout": 2.0, **LOG_INS["leia"]}
    error = await failed(connect, "leia, a read", server.url, **options)
    assert server.arrivals[-1].headers["token"] == "planted-token"
    assert_clean(reported(error))
    other = await connect("leia", (await serve(welcome)).url, **options)
    headers = await other._caller.auth.headers()
    assert headers["token"] == "planted-token"
    assert repr(headers) == "<hidden values of token>"
    odd = await serve(serve.json({"token": "planted-token", "application": 3}))
    assert_clean(reported(await failed(connect, "leia, a read", odd.url, **options)))


async def test_an_upload_token_that_the_job_has_is_in_no_report(serve: Any) -> None:
    created = {"success": True, "data": {"id": ID, "status": "created"}}
    created["data"] |= {"upload_token": "planted-up"}  # type: ignore[operator]
    for fault in (serve.drop, serve.hang, serve.http(400, b"planted-up is no token")):
        server = await serve(serve.json(created, 201), fault)
        async with BsubioClient(api_key="k", base_url=server.url, timeout=2.0) as client:
            job = await client.jobs.create_job(CreateJobRequest(type="t"))
            with pytest.raises(JobkitError) as caught:
                await job.upload(b"data")
        assert "token=planted-up" in server.arrivals[-1].target
        report = reported(caught.value)
        assert "in upload\n" in report
        assert_clean(report)


@pytest.mark.parametrize("fault", ["silent", "garbage", "401", "no JSON", "odd JSON"])
async def test_a_wait_that_gives_up_is_reported_without_credentials(serve: Any, fault: str) -> None:
    server = await serve(FAULTS[fault](serve))
    polling = Polling(give_up_after=60.0)
    options: dict[str, Any] = {"base_url": server.url, "polling": polling, "timeout": 2.0}
    async with BsubioClient(api_key="planted-api-key", **options) as client:
        waits = [client.job(f"{ID[:-1]}{digit}").wait() for digit in range(3, 8)]
        errors = await asyncio.gather(*waits, return_exceptions=True)
    for error in errors:
        assert isinstance(error, PollingFailed)
        assert_clean(reported(error))
    assert isinstance(errors[-1], PollingFailed)
    assert isinstance(errors[-1].__cause__, JobkitError)


@pytest.mark.parametrize("service", CREDENTIALS)
def test_a_credential_of_the_environment_that_cannot_be_sent_is_in_no_report(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS[service].items():
        monkeypatch.setenv(f"{service}_{name}".upper(), f"{value}\n")
    with pytest.raises(InvalidArgument) as caught:
        find_service(service).client.from_env()
    assert_clean(reported(caught.value))
    with pytest.raises(TypeError) as unknown:
        find_service(service).client.from_env(nonsense=1)
    assert "found = <hidden values of " in reported(unknown.value)
    assert_clean(reported(unknown.value))


async def test_an_error_that_the_user_handles_keeps_its_frames(
    serve: Any, connect: Connect
) -> None:
    server = await serve(serve.http(404))
    client = await connect("bsubio", server.url)

    def own() -> None:
        raise LookupError("of the user's own")

    async def read() -> None:
        try:
            own()
        except LookupError:
            await client.jobs.get_job(ID)

    def make() -> None:
        try:
            own()
        except LookupError:
            BsubioClient.from_env(api_key="a\nb")

    with pytest.raises(NotFound) as caught:
        await read()
    outer = caught.value.__context__
    assert isinstance(outer, LookupError)
    assert [frame.name for frame in traceback.extract_tb(outer.__traceback__)][-1] == "own"
    with pytest.raises(InvalidArgument) as refused:
        make()
    assert refused.value.__context__ is not None
    assert refused.value.__context__.__traceback__ is not None


async def test_an_error_of_the_users_own_source_keeps_its_frames(
    serve: Any, connect: Connect
) -> None:
    server = await serve(serve.hang, early=True)
    client = await connect("bsubio", server.url)

    def spoil() -> int:
        return int("no number")

    async def source() -> AsyncIterator[bytes]:
        yield b"a"
        yield bytes(spoil())

    with pytest.raises(InvalidArgument, match="no number") as caught:
        await client.jobs.upload_job_data(ID, "planted-up", source())
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError)
    names = [frame.name for frame in traceback.extract_tb(cause.__traceback__)]
    assert names == ["source", "spoil"]


def test_forgotten_frames() -> None:
    def fail() -> None:
        try:
            raise ConnectionLost("inner", operation="get_job")
        except ConnectionLost as inner:
            raise ClientClosed("outer") from inner

    with pytest.raises(ClientClosed, match="outer") as caught:
        fail()
    error = caught.value
    inner = error.__cause__
    assert inner is not None
    inner.__context__ = error  # a ring, as can be made
    forget_frames(error, inner)
    assert error.__traceback__ is None
    assert inner.__traceback__ is not None
    forget_frames(error)
    assert inner.__traceback__ is None
    inner.__context__ = None  # what looks at errors as they die follows the ring for ever


# -- values, events and spans


class Kept(Hooks):
    """Keeps all events."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def on_request(self, event: RequestEvent) -> None:
        self.events.append(event)

    def on_retry(self, event: RetryEvent) -> None:
        self.events.append(event)

    def on_look(self, event: LookEvent) -> None:
        self.events.append(event)

    def on_end(self, event: EndEvent) -> None:
        self.events.append(event)


async def test_no_value_event_or_span_shows_a_credential(
    fake_bsubio: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # of all libraries
    exporter = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    kept = Kept()
    hooks = combine_hooks(kept, OpenTelemetryHooks(tracers))
    server = fake_bsubio
    shown: list[object] = []
    async with BsubioClient(
        api_key=server.api_key, base_url=server.base_url, hooks=hooks
    ) as client:
        view = client.with_options(headers={"X-Pass": "planted-header"})
        job = await view.jobs.create_job(CreateJobRequest(type="t"))
        assert job.data is not None
        token = job.data.upload_token
        assert token is not None
        listing = await view.jobs.list_jobs()
        shown += [job, job.data, listing, listing[0].data, job._record, job._record.newest]
        await job.upload(b"data")
        with pytest.raises(JobkitError) as caught:
            await view.jobs.upload_job_data(job.id, token, b"data")
        shown.append(caught.value)
        await job.submit()
        shown.append(await job.wait(check=False))
        caller = view._caller
        shown += [client, view.jobs, caller, caller.auth, caller.options, caller.transport]
        assert caller.auth is not None
        shown += [await caller.auth.headers(), client._tracker]
    spans = exporter.get_finished_spans()
    texts = [*map(repr, shown), *map(str, shown), *map(repr, kept.events), caplog.text]
    texts += [span.to_json() for span in spans]
    assert len(spans) == sum(isinstance(event, RequestEvent) for event in kept.events) > 5
    assert "token=***" in caplog.text
    for text in texts:
        for needle in (token, server.api_key, "planted-header"):
            assert needle not in text
    tracers.shutdown()
