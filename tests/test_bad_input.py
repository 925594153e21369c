"""What cannot be sent is refused before any I/O, by an error that names the argument."""

from __future__ import annotations

import asyncio
import io
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import attrs
import pytest

from jobkit_async import (
    UNSET,
    BsubioClient,
    ClientClosed,
    EcotaxaClient,
    InvalidArgument,
    LeiaClient,
    Polling,
    Upload,
    VidispineClient,
    WrongEventLoop,
    as_completed,
    wait_all,
)
from jobkit_async.endpoint import CSV, Endpoint, Param, Place
from jobkit_async.registry import find_service, service_names
from jobkit_async.services.bsubio import models as bsubio
from jobkit_async.services.leia import models as leia
from jobkit_async.services.vidispine import models as vidispine

Opened = Callable[..., Awaitable[Any]]

SERVICES = ("bsubio", "ecotaxa", "leia", "vidispine")
JOB_IDS: dict[str, Any] = {"bsubio": "b7b2f4c1", "ecotaxa": 7, "leia": "5dce", "vidispine": "VX-1"}
ROWS = [
    pytest.param(name, row, id=f"{name}-{row.name}")
    for name in service_names()
    for api in find_service(name).table.apis
    for row in api.rows
]
PARAMS = [
    pytest.param(*row.values, param, id=f"{row.id}-{param.name}")
    for row in ROWS
    for param in row.values[1].params
]


@pytest.fixture(autouse=True)
async def nothing_is_sent(recorder: Any) -> AsyncIterator[None]:
    """No test here reaches the server, not even with an empty connection."""
    yield
    assert recorder.untouched


@pytest.fixture
def call_with(
    opened: Opened, method_of: Callable[..., Any], sample_argument: Callable[..., Any]
) -> Callable[..., Awaitable[Any]]:
    """Calls an operation with one argument of the test's choice and samples for the rest."""

    clients: dict[str, Any] = {}

    async def make(service: str, row: Endpoint, name: str, value: Any) -> Any:
        if service not in clients:
            clients[service] = await opened(service)
        client = clients[service]
        given = {p.name: sample_argument(service, p) for p in row.params if p.required}
        return await method_of(client, row.name)(**{**given, name: value})

    return make


def refused(argument: str) -> Any:
    """Expects an error that names this argument, in its attribute and first in its message."""
    return pytest.RaisesExc(
        InvalidArgument,
        check=lambda error: error.argument == argument and str(error).startswith(f"{argument}: "),
    )


# -- arguments that Python itself refuses


@pytest.mark.parametrize(("service", "row"), ROWS)
async def test_unknown_missing_and_misplaced_arguments_are_type_errors(
    service: str,
    row: Endpoint,
    opened: Opened,
    method_of: Callable[..., Any],
    sample_argument: Callable[..., Any],
) -> None:
    method = method_of(await opened(service), row.name)
    given = {p.name: sample_argument(service, p) for p in row.params}
    required = [given[p.name] for p in row.params if p.required]
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such_thing'"):
        await method(*required, no_such_thing=1)
    with pytest.raises(TypeError, match="positional argument"):
        await method(*required, "one too many")
    if required:
        with pytest.raises(TypeError, match="missing"):
            await method(*required[:-1])


# -- values of each kind


def wrong_values(param: Param) -> list[Any]:
    """Values of other types than a parameter takes."""
    if attrs.has(param.type):
        return [{}, "text", 1, [], object(), param.type, bsubio.Error()]
    if param.type is dict:
        return [[], [("a", 1)], "text", 1, object(), {1: "a"}, {None: "a"}]
    if param.type is bytes:
        return [3, 1.5, True, ["a"], (b"a",), object(), {}, iter([b"a"])]
    if param.is_list:
        return ["text", b"text", {"a": 1}, 3, True, [], (), [1], [None], [b"a"], [["a"]], object()]
    return {
        str: [1, 1.5, True, b"text", ["text"], {"a": 1}, object(), UUID(int=1), Decimal(1)],
        int: ["1", 1.5, 1.0, True, False, b"1", [1], math.nan, Decimal(1), object()],
        bool: [0, 1, "true", "", b"", [], object()],
        datetime: ["2026-01-01T00:00:00", 1767225600, 1.5, True, date(2026, 1, 1), object()],
    }[param.type]


