"""What several tests share: a watch for secrets, a recording server, clients, sample answers."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
import traceback
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_origin
from urllib.parse import unquote, unquote_plus

import attrs
import hypothesis
import pytest
from multidict import CIMultiDict

from jobkit_async import BsubioClient, EcotaxaClient, JobkitError, LeiaClient, VidispineClient
from jobkit_async import caller as calling
from jobkit_async.endpoint import Endpoint, ResultKind
from jobkit_async.registry import find_service
from jobkit_async.request import Request
from jobkit_async.service import ServiceClient

# A fixture that serves all examples of one test is what the tests here want: each example looks
# at the requests that it made itself.
hypothesis.settings.register_profile(
    "jobkit",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile("jobkit")

# looptime asks for the current event loop before each test. Unless something was set, even None,
# asyncio then makes one that nobody closes.
asyncio.set_event_loop(None)

Client = ServiceClient[Any, Any]

CLIENTS: dict[str, tuple[type[Any], str, dict[str, str]]] = {
    "bsubio": (BsubioClient, "", {"api_key": "bsub-key"}),
    "ecotaxa": (EcotaxaClient, "/api", {"token": "eco-token"}),
    "leia": (LeiaClient, "/leia/1.0.0", {"token": "leia-token"}),
    "vidispine": (VidispineClient, "/API", {"username": "us er", "password": "p:w"}),
}
"""For each service its client, the path of its base URL, and credentials."""

MINIMAL: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "models.json").read_text()
)


# -- the watch for secrets

SECRET = re.compile(
    r"""(?x)
    bsub-key | eco-token | leia-token | leia-key | planted  # what clients log in with
    | up-[0-9a-f]{24} | tok-[0-9a-f]{8} | signed-[0-9]  # what embedded servers give out
    | dXMgZXI6cDp3 | dXNlcjpzZWNyZXQ | YW5uOnBsYW50ZWQ  # us er:p:w, user:secret, ann:planted
    """
)
"""The credentials of the tests, as they are and as Basic writes them."""


class Watch(logging.Handler):
    """Looks for secrets in whatever the library shows: logs, warnings, errors, reprs.

    Attributes:
        found: Where one was shown.
        looked: How many texts of each kind were looked at.
    """

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.found: list[str] = []
        self.looked: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()

    def look(self, kind: str, text: str) -> None:
        """See that a text shows no secret."""
        self.looked[kind] += 1
        if SECRET.search(text):
            self.found.append(f"{kind}: {text}")

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a log record, and at the traceback that goes with it."""
        self.look("log", record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            for error in _linked(record.exc_info[1]):
                self.look("log", "".join(traceback.format_exception_only(error)))

    def error(self, error: BaseException) -> None:
        """Look at an error and at those that its traceback shows."""
        for one in _linked(error):
            if isinstance(one, JobkitError):
                shown = {name: value for name, value in vars(one).items() if name != "snapshot"}
                self.look("error", f"{one} {one!r} {shown}")
            else:
                self.look("cause", f"{one} {one!r}")

    def request(self, request: Request) -> None:
        """Look at a few requests of each operation, and at every hundredth."""
        self._rows[request.operation] += 1
        if self._rows[request.operation] < 5 or self._rows[request.operation] % 100 == 0:
            self.look("request", repr(request))

    def client(self, client: Client) -> None:
        """Look at a client, its parts, and some of its handles."""
        parts = (client, client._caller, client._caller.transport, client._caller.auth)
        tracker = client._tracker
        found = map(tracker.find, sorted(tracker.known(), key=str)[:3])
        records = [record for record in found if record is not None]
        handles = [client._handle(record) for record in records]
        for thing in (*parts, *records, *handles):
            self.look("repr", f"{thing!r} {thing}")


def _linked(error: BaseException) -> Iterator[BaseException]:
    """An error and those that a traceback shows with it."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


@pytest.fixture(scope="session")
def the_watch() -> Iterator[Watch]:
    """Watches all that is shown from the first test to the last."""
    watch = Watch()
    logger = logging.getLogger("jobkit_async")
    aclose, build, note = ServiceClient.aclose, calling.build, warnings.WarningMessage.__init__

    async def closing(client: Client) -> None:
        watch.client(client)
        await aclose(client)

    def building(*args: Any) -> Request:
        request = build(*args)
        watch.request(request)
        return request

    def warning(self: Any, message: Any, *args: Any, **named: Any) -> None:
        watch.look("warning", str(message))
        note(self, message, *args, **named)

    def dying(error: JobkitError) -> None:
        watch.error(error)

    with pytest.MonkeyPatch.context() as patch:
        # At the end of its life an error is as whoever called us saw it.
        patch.setattr(JobkitError, "__del__", dying, raising=False)
        patch.setattr(ServiceClient, "aclose", closing)
        patch.setattr(calling, "build", building)
        patch.setattr(warnings.WarningMessage, "__init__", warning)
        logger.setLevel(logging.DEBUG)
        for name in ("jobkit_async", "aiohttp", "asyncio"):
            logging.getLogger(name).addHandler(watch)
        yield watch
        for name in ("jobkit_async", "aiohttp", "asyncio"):
            logging.getLogger(name).removeHandler(watch)
        gc.collect()
    assert not watch.found


@pytest.fixture(autouse=True)
def watch(the_watch: Watch) -> Iterator[Watch]:
    """Fails the test after which a secret was found in what the library showed."""
    yield the_watch
    found, the_watch.found = the_watch.found, []
    assert not found


# -- a server that records


@attrs.frozen
class Part:
    """The one part of a form."""

    name: str
    filename: str
    content_type: str
    content: bytes


@attrs.frozen
class Arrived:
    """One request as it came in."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes

    @property
    def segments(self) -> list[str]:
        """The path, split at its slashes and decoded then."""
        path = self.target.partition("?")[0]
        assert path.startswith("/")
        return [unquote(segment, errors="strict") for segment in path[1:].split("/")]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The pairs of the query, decoded as servers decode forms."""
        text = self.target.partition("?")[2]
        pairs = [pair.partition("=") for pair in text.split("&")] if text else []
        return [
            (unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict"))
            for name, _, value in pairs
        ]

    @property
    def part(self) -> Part:
        """The only part of a multipart body."""
        content_type = self.headers["Content-Type"]
        assert content_type.startswith("multipart/form-data; boundary=")
        boundary = content_type.partition("boundary=")[2].strip('"').encode()
        before, after = b"--" + boundary + b"\r\n", b"\r\n--" + boundary + b"--\r\n"
        assert self.body.startswith(before)
        assert self.body.endswith(after)
        head, _, content = self.body[len(before) : -len(after)].partition(b"\r\n\r\n")
        headers = CIMultiDict(
            tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if line
        )
        quoted = r'"((?:[^"\\]|\\.)*)"'
        form = rf"form-data; name={quoted}; filename={quoted}"
        match = re.fullmatch(form, headers["Content-Disposition"])
        assert match is not None, headers["Content-Disposition"]
        name, filename = (re.sub(r"\\(.)", r"\1", text) for text in match.groups())
        assert boundary not in content
        return Part(name, filename, headers["Content-Type"], content)


@attrs.frozen
class Reply:
    """What the server answers: a whole response, after which the connection may be cut."""

    raw: bytes
    cut: bool = False


class Recorder:
    """A server on loopback that keeps every request, whatever it is, and answers as it is told.

    It reads requests by itself, so that what is recorded is what was on the wire.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.arrived: list[Arrived] = []
        self.answers: list[Reply] = []
        self.say()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def untouched(self) -> bool:
        """Whether nobody has so much as connected."""
        return not self.connections

    def say(
        self,
        body: bytes | str | Any = b"",
        *,
        status: int = 200,
        content_type: str | None = "application/json",
        **headers: str,
    ) -> None:
        """Answer like this from now on; what is neither bytes nor str is sent as JSON."""
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} Told"]
        if status in (204, 304):
            body = b""  # these have none, whatever their headers say
        else:
            lines.append(f"Content-Length: {len(body)}")
        if content_type is not None and body:
            lines.append(f"Content-Type: {content_type}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.answers = [Reply("\r\n".join([*lines, "", ""]).encode("latin-1") + body)]

    def say_raw(self, raw: bytes) -> None:
        """Answer with these bytes from now on, and cut the connection after them."""
        self.answers = [Reply(raw, cut=True)]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 24)

    async def aclose(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.arrived.append(await _read(reader))
                reply = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
                writer.write(reply.raw)
                await writer.drain()
                if reply.cut:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Arrived:
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1")
    request_line, *lines = head.split("\r\n")
    method, target, version = request_line.split(" ")
    assert version == "HTTP/1.1"
    headers = CIMultiDict(tuple(line.split(": ", 1)) for line in lines)
    body = b""
    if "chunked" in headers.get("Transfer-Encoding", ""):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    elif "Content-Length" in headers:
        body = await reader.readexactly(int(headers["Content-Length"]))
    return Arrived(method, target, headers, body)


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    """A server that records requests."""
    server = Recorder()
    await server.start()
    yield server
    await server.aclose()


# -- clients


@pytest.fixture
def connect(recorder: Recorder) -> Callable[..., Client]:
    """Makes a client of a service that talks to the recording server; not opened yet."""

    def make(service: str, **options: Any) -> Client:
        cls, path, credentials = CLIENTS[service]
        if not {"api_key", "token", "username", "password"} & set(options):
            options |= credentials
        client: Client = cls(**{"base_url": recorder.origin + path, **options})
        return client

    return make


@pytest.fixture
async def opened(
    connect: Callable[..., Client],
) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Opens a client of a service that talks to the recording server; closed after the test."""
    clients: list[Client] = []

    async def make(service: str, **options: Any) -> Client:
        client = connect(service, **options)
        await client.__aenter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def method_of() -> Callable[[Client, str], Callable[..., Awaitable[Any]]]:
    """Finds an operation on a client, on whichever of its API objects it is."""

    def find(client: Client, operation: str) -> Callable[..., Awaitable[Any]]:
        for api in find_service(client.service).table.apis:
            if operation in {row.name for row in api.rows}:
                method: Callable[..., Awaitable[Any]] = getattr(
                    getattr(client, api.name), operation
                )
                return method
        raise LookupError(operation)

    return find


# -- samples


@pytest.fixture
def minimal() -> dict[str, dict[str, Any]]:
    """For each model of each service the least JSON that it can be read from."""
    return MINIMAL


@pytest.fixture
def sample_argument() -> Callable[..., Any]:
    """An argument that can be sent, for any parameter of a table."""

    def make(service: str, param: Any) -> Any:
        element = {
            str: "sample",
            int: max(param.least or 0, 7),
            bool: True,
            datetime: datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC),
            dict: {"k": "v"},
            bytes: b"data",
        }
        if attrs.has(param.type):
            return param.type(**MINIMAL[service][param.type.__name__])
        return [element[param.element]] if param.is_list else element[param.type]

    return make


@pytest.fixture
def answer_well(recorder: Recorder) -> Callable[[str, Endpoint], None]:
    """Has the recording server give a good answer to an operation."""

    def sample(service: str, model: Any) -> Any:
        least = MINIMAL[service][model.__name__]
        # The schema of bsub.io requires no member at all; a job without an id is of no use.
        return {"id": "b7b2f4c1", **least} if model.__name__ == "Job" else least

    def within(value: Any, at: tuple[str, ...]) -> Any:
        for name in reversed(at):
            value = {name: value}
        return {"success": True, **value} if at and at[0] == "data" else value

    def tell(service: str, row: Endpoint) -> None:
        result = row.returns
        if result.kind is ResultKind.NONE:
            recorder.say(status=204)
        elif result.kind is ResultKind.BYTES:
            recorder.say(b"PK\x03\x04", content_type="application/octet-stream")
        elif result.kind is ResultKind.TEXT:
            recorder.say("line 1\nline 2\n", content_type="text/plain; charset=utf-8")
        elif result.kind is ResultKind.JOB:
            recorder.say(within(sample(service, result.type), result.at))
        elif result.kind is ResultKind.JOBS:
            recorder.say(within([sample(service, result.type)], result.at))
        elif attrs.has(result.type):
            recorder.say(sample(service, result.type))
        else:
            recorder.say({} if get_origin(result.type) is dict else [])

    return tell
