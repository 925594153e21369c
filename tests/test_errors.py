"""What a service's answer becomes: errors of the right class that tell much and leak nothing."""

from __future__ import annotations

import builtins
import copy
import inspect
import json
import logging
import pickle
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

import jobkit_async
from jobkit_async import (
    ApiError,
    BadRequest,
    BsubioClient,
    Conflict,
    DecodeError,
    EcotaxaClient,
    Forbidden,
    InvalidArgument,
    JobkitError,
    LeiaClient,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    ServerError,
    Unauthorized,
    VidispineClient,
    errors,
)
from jobkit_async.answer import Answer, http_date, read, retry_after
from jobkit_async.redact import excerpt, redact
from jobkit_async.registry import find_service
from jobkit_async.request import build
from jobkit_async.services.bsubio import endpoints as bsubio_endpoints
from jobkit_async.services.bsubio import models as bsubio

Opened = Callable[..., Awaitable[Any]]

PUBLIC = [
    "UNSET",
    "AnswerTooLarge",
    "ApiError",
    "AsCompleted",
    "BadRequest",
    "BsubioClient",
    "BsubioJob",
    "CallbackReceiver",
    "ClientClosed",
    "Conflict",
    "ConnectFailed",
    "ConnectionLost",
    "Content",
    "DecodeError",
    "Download",
    "EcotaxaClient",
    "EcotaxaJob",
    "EndEvent",
    "ExponentialBackoff",
    "FixedInterval",
    "Forbidden",
    "Hooks",
    "InvalidArgument",
    "Job",
    "JobCancelled",
    "JobEnded",
    "JobError",
    "JobFailed",
    "JobList",
    "JobLost",
    "JobNeedsInput",
    "JobState",
    "JobUpdate",
    "JobkitError",
    "LeiaClient",
    "LeiaJob",
    "Limits",
    "LookEvent",
    "NotFound",
    "OnInput",
    "Outcome",
    "OutcomeUnknown",
    "PayloadTooLarge",
    "Policy",
    "Polling",
    "PollingFailed",
    "RateLimited",
    "RawResponse",
    "RequestEvent",
    "RequestTimeout",
    "Retry",
    "RetryEvent",
    "ServerError",
    "TableError",
    "Timeout",
    "TransportError",
    "Unauthorized",
    "Unset",
    "Upload",
    "VidispineClient",
    "VidispineJob",
    "WaitTimeout",
    "Waited",
    "WrongEventLoop",
    "as_completed",
    "combine_hooks",
    "wait_all",
    "with_raw_response",
]
EXCEPTIONS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, Exception)
]
JOB_IDS: dict[str, Any] = {"bsubio": "b7b2f4c1", "ecotaxa": 7, "leia": "5dce", "vidispine": "VX-1"}
READS = {"leia": "admin_get_job"}
SERVICES = tuple(JOB_IDS)


def reading(client: Any, job_id: Any = None) -> Callable[[], Awaitable[Any]]:
    """The operation that reads one job."""
    method = getattr(client.jobs, READS.get(client.service, "get_job"))
    arguments = (["app"] if client.service == "leia" else []) + [job_id or JOB_IDS[client.service]]
    return lambda: method(*arguments)