@pytest.mark.parametrize(("service", "row", "param"), PARAMS)
async def test_values_of_another_type(
    service: str, row: Endpoint, param: Param, call_with: Callable[..., Awaitable[Any]]
) -> None:
    for value in wrong_values(param) + ([None] if param.required else []):
        with refused(param.name):
            await call_with(service, row, param.name, value)


@pytest.mark.parametrize(
    ("service", "row", "param"),
    [case for case in PARAMS if case.values[2].element is str],
)
async def test_texts_that_no_url_can_hold(
    service: str, row: Endpoint, param: Param, call_with: Callable[..., Awaitable[Any]]
) -> None:
    for bad in ("\ud800", "a\udfffb"):
        with refused(param.name):
            await call_with(service, row, param.name, [bad] if param.is_list else bad)


@pytest.mark.parametrize(
    ("service", "row", "param"),
    [case for case in PARAMS if case.values[2].place is Place.PATH],
)
async def test_ids_that_would_change_the_path(
    service: str, row: Endpoint, param: Param, call_with: Callable[..., Awaitable[Any]]
) -> None:
    bad: list[Any]
    if param.is_list:
        bad = [[""], ["."], [".."], ["a", ""], ["a,b"], ["a", ","]]
    elif param.type is int:
        bad = [0, -1, -(2**63)]
    else:
        bad = ["", ".", ".."]
    for value in bad:
        with refused(param.name):
            await call_with(service, row, param.name, value)


@pytest.mark.parametrize(
    ("service", "row", "param"), [case for case in PARAMS if case.values[2].style is CSV]
)
async def test_commas_inside_elements_of_comma_joined_lists(
    service: str, row: Endpoint, param: Param, call_with: Callable[..., Awaitable[Any]]
) -> None:
    for value in (["a,b"], ["a", "b,"], [","], ("x", ",y"), [""], ["a", ""]):
        with refused(param.name):
            await call_with(service, row, param.name, value)


@pytest.mark.parametrize(
    ("service", "row", "param"),
    [case for case in PARAMS if (case.values[2].least, case.values[2].most) != (None, None)],
)
async def test_numbers_out_of_bounds(
    service: str, row: Endpoint, param: Param, call_with: Callable[..., Awaitable[Any]]
) -> None:
    for value in (
        [] if param.least is None else [param.least - 1, param.least - 1000, -(10**30)]
    ) + ([] if param.most is None else [param.most + 1, 10**30]):
        with refused(param.name):
            await call_with(service, row, param.name, value)


async def test_the_documented_bounds(opened: Opened) -> None:
    client = await opened("bsubio")
    for limit in (0, 101, -1):
        with refused("limit"):
            await client.jobs.list_jobs(limit=limit)
    client = await opened("vidispine")
    for name in ("first", "number"):
        with refused(name):
            await client.jobs.get_jobs(**{name: 0})


@pytest.mark.parametrize(
    ("service", "operation", "name"),
    [
        ("bsubio", "list_jobs", "limit"),
        ("leia", "admin_edit_model", "ttl"),
        ("ecotaxa", "get_job", "job_id"),
    ],
)
async def test_a_number_with_more_digits_than_python_writes(
    service: str, operation: str, name: str, call_with: Callable[..., Awaitable[Any]]
) -> None:
    with refused(name):
        await call_with(service, find_service(service).table.row(operation), name, 10**5000)


@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=2))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))),
    ],
)
async def test_a_moment_beyond_the_calendar_in_utc(moment: datetime, opened: Opened) -> None:
    client = await opened("leia")
    with refused("created_after"):
        await client.jobs.admin_get_jobs(created_after=moment)


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        ({"n": None}, "model_params.n"),
        ({"n": [1]}, "model_params.n"),
        ({"n": {"x": 1}}, "model_params.n"),
        ({"n": math.nan}, "model_params.n"),
        ({"n": -math.inf}, "model_params.n"),
        ({"n": b"a"}, "model_params.n"),
        ({"n": "\ud800"}, "model_params.n"),
        ({"\ud800": "n"}, "model_params"),
        ({}, "model_params"),
        ({"n": 10**5000}, "model_params.n"),
    ],
)
async def test_members_that_fit_into_no_query(value: Any, argument: str, opened: Opened) -> None:
    client = await opened("leia")
    with refused(argument):
        await client.models.admin_apply_model_async("app", "model", ["doc"], model_params=value)


# -- bodies


def circular() -> dict[str, Any]:
    """A dict within itself."""
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


