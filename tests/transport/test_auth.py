"""Log-ins: when, how often, for whom; and what a 401 leads to."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobkit_async import (
    ClientClosed,
    DecodeError,
    EcotaxaClient,
    Forbidden,
    InvalidArgument,
    LeiaClient,
    NotFound,
    ServerError,
    Unauthorized,
)
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia

pytestmark = pytest.mark.looptime

Connect = Callable[..., Awaitable[Any]]


class Ecotaxa:
    """EcoTaxa with a password."""

    service = "ecotaxa"
    token_header = "Authorization"

    @staticmethod
    def server() -> FakeEcotaxa:
        return FakeEcotaxa(record=True)

    @staticmethod
    def client(url: str, *, wrong: bool = False, **options: Any) -> EcotaxaClient:
        word = "wrong" if wrong else "secret"
        return EcotaxaClient(username="user@example.org", password=word, base_url=url, **options)

    @staticmethod
    async def read(client: EcotaxaClient) -> Any:
        return await client.jobs.list_jobs(for_admin=False)

    @staticmethod
    async def once(client: EcotaxaClient) -> Any:
        return await client.jobs.reply_job_question(1, body={"a": 1})

    listed = "list_jobs"
    nothing: object = []

    @staticmethod
    def token(word: str) -> object:
        return word


class Leia:
    """Leia with an api key."""

    service = "leia"
    token_header = "token"

    @staticmethod
    def server() -> FakeLeia:
        return FakeLeia(record=True)

    @staticmethod
    def client(url: str, *, wrong: bool = False, **options: Any) -> LeiaClient:
        return LeiaClient(api_key="wrong" if wrong else "leia-key", base_url=url, **options)

    @staticmethod
    async def read(client: LeiaClient) -> Any:
        return await client.models.admin_get_models()

    @staticmethod
    async def once(client: LeiaClient) -> Any:
        return await client.models.admin_create_model(b"zip", "name", "app-1")

    listed = "admin_get_models"
    nothing: object = []

    @staticmethod
    def token(word: str) -> object:
        application = {
            "id": "app-1",
            "application_name": "App",
            "application_type": "admin",
            "first_name": "Ada",
            "last_name": "Example",
            "email": "ada@leia.example",
            "api_key": "leia-key",
            "creation_time": "2026-01-01T00:00:00Z",
        }
        return {"token": word, "application": application}


ways = pytest.mark.parametrize("way", [Ecotaxa, Leia], ids=lambda way: way.service)


@asynccontextmanager
async def running(way: Any, **options: Any) -> AsyncIterator[tuple[Any, Any]]:
    async with way.server() as server, way.client(server.base_url, **options) as client:
        yield server, client


# -- one log-in


@ways
async def test_nobody_logs_in_before_the_first_call(way: Any) -> None:
    async with running(way) as (server, client):
        await asyncio.sleep(3600)
        assert server.requests.total() == 0
        await way.read(client)
        assert server.requests == {"login": 1, way.listed: 1}
        await way.read(client)
        assert server.requests["login"] == 1


@ways
async def test_fifty_calls_share_one_log_in(way: Any) -> None:
    async with running(way) as (server, client):
        await asyncio.gather(*(way.read(client) for _ in range(50)))
        assert server.requests == {"login": 1, way.listed: 50}


@ways
async def test_views_share_the_log_in(way: Any) -> None:
    async with running(way) as (server, client):
        view = client.with_options(timeout=5)
        await asyncio.gather(way.read(client), way.read(view), way.read(view.with_options()))
        assert server.requests["login"] == 1


@pytest.mark.parametrize("first", ["the client", "the view"])
@pytest.mark.parametrize(
    ("credentials", "asked"),
    [({"api_key": "leia-key"}, {"login": 1}), ({"token": "leia-token"}, {"whoami": 1})],
    ids=["api_key", "token"],
)
async def test_views_share_the_application_that_was_found(
    first: str, credentials: dict[str, str], asked: dict[str, int]
) -> None:
    async with (
        FakeLeia(tells_submitter=False) as server,
        LeiaClient(**credentials, base_url=server.base_url) as client,
    ):
        model = server.add_model("model")
        views = [client, client.with_options(timeout=5), client.with_options(retries=0)]
        if first == "the view":
            views.reverse()
        for view in views:
            job = await view.models.admin_apply_model_async("app-1", model.id, ["document"])
            # By a handle that does not know its submitter, which has to be found out.
            await view.job(job.id).cancel()
            await view._scope()
        about_us = {name: server.requests[name] for name in ("login", "whoami")}
        assert about_us == {"login": 0, "whoami": 0, **asked}
        assert server.ledger.count("cancelled") == 3


@ways
async def test_fifty_calls_share_the_log_in_after_an_expiry(way: Any) -> None:
    async with running(way) as (server, client):
        await way.read(client)
        server.expire_tokens()
        await asyncio.gather(*(way.read(client) for _ in range(50)))
        assert server.requests == {"login": 2, way.listed: 1 + 50 + 50}
        used = [s.headers[way.token_header] for s in server.seen if s.operation == way.listed]
        assert used.count(used[-1]) == 50
        assert used[-1] != used[0]


@ways
async def test_a_late_refusal_of_the_old_token_costs_no_log_in(serve: Any, way: Any) -> None:
    release = asyncio.Event()

    async def slow(arrival: Any, reader: Any, writer: Any) -> None:
        await release.wait()
        writer.write(serve.http(401))

    good = serve.json(way.nothing)
    server = await serve(
        serve.json(way.token("one")),
        slow,
        serve.http(401),
        serve.json(way.token("two")),
        good,
        good,
    )
    async with way.client(server.url) as client:
        first = asyncio.create_task(way.read(client))
        await asyncio.sleep(1)
        await way.read(client)  # is refused, and logs in again
        release.set()
        await first
    assert len(server.arrivals) == 6
    assert sum(target == "POST /login" for target in server.targets) == 2


@ways
async def test_a_call_that_is_sent_once_is_repeated_after_a_401(way: Any) -> None:
    async with running(way) as (server, client):
        await way.read(client)
        if way is Ecotaxa:
            server.create_job()
        server.expire_tokens()
        await way.once(client)
        assert server.requests["login"] == 2
        operation = "reply_job_question" if way is Ecotaxa else "admin_create_model"
        assert server.requests[operation] == 2


@ways
async def test_a_server_that_always_says_401_gets_two_requests_a_call(serve: Any, way: Any) -> None:
    tokens = iter(range(100))

    async def login_or_401(arrival: Any, reader: Any, writer: Any) -> None:
        if arrival.target == "/login":
            writer.write(serve.json(way.token(f"t{next(tokens)}"), Connection="close"))
        else:
            writer.write(serve.http(401, b"no", Connection="close"))

    server = await serve(login_or_401)
    async with way.client(server.url) as client:
        for call in (way.read, way.once):
            before = len(server.arrivals)
            with pytest.raises(Unauthorized):
                await call(client)
            targets = server.targets[before:]
            assert sum(target != "POST /login" for target in targets) == 2
    used = [a.headers[way.token_header] for a in server.arrivals if a.target != "/login"]
    assert len(used) == 4
    assert len(set(used)) >= 3


@ways
async def test_a_download_logs_in_again_too(way: Any) -> None:
    async with running(way) as (server, client):
        await way.read(client)
        if way is Ecotaxa:
            job_id = server.create_job().id
            await asyncio.sleep(1000)
        else:
            model = server.add_model("name", b"the file", short_name="m")
        server.expire_tokens()
        if way is Ecotaxa:
            if server.ending(job_id).status != "F":
                pytest.fail("the job was to succeed")
            download = await client.jobs.get_job_file(job_id)
        else:
            download = await client.models.admin_get_model_contents("app-1", model.id)
        async with download:
            assert await download.read()
        assert server.requests["login"] == 2


# -- log-ins that fail


@ways
async def test_a_refused_log_in_reaches_all_callers(way: Any) -> None:
    async with running(way, wrong=True) as (server, client):
        errors = await asyncio.gather(
            *(way.read(client) for _ in range(50)), return_exceptions=True
        )
        assert [type(error) for error in errors] == [Forbidden] * 50
        assert all(error.operation == "login" for error in errors)
        assert server.requests == {"login": 1}
        assert len(set(map(id, errors))) == 50  # each may add notes, or a context of its own
        for error in errors:
            names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
            assert "log_in" not in names
            assert error.__context__ is None or error.__context__.__traceback__ is None
        with pytest.raises(Forbidden):
            await way.read(client)
        assert server.requests == {"login": 2}
        assert "wrong" not in repr(client)


@ways
async def test_a_log_in_is_repeated_where_the_server_is_in_trouble(serve: Any, way: Any) -> None:
    good = serve.json(way.token("t"))
    server = await serve(serve.http(503), serve.drop, good, serve.json(way.nothing))
    async with way.client(server.url) as client:
        await way.read(client)
    assert [target == "POST /login" for target in server.targets] == [True, True, True, False]


@ways
async def test_a_log_in_that_stays_in_trouble(serve: Any, way: Any) -> None:
    server = await serve(serve.http(503))
    async with way.client(server.url) as client:
        with pytest.raises(ServerError) as caught:
            await way.read(client)
    assert caught.value.operation == "login"
    assert server.targets == ["POST /login"] * 3


@ways
@pytest.mark.parametrize("token", ["", "line\nbreak", "snow \u2603"])
async def test_a_log_in_that_yields_no_token(serve: Any, way: Any, token: str) -> None:
    server = await serve(serve.json(way.token(token)))
    async with way.client(server.url) as client:
        # No argument of the caller is at fault.
        with pytest.raises(DecodeError):
            await way.read(client)
    assert set(server.targets) == {"POST /login"}


@ways
async def test_an_expiry_and_then_a_refused_log_in(serve: Any, way: Any) -> None:
    server = await serve(
        serve.json(way.token("one")),
        serve.http(401, b"expired"),
        serve.http(403, b"locked"),
    )
    async with way.client(server.url) as client:
        with pytest.raises(Forbidden, match="locked"):
            await way.read(client)
    assert len(server.arrivals) == 3


# -- callers that go, clients that close


@ways
async def test_a_first_caller_that_goes_leaves_the_log_in_to_the_others(
    serve: Any, way: Any
) -> None:
    async def slow_login(arrival: Any, reader: Any, writer: Any) -> None:
        await asyncio.sleep(5)
        writer.write(serve.json(way.token("t")))

    server = await serve(slow_login, serve.json(way.nothing))
    async with way.client(server.url) as client:
        first, *others = [asyncio.create_task(way.read(client)) for _ in range(10)]
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.gather(*others)
        assert first.cancelled()
    assert sum(target == "POST /login" for target in server.targets) == 1
    assert len(server.arrivals) == 10


@ways
async def test_when_all_callers_have_gone_the_log_in_is_still_good(serve: Any, way: Any) -> None:
    async def slow_login(arrival: Any, reader: Any, writer: Any) -> None:
        await asyncio.sleep(5)
        writer.write(serve.json(way.token("t")))

    server = await serve(slow_login, serve.json(way.nothing))
    async with way.client(server.url) as client:
        task = asyncio.create_task(way.read(client))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(10)
        await way.read(client)
    assert len(server.arrivals) == 2


@ways
async def test_a_failed_log_in_without_callers_is_silent(serve: Any, way: Any) -> None:
    async def slow_refusal(arrival: Any, reader: Any, writer: Any) -> None:
        await asyncio.sleep(5)
        writer.write(serve.http(403))

    problems: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: problems.append(context))
    server = await serve(slow_refusal)
    async with way.client(server.url) as client:
        task = asyncio.create_task(way.read(client))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(10)
    assert problems == []


@ways
async def test_closing_during_a_log_in(serve: Any, way: Any) -> None:
    server = await serve(serve.hang)
    client = way.client(server.url)
    async with client:
        tasks = [asyncio.create_task(way.read(client)) for _ in range(5)]
        await asyncio.sleep(1)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ClientClosed] * 5
    assert asyncio.get_running_loop().time() == 1.0
    assert server.targets == ["POST /login"]


@ways
async def test_a_caller_that_is_cancelled_while_the_client_closes_is_cancelled(
    serve: Any, way: Any
) -> None:
    server = await serve(serve.hang)
    async with way.client(server.url) as client:
        task = asyncio.create_task(way.read(client))
        await asyncio.sleep(1)
        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        await closing
        assert isinstance(result, asyncio.CancelledError)


@ways
async def test_closing_during_a_log_in_through_the_callers_session(serve: Any, way: Any) -> None:
    server = await serve(serve.hang)
    async with aiohttp.ClientSession() as session:
        async with way.client(server.url, session=session) as client:
            task = asyncio.create_task(way.read(client))
            await asyncio.sleep(1)
        with pytest.raises(ClientClosed):
            await task
        assert asyncio.get_running_loop().time() == 1.0
        assert not session.closed


@ways
async def test_no_log_in_after_closing(way: Any) -> None:
    async with running(way) as (server, client):
        await client.aclose()
        with pytest.raises(ClientClosed):
            await way.read(client)
        assert server.requests.total() == 0


# -- uploads and 401


class Unseekable(io.BytesIO):
    """A binary file like a pipe."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")