@pytest.fixture
def good_job(minimal: dict[str, dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    """A good answer to the reading of one job."""

    def make(service: str) -> dict[str, Any]:
        if service == "bsubio":
            return {"success": True, "data": {"id": JOB_IDS[service], "status": "pending"}}
        name = {"ecotaxa": "JobModel", "leia": "Job", "vidispine": "JobType"}[service]
        return minimal[service][name]

    return make


# -- the public names


def test_the_public_names_are_pinned() -> None:
    assert jobkit_async.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(jobkit_async, name) is not None
        assert name in dir(jobkit_async)
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = jobkit_async.no_such_thing


def test_every_exception_is_public_and_under_one_root() -> None:
    for cls in EXCEPTIONS:
        assert issubclass(cls, JobkitError)
        assert cls.__name__ in errors.__all__
        assert cls.__name__ in jobkit_async.__all__
        assert getattr(jobkit_async, cls.__name__) is cls
        assert inspect.getdoc(cls)


def test_no_public_name_shadows_a_builtin() -> None:
    assert not set(jobkit_async.__all__) & set(dir(builtins))


def test_the_tree() -> None:
    bases = {
        "InvalidArgument": (JobkitError, ValueError),
        "ClientClosed": (JobkitError, RuntimeError),
        "WrongEventLoop": (JobkitError, RuntimeError),
        "ConnectFailed": (errors.TransportError, ConnectionError),
        "RequestTimeout": (errors.TransportError, TimeoutError),
        "OutcomeUnknown": (errors.TransportError,),
        "BadRequest": (ApiError,),
        "Unauthorized": (ApiError,),
        "Forbidden": (ApiError,),
        "NotFound": (ApiError,),
        "Conflict": (ApiError,),
        "PayloadTooLarge": (ApiError,),
        "RateLimited": (ApiError,),
        "ServerError": (ApiError,),
        "DecodeError": (JobkitError,),
        "JobFailed": (errors.JobError,),
        "JobCancelled": (errors.JobError,),
        "JobNeedsInput": (errors.JobError,),
        "JobLost": (errors.JobError,),
        "JobEnded": (errors.JobError,),
        "PollingFailed": (errors.JobError,),
        "WaitTimeout": (errors.JobError, TimeoutError),
    }
    for name, expected in bases.items():
        assert getattr(errors, name).__bases__ == expected
    assert not issubclass(DecodeError, ApiError)


# -- pickling

SNAPSHOT = bsubio.Job(id="7", status="failed", upload_token="u")


def options(cls: type[JobkitError]) -> dict[str, Any]:
    """Arguments for an exception, every one that it takes."""
    about: dict[str, Any] = {"message": "over", "ref": "jk1:a:00000000:7", "snapshot": SNAPSHOT}
    for base, arguments in (
        (InvalidArgument, {"argument": "limit", "problem": "it is too large"}),
        (errors.TransportError, {"message": "lost", "operation": "get_job"}),
        (ApiError, {"message": "no", "status": 418, "operation": "op", "body": "x" * 1000}),
        (
            DecodeError,
            {"problem": "odd", "operation": "op", "path": "$.a", "status": 202, "body": "<" * 999},
        ),
        (errors.JobFailed, {**about, "reason": "ENOMEM"}),
        (errors.JobNeedsInput, {**about, "needs": "answer", "question": {"q": [1]}}),
        (errors.JobError, about),
    ):
        if issubclass(cls, base):
            return arguments
    return {"message": "a message"}


@pytest.mark.parametrize("cls", EXCEPTIONS)
def test_exceptions_survive_pickling(cls: type[JobkitError]) -> None:
    error = cls(**options(cls))
    if isinstance(error, RateLimited | ServerError):
        error.retry_after = 7.5
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is cls
        assert str(again) == str(error)
        assert vars(again) == vars(error)
        assert again.args == error.args
    assert vars(copy.copy(error)) == vars(copy.deepcopy(error)) == vars(error)
    for name, value in options(cls).items():
        if name not in ("message", "problem", "body"):
            assert getattr(error, name) == value
    assert len(getattr(error, "body", "")) <= errors.EXCERPT == 256


async def test_errors_from_calls_survive_pickling(opened: Opened, recorder: Any) -> None:
    client = (await opened("bsubio")).with_options(retries=0)
    caught: list[JobkitError] = []
    for status, body in ((429, "slow down"), (404, "none"), (200, "<html>"), (200, "{}")):
        recorder.say(body, status=status, Retry_After="3")
        with pytest.raises(JobkitError) as error:
            await client.jobs.get_job("7")
        caught.append(error.value)
    with pytest.raises(InvalidArgument) as refused:
        await client.jobs.get_job("")
    for one in [*caught, refused.value]:
        again = pickle.loads(pickle.dumps(one))
        assert (type(again), str(again), vars(again)) == (type(one), str(one), vars(one))


# -- statuses

STATUSES = {
    400: BadRequest,
    401: Unauthorized,
    402: ApiError,
    403: Forbidden,
    404: NotFound,
    405: ApiError,
    406: ApiError,
    409: Conflict,
    410: ApiError,
    413: PayloadTooLarge,
    416: ApiError,
    418: ApiError,
    422: BadRequest,
    429: RateLimited,
    451: ApiError,
    500: ServerError,
    501: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    599: ServerError,
    300: ApiError,
    301: ApiError,
    302: ApiError,
    303: ApiError,
    304: ApiError,
    307: ApiError,
    308: ApiError,
}


@pytest.mark.parametrize(("status", "cls"), STATUSES.items())
@pytest.mark.parametrize("service", SERVICES)
async def test_each_status_has_its_class(
    service: str,
    status: int,
    cls: type[ApiError],
    opened: Opened,
    recorder: Any,
    good_job: Callable[[str], Any],
) -> None:
    client = await opened(service)
    read = reading(client.with_options(retries=0))
    recorder.say({"detail": "as it is"}, status=status, Location="http://127.0.0.1:1/elsewhere")
    with pytest.raises(ApiError) as caught:
        await read()
    assert type(caught.value) is cls
    assert caught.value.status == status
    assert caught.value.operation == READS.get(service, "get_job")
    assert f"HTTP {status}" in str(caught.value)
    assert (
        len(recorder.arrived) == 1
    )  # redirects elsewhere are not followed, and nothing is repeated
    if status >= 400:
        assert "as it is" in str(caught.value)
        assert json.loads(caught.value.body) == {"detail": "as it is"}
    recorder.say(good_job(service))
    assert (await read()).id == (await read()).id


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 226, 299])
async def test_any_2xx_is_good(
    status: int, opened: Opened, recorder: Any, good_job: Callable[[str], Any]
) -> None:
    for service in SERVICES:
        recorder.say(good_job(service), status=status)
        assert (await reading(await opened(service))()).data is not None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "99999999"}, 3600.0),
        ({"Retry-After": "9" * 400}, 3600.0),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "+3"}, None),
        ({"Retry-After": "1e3"}, None),
        ({"Retry-After": "1_0"}, None),
        ({"Retry-After": "1."}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        (
            {
                "Date": "Sun, 01 Mar 2026 10:00:00 GMT",
                "Retry-After": "Sun, 01 Mar 2026 10:00:30 GMT",
            },
            30.0,
        ),
        (
            {
                "Date": "Sun, 01 Mar 2026 10:00:00 GMT",
                "Retry-After": "Sun, 01 Mar 2026 09:00:00 GMT",
            },
            0.0,
        ),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_how_long_to_wait(
    status: int,
    headers: dict[str, str],
    seconds: float | None,
    opened: Opened,
    recorder: Any,
) -> None:
    client = (await opened("bsubio")).with_options(retries=0)
    recorder.say("wait", status=status, **headers)
    with pytest.raises(RateLimited if status == 429 else ServerError) as caught:
        await client.jobs.get_job("7")
    assert caught.value.retry_after == seconds


# -- reasons

HTML = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>" + "<p>" * 2000


@pytest.mark.parametrize(
    ("service", "status", "body", "said"),
    [
        ("bsubio", 404, {"success": False, "error": "job not found"}, "job not found"),
        ("bsubio", 400, "unknown job type\nsecond line", "unknown job type"),
        ("bsubio", 500, "", "no explanation"),
        ("ecotaxa", 401, {"detail": "Could not validate credentials"}, "Could not validate"),
        ("ecotaxa", 403, {"detail": "You can't do this."}, "You can't do this."),
        (
            "ecotaxa",
            422,
            {"detail": [{"loc": ["path", "job_id"], "msg": "no integer", "type": "type_error"}]},
            "path.job_id: no integer",
        ),
        ("ecotaxa", 422, {"detail": "a plain sentence"}, "a plain sentence"),
        (
            "ecotaxa",
            500,
            "---- BACK-END ----\nTraceback (most recent call last):\n",
            "---- BACK-END ----",
        ),
        (
            "leia",
            404,
            {"detail": "Job not found", "status": 404, "title": "Not Found", "type": "about:blank"},
            "Job not found",
        ),
        ("leia", 400, {"title": "Bad Request", "detail": ""}, "Bad Request"),
        (
            "vidispine",
            400,
            {"invalidInput": {"context": "type", "id": None, "explanation": "no such type"}},
            "invalidInput: no such type",
        ),
        (
            "vidispine",
            404,
            {"notFound": {"type": "job", "id": "VX-1"}},
            "notFound: type job, id VX-1",
        ),
        ("vidispine", 409, {"conflict": {"type": "job", "id": "VX-1"}}, "conflict: type job"),
        (
            "vidispine",
            404,
            '<?xml version="1.0"?><ExceptionDocument><notFound/></ExceptionDocument>',
            "an HTML or XML page",
        ),
        *((service, 502, HTML, "an HTML or XML page") for service in SERVICES),
        *((service, 500, b"\xff\xfe\x00\x80" * 99, "HTTP 500") for service in SERVICES),
        *((service, 400, "[" * 9000, "HTTP 400") for service in SERVICES),
        *((service, 400, "null", "HTTP 400") for service in SERVICES),
        *((service, 400, {"detail": {"a": {"b": 1}}}, "HTTP 400") for service in SERVICES),
        *((service, 500, "x" * 100_000, "xxxxx") for service in SERVICES),
    ],
)
async def test_what_the_service_says_is_told(
    service: str,
    status: int,
    body: Any,
    said: str,
    opened: Opened,
    recorder: Any,
    good_job: Callable[[str], Any],
) -> None:
    client = await opened(service)
    read = reading(client.with_options(retries=0))
    recorder.say(body, status=status)
    with pytest.raises(ApiError) as caught:
        await read()
    assert caught.value.status == status
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert len(caught.value.body) <= 256
    recorder.say(good_job(service))
    assert (await read()).data is not None


async def test_a_success_that_says_it_is_none(opened: Opened, recorder: Any) -> None:
    client = await opened("bsubio")
    recorder.say({"success": False, "error": "quota exceeded"})
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: client.jobs.get_job("7"),
        client.jobs.list_jobs,
        lambda: client.jobs.create_job(bsubio.CreateJobRequest(type="x")),
        lambda: client.jobs.submit_job("7"),
        lambda: client.jobs.cancel_job("7"),
        lambda: client.jobs.delete_job("7"),
        lambda: client.jobs.upload_job_data("7", "upload-token", b"data"),
        lambda: client.job("7").refresh(),
    ]
    for call in calls:
        with pytest.raises(ApiError, match="quota exceeded") as caught:
            await call()
        assert caught.value.status == 200
    assert len(recorder.arrived) == len(calls)