def deep(levels: int) -> dict[str, Any]:
    """Dicts within dicts."""
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        ({"x": math.nan}, "body.x"),
        ({"x": [1.0, math.inf]}, "body.x[1]"),
        ({"x": b"bytes"}, "body.x"),
        ({"x": bytearray(b"bytes")}, "body.x"),
        ({"x": memoryview(b"bytes")}, "body.x"),
        ({"x": {"y": {1, 2}}}, "body.x.y"),
        ({"x": Decimal("1.5")}, "body.x"),
        ({"x": UUID(int=1)}, "body.x"),
        ({"x": object()}, "body.x"),
        ({"x": UNSET}, "body.x"),
        ({"x": "\ud800"}, "body.x"),
        ({"x": ["a", "\udfff"]}, "body.x[1]"),
        ({"\ud800": 1}, "body"),
        ({1: "x"}, "body"),
        ({"x": {None: 1}}, "body.x"),
        ({"x": {("a", "b"): 1}}, "body.x"),
        (circular(), "body"),
        (deep(100_000), "body"),
        ({"x": 10**5000}, "body"),
        ({"x": iter([1])}, "body.x"),
        ({"x": print}, "body.x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_json_cannot_express(value: Any, argument: str, opened: Opened) -> None:
    client = await opened("ecotaxa")
    with pytest.raises(InvalidArgument) as caught:
        await client.jobs.reply_job_question(7, body=value)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("body", "argument"),
    [
        (bsubio.CreateJobRequest(type=3), "create_job_request.type"),
        (bsubio.CreateJobRequest(type=None), "create_job_request.type"),
        (bsubio.CreateJobRequest(type="\ud800"), "create_job_request.type"),
        (bsubio.CreateJobRequest(type=b"x"), "create_job_request.type"),
        (bsubio.CreateJobRequest, "create_job_request"),
        (bsubio.Job(type="a"), "create_job_request"),
        ({"type": "pdf/extract"}, "create_job_request"),
        ("pdf/extract", "create_job_request"),
    ],
)
async def test_the_body_of_a_new_bsubio_job(body: Any, argument: str, opened: Opened) -> None:
    client = await opened("bsubio")
    with refused(argument):
        await client.jobs.create_job(body)


@pytest.mark.parametrize(
    ("body", "argument"),
    [
        (leia.ApplyBody(tag=3), "body.tag"),
        (leia.ApplyBody(block_processing="yes"), "body.block_processing"),
        (leia.ApplyBody(model_params=[1]), "body.model_params"),
        (leia.ApplyBody(model_params={"a": {"b": math.nan}}), "body.model_params.a.b"),
        (leia.ApplyBody(callback_headers={1: "a"}), "body.callback_headers"),
        (leia.TrainBody(), "body"),
        (leia.ConditionalBody(), "body"),
    ],
)
async def test_the_body_of_an_application_of_a_model(
    body: Any, argument: str, opened: Opened
) -> None:
    client = await opened("leia")
    with refused(argument):
        await client.models.admin_apply_model_async("app", "model", ["doc"], body=body)


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ([vidispine.KeyValueType(key="a", value=3)], "field[0].value"),
        (
            [
                vidispine.KeyValueType(key="a", value="b"),
                vidispine.KeyValueType(key=None, value="b"),
            ],
            "field[1].key",
        ),
        ([vidispine.Priority.HIGH], "field[0]"),
        ([None], "field[0]"),
        ("text", "field"),
        ({"a": "b"}, "field"),
        (None, "field"),
    ],
)
async def test_the_body_of_a_custom_job(field: Any, argument: str, opened: Opened) -> None:
    client = await opened("vidispine")
    with refused(f"simple_metadata_type.{argument}"):
        await client.jobs.create_custom_job("IMPORT", vidispine.SimpleMetadataType(field=field))


# -- uploads


class Unreadable(io.RawIOBase):
    """A binary file that can only be written."""

    def writable(self) -> bool:
        return True


def closed_file() -> io.BytesIO:
    """A file that has been closed."""
    file = io.BytesIO(b"data")
    file.close()
    return file


