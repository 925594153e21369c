"""Whatever a server answers: a value or one of our errors, of bounded length; nothing else."""

from __future__ import annotations

import json
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from multidict import CIMultiDict

from jobkit_async import Download, Job, JobkitError, Polling, wait_all
from jobkit_async.answer import Answer
from jobkit_async.endpoint import Endpoint, ResultKind
from jobkit_async.errors import EXCERPT, LONGEST
from jobkit_async.model import Unset, wire_name
from jobkit_async.polling.source import Observed, Sighting
from jobkit_async.registry import find_service, service_names
from jobkit_async.request import Request
from jobkit_async.transfer import UploadBody

Opened = Callable[..., Awaitable[Any]]

ROWS = [
    (name, row)
    for name in service_names()
    for api in find_service(name).table.apis
    for row in api.rows
]
EACH_ROW = pytest.mark.parametrize(
    ("service", "row"), [pytest.param(*row, id=f"{row[0]}-{row[1].name}") for row in ROWS]
)
EACH_SERVICE = pytest.mark.parametrize("service", service_names())
KEYS: Final[Mapping[str, list[Any]]] = {
    "bsubio": [f"00000000-0000-4000-8000-00000000000{n}" for n in range(4)],
    "ecotaxa": [1, 2, 3, 4],
    "leia": ["j1", "j2", "j3", "j4"],
    "vidispine": ["VX-1", "VX-2", "VX-3", "VX-4"],
}


# -- what servers may say


def full(hint: Any, depth: int = 3) -> Any:
    """JSON of a type in which every member is there."""
    if hint is Any:
        return {"any": [1, "x"]}
    if attrs.has(hint):
        hints = get_type_hints(hint)
        return {
            wire_name(field): full(hints[field.name], depth - 1)
            for field in attrs.fields(hint)
            if depth or field.default is attrs.NOTHING
        }
    origin, inner = get_origin(hint), get_args(hint)
    if origin is list:
        return [full(inner[0], depth), full(inner[0], depth)] if depth > 0 else []
    if origin is dict:
        return {"k": full(inner[1], depth)}
    if inner:
        return full(next(one for one in inner if one not in (NoneType, Unset)), depth)
    plain: dict[Any, Any] = {str: "text", int: 7, float: 0.5, bool: True}
    return "2026-03-01T10:00:05Z" if hint is datetime else plain[hint]


@cache
def good(service: str, row: Endpoint) -> str:
    """JSON of a good answer to an operation, in which every member is there."""
    result = row.returns
    if result.kind in (ResultKind.NONE, ResultKind.TEXT, ResultKind.BYTES):
        return '"text"'
    value = full(list[result.type] if result.kind is ResultKind.JOBS else result.type)  # type: ignore[name-defined]  # known at run time only
    if result.kind is ResultKind.JOBS:
        for key, document in zip(KEYS[service], value, strict=False):
            document |= {result_key(row): key}
    for at in reversed(result.at):
        value = {at: value}
    for at in (result.total or ())[-1:]:
        value |= {at: 2} if len(result.at) < 2 else {}
    return json.dumps(value | {"success": True} if result.envelope else value)


def result_key(row: Endpoint) -> str:
    """The wire name of the member that is a job's id."""
    return wire_name(attrs.fields_dict(row.returns.type)[row.returns.key[0]])


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


ODD: Final[list[Any]] = [
    None,
    True,
    False,
    0,
    -1,
    2**70,
    10**400,
    10**4000,
    1.5,
    1e308,
    -1e308,
    "",
    ".",
    "text",
    "a\nb\x00c",
    "9" * 5000,
    "x" * 3000,
    "\u202e😀",
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-03-01T10:00:05",
    "2026-03-01",
    [],
    [[]],
    {},
    {"x" * 1000: 1},
    nested(99),
    nested(150),
    nested(400),
]


@st.composite
def mutated(draw: st.DrawFn, text: str, most: int = 3) -> bytes:
    """A good document in which some nodes are gone, odd, doubled or wrapped."""
    document = json.loads(text)
    for _ in range(draw(st.integers(1, most))):
        nodes = list(walk(document))
        if not nodes:
            break
        holder, place = draw(st.sampled_from(nodes))
        kind = draw(st.sampled_from(["drop", "odd", "odd", "odd", "list", "object", "many"]))
        if kind == "drop":
            del holder[place]
        elif kind == "odd":
            holder[place] = json.loads(json.dumps(draw(st.sampled_from(ODD))))  # one of its own
        else:
            inner = holder[place]
            wraps = {"list": [inner], "object": {"k": inner}, "many": [inner] * 101}
            holder[place] = wraps[kind]
    return json.dumps(document).encode()


def walk(value: Any, depth: int = 8) -> Any:
    """All places in a document, as container and key."""
    if isinstance(value, dict | list) and depth:
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from walk(inner, depth - 1)


