"""What goes out, how often, and what becomes of it when the connection does not hold."""

from __future__ import annotations

import asyncio
import errno
import shutil
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp.abc import AbstractResolver

from jobkit_async import (
    ApiError,
    ConnectFailed,
    ConnectionLost,
    DecodeError,
    JobkitError,
    NotFound,
    OutcomeUnknown,
    PayloadTooLarge,
    Polling,
    RequestTimeout,
    TransportError,
)
from jobkit_async.endpoint import ONCE, SAFE, Endpoint, Param, Place, ResultKind, Table
from jobkit_async.registry import find_service, service_names
from jobkit_async.services.bsubio import models as bsubio_models
from jobkit_async.services.vidispine import models as vidispine_models

pytestmark = pytest.mark.looptime

Connect = Callable[..., Awaitable[Any]]

GOOD: dict[str, tuple[str, dict[str, Any], object]] = {
    "bsubio": ("list_jobs", {}, {"success": True, "data": {"jobs": [], "total": 0}}),
    "ecotaxa": ("list_jobs", {"for_admin": False}, []),
    "leia": ("admin_get_job_statuses", {"submitter_id": "s", "job_ids": ["j"]}, {}),
    "vidispine": ("get_job_types", {}, {"uri": []}),
}
"""For each service a call that only reads, its arguments, and an answer to it."""


def rows(table: Table) -> list[tuple[str, Endpoint]]:
    return [(api.name, row) for api in table.apis for row in api.rows]


def rows_that(wanted: Callable[[Endpoint], bool]) -> list[Any]:
    return [
        pytest.param(service, api, row, id=f"{service}.{row.name}")
        for service in service_names()
        for api, row in rows(find_service(service).table)
        if wanted(row)
    ]


def example(param: Param) -> Any:
    if param.place is Place.JSON:
        return {
            bsubio_models.CreateJobRequest: bsubio_models.CreateJobRequest(type="pdf/extract"),
            vidispine_models.SimpleMetadataType: vidispine_models.SimpleMetadataType(),
        }[param.type]
    if param.is_list:
        return ["x1"]
    return {str: "x1", int: 1, bool: False, bytes: b"data"}[param.type]


def call(client: Any, api: str, row: Endpoint) -> Awaitable[Any]:
    given = {param.name: example(param) for param in row.params if param.required}
    return getattr(getattr(client, api), row.name)(**given)


def good_call(client: Any, service: str) -> Awaitable[Any]:
    name, given, _ = GOOD[service]
    return getattr(client.jobs, name)(**given)


once = pytest.mark.parametrize(("service", "api", "row"), rows_that(lambda row: row.repeat is ONCE))


# -- sent once


async def test_the_four_services_have_operations_that_are_sent_once() -> None:
    found = {param.values[0] for param in rows_that(lambda row: row.repeat is ONCE)}
    assert found >= {"bsubio", "ecotaxa", "leia", "vidispine"}
    assert any(param.values[2].method == "GET" for param in rows_that(lambda r: r.repeat is ONCE))


@once
@pytest.mark.parametrize("loss", ["drop", "reset"])
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_a_lost_answer_of_what_is_sent_once(
    serve: Any, connect: Connect, service: str, api: str, row: Endpoint, loss: str, reused: bool
) -> None:
    warm = [serve.json(GOOD[service][2])] if reused else []
    server = await serve(*warm, getattr(serve, loss))
    client = await connect(service, server.url)
    if reused:
        await good_call(client, service)
    with pytest.raises(OutcomeUnknown) as caught:
        await call(client, api, row)
    await asyncio.sleep(100)
    assert len(server.arrivals) == len(warm) + 1
    assert server.arrivals[-1].connection == 1
    assert caught.value.operation == row.name
    assert row.recover in str(caught.value)


@once
async def test_an_idle_connection_that_the_server_closed(
    serve: Any, connect: Connect, service: str, api: str, row: Endpoint
) -> None:
    server = await serve(serve.cut(serve.json(GOOD[service][2])), serve.drop)
    client = await connect(service, server.url)
    await good_call(client, service)
    # No breath between the calls: the end of the connection may not have been noticed yet.
    with pytest.raises(OutcomeUnknown):
        await call(client, api, row)
    assert len(server.arrivals) <= 2


@once
async def test_middlewares_of_the_callers_session_are_called(
    serve: Any, connect: Connect, service: str, api: str, row: Endpoint
) -> None:
    seen: list[str] = []

    async def outer(request: Any, handler: Any) -> Any:
        seen.append(f"outer {request.method}")
        request.headers["X-Outer"] = "1"
        return await handler(request)

    async def inner(request: Any, handler: Any) -> Any:
        seen.append(f"inner {request.method}")
        return await handler(request)

    server = await serve(serve.json(GOOD[service][2]), serve.drop)
    async with aiohttp.ClientSession(middlewares=(outer, inner)) as session:
        client = await connect(service, server.url, session=session)
        await good_call(client, service)
        with pytest.raises(OutcomeUnknown):
            await call(client, api, row)
    assert seen == ["outer GET", "inner GET", f"outer {row.method}", f"inner {row.method}"]
    assert [arrival.headers["X-Outer"] for arrival in server.arrivals] == ["1", "1"]