@pytest.mark.parametrize(
    "file",
    [
        "no such file",
        Path("no/such/file"),
        "",
        Path(),
        ".",
        "..",
        "/",
        os.curdir,
        "a\x00b",
        b"data".decode() * 3000,
        io.StringIO("text"),
        closed_file(),
        Unreadable(),
        Upload("no such file"),
        Upload(3),
        Upload(Upload(b"data")),
        Upload(b"data", name=""),
        Upload(b"data", name="a\r\nX-Injected: 1"),
        Upload(b"data", name="a\x00b"),
        Upload(b"data", name="\ud800"),
        Upload(b"data", name=3),
        Upload(b"data", content_type="no type"),
        Upload(b"data", content_type="text/plain\r\nX-Injected: 1"),
        Upload(b"data", content_type=3),
        [b"a", b"b"],
        (chunk for chunk in [b"a"]),
        memoryview(b"a").tobytes,
        None,
    ],
    ids=lambda file: (
        ascii(file)[:40] if isinstance(file, str | Path | Upload) else type(file).__name__
    ),
)
async def test_what_cannot_be_uploaded(file: Any, opened: Opened) -> None:
    client = await opened("bsubio")
    with refused("file"):
        await client.jobs.upload_job_data("7", "upload-token", file)


async def test_folders_and_files_that_are_not_binary_cannot_be_uploaded(
    tmp_path: Path, opened: Opened
) -> None:
    client = await opened("leia")
    path = tmp_path / "file.txt"
    path.write_text("text")
    with refused("body"):
        await client.models.admin_create_model(tmp_path, "name", "app")
    with path.open() as file, refused("body"):
        await client.models.admin_create_model(file, "name", "app")
    with path.open("ab") as file, refused("body"):
        await client.models.admin_create_model(file, "name", "app")


async def test_a_bad_upload_does_not_even_log_in(connect: Callable[..., Any]) -> None:
    async with connect("leia", api_key="leia-key") as client:
        for file in (3, "no such file"):
            with refused("body"):
                await client.models.admin_create_model(file, "name", "app")


async def test_a_bad_upload_by_a_handle_does_not_even_look_for_the_token(opened: Opened) -> None:
    job = (await opened("bsubio")).job("7")
    for file in (3, "no such file"):
        with refused("file"):
            await job.upload(file)


# -- credentials


@pytest.mark.parametrize(
    ("client", "options", "argument"),
    [
        (BsubioClient, {"api_key": ""}, "api_key"),
        (BsubioClient, {"api_key": "  "}, "api_key"),
        (BsubioClient, {"api_key": None}, "api_key"),
        (BsubioClient, {"api_key": b"planted-secret"}, "api_key"),
        (BsubioClient, {"api_key": "planted-secret\n"}, "api_key"),
        (BsubioClient, {"api_key": "planted-secret\r\nX-Injected: 1"}, "api_key"),
        (BsubioClient, {"api_key": "planted-secret\x00"}, "api_key"),
        (BsubioClient, {"api_key": "planted-secret日本"}, "api_key"),
        (EcotaxaClient, {}, "token"),
        (EcotaxaClient, {"token": ""}, "token"),
        (EcotaxaClient, {"token": "planted-secret\n"}, "token"),
        (EcotaxaClient, {"username": "ann"}, "password"),
        (EcotaxaClient, {"password": "planted-secret"}, "username"),
        (EcotaxaClient, {"username": "", "password": "planted-secret"}, "username"),
        (EcotaxaClient, {"username": "ann", "password": ""}, "password"),
        (EcotaxaClient, {"username": "ann", "password": 3}, "password"),
        (EcotaxaClient, {"token": "planted-secret", "for_admin": 1}, "for_admin"),
        (LeiaClient, {}, "api_key"),
        (LeiaClient, {"token": 3}, "token"),
        (LeiaClient, {"api_key": ""}, "api_key"),
        (LeiaClient, {"api_key": "planted-secret\n"}, "api_key"),
        (LeiaClient, {"token": "planted-secret", "submitter_id": ""}, "submitter_id"),
        (LeiaClient, {"token": "planted-secret", "submitter_id": ".."}, "submitter_id"),
        (LeiaClient, {"token": "planted-secret", "submitter_id": 3}, "submitter_id"),
        (VidispineClient, {"username": "a:b", "password": "planted-secret"}, "username"),
        (VidispineClient, {"username": "a\nb", "password": "planted-secret"}, "username"),
        (VidispineClient, {"username": "", "password": "planted-secret"}, "username"),
        (VidispineClient, {"username": 3, "password": "planted-secret"}, "username"),
        (VidispineClient, {"username": "a", "password": ""}, "password"),
        (VidispineClient, {"username": "a", "password": "planted-secret\r"}, "password"),
        (VidispineClient, {"username": "a", "password": "planted-secret\ud800"}, "password"),
        (
            VidispineClient,
            {"username": "a", "password": "planted-secret", "all_users": "yes"},
            "all_users",
        ),
    ],
)
def test_bad_credentials(client: Any, options: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        client(**options)
    assert caught.value.argument == argument
    assert "planted-secret" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    ("client", "options"),
    [
        (EcotaxaClient, {"token": "planted-secret", "username": "a", "password": "b"}),
        (EcotaxaClient, {"token": "planted-secret", "password": "b"}),
        (LeiaClient, {"token": "planted-secret", "api_key": "b"}),
    ],
)
def test_two_kinds_of_credentials(client: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="both were given") as caught:
        client(**options)
    assert caught.value.argument in options
    assert "planted-secret" not in str(caught.value)


