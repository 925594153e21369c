"""Who may call a receiver, what it takes, and what it answers; through both ways of mounting it."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import attrs
import pytest

from jobkit_async import (
    BsubioClient,
    CallbackReceiver,
    EcotaxaClient,
    InvalidArgument,
    LeiaClient,
    VidispineClient,
)

BASE = "https://app.example/callbacks"
SECRET = "sixteen letters or more"
LEIA = json.dumps({"id": "5f1e", "status": "PROCESSED", "result": [1, 2]}).encode()
VIDISPINE = json.dumps(
    {"field": [{"key": "action", "value": "STOP"}, {"key": "jobId", "value": "VX-7"}]}
).encode()


def leia(base_url: str = "https://leia.example") -> LeiaClient:
    return LeiaClient(token="token", base_url=base_url)


def vidispine() -> VidispineClient:
    return VidispineClient(username="u", password="p", base_url="https://vs.example/API")


# -- addresses


def test_an_address_is_made_of_the_secret_and_of_the_place_of_the_service() -> None:
    receiver = CallbackReceiver(BASE + "/", secret=SECRET)
    client = leia()
    url = receiver.url_for(client)
    base, _, token = url.rpartition("/")
    assert base == BASE
    assert len(token) == 43
    assert SECRET not in url
    assert receiver.url_for(client) == receiver.url_for(client.with_options(timeout=5)) == url
    assert CallbackReceiver(BASE, secret=SECRET).url_for(leia()) == url
    others = [
        receiver.url_for(leia("https://leia.example/test")),
        receiver.url_for(vidispine()),
        CallbackReceiver(BASE, secret=SECRET + "!").url_for(client),
        CallbackReceiver(BASE).url_for(client),
        CallbackReceiver(BASE).url_for(client),
    ]
    assert len({url, *others}) == 6


def test_services_that_do_not_call_have_no_address() -> None:
    receiver = CallbackReceiver(BASE)
    for client in (BsubioClient(api_key="k"), EcotaxaClient(token="t")):
        with pytest.raises(InvalidArgument, match=f"{client.service} does not call back"):
            receiver.url_for(client)
    with pytest.raises(InvalidArgument, match="a client is due, not str"):
        receiver.url_for("leia")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    ["", "app.example", "ftp://app.example", "https://", "https://u:p@app.example/", "https://a/?b",
     "https://a/#b", "https://a b/", "https://a:99999/", 7, None],
)  # fmt: skip
def test_a_url_that_nobody_can_call(url: Any) -> None:
    with pytest.raises(InvalidArgument) as raised:
        CallbackReceiver(url)
    assert raised.value.argument == "public_url"


@pytest.mark.parametrize(
    ("argument", "value"),
    [("secret", "too short"), ("secret", b"bytes are no secret"), ("max_body", 0),
     ("max_body", 1.5), ("max_rate", 0), ("max_rate", "fast")],
)  # fmt: skip
def test_an_argument_out_of_bounds(argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as raised:
        CallbackReceiver(BASE, **{argument: value})
    assert raised.value.argument == argument


def test_the_secret_shows_nowhere() -> None:
    receiver = CallbackReceiver(BASE, secret=SECRET)
    token = receiver.url_for(leia()).rpartition("/")[2]
    assert repr(receiver) == f"<CallbackReceiver at {BASE}, 1 addresses>"
    assert SECRET not in repr(receiver)
    assert token not in repr(receiver)


async def test_a_receiver_keeps_no_client_alive() -> None:
    receiver = CallbackReceiver(BASE)
    client = leia()
    url = receiver.url_for(client)
    gone = weakref.ref(client._tracker)
    del client
    gc.collect()
    assert gone() is None
    assert (await call_core(receiver, url, LEIA)) == 204
    for _ in range(3):
        receiver.url_for(leia())
        gc.collect()
    (line,) = receiver._lines.values()
    assert len(line.listeners) <= 2


# -- calls


async def once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def call_core(receiver: CallbackReceiver, url: str, body: bytes, method: str = "POST") -> int:
    path = url.removeprefix("https://app.example")
    return (await receiver.answer(method, path, str(len(body)), once(body))).status


@attrs.frozen
class Response:
    status: int
    text: str
    headers: dict[str, str]


Caller = Callable[..., Awaitable[Response]]


@pytest.fixture(params=["aiohttp", "asgi"])
def caller(request: pytest.FixtureRequest, serve: Any) -> Callable[..., Any]:
    """Calls a receiver: ``call(receiver, path, body, method=, headers=)``."""

    async def by_aiohttp(
        receiver: CallbackReceiver,
        path: str,
        body: Any = b"",
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Response:
        from aiohttp import web

        app = web.Application()
        app.add_subapp("/callbacks", receiver.aiohttp_app())
        async with serve(app) as port, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/callbacks/{path}"
            async with session.request(method, url, data=body, headers=headers) as response:
                return Response(response.status, await response.text(), dict(response.headers))

    async def by_asgi(
        receiver: CallbackReceiver,
        path: str,
        body: Any = b"",
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Response:
        if isinstance(body, bytes):
            sent, pairs = [body], {"content-length": str(len(body))}
        else:
            sent, pairs = [chunk async for chunk in body], {}
        pairs |= {name.lower(): value for name, value in (headers or {}).items()}
        messages = [{"type": "http.request", "body": each, "more_body": True} for each in sent]
        messages.append({"type": "http.request", "body": b"", "more_body": False})
        scope = {
            "type": "http",
            "method": method,
            "path": f"/callbacks/{path}",
            "root_path": "/callbacks",
            "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
        }
        answered: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            answered.append(message)

        await receiver(scope, receive, send)
        start, end = answered
        return Response(
            start["status"],
            end["body"].decode(),
            {name.decode().title(): value.decode() for name, value in start["headers"]},
        )

    return by_aiohttp if request.param == "aiohttp" else by_asgi


@pytest.mark.parametrize(("make", "body"), [(leia, LEIA), (vidispine, VIDISPINE)])
async def test_a_call_is_answered_the_same_whether_anybody_knows_the_job(
    caller: Caller, make: Callable[[], Any], body: bytes
) -> None:
    receiver = CallbackReceiver(BASE)
    client = make()
    token = receiver.url_for(client).rpartition("/")[2]
    unopened = await caller(receiver, token, body)
    async with client:
        unknown = await caller(receiver, token, body)
        kept = client.job("5f1e")
        known = await caller(receiver, token, body)
        assert kept.state.value == "unknown"
    closed = await caller(receiver, token, body)
    assert {each.status for each in (unopened, unknown, known, closed)} == {204}
    assert {each.text for each in (unopened, unknown, known, closed)} == {""}


async def test_nobody_is_at_home_for_another_address(caller: Caller) -> None:
    receiver = CallbackReceiver(BASE)
    token = receiver.url_for(leia()).rpartition("/")[2]
    for path in ("", "x", "x" * 43, "é", "%C3%A9", "%00", "a/b", "../callbacks"):
        assert (await caller(receiver, path, LEIA)).status == 404
    near = token[:-1] + ("A" if token[-1] != "A" else "B")
    other = CallbackReceiver(BASE).url_for(leia()).rpartition("/")[2]  # another application's
    for wrong in (near, token[:-1], token + "A", other):
        answer = await caller(receiver, wrong, LEIA)
        assert answer.status == 404
    # Nor does a wrong address tell by its answer that the rest of the call was wrong too.
    assert (await caller(receiver, near, b"x" * 100, "GET")).status == 404


async def test_a_call_is_a_post(caller: Caller) -> None:
    receiver = CallbackReceiver(BASE)
    token = receiver.url_for(leia()).rpartition("/")[2]
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        answer = await caller(receiver, token, method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


BAD = [
    b"",
    b"not json",
    b"[]",
    b"null",
    b'"5f1e"',
    b"{}",
    b'{"id": "5f1e"}',
    b'{"id": 7, "status": "PROCESSED"}',
    b'{"id": null, "status": "PROCESSED"}',
    b'{"id": "5f1e", "status": "PROCESSED"',
    b'{"id": "' + b"x" * 2000 + b'", "status": "PROCESSED"}',
    b'{"id": "\xff", "status": "PROCESSED"}',
    b"[" * 100_000,
    b'{"field": 7}',
    b'{"field": [7, null, {}, {"key": "jobId"}, {"key": "jobId", "value": 7}]}',
    b'{"field": [{"key": "itemId", "value": "VX-1"}]}',
    b'{"field": ' + b"[" * 50_000,
]


@pytest.mark.parametrize("make", [leia, vidispine])
async def test_what_is_no_call_is_refused_in_words(make: Callable[[], Any]) -> None:
    receiver = CallbackReceiver(BASE)
    path = receiver.url_for(make()).removeprefix("https://app.example")
    for body in BAD:
        answer = await receiver.answer("POST", path, None, once(body))
        assert answer.status == 400, body[:24]
        assert answer.text.startswith("this is not a ")


async def test_a_call_of_one_service_is_none_of_another(caller: Caller) -> None:
    receiver = CallbackReceiver(BASE)
    to_leia, to_vidispine = (
        receiver.url_for(client).rpartition("/")[2] for client in (leia(), vidispine())
    )
    assert (await caller(receiver, to_leia, VIDISPINE)).status == 400
    assert (await caller(receiver, to_vidispine, LEIA)).status == 400


async def chunks(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


async def test_a_call_that_is_too_large(caller: Caller) -> None:
    receiver = CallbackReceiver(BASE, max_body=1000)
    token = receiver.url_for(leia()).rpartition("/")[2]
    assert (await caller(receiver, token, LEIA + b" " * (1000 - len(LEIA)))).status == 204
    for body in (LEIA + b" " * (1001 - len(LEIA)), chunks(11, 100)):
        answer = await caller(receiver, token, body)
        assert (answer.status, answer.text) == (413, "the body has more than 1000 bytes")


async def test_a_call_that_announces_too_much_is_not_read() -> None:
    receiver = CallbackReceiver(BASE, max_body=1000)
    path = receiver.url_for(leia()).removeprefix("https://app.example")

    async def never() -> AsyncIterator[bytes]:
        pytest.fail("it is read")
        yield b""

    for length in ("1001", "9" * 5000):
        assert (await receiver.answer("POST", path, length, never())).status == 413


async def test_a_large_notification_is_none() -> None:
    receiver = CallbackReceiver(BASE)
    pairs = [{"key": f"k{i}", "value": "x" * 1000} for i in range(300)]
    body = json.dumps({"field": [{"key": "jobId", "value": "VX-1"}, *pairs]}).encode()
    assert await call_core(receiver, receiver.url_for(vidispine()), body) == 400


async def test_an_unpacked_body_counts(serve: Any) -> None:
    from aiohttp import web

    receiver = CallbackReceiver(BASE, max_body=1000)
    token = receiver.url_for(leia()).rpartition("/")[2]
    app = web.Application()
    app.add_subapp("/callbacks", receiver.aiohttp_app())
    async with serve(app) as port, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/callbacks/{token}"
        for body, status in [
            (gzip.compress(LEIA), 204),
            (gzip.compress(b" " * 1_000_000), 413),
            (b"no gzip at all", 400),
        ]:
            headers = {"Content-Encoding": "gzip"}
            async with session.post(url, data=body, headers=headers) as response:
                assert response.status == status


async def test_a_flood_of_calls(caller: Caller) -> None:
    receiver = CallbackReceiver(BASE, max_rate=0.5)
    token = receiver.url_for(leia()).rpartition("/")[2]
    statuses = [(await caller(receiver, token, LEIA)).status for _ in range(5)]
    assert statuses == [204] * 5
    answer = await caller(receiver, token, LEIA)
    assert answer.status == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 2
    assert "0.5 calls a second" in answer.text
    # What is not for us does not use the limit up.
    fresh = CallbackReceiver(BASE, max_rate=0.1)
    token = fresh.url_for(leia()).rpartition("/")[2]
    for _ in range(5):
        await caller(fresh, "elsewhere", LEIA)
    assert (await caller(fresh, token, LEIA)).status == 204


@pytest.mark.looptime
async def test_the_limit_fills_up_again() -> None:
    receiver = CallbackReceiver(BASE, max_rate=2.0)
    url = receiver.url_for(leia())
    assert [await call_core(receiver, url, LEIA) for _ in range(21)] == [204] * 20 + [429]
    await asyncio.sleep(1.0)
    assert [await call_core(receiver, url, LEIA) for _ in range(3)] == [204, 204, 429]
    await asyncio.sleep(1000.0)
    assert [await call_core(receiver, url, LEIA) for _ in range(21)] == [204] * 20 + [429]


@pytest.mark.looptime
async def test_a_body_that_does_not_come() -> None:
    receiver = CallbackReceiver(BASE)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(1.0)
            yield b" "

    path = receiver.url_for(leia()).removeprefix("https://app.example")
    answer = await receiver.answer("POST", path, None, drip())
    assert answer.status == 408
    assert asyncio.get_running_loop().time() == pytest.approx(30.0)


async def test_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "jobkit_async.callbacks")
    receiver = CallbackReceiver(BASE)
    async with leia() as client:
        url = receiver.url_for(client)
        await call_core(receiver, url, LEIA)
        await call_core(receiver, url, b"secrets of others")
        await call_core(receiver, BASE + "/nothing", LEIA)
    assert [record.getMessage() for record in caplog.records] == [
        "leia: a call about a job, 1 clients told",
        "leia: a call was refused: this is not a job of Leia as JSON, with its id and status",
    ]


# -- ASGI alone


async def test_a_caller_who_hangs_up_is_not_answered() -> None:
    receiver = CallbackReceiver(BASE)
    answered: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answered.append(message)

    path = receiver.url_for(leia()).removeprefix("https://app.example")
    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    await receiver(scope, receive, send)
    assert answered == []


async def test_it_can_be_all_of_a_server() -> None:
    receiver = CallbackReceiver(BASE)
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    answered: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        answered.append(message["type"])

    await receiver({"type": "lifespan"}, receive, send)
    assert answered == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_it_is_no_websocket() -> None:
    answered: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        answered.append(message)

    await CallbackReceiver(BASE)({"type": "websocket"}, receive, send)
    assert [message["type"] for message in answered] == ["websocket.close"]


# -- clients in other places


def test_a_call_in_another_event_loop_is_left_aside(caplog: pytest.LogCaptureFixture) -> None:
    receiver = CallbackReceiver(BASE)
    client = leia()

    async def open_() -> None:
        await client.__aenter__()

    with asyncio.Runner() as first:
        first.run(open_())
        url = receiver.url_for(client)
        with asyncio.Runner() as second:
            assert second.run(call_core(receiver, url, LEIA)) == 204
        assert "another event loop" in caplog.text
        first.run(client.aclose())


# -- services of others


@pytest.mark.looptime
async def test_a_service_from_elsewhere_says_what_its_calls_look_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Format:
        expected = "a number"

        def key(self, body: bytes) -> int | None:
            return int(body) if body.isdigit() else None

        def promises(self, arguments: Any, url: str) -> bool:
            return False

    spec = SimpleNamespace(callbacks=Format())
    monkeypatch.setattr("jobkit_async.callbacks.receiver.find_service", lambda name: spec)
    receiver = CallbackReceiver(BASE)
    async with EcotaxaClient(token="t") as client:
        url = receiver.url_for(client)
        nudged: list[Any] = []
        monkeypatch.setattr(client._tracker, "nudge", nudged.append)
        assert await call_core(receiver, url, b"17") == 204
        assert await call_core(receiver, url, b"seventeen") == 400
    assert nudged == [17]