@once
async def test_a_timeout_of_what_is_sent_once(
    serve: Any, connect: Connect, service: str, api: str, row: Endpoint
) -> None:
    server = await serve(serve.hang)
    client = await connect(service, server.url, timeout=2)
    with pytest.raises(OutcomeUnknown) as caught:
        await call(client, api, row)
    assert asyncio.get_running_loop().time() == 2.0
    assert len(server.arrivals) == 1
    assert row.recover in str(caught.value)


async def test_an_answer_of_what_is_sent_once_that_stops_after_its_headers(
    serve: Any, connect: Connect
) -> None:
    head = b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"success":'
    server = await serve(serve.stall(head))
    client = await connect("bsubio", server.url, timeout=2)
    with pytest.raises(OutcomeUnknown) as caught:
        await client.jobs.create_job(bsubio_models.CreateJobRequest(type="t"))
    assert "list_jobs(status='created')" in str(caught.value)
    assert len(server.arrivals) == 1


async def test_an_answer_of_what_is_sent_once_that_is_cut_off(serve: Any, connect: Connect) -> None:
    head = b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"success":'
    server = await serve(serve.cut(head))
    client = await connect("bsubio", server.url)
    # It did take effect: the status says so. What was created is in the part that is missing.
    with pytest.raises(OutcomeUnknown, match=r"rest of its answer was lost.*list_jobs"):
        await client.jobs.create_job(bsubio_models.CreateJobRequest(type="t"))
    assert len(server.arrivals) == 1