@pytest.mark.parametrize("client", [BsubioClient, EcotaxaClient, LeiaClient, VidispineClient])
def test_the_arguments_of_clients_are_keyword_only(client: Any) -> None:
    with pytest.raises(TypeError, match="positional"):
        client("word")
    with pytest.raises(TypeError, match="unexpected keyword"):
        client(api_key="a", token="b", username="c", password="d", no_such_thing=1)


@pytest.mark.parametrize(
    ("client", "found", "argument"),
    [
        (BsubioClient, {}, None),
        (EcotaxaClient, {}, "token"),
        (EcotaxaClient, {"ECOTAXA_USERNAME": "ann"}, "password"),
        (EcotaxaClient, {"ECOTAXA_TOKEN": "a", "ECOTAXA_PASSWORD": "b"}, None),
        (LeiaClient, {"LEIA_API_KEY": "a", "LEIA_TOKEN": "b"}, None),
        (VidispineClient, {"VIDISPINE_USERNAME": "ann"}, None),
        (BsubioClient, {"BSUBIO_API_KEY": "a", "BSUBIO_BASE_URL": "no url"}, "base_url"),
    ],
)
def test_an_environment_without_good_credentials(
    client: Any, found: dict[str, str], argument: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("BSUBIO_", "ECOTAXA_", "LEIA_", "VIDISPINE_")):
            monkeypatch.delenv(name)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidArgument) as caught:
        client.from_env()
    assert argument in (None, caught.value.argument)


# -- where to, by what


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "app.bsub.io",
        "//app.bsub.io",
        "app.bsub.io:443/v1",
        "ftp://app.bsub.io",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://:443",
        "https://app.bsub.io:99999",
        f"https://{'a' * 64}.example",
        "https://a..b",
        "https://.example",
        "https://app.bsub.io:0",
        "https://app.bsub.io:port",
        "https://[::1",
        "https://ann@app.bsub.io",
        "https://ann:planted-secret@app.bsub.io",
        "https://:planted-secret@app.bsub.io",
        "https://@app.bsub.io",
        "https://app.bsub.io?key=planted-secret",
        "https://app.bsub.io/?",
        "https://app.bsub.io/#",
        "https://app.bsub.io/#fragment",
        "http://app.bsub.io",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://10.0.0.1:8080/API",
        "https://app.bsub.io/\r\nX-Injected: 1",
        "https://app.bsub.io\n",
        " https://app.bsub.io",
        "https://app.bsub.io/\t",
        "https://app .bsub.io",
        "https://app.bsub.io\\@evil.example",
        b"https://app.bsub.io",
        3,
        None,
    ],
)
def test_bad_base_urls(base_url: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        BsubioClient(api_key="key", base_url=base_url)
    assert caught.value.argument == "base_url"
    assert "planted-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "kept"),
    [
        ("https://app.bsub.io", "https://app.bsub.io"),
        ("https://app.bsub.io/", "https://app.bsub.io"),
        ("https://app.bsub.io:8443/a/b/", "https://app.bsub.io:8443/a/b"),
        ("http://127.0.0.1:8080/API", "http://127.0.0.1:8080/API"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_good_base_urls(base_url: str, kept: str) -> None:
    assert BsubioClient(api_key="key", base_url=base_url).base_url == kept


def test_plain_http_where_it_is_allowed() -> None:
    client = BsubioClient(api_key="key", base_url="http://app.bsub.io", allow_plain_http=True)
    assert client.base_url == "http://app.bsub.io"


@pytest.mark.parametrize("allowed", ["false", 1, 0, None, object()])
def test_plain_http_is_allowed_by_a_bool_alone(allowed: Any) -> None:
    with pytest.raises(InvalidArgument, match="allow_plain_http: a bool is due, not") as caught:
        BsubioClient(api_key="key", allow_plain_http=allowed)
    assert caught.value.argument == "allow_plain_http"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (lambda: {"auth": aiohttp.BasicAuth("ann", "planted-secret")}, "auth"),
        (lambda: {"headers": {"authorization": "Bearer planted-secret"}}, "Authorization"),
        (lambda: {"base_url": "https://app.bsub.io"}, "base_url"),
    ],
)
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated", "ignore:.*auth.*:DeprecationWarning")
async def test_a_session_with_credentials_or_base_url_of_its_own(
    options: Callable[[], dict[str, Any]], said: str
) -> None:
    async with aiohttp.ClientSession(**options()) as session:
        with pytest.raises(InvalidArgument, match=f"its own {said}") as caught:
            BsubioClient(api_key="key", session=session)
    assert caught.value.argument == "session"
    assert "planted-secret" not in str(caught.value)


async def test_no_session_and_a_closed_one(connect: Callable[..., Any]) -> None:
    with refused("session"):
        connect("bsubio", session="session")
    session = aiohttp.ClientSession()
    await session.close()
    client = connect("bsubio", session=session)
    with refused("session"):
        await client.__aenter__()


# -- options

BAD_SECONDS: list[Any] = [0, -1, -0.5, math.nan, -math.inf, True, False, "5", [1], b"1"]


HUGE = [  # more than a float holds, and more digits than Python writes
    pytest.param(10**400, id="10**400"),
    pytest.param(10**5000, id="10**5000"),
    pytest.param(-(10**400), id="-10**400"),
]


@pytest.mark.parametrize("timeout", [*BAD_SECONDS, math.inf, *HUGE])
async def test_bad_timeouts_of_requests(
    timeout: Any, connect: Callable[..., Any], opened: Opened
) -> None:
    with refused("timeout"):
        connect("bsubio", timeout=timeout)
    client = await opened("bsubio")
    with refused("timeout"):
        client.with_options(timeout=timeout)


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, -math.inf, True, False, "5", [1], *HUGE])
async def test_bad_timeouts_of_waits(timeout: Any, opened: Opened) -> None:
    client = await opened("bsubio")
    job = client.job("7")
    with refused("timeout"):
        await job.wait(timeout)
    with refused("timeout"):
        await wait_all([job], timeout=timeout)
    with refused("timeout"):
        await wait_all([], timeout=timeout)
    assert len(client._tracker) == 0