async def chunks() -> AsyncIterator[bytes]:
    yield b"first "
    yield b"second"


def unseekable() -> Unseekable:
    return Unseekable(b"first second")


@pytest.mark.looptime(False)  # files are read in threads, which virtual time does not wait for
@pytest.mark.parametrize("source", [chunks, unseekable])
async def test_what_cannot_be_rewound_is_not_sent_again(source: Callable[[], Any]) -> None:
    async with running(Leia) as (server, client):
        await Leia.read(client)
        server.expire_tokens()
        data = source()
        with pytest.raises(Unauthorized):
            await client.models.admin_create_model(data, "name", "app-1")
        assert server.requests == {"login": 1, "admin_get_models": 1, "admin_create_model": 1}
        await client.models.admin_create_model(source(), "name", "app-1")
        assert server.requests["login"] == 2
        (model,) = server.models.values()
        assert model.contents == b"first second"


@pytest.mark.looptime(False)
@pytest.mark.parametrize("kind", ["bytes", "memoryview", "path", "file", "BytesIO"])
async def test_what_can_be_rewound_is_sent_again_whole(kind: str, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    path = tmp_path / "model.zip"
    path.write_bytes(b"head" + data if kind == "file" else data)
    async with running(Leia) as (server, client):
        await Leia.read(client)
        server.expire_tokens()
        with path.open("rb") as file:
            file.seek(4)
            memory = io.BytesIO(b"head" + data)
            memory.seek(4)
            source: Any = {
                "bytes": data,
                "memoryview": memoryview(data),
                "path": path,
                "file": file,
                "BytesIO": memory,
            }[kind]
            await client.models.admin_create_model(source, "name", "app-1")
            assert not file.closed
        sent = [seen.body for seen in server.seen if seen.operation == "admin_create_model"]
        assert sent == [data, data]
        assert server.requests["login"] == 2


async def test_the_first_upload_logs_in_before_it_reads_its_source() -> None:
    async with running(Leia, wrong=True) as (_, client):
        began = False

        async def source() -> AsyncIterator[bytes]:
            nonlocal began
            began = True
            yield b"data"

        with pytest.raises(Forbidden):
            await client.models.admin_create_model(source(), "name", "app-1")
        assert not began


# -- credentials that do not change


@pytest.mark.parametrize("service", ["bsubio", "ecotaxa", "leia", "vidispine"])
async def test_a_401_to_fixed_credentials_is_raised_at_once(
    serve: Any, connect: Connect, service: str
) -> None:
    server = await serve(serve.http(401, b"go away"))
    client = await connect(service, server.url)
    job = client.job(1 if service == "ecotaxa" else "VX-1", **_scope(service))
    with pytest.raises(Unauthorized, match="go away"):
        await job.refresh()
    assert len(server.arrivals) == 1


def _scope(service: str) -> dict[str, str]:
    return {"submitter_id": "app-1"} if service == "leia" else {}


async def test_how_each_service_is_told_who_we_are(serve: Any, connect: Connect) -> None:
    expected = {
        "bsubio": ("Authorization", "Bearer bsub-key"),
        "ecotaxa": ("Authorization", "Bearer eco-token"),
        "leia": ("token", "leia-token"),
        "vidispine": ("Authorization", f"Basic {base64.b64encode(b'user:secret').decode()}"),
    }
    for service, (name, value) in expected.items():
        server = await serve(serve.http(404))
        client = await connect(service, server.url)
        with pytest.raises(NotFound):
            await client.job(1 if service == "ecotaxa" else "x", **_scope(service)).refresh()
        (arrival,) = server.arrivals[:1]
        assert arrival.headers.getall(name) == [value]
        assert value.split()[-1] not in arrival.target


async def test_a_password_in_utf8(serve: Any, connect: Connect) -> None:
    server = await serve(serve.json({"uri": []}))
    client = await connect("vidispine", server.url, username="jörg", password="pass:wört")
    await client.jobs.get_job_types()
    given = server.arrivals[0].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(given).decode() == "jörg:pass:wört"


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (EcotaxaClient, "token"),
        (lambda: EcotaxaClient(token="t", username="u", password="p"), "username"),
        (lambda: EcotaxaClient(username="u"), "password"),
        (lambda: EcotaxaClient(password="p"), "username"),
        (lambda: EcotaxaClient(username="", password="p"), "username"),
        (lambda: EcotaxaClient(token=" "), "token"),
        (lambda: EcotaxaClient(token="a\nb"), "token"),
        (LeiaClient, "api_key"),
        (lambda: LeiaClient(api_key="k", token="t"), "token"),
        (lambda: LeiaClient(api_key=""), "api_key"),
        (lambda: LeiaClient(api_key=1), "api_key"),  # type: ignore[arg-type]
    ],
)
async def test_credentials_that_cannot_be_used(make: Callable[[], Any], argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        make()
    assert caught.value.argument == argument


async def test_the_upload_token_of_bsubio_is_none_of_the_clients_credentials(
    connect: Connect,
) -> None:
    async with FakeBsubio(record=True) as server:
        client = await connect("bsubio", server.base_url, api_key=server.api_key)
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        with pytest.raises(Unauthorized, match="upload token"):
            await client.jobs.upload_job_data(job.id, "another", b"data")
        assert server.requests["upload_job_data"] == 1