BODIES = (
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["success", "data", "jobs", "job", "hits", "error", "detail", "id"])
                | st.text(max_size=6),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode())
    | st.sampled_from(
        [
            b"",
            b" ",
            b"\xef\xbb\xbf{}",
            '{"success": true}'.encode("utf-16"),
            b"[" * 100_000,
            b"[" * 5000 + b"]" * 5000,
            b'{"detail":' * 300 + b"1" + b"}" * 300,
            b'{"error": {"error": {"error": NaN}}}',
            b'"\\ud800"',
            b'{"' + b"k" * 5_000 + b'": {}}',
            b"<html>" + b"y" * 10_000,
            b"Traceback (most recent call last):\n  File\n\x00",
            b"9" * 5000,
            b"1e999",
        ]
    )
)
STATUSES = st.sampled_from(
    [
        100,
        *range(200, 207),
        *range(300, 309),
        *range(400, 432),
        499,
        *range(500, 512),
        599,
        600,
        999,
    ]
)
LINES = st.text(st.characters(min_codepoint=9, max_codepoint=255), max_size=30)
NUMBERS = st.sampled_from(["", "0", "-1", "1.5", "9" * 5000, "-1e999", "nan", "1_0", "٣", "²"])
MOMENTS = st.sampled_from(
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Mon, 99 Foo 2026 99:99:99 GMT",
        "Sun, 06 Nov 1994 08:49:37 +99999999999",
        "0",
        "1 Jan",
    ]
)
CHARSETS = st.sampled_from(
    ["utf-8", "utf-16", "utf-7", "cp037", "mbcs", "none", "a\0b", "", '"', "üüü"]
) | st.sampled_from(["idna", "punycode", "unicode_escape", "undefined", "hex", "rot13", "base64"])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Retry-After": NUMBERS | MOMENTS | LINES,
        "Date": MOMENTS | LINES,
        "Content-Type": CHARSETS.map("text/plain; charset={}".format) | LINES,
        "Content-Disposition": LINES.map('attachment; filename="{}"'.format) | LINES,
        "Content-Range": NUMBERS.map("jobs 0-9/{}".format) | NUMBERS | LINES,
        "Content-Encoding": st.just("identity"),
        "Location": LINES,
        "X-Total": NUMBERS,
    },
)


# -- what becomes of it


def check_error(error: BaseException) -> None:
    """An error of ours, whole and of bounded length."""
    assert isinstance(error, JobkitError), repr(error)
    assert len(str(error)) <= LONGEST
    assert len(getattr(error, "body", "")) <= EXCERPT
    assert len(getattr(error, "path", "$")) <= EXCERPT
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def check_value(value: Any) -> None:
    """A value that can be looked at."""
    repr(value)
    for job in value if isinstance(value, list | tuple) or hasattr(value, "total") else [value]:
        if isinstance(job, Job):
            assert job.state, job.ref
            assert job.progress is None or 0 <= job.progress <= 1
            assert len(repr(job)) < 200_000


class Said:
    """An answer whose body streams."""

    def __init__(self, answer: Answer) -> None:
        self.status, self.headers, self._body = answer.status, answer.headers, answer.body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    def close(self) -> None:
        pass


def say(client: Any, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Request], Answer]) -> None:
    """Let a client hear these answers."""

    async def send(request: Request, headers: Any = None, **options: Any) -> Answer:
        if isinstance(request.body, UploadBody):
            request.body.close()
        return answer(request)

    async def stream(request: Request, headers: Any = None, **options: Any) -> Said:
        return Said(await send(request))

    monkeypatch.setattr(client._caller.transport, "send", send)
    monkeypatch.setattr(client._caller.transport, "stream", stream)


@pytest.fixture
async def call(
    opened: Opened,
    method_of: Callable[..., Any],
    sample_argument: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Awaitable[None]]:
    """Calls an operation, which is answered so, and sees that it ends as promised."""
    clients = {name: (await opened(name)).with_options(retries=0) for name in service_names()}

    async def make(service: str, row: Endpoint, answer: Answer | None) -> None:
        client = clients[service]
        arguments = {
            param.name: sample_argument(service, param) for param in row.params if param.required
        }
        if answer is not None:
            say(client, monkeypatch, lambda request: answer)
        try:
            value = await method_of(client, row.name)(**arguments)
            if isinstance(value, Download):
                repr(value)
                value = await value.read()
        except Exception as error:  # noqa: BLE001 - that is what is looked at
            check_error(error)
        else:
            check_value(value)

    return make


def answer_of(status: int, headers: Mapping[str, str], body: bytes, cut: str | None) -> Answer:
    return Answer(status, CIMultiDict(headers), body, cut)


ANSWERS = st.builds(answer_of, STATUSES, HEADERS, BODIES, st.none() | st.just("it was cut off"))


# -- operations


@settings(max_examples=150)
@given(row=st.sampled_from(ROWS), answer=ANSWERS)
async def test_any_answer_to_any_operation(
    row: tuple[str, Endpoint], answer: Answer, call: Callable[..., Awaitable[None]]
) -> None:
    await call(*row, answer)


@EACH_ROW
@settings(max_examples=4)
@given(data=st.data())
async def test_a_good_answer_that_is_spoilt_somewhere(
    service: str, row: Endpoint, call: Callable[..., Awaitable[None]], data: st.DataObject
) -> None:
    body = data.draw(mutated(good(service, row)))
    await call(service, row, answer_of(200, data.draw(HEADERS), body, None))


