"""What an error carries along when a server answers with garbage: no credential, at any depth.

The exceptions of the HTTP library hold the request, with its address and all of its headers.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from jobkit_async import BsubioClient, JobkitError, OutcomeUnknown, Polling, PollingFailed
from jobkit_async.services.leia.fake.documents import application_document

pytestmark = pytest.mark.looptime(end=100_000)

Connect = Callable[..., Awaitable[Any]]

CREDENTIALS: dict[str, dict[str, str | None]] = {
    "bsubio": {"api_key": "planted-api-key"},
    "ecotaxa": {"token": "planted-token"},
    "leia": {"token": "planted-token"},
    "vidispine": {"username": "ann", "password": "planted-password"},
}
CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "bsubio, a read": lambda client: client.jobs.list_jobs(),
    "bsubio, sent once": lambda client: client.jobs.submit_job("7"),
    "bsubio, an upload": lambda client: client.jobs.upload_job_data("7", "planted-up", b"data"),
    "ecotaxa, a read": lambda client: client.jobs.get_job(7),
    "ecotaxa, sent once": lambda client: client.jobs.restart_job(7),
    "ecotaxa, a download": lambda client: client.jobs.get_job_file(7),
    "leia, a read": lambda client: client.jobs.admin_get_job("s", "7"),
    "leia, sent once": lambda client: client.models.admin_apply_model_async("s", "7", ["d"]),
    "leia, a download": lambda client: client.models.admin_get_model_contents("s", "7"),
    "vidispine, a read": lambda client: client.jobs.get_job("VX-7"),
    "vidispine, sent once": lambda client: client.jobs.create_duplicate_job("VX-7"),
}
NEEDLES = ("planted", "YW5uOnBsYW50ZWQ")  # the latter is how Basic writes ann:planted


async def echo(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
    """Send the request back, as a port that echoes does."""
    lines = [f"{name}: {value}" for name, value in arrival.headers.items()]
    writer.write(
        "\r\n".join([f"{arrival.method} {arrival.target} HTTP/1.1", *lines, "", ""]).encode()
    )
    await writer.drain()


async def echo_in_a_header(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
    """Answer with a header that is none, made of what came."""
    said = " ".join([arrival.target, *arrival.headers.values()])
    writer.write(f"HTTP/1.1 200 OK\r\n{said}\r\n\r\n".encode())
    await writer.drain()


GARBAGE: dict[str, Any] = {
    "other bytes": b"\x16\x03\x01\x02\x00 garbage\r\n\r\n",
    "a status that is none": b"HTTP/1.1 abc\r\n\r\n",
    "a header that is none": b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
    "a line without end": b"HTTP/1.1 200 " + b"x" * 20_000 + b"\r\n\r\n",
    "an echo": echo,
    "an echo in a header": echo_in_a_header,
}


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


def assert_clean(text: str) -> None:
    for needle in NEEDLES:
        assert needle not in text


def assert_prints_clean(error: BaseException) -> None:
    """No credential in the traceback, nor in any error that is a cause."""
    assert_clean("".join(traceback.format_exception(error)))
    one: BaseException | None = error
    while one is not None:
        assert_clean(f"{one} {one!r} {one.args} {vars(one)}")
        one = one.__cause__


def assert_holds_nothing(error: BaseException) -> None:
    """No credential in any error that can be reached, such as by a tool that reports errors."""
    for one in linked(error):
        assert_clean(f"{one} {one!r} {one.args} {vars(one)} {getattr(one, 'request_info', None)}")


async def refused(connect: Connect, server: Any, call: str) -> JobkitError:
    service = call.partition(",")[0]
    client = (await connect(service, server.url, **CREDENTIALS[service])).with_options(retries=1)
    with pytest.raises(JobkitError) as caught:
        await CALLS[call](client)
    arrival = server.arrivals[0]
    sent = f"{arrival.target} {arrival.headers.get('Authorization', arrival.headers.get('token'))}"
    assert any(needle in sent for needle in NEEDLES)
    if call.endswith(("sent once", "an upload")):
        assert isinstance(caught.value, OutcomeUnknown)
    return caught.value


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("call", CALLS)
async def test_a_traceback_of_garbage_shows_no_credential(
    serve: Any, connect: Connect, call: str, garbage: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "jobkit_async")
    reply = GARBAGE[garbage]
    server = await serve(serve.cut(reply) if isinstance(reply, bytes) else reply)
    assert_prints_clean(await refused(connect, server, call))
    assert_clean(caplog.text)


@pytest.mark.parametrize("call", CALLS)
async def test_an_error_of_garbage_holds_no_credential(
    serve: Any, connect: Connect, call: str
) -> None:
    server = await serve(echo)
    assert_holds_nothing(await refused(connect, server, call))


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_a_log_in_that_meets_garbage_shows_no_credential(
    serve: Any, connect: Connect, garbage: str
) -> None:
    reply = GARBAGE[garbage]
    server = await serve(serve.cut(reply) if isinstance(reply, bytes) else reply)
    leia = await connect("leia", server.url, api_key="planted-api-key", token=None)
    ecotaxa = await connect(
        "ecotaxa", server.url, username="ann", password="planted-password", token=None
    )
    for client in (leia.with_options(retries=0), ecotaxa.with_options(retries=0)):
        with pytest.raises(JobkitError) as caught:
            await client._caller.auth.headers()
        assert_prints_clean(caught.value)
    assert all(b"planted" in arrival.body for arrival in server.arrivals)


async def test_garbage_after_a_log_in_shows_no_token(serve: Any, connect: Connect) -> None:
    application = application_document("planted-api-key")
    welcome = serve.json({"token": "planted-token", "application": application})
    server = await serve(welcome, serve.cut(GARBAGE["a header that is none"]))
    client = await connect("leia", server.url, api_key="planted-api-key", token=None)
    with pytest.raises(JobkitError) as caught:
        await client.with_options(retries=0).jobs.admin_get_job("s", "7")
    assert server.arrivals[-1].headers["token"] == "planted-token"
    assert_prints_clean(caught.value)


async def test_a_wait_that_gives_up_on_garbage_shows_no_credential(serve: Any) -> None:
    server = await serve(serve.cut(GARBAGE["a header that is none"]))
    polling = Polling(give_up_after=60.0)
    async with BsubioClient(
        api_key="planted-api-key", base_url=server.url, polling=polling
    ) as client:
        with pytest.raises(PollingFailed) as caught:
            await client.job("00000000-0000-4000-8000-000000000007").wait()
    assert caught.value.__cause__ is not None
    assert_prints_clean(caught.value)