# -- answers of another shape

ODD: list[tuple[Any, str]] = [
    (b"", "$"),
    (b"  \n", "$"),
    (b"null", "$"),
    (b"true", "$"),
    (b"7", "$"),
    (b'"text"', "$"),
    (b"[]", "$"),
    (b'{"id":', "$"),
    (b"plain text", "$"),
    (HTML, "$"),
    (b"\xff\xfe\x00", "$"),
    (b"PK\x03\x04" + bytes(5000), "$"),
    (b"[" * 100_000, "$"),
]


@pytest.mark.parametrize(("body", "path"), ODD, ids=[repr(body)[:20] for body, _ in ODD])
@pytest.mark.parametrize("service", SERVICES)
async def test_an_answer_that_is_no_job(
    service: str,
    body: Any,
    path: str,
    opened: Opened,
    recorder: Any,
    good_job: Callable[[str], Any],
) -> None:
    client = await opened(service)
    read = reading(client)
    recorder.say(body)
    with pytest.raises(DecodeError) as caught:
        await read()
    assert caught.value.path == path
    assert (caught.value.status, caught.value.operation) == (200, READS.get(service, "get_job"))
    assert len(caught.value.body) <= 256
    assert f" at {path}:" in str(caught.value)
    recorder.say(good_job(service))
    assert (await read()).data is not None