@EACH_ROW
async def test_the_good_answer_is_one(
    service: str,
    row: Endpoint,
    opened: Opened,
    method_of: Callable[..., Any],
    sample_argument: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = await opened(service)
    body = good(service, row).encode()
    say(client, monkeypatch, lambda request: answer_of(200, {}, body, None))
    arguments = {
        param.name: sample_argument(service, param) for param in row.params if param.required
    }
    value = await method_of(client, row.name)(**arguments)
    if row.returns.kind is ResultKind.JOBS:
        assert [job.id for job in value] == KEYS[service][:2]
    check_value(value)


@EACH_ROW
@settings(max_examples=2)
@given(answer=ANSWERS, head=st.binary(max_size=60) | st.none())
async def test_any_answer_over_a_real_connection(
    service: str,
    row: Endpoint,
    answer: Answer,
    head: bytes | None,
    call: Callable[..., Awaitable[None]],
    recorder: Any,
) -> None:
    lines = [f"{name}: {value}" for name, value in answer.headers.items()]
    start = f"HTTP/1.1 {max(answer.status, 200)} X"
    raw = "\r\n".join([start, *lines, "", ""]).encode("utf-8") + answer.body
    recorder.say_raw(raw if head is None else head + raw)
    await call(service, row, None)


# -- waits


def awaited(service: str, row: Endpoint, word: str) -> str:
    """A good answer that shows the awaited jobs in a state."""
    if row.name == "admin_get_job_statuses":
        return json.dumps(dict.fromkeys(KEYS[service], word))
    document = json.loads(good(service, row))
    result = row.returns
    inner = document
    for at in result.at:
        inner = inner[at]
    if result.kind is ResultKind.JOBS:
        inner[:] = [dict(inner[0]) for _ in KEYS[service]]
    for key, job in zip(KEYS[service], inner if isinstance(inner, list) else [inner], strict=False):
        if result.kind in (ResultKind.JOB, ResultKind.JOBS):
            job |= {result_key(row): key, "state" if service == "ecotaxa" else "status": word}
    return json.dumps(document)


WORDS: Final[Mapping[str, list[str]]] = {
    "bsubio": ["pending", "processing", "finished", "failed", "created", "odd" * 900],
    "ecotaxa": ["P", "R", "F", "E", "A", "odd" * 900],
    "leia": ["WAITING", "PROCESSING", "PROCESSED", "FAILED", "BLOCKED", "odd" * 900],
    "vidispine": ["READY", "STARTED", "FINISHED", "FAILED_TOTAL", "odd" * 900],
}


def talk(
    data: st.DataObject, client: Any, service: str, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Let a server say this and that about the jobs, now and then the truth."""
    word = data.draw(st.sampled_from(WORDS[service]))
    plan = data.draw(st.lists(st.sampled_from(["odd", "odd", "any", "good"]), max_size=most))

    def answer(request: Request) -> Answer:
        kind = plan.pop(0) if plan else "good"
        if kind == "any":
            return data.draw(ANSWERS)
        text = awaited(service, request.row, word)
        headers = data.draw(HEADERS) if kind == "odd" else {"Date": "Sun, 01 Mar 2026 10:00:05 GMT"}
        body = data.draw(mutated(text)) if kind == "odd" else text.encode()
        offset = getattr(client._caller.transport, "_learn", None)
        if offset is not None:
            offset(Said(answer_of(200, headers, b"", None)))
        return answer_of(200, headers, body, None)

    say(client, monkeypatch, answer)


@EACH_SERVICE
@settings(max_examples=20)
@given(data=st.data())
async def test_any_answer_to_a_look(
    service: str, data: st.DataObject, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    @attrs.frozen
    class Asked:
        seen_at: float | None = None
        alive_at: float | None = None
        newest: Any = None
        detail: bool = True

    client = await opened(service)
    talk(data, client, service, monkeypatch, most=12)
    keys = KEYS[service]
    asks = {key: Asked(detail=data.draw(st.booleans())) for key in keys}
    for key in keys:
        client.job(key)
    try:
        observed = await client._source.observe(asks)
        assert isinstance(observed, Observed)
        assert set(observed.seen) | set(observed.missing) | set(observed.failed) <= set(keys)
        for error in observed.failed.values():
            check_error(error)
        repr(observed)
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        check_error(error)
    for result in (await client._source.finish(keys)).values():
        if isinstance(result, Exception):
            check_error(result)
        else:
            assert isinstance(result, Sighting)


@pytest.mark.looptime(end=1_000_000)
@EACH_SERVICE
@settings(max_examples=8)
@given(data=st.data())
async def test_any_answer_to_a_wait(
    service: str,
    data: st.DataObject,
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = await opened(service, polling=Polling(min_interval=5.0))
    talk(data, client, service, monkeypatch, most=12)
    jobs = [client.job(key) for key in KEYS[service]]
    for outcome in await wait_all(jobs, timeout=60.0):
        if outcome.error is not None:
            check_error(outcome.error)
        else:
            repr(outcome.data)
        check_value(outcome.job)
    await client.aclose()