@pytest.mark.parametrize("on_input", ["", "Raise", "wait", None, True, ["raise"]])
async def test_bad_words_for_input(on_input: Any, opened: Opened) -> None:
    job = (await opened("bsubio")).job("7")
    with refused("on_input"):
        await job.wait(on_input=on_input)


async def test_bad_arguments_for_many_waits(opened: Opened) -> None:
    client = await opened("bsubio")
    job = client.job("7")
    for return_when in ("", "all_completed", None, 1):
        with refused("return_when"):
            await wait_all([job], return_when=return_when)
    for jobs in (job, 3, None, ["7"], [job, None], [client], "7"):
        with refused("jobs"):
            await wait_all(jobs)
        with refused("jobs"):
            as_completed(jobs)
    with refused("jobs"):
        as_completed().add("7")


@pytest.mark.parametrize("retries", [-1, True, 1.0, "2", math.inf])
async def test_bad_numbers_of_retries(retries: Any, opened: Opened) -> None:
    client = await opened("bsubio")
    with refused("retries"):
        client.with_options(retries=retries)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Own": "a\r\nX-Injected: 1"},
        {"X-Own": "a\nb"},
        {"X-Own": "a\rb"},
        {"X-Own": "a\x00b"},
        {"X-Own": "a\x7fb"},
        {"X-Own": "日本"},
        {"X-Own": "\ud800"},
        {"X-Own": 3},
        {"X-Own": None},
        {"X-Own": b"bytes"},
        {"": "value"},
        {"X Own": "value"},
        {"X-Own:": "value"},
        {"X-Own\r\nX-Injected": "value"},
        {"X-Öwn": "value"},
        {3: "value"},
        {"Authorization": "Bearer planted-secret"},
        {"authorization": "Bearer planted-secret"},
        {"Token": "planted-secret"},
        {"Host": "evil.example"},
        {"Content-Length": "3"},
        {"Transfer-Encoding": "chunked"},
        {"Cookie": "a=planted-secret"},
        {"Proxy-Authorization": "Basic planted-secret"},
        {"range": "bytes=0-1"},
        {"If-Range": '"v"'},
        {"Accept": "text/plain"},
        {"accept-encoding": "br"},
        {"Content-Encoding": "gzip"},
        [("X-Own", "value")],
        "X-Own: value",
        3,
    ],
    ids=repr,
)
async def test_bad_headers(headers: Any, opened: Opened) -> None:
    client = await opened("leia")
    with pytest.raises(InvalidArgument) as caught:
        client.with_options(headers=headers)
    assert caught.value.argument == "headers"
    assert "planted-secret" not in str(caught.value)
    with pytest.raises(InvalidArgument) as caught:
        await opened("leia", headers=headers)
    assert caught.value.argument == "headers"
    assert "planted-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "min_interval",
        "max_interval",
        "delay_price",
        "max_rps",
        "give_up_after",
        "lost_after",
        "unknown_after",
    ],
)
def test_bad_numbers_for_polling(name: str) -> None:
    bad = [*BAD_SECONDS, math.inf] if name == "max_rps" else [*BAD_SECONDS, math.inf, None]
    for value in bad:
        with refused(name):
            Polling(**{name: value})