@pytest.mark.parametrize(
    ("service", "body", "path"),
    [
        ("bsubio", {"success": True}, "$"),
        ("bsubio", {"success": True, "data": None}, "$.data"),
        ("bsubio", {"success": True, "data": []}, "$.data"),
        ("bsubio", {"success": True, "data": {"id": 7}}, "$.data.id"),
        ("bsubio", {"data": {"id": "7", "created_at": "yesterday"}}, "$.data.created_at"),
        ("ecotaxa", {"id": 7}, "$.owner_id"),
        ("leia", {"id": "7", "status": "READY"}, "$.job_type"),
        ("vidispine", {"status": "READY"}, "$.jobId"),
        ("vidispine", {"jobId": "VX-1", "log": {"task": [{}]}}, "$.log.task[0].step"),
    ],
)
async def test_where_an_answer_is_odd(
    service: str, body: Any, path: str, opened: Opened, recorder: Any
) -> None:
    recorder.say(body, status=202)
    with pytest.raises(DecodeError) as caught:
        await reading(await opened(service))()
    assert (caught.value.path, caught.value.status) == (path, 202)


@pytest.mark.parametrize(
    "body", [b"", b"7", b"{}", b'{"success": true}', b'{"data": null}', b"<html>", b'[{"id"']
)
async def test_an_answer_that_is_no_listing(body: bytes, opened: Opened, recorder: Any) -> None:
    recorder.say(body)
    for service, call in (
        ("bsubio", lambda jobs: jobs.list_jobs()),
        ("ecotaxa", lambda jobs: jobs.list_jobs(for_admin=False)),
        ("leia", lambda jobs: jobs.admin_get_jobs()),
        ("vidispine", lambda jobs: jobs.get_jobs()),
    ):
        client = await opened(service)
        with pytest.raises(DecodeError):
            await call(client.jobs)


async def test_listings_that_found_nothing(opened: Opened, recorder: Any) -> None:
    leia, vidispine = await opened("leia"), await opened("vidispine")
    recorder.say({"detail": "nothing found"}, status=404)
    assert list(await leia.jobs.admin_get_jobs()) == []
    assert await leia.models.admin_get_models() == []
    recorder.say({"hits": 0})
    found = await vidispine.jobs.get_jobs()
    assert (list(found), found.total) == ([], 0)
    recorder.say({"hits": 0, "job": None})
    assert list(await vidispine.jobs.get_jobs()) == []
    bsubio_client = await opened("bsubio")
    recorder.say({"success": True, "data": {"jobs": None, "total": 0}})
    assert list(await bsubio_client.jobs.list_jobs()) == []


