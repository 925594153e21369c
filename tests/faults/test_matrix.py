"""The fault matrix: what each kind of call ends in, for every fault that a network can bring.

Each cell makes one call of a client, lets the fault strike, and sees that the call ends as the table
says and in time, that nothing is left running, that no credential shows in the error, and that the
same client answers the next call. Time is virtual: minutes of silence cost nothing.
"""

# ruff: noqa: E501 - a table is read by its columns

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import ssl
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import attrs
import pytest
import trustme
from aiohttp.abc import AbstractResolver

from jobkit_async import (
    AnswerTooLarge,
    ApiError,
    BsubioClient,
    ClientClosed,
    Conflict,
    ConnectFailed,
    ConnectionLost,
    DecodeError,
    EcotaxaClient,
    FixedInterval,
    Forbidden,
    JobLost,
    NotFound,
    OutcomeUnknown,
    PayloadTooLarge,
    Polling,
    PollingFailed,
    RateLimited,
    RequestTimeout,
    ServerError,
    Unauthorized,
    WaitTimeout,
)
from jobkit_async.services.bsubio.models import CreateJobRequest

# Not from 0 on, and in steps of a millisecond: as no real clock shows either.
pytestmark = [
    pytest.mark.looptime(start=100, resolution=1e-3),
    pytest.mark.usefixtures("no_threads"),
]

KEY = "s3cr3t-key-0123456789abcdef"
TOKEN = "s3cr3t-upload-0123456789ab"
PASSWORD = "s3cr3t-password"

LIMIT = 120.0
"""Seconds that the tries and pauses of one call may take together."""


HANGS = 1000.0
"""Seconds after which a call counts as one that hangs for ever."""


# -- the columns: a call of each kind

Call: TypeAlias = "Callable[[Clients, Path], Any]"


async def safe(clients: Clients, folder: Path) -> None:
    """A call that only reads."""
    job = await (await clients.bsubio()).jobs.get_job("j1")
    assert job.raw_status in ("finished", "processing")


async def unsafe(clients: Clients, folder: Path) -> None:
    """A call that must not be carried out twice."""
    job = await (await clients.bsubio()).jobs.create_job(CreateJobRequest(type="pdf/extract"))
    assert job.raw_status == "created"


async def wait(clients: Clients, folder: Path) -> None:
    """A wait that is under way when the fault strikes; it gives up after a minute of failures."""
    final = await (await clients.bsubio()).job("j1").wait(timeout=600)
    assert final.status == "finished"


async def download(clients: Clients, folder: Path) -> None:
    """A file to disk."""
    async with await (await clients.ecotaxa()).jobs.get_job_file(7) as file:
        path = await file.save(folder / "result.zip")
    assert path.read_bytes() == clients.server.file


async def upload(clients: Clients, folder: Path) -> None:
    """A file to the service; it too must not be carried out twice."""
    answer = await (await clients.bsubio()).jobs.upload_job_data("j1", TOKEN, b"the data")
    assert answer.data_size == 4321


# -- what a call may end in


@attrs.frozen
class Passing:
    """A fault that a call outlasts if it strikes once; if it goes on, this is the error."""

    error: type[Exception]


VALUE = None
"""The call gives its value, whether the fault strikes once or always."""
End: TypeAlias = "Passing | type[Exception] | None"
SAME: Any = object()
"""As for an unsafe call."""
NONE: Any = object()
"""The fault has nothing to do with this kind of call."""


@attrs.frozen
class Row:
    """One fault.

    Attributes:
        fault: Its name.
        script: What the server does; see the raw server for the steps.
        safe, unsafe, wait, download, upload: What a call of each kind ends in.
        within: Seconds in which it does, pauses and repetitions included; a wait has its own.
        warm: Whether the connection has been used before, and been idle since.
    """

    fault: str
    script: tuple[Any, ...]
    safe: End
    unsafe: End
    wait: End
    download: End
    upload: End = SAME
    within: float = 2.0
    warm: bool = False

    def cell(self, column: str) -> End:
        end = getattr(self, column)
        return self.unsafe if end is SAME else end