def test_bad_pairs_and_policies_for_polling() -> None:
    with refused("max_interval"):
        Polling(min_interval=10, max_interval=9)
    for policy in (3, "exponential", [1, 2]):
        with refused("policy"):
            Polling(policy=policy)
    for rng in (3, "seed"):
        with refused("rng"):
            Polling(rng=rng)
    with refused("polling"):
        BsubioClient(api_key="key", polling=3)


# -- handles and refs


@pytest.mark.parametrize(
    ("service", "job_id"),
    [
        *((name, bad) for name in ("bsubio", "leia", "vidispine") for bad in ("", ".", "..", 7)),
        *((name, None) for name in SERVICES),
        *((name, "\ud800") for name in ("bsubio", "leia", "vidispine")),
        *(("ecotaxa", bad) for bad in (0, -1, True, "7", 7.0)),
    ],
)
async def test_bad_ids_of_handles(service: str, job_id: Any, opened: Opened) -> None:
    client = await opened(service)
    with refused("job_id"):
        client.job(job_id)


async def test_bad_submitters_of_handles(opened: Opened) -> None:
    client = await opened("leia")
    for submitter_id in ("", ".", "..", 3, "\ud800"):
        with refused("submitter_id"):
            client.job("5dce", submitter_id=submitter_id)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_ref_stands_for_its_job(service: str, opened: Opened) -> None:
    client = await opened(service)
    job = client.job(JOB_IDS[service])
    ref = job.ref
    assert client.job_from_ref(ref) == job
    assert client.job_from_ref(f"{ref}:1767225600").ref == f"{ref}:1767225600"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "ref",
    [
        "",
        "7",
        "jk1",
        "jk1:{service}",
        "jk1:{service}:{own}",
        "jk1:{service}:{own}:",
        "jk1:{service}:{own}:,a",
        "jk1:{service}:{own}:7:",
        "jk1:{service}:{own}:7:soon",
        "jk1:{service}:{own}:7:1:2",
        "jk1:{service}:{own}:7 8",
        "jk1:{service}:{own}:7,b,c",
        "jk1:{service}:{own}x:7",
        "jk1:{service}:x{own}:7",
        "jk2:{service}:{own}:7",
        "JK1:{service}:{own}:7",
        "jk1:{service}:{own}:.",
        "jk1:{service}:{own}:..",
        "jk1:{service}:{own}:%2E%2E",
        "jk1:{service}:{own}:%FF",
        "jk1:{service}:{own}:7:\N{ARABIC-INDIC DIGIT THREE}",
        "jk1:{service}:{own}:7:999999999999",
        "jk1:{service}:00000000:7",
        "jk1:{other}:{own}:7",
        "jk1:unknown:{own}:7",
        "jk1:{service}:{own}:7\njk1:{service}:{own}:7",
        "x" * 5000,
        7,
        None,
        b"jk1:ecotaxa:00000000:7",
    ],
    ids=lambda ref: repr(ref)[:40],
)
async def test_bad_refs(service: str, ref: Any, opened: Opened) -> None:
    client = await opened(service)
    if isinstance(ref, str):
        other = {"bsubio": "leia"}.get(service, "bsubio")
        ref = ref.format(service=service, own=client.deployment, other=other)
    with refused("ref"):
        client.job_from_ref(ref)


async def test_a_ref_of_another_deployment(connect: Callable[..., Any]) -> None:
    for service in SERVICES:
        here = connect(service)
        there = connect(service, base_url="https://other.example/api")
        with refused("ref"):
            there.job_from_ref(here.job(JOB_IDS[service]).ref)