@pytest.mark.parametrize(
    "body",
    [
        {"hits": 2, "uri": ["VX-1", "VX-2"]},
        {"hits": 2, "uri": []},
        {"hits": 2, "jobs": [{"jobId": "VX-1"}, {"jobId": "VX-2"}]},
    ],
)
async def test_a_listing_of_something_else_is_not_taken_for_an_empty_one(
    body: Any, opened: Opened, recorder: Any
) -> None:
    client = await opened("vidispine")
    recorder.say(body)
    with pytest.raises(DecodeError, match="no member 'job'") as caught:
        await client.jobs.get_jobs(idonly=True)
    assert (caught.value.operation, caught.value.path) == ("get_jobs", "$")


async def test_a_page_beyond_the_last_job_tells_only_how_many_there_are(
    opened: Opened, recorder: Any
) -> None:
    client = await opened("vidispine")
    recorder.say({"hits": 2})
    found = await client.jobs.get_jobs(first=3)
    assert (list(found), found.total) == ([], 2)


async def test_a_job_without_an_id_is_none(opened: Opened, recorder: Any) -> None:
    client = await opened("bsubio")
    recorder.say({"success": True, "data": {"status": "pending"}})
    with pytest.raises(DecodeError, match="no id"):
        await client.jobs.get_job("7")


@pytest.mark.parametrize(
    ("status", "body"), [(204, b""), (200, b""), (200, b"null"), (202, b" \n"), (205, b"")]
)
async def test_an_answer_of_nothing(
    status: int, body: bytes, opened: Opened, recorder: Any
) -> None:
    recorder.say(body, status=status)
    bsubio_client, ecotaxa, leia, vidispine = [await opened(service) for service in SERVICES]
    calls: list[Awaitable[Any]] = [
        bsubio_client.jobs.delete_job("7"),
        ecotaxa.jobs.erase_job(7),
        ecotaxa.jobs.restart_job(7),
        ecotaxa.jobs.reply_job_question(7, body={}),
        leia.jobs.admin_cancel_job("app", "5dce"),
        leia.models.admin_delete_model("app", "model"),
        leia.models.admin_untag_model("app", "model", "tag"),
        vidispine.jobs.abort_job("VX-1"),
        vidispine.jobs.delete_jobs(["VX-1"]),
        vidispine.jobs.update_job("VX-1"),
    ]
    for call in calls:
        assert await call is None


# -- answers that break off