def told(status: int, body: bytes = b"", **headers: str) -> Any:
    """An answer with a status; its body echoes the credentials that the request brought."""

    def answer(arrival: Any) -> bytes:
        content = body + b"\nthe request was " + arrival.raw
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines.append(f"Content-Length: {len(content)}")
        return "\r\n".join([f"HTTP/1.1 {status} Told", *lines, "", ""]).encode() + content

    return answer


def there(make: Callable[[Any], str], status: int = 302) -> Any:
    """A redirect to somewhere."""
    return lambda arrival: told(status, Location=make(arrival))(arrival)


def chunk(arrival: Any) -> bytes:
    """The head of the good answer, and half of its body as a chunk that is not the last."""
    head, body = arrival.good
    length = f"Content-Length: {len(body)}".encode()
    half = body[: len(body) // 2]
    return head.replace(length, b"Transfer-Encoding: chunked") + b"%x\r\n%b" % (len(half), half)


def further(arrival: Any) -> str:
    """A place on the same origin, which is another one each time."""
    return f"{arrival.target}{'&' if '?' in arrival.target else '?'}further"


def instead(make: Callable[[bytes], bytes], **headers: str) -> Any:
    """The good answer with another body."""

    def answer(arrival: Any) -> bytes:
        status = 201 if arrival.target == "/v1/jobs" else 200
        body = make(arrival.good[1])
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([f"HTTP/1.1 {status} Told", *lines, "", ""]).encode() + body

    return answer


def number(text: bytes) -> Any:
    """The good answer with something else where a number stands."""
    return instead(lambda good: good.replace(b"4321", text))


def extra(text: bytes) -> Any:
    """The good answer with one more member."""
    return instead(lambda good: good.replace(b'"success": true', b'"success": true, ' + text))


def deep(levels: int) -> Any:
    return extra(b'"deep": ' + b"[" * levels + b"]" * levels)


LONG_AGO, SOON = "Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:01 GMT"
PAGE = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1>nginx</body></html>"
TRACEBACK = b'Traceback (most recent call last):\n  File "app.py", line 1\nValueError: boom'


@cache
def bomb() -> bytes:
    """80 MiB of blanks, which unpack to more than a client is willing to hold."""
    return gzip.compress(b'"' + b" " * (80 << 20) + b'"', 1)


DOWN = ("down",)
HANG_UP = ("hang up",)
P = Passing

# fmt: off
ROWS = [
    #   fault                             what the server does                     safe               unsafe           wait              download           upload
    Row("down; once: it restarts",        DOWN,                                    P(ConnectFailed),  P(ConnectFailed),P(PollingFailed), P(ConnectFailed)),
    Row("reset when connected",           ("at once", "reset"),                    P(ConnectionLost), OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("reset before the headers",       ("reset",),                              P(ConnectionLost), OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("closed before the headers",      ("close",),                              P(ConnectionLost), OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("reset in the headers",           ("half head", "reset"),                  P(ConnectionLost), OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("reset after the headers",        ("head", "reset"),                       P(DecodeError),    OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("reset in mid-body",              ("head", "half body", "reset"),          P(DecodeError),    OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("body cut short",                 ("head", "half body", "close"),          P(DecodeError),    OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("body too long, at once",         ("head", "body", b"surplus\r\n\r\n"),    P(ConnectionLost), OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("body too long, later",           ("head", "body", 0.01, b"surplus"),      VALUE,             VALUE,           VALUE,            VALUE),
    Row("bad chunking",                   (chunk, 0.01, b"\r\nzz\r\n", "close"),  P(DecodeError),    OutcomeUnknown,  P(PollingFailed), P(ConnectionLost), within=10),
    Row("chunks that end early",          (chunk, "close"),                        P(DecodeError),    OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("no HTTP at all",                 (b"SSH-2.0-OpenSSH_9.6\r\n", "close"),   P(ConnectionLost), OutcomeUnknown,  P(PollingFailed), P(ConnectionLost)),
    Row("a huge header",                  (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 17), "close"), P(ConnectionLost), OutcomeUnknown, P(PollingFailed), P(ConnectionLost)),
    Row("very many headers",              (b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * (1 << 15), "close"), P(ConnectionLost), OutcomeUnknown, P(PollingFailed), P(ConnectionLost)),
    # -- time
    Row("slow headers",                   ((10.0, b"HTTP/1.1 200 OK\r\nX: x"),), P(RequestTimeout), OutcomeUnknown, P(PollingFailed), RequestTimeout, within=LIMIT),
    Row("slow body",                      ("head", (10.0, "body")),                P(RequestTimeout), OutcomeUnknown,  P(PollingFailed), VALUE,             within=300),
    Row("silence",                        ("silence",),                            P(RequestTimeout), OutcomeUnknown,  P(PollingFailed), P(RequestTimeout), within=LIMIT),
    Row("silence in the headers",         ("half head", "silence"),                P(RequestTimeout), OutcomeUnknown,  P(PollingFailed), P(RequestTimeout), within=LIMIT),
    Row("silence in mid-body",            ("head", "half body", "silence"),        P(RequestTimeout), OutcomeUnknown,  P(PollingFailed), P(RequestTimeout), within=LIMIT),
    # -- a connection that was used before
    Row("closed while idle",              HANG_UP,                                 VALUE,             VALUE,           VALUE,            VALUE,             warm=True),
    Row("reset after idle",               ("reset",),                              P(ConnectionLost), OutcomeUnknown,  P(PollingFailed), P(ConnectionLost), warm=True),
    Row("half-open after idle",           ("silence",),                            P(RequestTimeout), OutcomeUnknown,  P(PollingFailed), P(RequestTimeout), warm=True, within=LIMIT),
    # -- statuses; EcoTaxa's download and bsub.io's calls have keys that cannot be renewed here
    Row("401",                            (told(401),),                            Unauthorized,      Unauthorized,    P(PollingFailed), Unauthorized),
    Row("403",                            (told(403),),                            Forbidden,         Forbidden,       P(PollingFailed), Forbidden),
    Row("404",                            (told(404),),                            NotFound,          NotFound,        P(JobLost),       NotFound),
    Row("408",                            (told(408),),                            P(ApiError),       ApiError,        P(PollingFailed), P(ApiError)),
    Row("409",                            (told(409),),                            Conflict,          Conflict,        P(PollingFailed), Conflict),
    Row("413",                            (told(413),),                            PayloadTooLarge,   PayloadTooLarge, P(PollingFailed), PayloadTooLarge),
    Row("418",                            (told(418),),                            ApiError,          ApiError,        P(PollingFailed), ApiError),
    Row("425",                            (told(425),),                            P(ApiError),       ApiError,        P(PollingFailed), P(ApiError)),
    Row("429",                            (told(429),),                            P(RateLimited),    RateLimited,     P(PollingFailed), P(RateLimited)),
    Row("429, seconds",                   (told(429, Retry_After="1"),),           P(RateLimited),    RateLimited,     P(PollingFailed), P(RateLimited)),
    Row("429, a date",                    (told(429, Retry_After=SOON, Date=LONG_AGO),), P(RateLimited), RateLimited,  P(PollingFailed), P(RateLimited)),
    Row("429, an absurd time",            (told(429, Retry_After="99999999"),),    RateLimited,       RateLimited,     WaitTimeout,      RateLimited),
    Row("429, a negative time",           (told(429, Retry_After="-5"),),          P(RateLimited),    RateLimited,     P(PollingFailed), P(RateLimited)),
    Row("429, no time at all",            (told(429, Retry_After="soon"),),        P(RateLimited),    RateLimited,     P(PollingFailed), P(RateLimited)),
    Row("500 with a traceback",           (told(500, TRACEBACK),),                 P(ServerError),    ServerError,     P(PollingFailed), P(ServerError)),
    Row("502 with a page",                (told(502, PAGE, Content_Type="text/html"),), P(ServerError), ServerError,   P(PollingFailed), P(ServerError)),
    Row("503",                            (told(503),),                            P(ServerError),    ServerError,     P(PollingFailed), P(ServerError)),
    Row("503, seconds",                   (told(503, Retry_After="1"),),           P(ServerError),    ServerError,     P(PollingFailed), P(ServerError)),
    Row("504",                            (told(504),),                            P(ServerError),    ServerError,     P(PollingFailed), P(ServerError)),
    # -- redirects; always: on and on
    Row("redirect, same origin",          (there(further),),                       P(ApiError),       ApiError,        P(PollingFailed), P(ApiError)),
    Row("redirect 307, same origin",      (there(further, 307),),                  P(ApiError),       ApiError,        P(PollingFailed), P(ApiError)),
    Row("redirect to itself",             (there(lambda arrival: arrival.target),),ApiError,          ApiError,        P(PollingFailed), ApiError),
    Row("redirect to another origin",     (there(lambda arrival: f"http://localhost:1{arrival.target}"),), ApiError, ApiError, P(PollingFailed), ApiError),
    Row("redirect to a file",             (there(lambda arrival: "file:///etc/passwd"),), ApiError,   ApiError,        P(PollingFailed), ApiError),
    Row("redirect to nowhere",            (told(302),),                            ApiError,          ApiError,        P(PollingFailed), ApiError),
    # -- a whole answer that is none
    Row("an empty body",                  (instead(lambda good: b""),),            DecodeError,       DecodeError,     P(PollingFailed), NONE),
    Row("a page instead of JSON",         (instead(lambda good: PAGE),),           DecodeError,       DecodeError,     P(PollingFailed), NONE),
    Row("invalid JSON",                   (instead(lambda good: good[:-2] + b",}"),), DecodeError,    DecodeError,     P(PollingFailed), NONE),
    Row("invalid UTF-8",                  (instead(lambda good: good.replace(b"pdf", b"\xff\xfe")),), DecodeError, DecodeError, P(PollingFailed), NONE),
    Row("wrong types",                    (number(b'["many"]'),),                  DecodeError,       DecodeError,     P(PollingFailed), NONE),
    Row("another shape",                  (instead(lambda good: b"[1, 2]"),),      DecodeError,       DecodeError,     P(PollingFailed), NONE),
    Row("a number beyond float",          (number(b"1e999"),),                     DecodeError,       DecodeError,     P(PollingFailed), NONE),
    Row("a number of 10,000 digits",      (number(b"9" * 10_000),),                DecodeError,       DecodeError,     P(PollingFailed), NONE),
    Row("NaN",                            (number(b"NaN"),),                       DecodeError,       DecodeError,     P(PollingFailed), NONE),
    Row("a key twice: the last counts",   (number(b'"x", "data_size": 4321'),),    VALUE,             VALUE,           VALUE,            NONE),
    Row("nested 200 deep",                (deep(200),),                            DecodeError,       DecodeError,     P(PollingFailed), NONE),
    Row("nested 100,000 deep",            (deep(100_000),),                        DecodeError,       DecodeError,     P(PollingFailed), NONE),
    Row("a byte order mark",              (instead(lambda good: b"\xef\xbb\xbf" + good),), VALUE,     VALUE,           VALUE,            NONE),
    Row("a broken gzip body",             (instead(lambda good: b"\x1f\x8bnonsense", Content_Encoding="gzip"),), P(DecodeError), OutcomeUnknown, P(PollingFailed), ConnectionLost),
    Row("a gzip bomb",                    (instead(lambda good: bomb(), Content_Encoding="gzip"),), AnswerTooLarge, AnswerTooLarge, NONE, NONE),
]
# fmt: on

# -- how a cell is shown


class Clients:
    """The clients that the calls are made of, each opened when it is first used, and their server.

    Between their tries are the longest pauses.
    """

    def __init__(self, server: Any, origin: str, **options: Any) -> None:
        self.server = server
        self._origin = origin
        polling = Polling(
            policy=FixedInterval(10.0), rng=Longest(), give_up_after=60.0, lost_after=60.0
        )
        self._options = {"polling": polling, **options}
        self._opened: dict[type, Any] = {}

    async def bsubio(self) -> BsubioClient:
        return await self._open(BsubioClient, "", api_key=KEY)

    async def ecotaxa(self) -> EcotaxaClient:
        return await self._open(EcotaxaClient, "/api", token=KEY)

    async def _open(self, cls: Any, path: str, **credentials: str) -> Any:
        if cls not in self._opened:
            client = cls(base_url=self._origin + path, **credentials, **self._options)
            self._opened[cls] = await client.__aenter__()
        return self._opened[cls]

    async def aclose(self) -> None:
        for client in self._opened.values():
            await client.aclose()


class Longest(random.Random):
    """Draws the longest pause each time."""

    def uniform(self, a: float, b: float) -> float:
        return b


def cells() -> list[Any]:
    found = []
    for row in ROWS:
        for call in (safe, unsafe, wait, download, upload):
            name = call.__name__
            if row.cell(name) is NONE:
                continue
            found.append(pytest.param(row, call, id=f"{row.fault}-{name}"))
    return found


@pytest.fixture
async def clients(services: Any) -> AsyncIterator[Clients]:
    made = Clients(services, services.origin)
    yield made
    await made.aclose()


def now() -> float:
    return asyncio.get_running_loop().time()


async def strike(server: Any, row: Row, mode: str) -> None:
    """Let the fault strike the next request, or all of them."""
    if row.script is HANG_UP:
        server.hang_up()
        await asyncio.sleep(0.01)
    elif row.script is DOWN:
        await server.down()
        if mode == "once":
            back = asyncio.get_running_loop().create_task(rise(server, 0.2))
            asyncio.get_running_loop().call_later(60, back.cancel)
    else:
        server.strike(*row.script, times=1 if mode == "once" else None)


async def rise(server: Any, after: float) -> None:
    await asyncio.sleep(after)
    await server.up()


async def calm(server: Any, row: Row, mode: str) -> None:
    """All is well again."""
    server.calm()
    server.status = "finished"
    if row.script is DOWN and mode == "always":
        await server.up()


async def run(call: Call, clients: Clients, folder: Path, row: Row, mode: str) -> Any:
    """Make the call while the fault strikes; the error that it ends in, or None."""
    server = clients.server
    if row.warm:
        await call(clients, folder)
        await asyncio.sleep(5.0)
    if call is wait:
        server.status = "processing"
        waiting = asyncio.ensure_future(call(clients, folder))
        await asyncio.sleep(15.0)
        server.status = "finished"
    await strike(server, row, mode)
    server.arrivals.clear()
    try:
        async with asyncio.timeout(HANGS):
            await (waiting if call is wait else call(clients, folder))
    except Exception as error:  # noqa: BLE001 - whatever it is, the table tells
        return error
    return None


def check_end(error: Exception | None, end: End, mode: str) -> None:
    """The call ended as the table says, and its error gives nothing away."""
    if isinstance(end, Passing):
        end = end.error if mode == "always" else None
    if end is None and error is not None:
        raise error
    if end is not None:
        assert isinstance(error, end), f"{error!r} instead of {end.__name__}"
        shown = "".join(traceback.format_exception(error))
        shown += f"{error!r} {error!s} {vars(error)}"
        for secret in (KEY, TOKEN, PASSWORD):
            assert secret not in shown


@pytest.mark.parametrize(("row", "call"), cells())
async def test_cell(row: Row, call: Any, clients: Clients, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    end = row.cell(call.__name__)
    # Where the connection is what has gone bad, the next try has another one.
    modes = ["once", "always"] if isinstance(end, Passing) and not row.warm else ["once"]
    for mode in modes:
        began = now()
        error = await run(call, clients, tmp_path, row, mode)
        took = now() - began
        check_end(error, end, mode)
        assert took <= (15.0 + 600.0 if call is wait else row.within + 5.0 * row.warm) + 0.1
        if call in (unsafe, upload):
            assert len(clients.server.arrivals) <= 1
        if call is download and error is not None:
            assert files(tmp_path) == []
        await calm(clients.server, row, mode)
        await still_answers(clients, call, tmp_path)
    await nothing_is_left(clients, before)


async def still_answers(clients: Clients, call: Call, folder: Path) -> None:
    """The same client answers the next call."""
    if call is download:
        await download(clients, folder)
        (folder / "result.zip").unlink()
    else:
        await safe(clients, folder)


async def nothing_is_left(clients: Clients, before: set[asyncio.Task[Any]]) -> None:
    await clients.aclose()
    await clients.server.down()
    assert asyncio.all_tasks() <= before


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


# -- what is not the server's doing: TLS, names, the session, the disk

CALLS = [safe, unsafe, wait, download, upload]


def contexts(fault: str) -> tuple[Any, Any, Any]:
    """Of a server with a faulty certificate, of the same with a good one, and of a client."""
    ours, others = trustme.CA(), trustme.CA()
    past = datetime(2020, 1, 1, tzinfo=UTC)
    faulty = {
        "self-signed": lambda: others.issue_cert("127.0.0.1"),
        "expired": lambda: ours.issue_cert("127.0.0.1", not_after=past),
        "wrong host": lambda: ours.issue_cert("other.example"),
    }[fault]()
    made = []
    for certificate in (faulty, ours.issue_cert("127.0.0.1")):
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        certificate.configure_cert(made[-1])
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.configure_trust(client)
    return made[0], made[1], client


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", ["self-signed", "expired", "wrong host"])
async def test_a_certificate_that_cannot_be_trusted(
    services: Any, entered: Any, tmp_path: Path, call: Any, fault: str
) -> None:
    """Nothing is sent, whatever the call: ConnectFailed, in a wait PollingFailed."""
    before = asyncio.all_tasks()
    await services.down()
    services.ssl, good, trust = contexts(fault)
    await services.up()
    session = await entered(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, force_close=True))
    )
    clients = Clients(services, services.origin, session=session)
    with pytest.raises((ConnectFailed, PollingFailed)) as caught:
        await call(clients, tmp_path)
    check_end(caught.value, PollingFailed if call is wait else ConnectFailed, "always")
    assert "certificate" in str(caught.value).lower()
    assert services.arrivals == []
    assert files(tmp_path) == []
    await services.down()
    services.ssl = good
    await services.up()
    await still_answers(clients, call, tmp_path)
    await session.close()
    await nothing_is_left(clients, before)


class Names(AbstractResolver):
    """Finds a name only after it has failed so often."""

    def __init__(self, failures: int, port: int) -> None:
        self.failures = failures
        self._port = port

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        if self.failures:
            self.failures -= 1
            raise OSError(None, "Name or service not known")
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("call", CALLS)
async def test_a_name_that_is_not_found(
    services: Any, entered: Any, tmp_path: Path, call: Any
) -> None:
    """Nothing was sent, so every call is repeated; if it goes on, ConnectFailed."""
    before = asyncio.all_tasks()
    names = Names(1, services.port)
    session = await entered(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=names, use_dns_cache=False, force_close=True)
        )
    )
    origin = f"http://jobs.invalid:{services.port}"
    clients = Clients(services, origin, session=session, allow_plain_http=True)
    await call(clients, tmp_path)
    names.failures = 1 << 30
    with pytest.raises((ConnectFailed, PollingFailed)) as caught:
        await call(clients, tmp_path)
    check_end(caught.value, PollingFailed if call is wait else ConnectFailed, "always")
    names.failures = 0
    await still_answers(clients, call, tmp_path)
    await session.close()
    await nothing_is_left(clients, before)


@pytest.mark.parametrize("call", CALLS)
async def test_a_session_that_is_closed_under_us(
    services: Any, entered: Any, tmp_path: Path, call: Any
) -> None:
    """The caller closed it, during the call or before: ClientClosed, now and ever after."""
    before = asyncio.all_tasks()
    session = await entered(aiohttp.ClientSession())
    clients = Clients(services, services.origin, session=session)
    services.strike("silence")
    under_way = asyncio.ensure_future(call(clients, tmp_path))
    await asyncio.sleep(1.0)
    assert len(services.arrivals) == 1
    await session.close()
    began = now()
    ends = OutcomeUnknown if call in (unsafe, upload) else ClientClosed
    with pytest.raises((ClientClosed, ends)):
        await under_way
    services.calm()
    with pytest.raises(ClientClosed) as caught:
        await call(clients, tmp_path)
    check_end(caught.value, ClientClosed, "always")
    assert now() - began <= 120.0
    assert len(services.arrivals) == 1
    assert files(tmp_path) == []
    await nothing_is_left(clients, before)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit on Windows")
async def test_a_disk_that_is_full(services: Any, clients: Clients, tmp_path: Path) -> None:
    """The system's own error, and nothing left behind."""
    import resource

    services.file = b"0123456789" * 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            await download(clients, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == []
    await still_answers(clients, download, tmp_path)


@pytest.mark.parametrize("target", ["missing/folder/file.zip", "occupied/file.zip"])
async def test_a_target_that_cannot_be_written(
    clients: Clients, tmp_path: Path, target: str
) -> None:
    """The system's own error; the connection is given back."""
    (tmp_path / "occupied").write_bytes(b"a file, and no folder")
    file = await (await clients.ecotaxa()).jobs.get_job_file(7)
    with pytest.raises((FileNotFoundError, NotADirectoryError)):
        await file.save(tmp_path / target)
    assert files(tmp_path) == [tmp_path / "occupied"]
    await still_answers(clients, download, tmp_path)


# -- 401, where there is something to renew


@pytest.mark.parametrize("operation", ["get_job_file", "restart_job"])
async def test_401_once_after_a_log_in(services: Any, entered: Any, operation: str) -> None:
    """A session that has run out is renewed, and the call made again: it was not carried out."""
    client = await entered(
        EcotaxaClient(username="me", password=PASSWORD, base_url=services.origin + "/api")
    )
    await (await client.jobs.get_job_file(7)).read()
    services.arrivals.clear()
    services.strike(told(401), times=1)
    if operation == "get_job_file":
        assert await (await client.jobs.get_job_file(7)).read() == services.file
    else:
        with pytest.raises(NotFound):  # which is what the server answers to it
            await client.jobs.restart_job(7)
    paths = [arrival.target for arrival in services.arrivals]
    assert len(paths) == 3
    assert paths[0] == paths[2] != paths[1] == "/api/login"


@pytest.mark.parametrize("operation", ["get_job_file", "restart_job"])
async def test_401_always_after_a_log_in(services: Any, entered: Any, operation: str) -> None:
    """One new log-in and one more try; then the error stands."""
    client = await entered(
        EcotaxaClient(username="me", password=PASSWORD, base_url=services.origin + "/api")
    )
    await (await client.jobs.get_job_file(7)).read()
    services.arrivals.clear()
    services.refused = "/api/jobs"
    with pytest.raises(Unauthorized) as caught:
        await getattr(client.jobs, operation)(7)
    check_end(caught.value, Unauthorized, "always")
    assert len(services.arrivals) == 3
    services.refused = None
    assert await (await client.jobs.get_job_file(7)).read() == services.file