@pytest.mark.parametrize(
    ("service", "parts"),
    [
        *(("ecotaxa", text) for text in ("0", "-5", "abc", "1.5", "%D9%A3", "%207", "7%20")),
        *(("leia", f"5dce,{scope}") for scope in ("", ".", "..", "%2E%2E")),
    ],
)
async def test_refs_with_ids_that_are_none_to_the_service(
    service: str, parts: str, opened: Opened
) -> None:
    client = await opened(service)
    with refused("ref"):
        client.job_from_ref(f"jk1:{service}:{client.deployment}:{parts}")


# -- closed, not open, elsewhere


def uses(client: Any, job: Any) -> list[Callable[[], Awaitable[Any]]]:
    """Everything that needs I/O, apart from the operations."""

    async def follow() -> None:
        async for _ in job.updates():
            pass

    async def complete() -> None:
        async for _ in as_completed([job]):
            pass

    return [
        job.refresh,
        job.wait,
        lambda: job.wait(timeout=0),
        lambda: job.wait(check=False, on_input="keep"),
        job.cancel,
        follow,
        complete,
        lambda: wait_all([job]),
        lambda: wait_all([job], timeout=0),
        *(
            {
                "bsubio": lambda: [job.submit, lambda: job.upload(b"a", token="t")],
                "ecotaxa": lambda: [lambda: job.answer({}), job.restart, job.log, job.file],
                "leia": list,
                "vidispine": lambda: [job.rerun, job.problems],
            }[client.service]()
        ),
    ]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_closed_client_sends_nothing(
    service: str,
    connect: Callable[..., Any],
    method_of: Callable[..., Any],
    sample_argument: Callable[..., Any],
) -> None:
    client = connect(service)
    async with client:
        job = client.job(JOB_IDS[service])
        view = client.with_options(timeout=5)
    before = (job.id, job.ref, job.state, job.data, repr(job))
    for api in find_service(service).table.apis:
        for row in api.rows:
            given = {p.name: sample_argument(service, p) for p in row.params if p.required}
            for user in (client, view):
                with pytest.raises(ClientClosed):
                    await method_of(user, row.name)(**given)
    for use in uses(client, job):
        with pytest.raises(ClientClosed):
            await use()
    with pytest.raises(ClientClosed):
        await client.__aenter__()
    await client.aclose()
    await view.aclose()
    assert (job.id, job.ref, job.state, job.data, repr(job)) == before
    assert client.job_from_ref(job.ref) == job
    assert "closed" in repr(client)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_client_outside_its_context_sends_nothing(
    service: str,
    connect: Callable[..., Any],
    method_of: Callable[..., Any],
    sample_argument: Callable[..., Any],
) -> None:
    client = connect(service)
    job = client.job(JOB_IDS[service])
    for api in find_service(service).table.apis:
        for row in api.rows:
            given = {p.name: sample_argument(service, p) for p in row.params if p.required}
            with pytest.raises(ClientClosed, match="async with"):
                await method_of(client, row.name)(**given)
    for use in uses(client, job):
        with pytest.raises(ClientClosed, match="async with"):
            await use()
    await client.aclose()


@pytest.mark.parametrize("service", SERVICES)
def test_a_client_belongs_to_one_event_loop(
    service: str,
    connect: Callable[..., Any],
    method_of: Callable[..., Any],
    sample_argument: Callable[..., Any],
) -> None:
    async def first() -> tuple[Any, Any]:
        # A session of our own, so that nothing is left open when this loop ends.
        async with aiohttp.ClientSession() as session:
            client = connect(service, session=session)
            await client.__aenter__()
            return client, client.job(JOB_IDS[service])

    async def second() -> None:
        for api in find_service(service).table.apis:
            for row in api.rows:
                given = {p.name: sample_argument(service, p) for p in row.params if p.required}
                with pytest.raises(WrongEventLoop):
                    await method_of(client, row.name)(**given)
        for use in uses(client, job):
            with pytest.raises(WrongEventLoop):
                await use()

    client, job = asyncio.run(first())
    asyncio.run(second())


async def test_a_callers_closed_session_ends_the_client(connect: Callable[..., Any]) -> None:
    async with aiohttp.ClientSession() as session:
        client = connect("bsubio", session=session)
        await client.__aenter__()
    with pytest.raises(ClientClosed):
        await client.jobs.get_job("7")
    await client.aclose()