@once
async def test_garbage_instead_of_the_answer_to_what_is_sent_once(
    serve: Any, connect: Connect, service: str, api: str, row: Endpoint
) -> None:
    server = await serve(serve.cut(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"))
    client = await connect(service, server.url)
    with pytest.raises(OutcomeUnknown):
        await call(client, api, row)
    assert len(server.arrivals) == 1


# -- what may be repeated

safe = pytest.mark.parametrize(
    ("service", "api", "row"),
    rows_that(lambda row: row.repeat is SAFE and row.returns.kind is not ResultKind.BYTES),
)


@safe
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
async def test_a_lost_answer_of_what_only_reads(
    serve: Any, connect: Connect, service: str, api: str, row: Endpoint, reused: bool
) -> None:
    warm = [serve.json(GOOD[service][2])] if reused else []
    server = await serve(*warm, serve.drop)
    client = await connect(service, server.url)
    if reused:
        await good_call(client, service)
    with pytest.raises(ConnectionLost) as caught:
        await call(client, api, row)
    assert caught.value.operation == row.name
    assert isinstance(caught.value, ConnectionError)
    # Each of our three attempts may be made twice by aiohttp.
    assert 3 <= len(server.arrivals) - len(warm) <= 6
    assert len(set(server.targets[len(warm) :])) == 1


@pytest.mark.parametrize("loss", ["drop", "reset"])
async def test_a_read_gets_its_value_in_spite_of_a_lost_connection(
    serve: Any, connect: Connect, loss: str
) -> None:
    action = getattr(serve, loss)
    server = await serve(serve.jobs, action, action, serve.jobs)
    client = await connect("bsubio", server.url)
    assert (await client.jobs.list_jobs()).total == 0
    assert (await client.jobs.list_jobs()).total == 0
    assert len(server.arrivals) == 4


async def test_a_put_that_may_be_repeated_gets_its_value(serve: Any, connect: Connect) -> None:
    server = await serve(serve.json({"uri": []}), serve.drop, serve.http(200))
    client = await connect("vidispine", server.url)
    await client.jobs.get_job_types()
    await client.jobs.update_job("VX-1", priority="HIGH")
    assert server.targets[1:] == ["PUT /job/VX-1?priority=HIGH"] * 2


# -- errors


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("service", service_names())
async def test_a_refused_connection(connect: Connect, service: str, longest: Any) -> None:
    port = free_port()
    client = await connect(service, f"http://127.0.0.1:{port}", polling=Polling(rng=longest))
    with pytest.raises(ConnectFailed) as caught:
        await good_call(client, service)
    assert isinstance(caught.value, ConnectionError)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert caught.value.operation == GOOD[service][0]
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert longest.asked == [(0.0, 0.5), (0.0, 1.0)]


@once
async def test_what_is_sent_once_says_so_where_nothing_was_sent(
    connect: Connect, service: str, api: str, row: Endpoint
) -> None:
    client = await connect(service, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConnectFailed):
        await call(client, api, row)


@attrs.define(eq=False)
class Resolver(AbstractResolver):
    """Fails as often as told, then finds this machine."""

    failures: int
    asked: int = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        self.asked += 1
        if self.asked <= self.failures:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": family,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_name_that_does_not_resolve(connect: Connect) -> None:
    resolver = Resolver(failures=99)
    connector = aiohttp.TCPConnector(resolver=resolver)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = await connect("bsubio", "https://nowhere.invalid", session=session)
        with pytest.raises(ConnectFailed, match=r"nowhere\.invalid.*Name or service not known"):
            await client.jobs.list_jobs()
    assert resolver.asked == 3


@pytest.mark.parametrize("op", ["list_jobs", "create_job"])
async def test_a_name_that_resolves_at_the_second_attempt(
    serve: Any, connect: Connect, op: str
) -> None:
    job = {"id": "j", "status": "created"}
    body = {"jobs": [], "total": 0} if op == "list_jobs" else job
    server = await serve(serve.json({"success": True, "data": body}))
    url = server.url.replace("127.0.0.1", "service.invalid")
    connector = aiohttp.TCPConnector(resolver=Resolver(failures=1))
    async with aiohttp.ClientSession(connector=connector) as session:
        client = await connect("bsubio", url, session=session, allow_plain_http=True)
        if op == "list_jobs":
            await client.jobs.list_jobs()
        else:
            await client.jobs.create_job(bsubio_models.CreateJobRequest(type="t"))
    assert len(server.arrivals) == 1


async def test_a_timeout_of_a_read(serve: Any, connect: Connect, longest: Any) -> None:
    server = await serve(serve.hang)
    client = await connect("bsubio", server.url, timeout=2, polling=Polling(rng=longest))
    with pytest.raises(RequestTimeout) as caught:
        await client.jobs.list_jobs()
    assert isinstance(caught.value, TimeoutError)
    assert server.times == [0.0, 2.5, 5.5]
    assert asyncio.get_running_loop().time() == 7.5


async def test_the_timeout_counts_the_body_too(serve: Any, connect: Connect) -> None:
    server = await serve(serve.stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"))
    client = (await connect("bsubio", server.url)).with_options(timeout=3, retries=0)
    with pytest.raises(RequestTimeout):
        await client.jobs.list_jobs()
    assert asyncio.get_running_loop().time() == 3.0


async def test_the_default_timeout_is_thirty_seconds(serve: Any, connect: Connect) -> None:
    server = await serve(serve.hang)
    client = (await connect("bsubio", server.url)).with_options(retries=0)
    with pytest.raises(RequestTimeout):
        await client.jobs.list_jobs()
    assert asyncio.get_running_loop().time() == pytest.approx(30, abs=1.0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00 garbage\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
    ],
)
async def test_garbage_instead_of_http(serve: Any, connect: Connect, garbage: bytes) -> None:
    server = await serve(serve.cut(garbage))
    client = await connect("bsubio", server.url)
    with pytest.raises(ConnectionLost):
        await client.jobs.list_jobs()


async def test_a_body_that_is_cut_off(serve: Any, connect: Connect) -> None:
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"success": true'
    server = await serve(serve.cut(head))
    client = await connect("bsubio", server.url)
    with pytest.raises(DecodeError, match="cut off"):
        await client.jobs.list_jobs()


async def test_an_error_whose_body_is_cut_off_is_that_error(serve: Any, connect: Connect) -> None:
    server = await serve(serve.cut(b"HTTP/1.1 404 X\r\nContent-Length: 99\r\n\r\nno such"))
    client = await connect("bsubio", server.url)
    with pytest.raises(NotFound, match="no such"):
        await client.jobs.get_job("j")


async def test_an_early_refusal_of_an_upload(serve: Any, connect: Connect) -> None:
    async def refuse(arrival: Any, reader: asyncio.StreamReader, writer: Any) -> None:
        writer.write(serve.json({"success": False, "error": "too large"}, 413, Connection="close"))
        while await reader.read(1 << 16):  # as servers do, so that the refusal is not lost
            pass

    server = await serve(refuse, early=True)
    client = await connect("bsubio", server.url)
    with pytest.raises(PayloadTooLarge, match="too large"):
        await client.jobs.upload_job_data("j", "up-1", bytes(8 << 20))
    assert len(server.arrivals) == 1


# -- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("service", service_names())
async def test_a_redirect_is_refused(
    serve: Any, connect: Connect, service: str, status: int
) -> None:
    elsewhere = await serve(serve.json({}))
    server = await serve(serve.http(status, Location=f"{elsewhere.url}/stolen"))
    client = await connect(service, server.url)
    with pytest.raises(ApiError, match=r"redirect.*check base_url") as caught:
        await good_call(client, service)
    assert caught.value.status == status
    assert len(server.arrivals) == 1
    assert elsewhere.connections == 0


@once
async def test_a_redirect_of_what_is_sent_once(
    serve: Any, connect: Connect, service: str, api: str, row: Endpoint
) -> None:
    server = await serve(serve.http(307, Location="/elsewhere"))
    client = await connect(service, server.url)
    with pytest.raises(ApiError, match="redirect"):
        await call(client, api, row)
    assert len(server.arrivals) == 1


async def test_a_redirected_download(serve: Any, connect: Connect) -> None:
    elsewhere = await serve(serve.json({}))
    server = await serve(serve.http(302, Location=elsewhere.url))
    client = await connect("ecotaxa", server.url)
    with pytest.raises(ApiError, match="redirect"):
        await client.jobs.get_job_file(1)
    assert elsewhere.connections == 0


async def test_log_in_is_not_redirected(serve: Any, connect: Connect) -> None:
    elsewhere = await serve(serve.json("token"))
    server = await serve(serve.http(307, Location=elsewhere.url))
    client = await connect("ecotaxa", server.url, token=None, username="u", password="p-secret")
    with pytest.raises(ApiError, match="redirect"):
        await client.jobs.list_jobs(False)
    assert elsewhere.connections == 0
    assert server.targets == ["POST /login"]


# -- TLS


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize("service", service_names())
async def test_a_certificate_that_nobody_vouches_for(
    serve: Any, connect: Connect, service: str, self_signed: ssl.SSLContext
) -> None:
    server = await serve(serve.json(GOOD[service][2]), ssl=self_signed)
    client = (await connect(service, server.url)).with_options(retries=0)
    with pytest.raises(ConnectFailed, match=r"(?i)certificate"):
        await good_call(client, service)
    assert server.arrivals == []


async def test_a_call_that_is_sent_once_to_an_untrusted_server(
    serve: Any, connect: Connect, self_signed: ssl.SSLContext
) -> None:
    server = await serve(serve.jobs, ssl=self_signed)
    client = (await connect("bsubio", server.url)).with_options(retries=0)
    with pytest.raises(ConnectFailed, match=r"(?i)certificate"):
        await client.jobs.submit_job("j")
    assert server.arrivals == []


async def test_tls_to_a_server_that_speaks_none(serve: Any, connect: Connect) -> None:
    server = await serve(serve.jobs)
    url = server.url.replace("http:", "https:")
    client = (await connect("bsubio", url)).with_options(retries=0)
    with pytest.raises(TransportError):
        await client.jobs.list_jobs()


# -- foreign errors


@pytest.mark.parametrize("row_name", ["list_jobs", "create_job"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        aiohttp.ClientPayloadError("payload"),
        aiohttp.ServerTimeoutError("timeout"),
        aiohttp.ClientConnectionResetError("reset"),
        asyncio.IncompleteReadError(b"", 1),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_errors_of_the_http_library_become_ours(
    serve: Any, connect: Connect, error: Exception, row_name: str
) -> None:
    async def broken(request: Any, handler: Any) -> Any:
        raise error

    server = await serve(serve.jobs)
    async with aiohttp.ClientSession(middlewares=(broken,)) as session:
        client = await connect("bsubio", server.url, session=session)
        client = client.with_options(retries=0)
        arguments = [bsubio_models.CreateJobRequest(type="t")] if row_name == "create_job" else []
        with pytest.raises(TransportError) as caught:
            await getattr(client.jobs, row_name)(*arguments)
    assert caught.value.operation == row_name
    cause: BaseException | None = caught.value
    while cause is not None and cause is not error:
        cause = cause.__cause__
    assert cause is error or isinstance(error, OSError)


async def test_a_cancelled_call_is_cancelled_and_nothing_else(serve: Any, connect: Connect) -> None:
    server = await serve(serve.hang, serve.jobs)
    client = await connect("bsubio", server.url)
    task = asyncio.create_task(client.jobs.submit_job("j"))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await client.jobs.list_jobs()).total == 0
    assert len(server.arrivals) == 2


async def test_no_message_shows_a_credential(
    serve: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "jobkit_async")
    echo = serve.json({"error": "Bearer bsub-key with upload token up-secret is not known"}, 400)
    server = await serve(echo, serve.drop)
    client = await connect("bsubio", server.url)
    messages = []
    for _ in range(2):
        with pytest.raises(JobkitError) as caught:
            await client.jobs.upload_job_data("j", "up-secret", b"data")
        messages += [str(caught.value), repr(caught.value), str(vars(caught.value))]
    shown = "\n".join([*messages, *caplog.messages])
    assert "upload_job_data" in shown
    assert "POST /v1/upload/j" in shown
    assert "bsub-key" not in shown
    assert "up-secret" not in shown