def cut_off(body: bytes) -> list[bytes]:
    """Answers that end before they should."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    half = body[: len(body) // 2]
    size = b"%x\r\n"
    return [
        head + b"Content-Length: %d\r\n\r\n" % (len(body) + 10) + body,
        head + b"Content-Length: %d\r\n\r\n" % len(body) + half,
        head + b"Transfer-Encoding: chunked\r\n\r\n" + size % len(body) + body + b"\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n" + size % len(body) + half,
        head + b"Transfer-Encoding: chunked\r\n\r\n" + size % len(half) + half + b"\r\n",
    ]


@pytest.mark.parametrize("way", range(5))
@pytest.mark.parametrize("service", SERVICES)
async def test_an_answer_that_is_cut_off(
    service: str,
    way: int,
    opened: Opened,
    recorder: Any,
    good_job: Callable[[str], Any],
) -> None:
    client = await opened(service)
    read = reading(client.with_options(retries=0))
    body = json.dumps(good_job(service)).encode()
    recorder.say_raw(cut_off(body)[way])
    with pytest.raises(DecodeError, match="cut off") as caught:
        await read()
    assert caught.value.status == 200
    assert len(caught.value.body) <= 256
    recorder.say(good_job(service))
    assert (await read()).data is not None


@pytest.mark.parametrize("way", range(5))
async def test_a_confirmation_that_is_cut_off_is_no_success(
    way: int, opened: Opened, recorder: Any
) -> None:
    client = (await opened("ecotaxa")).with_options(retries=0)
    recorder.say_raw(cut_off(b"null" * 10)[way])
    with pytest.raises(DecodeError, match="cut off"):
        await client.jobs.get_job_log_file(7)
    with pytest.raises(JobkitError):
        await client.jobs.restart_job(7)


@pytest.mark.parametrize("way", range(5))
async def test_a_refusal_that_is_cut_off_is_told_by_its_status(
    way: int, opened: Opened, recorder: Any
) -> None:
    client = (await opened("ecotaxa")).with_options(retries=0)
    raw = cut_off(b'{"detail": "You can\'t do this."}')[way].replace(b"200 OK", b"403 Forbidden")
    recorder.say_raw(raw)
    for call in (client.jobs.get_job, client.jobs.get_job_file, client.jobs.restart_job):
        with pytest.raises(Forbidden):
            await call(7)


def test_digits_of_other_scripts_are_no_time_to_wait() -> None:
    assert retry_after({"Retry-After": "\u0663"}) is None


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_new_york")
@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 -0000",
        "Sun, 06 Nov 1994 09:49:37 +0100",
    ],
)
def test_dates_are_in_utc_wherever_the_client_is(text: str) -> None:
    assert http_date(text) == 784111777.0


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 2", b"garbage\r\n\r\n", b"SSH-2.0-OpenSSH\r\n"])
async def test_no_answer_at_all(raw: bytes, opened: Opened, recorder: Any) -> None:
    client = (await opened("ecotaxa")).with_options(retries=0)
    recorder.say_raw(raw)
    with pytest.raises(errors.TransportError) as caught:
        await client.jobs.get_job(7)
    assert type(caught.value) is errors.ConnectionLost
    with pytest.raises(errors.OutcomeUnknown, match="updated_on"):
        await client.jobs.restart_job(7)


# -- secrets

SECRETS = {
    "bsubio": {"api_key": "planted-api-key"},
    "ecotaxa": {"token": "planted-token"},
    "leia": {"token": "planted-token"},
    "vidispine": {"username": "ann", "password": "planted-password"},
}
UPLOAD_TOKEN = "planted/up load"


def shown(error: BaseException) -> str:
    """Everything that anybody gets to see of an error."""
    text = "".join(traceback.format_exception(error))
    return f"{error} {error!r} {vars(error)} {error.args} {text}"


def assert_clean(text: str) -> None:
    """No planted secret, in whatever spelling, is in a text."""
    # Their beginnings do: what is left of one that an excerpt cuts through is a leak as well.
    for beginning in ("planted", "YW5uOnBsYW50", "up load", "up%20load"):
        assert beginning not in text


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 422, 500])
@pytest.mark.parametrize("service", SERVICES)
async def test_credentials_that_a_server_echoes_are_redacted(
    service: str, status: int, opened: Opened, recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="jobkit_async")
    client = (await opened(service, **SECRETS[service])).with_options(retries=0)
    recorder.say("{}")
    with pytest.raises(JobkitError):
        await reading(client)()
    (seen,) = recorder.arrived
    echoed = seen.headers.get("Authorization", seen.headers.get("token", ""))
    bare = next(iter(reversed(SECRETS[service].values())))
    for body in (
        f"who sends {echoed} here?",
        {"detail": f"bad header: {echoed}"},
        {"error": f"bad key {bare} given"},
        {"headers": {"Authorization": echoed, "token": bare}, "detail": [bare, {"msg": echoed}]},
        f"<html>{echoed}</html>",
        f'{{"data": "{bare}',
    ):
        recorder.say(body, status=status)
        with pytest.raises(JobkitError) as caught:
            await reading(client)()
        assert_clean(shown(caught.value))
    assert_clean(caplog.text)


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize("service", SERVICES)
async def test_credentials_that_an_excerpt_cuts_through_are_redacted(
    service: str, status: int, opened: Opened, recorder: Any
) -> None:
    client = (await opened(service, **SECRETS[service])).with_options(retries=0)
    secret = next(iter(reversed(SECRETS[service].values())))
    # The message and the excerpt each end somewhere within it.
    for length in (246, 250, 256 - len(secret)):
        recorder.say("x" * length + secret + "y" * 300, status=status)
        with pytest.raises(JobkitError) as caught:
            await reading(client)()
        assert secret[:6] not in shown(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "error": f"no upload token {UPLOAD_TOKEN} here"},
        {"success": False, "error": "no", "upload_token": UPLOAD_TOKEN},
        f"/v1/upload/7?token={UPLOAD_TOKEN.replace('/', '%2F').replace(' ', '%20')} is unknown",
        f"<html>{UPLOAD_TOKEN}</html>",
        f'{{"data": "{UPLOAD_TOKEN}',
        "x" * 246 + UPLOAD_TOKEN,
        [UPLOAD_TOKEN],
    ],
)
@pytest.mark.parametrize("status", [200, 401, 500])
async def test_an_upload_token_that_a_server_echoes_is_redacted(
    status: int, body: Any, opened: Opened, recorder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="jobkit_async")
    client = await opened("bsubio")
    recorder.say(body, status=status)
    with pytest.raises(JobkitError) as caught:
        await client.jobs.upload_job_data("7", UPLOAD_TOKEN, b"data")
    assert_clean(shown(caught.value))
    recorder.say_raw(b"")
    with pytest.raises(JobkitError) as caught:
        await client.jobs.upload_job_data("7", UPLOAD_TOKEN, b"data")
    assert_clean(shown(caught.value))
    assert_clean(caplog.text)
    assert "upload" in caplog.text


async def test_an_upload_token_in_an_odd_answer_is_redacted(opened: Opened, recorder: Any) -> None:
    client = await opened("bsubio")
    job = {"id": "7", "upload_token": UPLOAD_TOKEN, "data_size": "many"}
    for answer in ({"data": job}, {"data": {"jobs": [job, job]}}):
        recorder.say(answer)
        call = client.jobs.list_jobs if "jobs" in answer["data"] else reading(client)
        with pytest.raises(DecodeError) as caught:
            await call()
        assert caught.value.path.endswith(".data_size")
        assert_clean(shown(caught.value))


async def test_handles_models_and_clients_do_not_show_secrets(
    opened: Opened, recorder: Any
) -> None:
    for service in SERVICES:
        client = await opened(service, **SECRETS[service])
        view = client.with_options(headers={"X-Own": "planted-token"})
        job = client.job(JOB_IDS[service])
        for thing in (client, view, client.jobs, job, client._caller, view._caller, job._record):
            assert_clean(f"{thing} {thing!r}")
    client = await opened("bsubio")
    recorder.say({"data": {"id": "7", "status": "created", "upload_token": UPLOAD_TOKEN}})
    job = await client.jobs.get_job("7")
    assert job.data.upload_token == UPLOAD_TOKEN
    listing = jobkit_async.JobList([job], total=1)
    for thing in (job, job.data, job.ref, listing, [job], client, job._record):
        assert_clean(f"{thing} {thing!r}")
    with pytest.raises(errors.JobNeedsInput) as caught:
        await job.wait(timeout=5)
    assert caught.value.needs == "upload"
    assert_clean(shown(caught.value))


def test_requests_do_not_show_secrets() -> None:
    row = bsubio_endpoints.UPLOAD_JOB_DATA
    request = build(row, ("7", UPLOAD_TOKEN, b"data"))
    assert UPLOAD_TOKEN.replace("/", "%2F").replace(" ", "%20") in request.target
    assert_clean(f"{request} {request!r}")


def test_closed_and_unopened_clients_do_not_show_secrets() -> None:
    clients: list[Any] = [
        BsubioClient(api_key="planted-api-key"),
        EcotaxaClient(token="planted-token"),
        EcotaxaClient(username="ann", password="planted-password"),
        LeiaClient(api_key="planted-api-key"),
        LeiaClient(token="planted-token"),
        VidispineClient(username="ann", password="planted-password"),
    ]
    for client in clients:
        for thing in (client, client._caller, client._caller.auth, client._caller.transport):
            assert_clean(f"{thing} {thing!r}")


LOG_INS = {
    "ecotaxa": {"username": "ann", "password": "planted-password"},
    "leia": {"api_key": "planted-api-key"},
}


@pytest.mark.parametrize(
    ("service", "status", "body"),
    [
        *(
            case
            for service, options in LOG_INS.items()
            for secret in [list(options.values())[-1]]
            for case in (
                (service, 200, b"{}"),
                (service, 200, f"odd: {secret}"),
                (service, 200, {"unexpected": secret}),
                (service, 200, {"token": ["planted-token"], "access_token": "planted-token"}),
                (service, 400, f"what is {secret}?"),
                (service, 403, {"detail": f"{secret} is wrong"}),
                (service, 422, {"detail": [{"msg": "bad", "input": {"password": secret}}]}),
            )
        ),
        # The token itself, in an answer that is not quite what it should be.
        ("ecotaxa", 200, b'"planted-token'),
        ("ecotaxa", 200, b'["planted-token"]'),
        ("ecotaxa", 200, b"planted-token"),
        ("leia", 200, b'{"token": "planted-token'),
        ("leia", 200, {"token": "planted-token", "application": {}}),
        ("leia", 200, {"token": "planted-token", "application": {"api_key": "planted-api-key"}}),
    ],
)
async def test_a_log_in_that_fails_does_not_show_secrets(
    service: str,
    status: int,
    body: Any,
    opened: Opened,
    recorder: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="jobkit_async")
    client = await opened(service, **LOG_INS[service])
    recorder.say(body, status=status)
    with pytest.raises(JobkitError) as caught:
        await reading(client)()
    assert "login" in str(caught.value)
    assert_clean(shown(caught.value))
    assert_clean(caplog.text)


def test_texts_are_redacted_by_name_and_by_value() -> None:
    for text in (
        '{"upload_token": "planted-token"}',
        "{'password': 'planted-password'}",
        '{"api_key" : "planted-api-key", "x": 1}',
        '{"password": "with \\" quote planted-password"}',
        "Authorization: Bearer planted-token",
        "Authorization=Basic YW5uOnBsYW50ZWQtcGFzc3dvcmQ=",
        "?token=planted-token&x=1",
        "token=planted%2Fup%20load",
        '{"token": "planted-token',
        '{"apiKey": "planted-api-key"}',
        '{"access_token": "planted-token"}',
        '{"client_secret": "planted-token"}',
    ):
        assert_clean(redact(text))
        assert "***" in redact(text)
    assert redact("a planted-token b", ["planted-token"]) == "a *** b"
    assert redact("nothing here", [""]) == "nothing here"
    assert_clean(excerpt(b"x" * 246 + b"planted-token", ["planted-token"]))
    assert excerpt(b"y" * 10_000) == "y" * 256
    assert excerpt(b"\xff") == "\ufffd"


@pytest.mark.parametrize(
    "secret", ['p\u00e4"ss-word/1', "a b+c%d&e", "back\\slash", "\U0001f511key"]
)
def test_credentials_are_found_in_every_spelling(secret: str) -> None:
    ascii_json = json.dumps(secret)[1:-1]
    json_text = json.dumps(secret, ensure_ascii=False)[1:-1]
    spellings = {
        secret,
        ascii_json,
        json_text,
        ascii_json.replace("/", "\\/"),
        json_text.replace("/", "\\/"),
        re.sub(r"\\u....", lambda found: "\\u" + found[0][2:].upper(), ascii_json),
        quote(secret),
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
        quote_plus(secret),
    }
    for spelling in spellings:
        assert redact(f"a {spelling} b", [secret]) == "a *** b"
        for length in range(256 - len(spelling), 257):
            text = f"{'x' * length}{spelling}{'y' * 300}".encode()
            assert excerpt(text, [secret]).strip("xy") in ("", "***", "**", "*")
        for cut in range(1, len(spelling)):
            text = f"{'x ' * 2048}".encode()[: 4096 - cut] + spelling.encode()
            assert not excerpt(text, [secret]).strip("x ")


def test_sentences_about_credentials_stay_readable() -> None:
    for text in (
        "Could not validate credentials",
        "the token has expired",
        "wrong user name or password",
        "no secret is that old",
    ):
        assert redact(text) == text


@pytest.mark.parametrize("number", ["9" * 19, "9" * 5000, "-1", "1.0", "", "*", "٣" * 5000])
async def test_a_total_that_is_none(number: str) -> None:
    row = find_service("leia").table.row("admin_get_jobs")
    request = build(row, (None,) * len(row.params))
    assert read(request, Answer(200, {"Content-Range": f"jobs 0-9/{number}"}, b"[]")) == ([], None)


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("utf-8", "aéb\ufffd"),
        ("ISO-8859-1", "aÃ©bÿ"),
        *(
            (odd, "aéb\ufffd")
            for odd in [
                "idna",
                "punycode",
                "unicode_escape",
                "raw-unicode-escape",
                "undefined",
                "mbcs",
                "base64",
                "rot13",
                "hex",
                "no such",
                "a\0b",
                "ü" * 200,
            ]
        ),
    ],
)
def test_text_in_odd_charsets(charset: str, text: str) -> None:
    row = find_service("ecotaxa").table.row("get_job_log_file")
    request = build(row, (7,))
    headers = {"Content-Type": f"text/plain; charset={charset}; x=1"}
    assert read(request, Answer(200, headers, b"a\xc3\xa9b\xff")) == text


@pytest.mark.parametrize("length", [100, 2048, 2049, 1_000_000])
def test_no_message_is_longer_than_that(length: int) -> None:
    for error in (
        errors.JobkitError("x" * length),
        errors.InvalidArgument("a", "x" * length),
        errors.JobFailed("x" * length, ref="r", reason="x" * length),
        errors.api_error(500, operation="op", reason="x" * length, body="x" * length),
        errors.DecodeError("x" * length, operation="op", path="$." + "x" * length),
    ):
        assert len(str(error)) <= errors.LONGEST
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(errors.JobkitError("x" * 2048)) == "x" * 2048
    assert str(errors.JobkitError("x" * 2049)) == "x" * 2047 + "…"


async def test_a_name_in_an_answer_that_is_a_credential_is_redacted(
    opened: Opened, recorder: Any
) -> None:
    client = await opened("leia", token="planted-token")
    recorder.say({"planted-token": 1})
    with pytest.raises(DecodeError) as caught:
        await client.jobs.admin_get_job_statuses("s", ["7"])
    assert_clean(shown(caught.value))
    assert_clean(caught.value.path)
