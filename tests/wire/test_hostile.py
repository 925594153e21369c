"""Whatever text callers pass, it arrives as it was given and changes nothing else."""

from __future__ import annotations

import io
import re
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from jobkit_async import Download, Upload
from jobkit_async.endpoint import CSV, Endpoint, Param, Place
from jobkit_async.registry import find_service, service_names
from jobkit_async.request import build

Opened = Callable[..., Awaitable[Any]]

ROWS = [
    (name, row)
    for name in service_names()
    for api in find_service(name).table.apis
    for row in api.rows
]
TEXT_ROWS = [
    pytest.param(name, row, id=f"{name}-{row.name}")
    for name, row in ROWS
    if any(param.element is str and param.place is not Place.JSON for param in row.params)
]
HOSTILE: Final = [
    *"/?#&%+ ;:@'\"\\*()",
    "=[]{}<>|^`~!$",
    "..%2f",
    "../../etc/passwd",
    "a/../b",
    "%2e%2e",
    "%00",
    "\x00",
    "\r\nX-Injected: 1",
    "\t",
    " leading and trailing ",
    "a&b=c#d?e/f",
    "a+b%20c",
    "{jobId}{job_id}{job-id}{submitter_id}{model_id}",
    "...",
    "é",
    "Ünïcödé",
    "日本語",
    "\u202egnp.exe",
    "😀",
    "👩\u200d👩\u200d👧",
    "x" * 500 + "%" * 500 + "😀" * 500,
]
COMMAS: Final = [",", "a,b", ",,", "a,", ",a", "1,2;3"]
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    # Hypothesis tries words of the source as well, and the credentials of the tests are some.
    lambda value: not re.search("-key|-token|planted|up-|tok-|signed-", value)
)


@attrs.frozen
class Call:
    """A call in which every text is of the test's choice, and all the rest is the same.

    Each text parameter has one text, or two where it takes a list.
    """

    service: str
    row: Endpoint
    sample_argument: Callable[..., Any]

    @property
    def params(self) -> list[Param]:
        """The parameters that take text."""
        return [
            param
            for param in self.row.params
            if param.element is str and param.place is not Place.JSON
        ]

    def values(self, choose: Callable[[Param], str]) -> dict[str, list[str]]:
        """A text for each slot, by parameter."""
        return {
            param.name: [choose(param) for _ in range(2 if param.is_list else 1)]
            for param in self.params
        }

    def arguments(self, values: dict[str, list[str]]) -> dict[str, Any]:
        """Arguments for the operation: the texts, and samples for what else is required."""
        given = {
            param.name: values[param.name] if param.is_list else values[param.name][0]
            for param in self.params
        }
        for param in self.row.params:
            if param.required and param.name not in given:
                given[param.name] = self.sample_argument(self.service, param)
        return given


def allowed(param: Param, value: str) -> bool:
    """Whether a text may be sent at all; the others are refused."""
    if param.style is CSV and ("," in value or not value):
        return False
    return not (param.place is Place.PATH and value in ("", ".", ".."))


def shown(raw: Any) -> tuple[Any, ...]:
    """All of a request but its target."""
    headers = {name: value for name, value in raw.headers.items() if name != "Content-Type"}
    content_type = raw.headers.get("Content-Type", "")
    if content_type.startswith("multipart/"):
        return raw.method, headers, raw.part
    return raw.method, headers, content_type, raw.body


@pytest.fixture
def compare(
    recorder: Any,
    method_of: Callable[..., Any],
    sample_argument: Callable[..., Any],
    answer_well: Callable[..., None],
) -> Callable[..., Awaitable[None]]:
    """Makes a call with harmless texts and the same with others, and compares the requests."""

    async def make(client: Any, row: Endpoint, choices: list[Callable[[Param], str]]) -> None:
        service = client.service
        call = Call(service, row, sample_argument)
        method = method_of(client, row.name)
        answer_well(service, row)

        async def wire(values: dict[str, list[str]]) -> Any:
            recorder.arrived.clear()
            result = await method(**call.arguments(values))
            if isinstance(result, Download):
                await result.read()
            (seen,) = recorder.arrived
            return seen

        numbers = iter(range(1000))
        harmless = call.values(lambda param: f"harmless{next(numbers)}")
        before = await wire(harmless)
        for choose in choices:
            hostile = call.values(choose)
            swap = {
                old: new
                for name in harmless
                for old, new in zip(harmless[name], hostile[name], strict=True)
            }
            swap |= {
                ",".join(harmless[param.name]): ",".join(hostile[param.name])
                for param in call.params
                if param.style is CSV
            }
            seen = await wire(hostile)
            assert seen.segments == [swap.get(part, part) for part in before.segments]
            assert Counter(seen.query) == Counter(
                (name, swap.get(value, value)) for name, value in before.query
            )
            assert shown(seen) == shown(before)

    return make


# -- paths and queries


@pytest.mark.parametrize(("service", "row"), TEXT_ROWS)
async def test_texts_from_a_list_arrive_as_given(
    service: str, row: Endpoint, opened: Opened, compare: Callable[..., Awaitable[None]]
) -> None:
    def chooser(value: str) -> Callable[[Param], str]:
        return lambda param: value if allowed(param, value) else "allowed"

    await compare(await opened(service), row, [chooser(value) for value in [*HOSTILE, *COMMAS]])


@pytest.mark.parametrize(("service", "row"), TEXT_ROWS)
@settings(max_examples=10)
@given(data=st.data())
async def test_any_text_arrives_as_given(
    service: str,
    row: Endpoint,
    opened: Opened,
    compare: Callable[..., Awaitable[None]],
    data: st.DataObject,
) -> None:
    def choose(param: Param) -> str:
        return data.draw(text.filter(lambda value: allowed(param, value)), label=param.name)

    await compare(await opened(service), row, [choose])


def values_of(param: Param) -> st.SearchStrategy[Any]:
    """Any argument that a path or a query can hold."""
    if param.type is dict:
        return st.dictionaries(text, text | st.booleans() | st.integers(), min_size=1, max_size=3)
    elements: dict[Any, st.SearchStrategy[Any]] = {
        str: text.filter(lambda value: allowed(param, value)),
        int: st.integers(param.least, param.most),
        bool: st.booleans(),
        datetime: st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0)),
    }
    element = elements[param.element]
    return st.lists(element, min_size=1, max_size=3) if param.is_list else element


def written(value: Any) -> str:
    """A value as servers read it, once it is decoded."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat()
    return str(value)


@pytest.mark.parametrize(
    ("service", "row"), [pytest.param(*row, id=f"{row[0]}-{row[1].name}") for row in ROWS]
)
@settings(max_examples=6)
@given(data=st.data())
def test_any_arguments_come_back_from_path_and_query(
    service: str, row: Endpoint, sample_argument: Callable[..., Any], data: st.DataObject
) -> None:
    arguments: list[Any] = []
    path, pairs = row.path, Counter[tuple[str, str]]()
    slots: dict[str, str] = {}
    for param in row.params:
        if param.place not in (Place.PATH, Place.QUERY):
            arguments.append(sample_argument(service, param) if param.required else None)
            continue
        value = data.draw(values_of(param) | (st.nothing() if param.required else st.none()))
        arguments.append(value)
        if value is None:
            continue
        texts = [written(one) for one in (value if param.is_list else [value])]
        if param.place is Place.PATH:
            slots[f"{{{param.wire}}}"] = ",".join(texts)
        elif param.type is dict:
            pairs.update((name, written(member)) for name, member in value.items())
        elif param.style is CSV:
            pairs[param.wire, ",".join(texts)] += 1
        else:
            pairs.update((param.wire, one) for one in texts)
    target = build(row, arguments).target
    assert target.isascii()
    assert not set(target) & set(' #\r\n\t"<>\\^`{|}')
    sent, _, query = target.partition("?")
    assert [unquote(part, errors="strict") for part in sent.split("/")] == [
        re.sub(r"\{[^}]*\}", lambda match: slots[match[0]], part) for part in path.split("/")
    ]
    found = [pair.split("=") for pair in query.split("&")] if query else []
    assert Counter((unquote_plus(name), unquote_plus(value)) for name, value in found) == pairs


@given(params=st.dictionaries(text, text | st.booleans() | st.integers(), min_size=1, max_size=4))
@example(params={"a=b&c": "d=e&f", "#": "?"})
async def test_members_of_a_mapping_are_pairs_of_their_own(
    params: dict[str, Any], opened: Opened, recorder: Any, answer_well: Callable[..., None]
) -> None:
    client = await opened("leia")
    answer_well("leia", find_service("leia").table.row("admin_apply_model_async"))
    recorder.arrived.clear()
    await client.models.admin_apply_model_async("app", "model", ["doc"], model_params=params)
    words = {True: "true", False: "false"}
    (seen,) = recorder.arrived
    assert seen.segments[2:] == ["admin", "app", "model", "model", "apply", "doc"]
    assert Counter(seen.query) == Counter(
        (name, words[value] if isinstance(value, bool) else str(value))
        for name, value in params.items()
    )


@given(
    date=st.datetimes(
        datetime(1, 1, 3),  # noqa: DTZ001 - bounds are naive
        datetime(9999, 12, 29),  # noqa: DTZ001 - bounds are naive
        timezones=st.none()
        | st.builds(timezone, st.timedeltas(timedelta(hours=-14), timedelta(hours=14))),
    ).map(lambda date: date.replace(microsecond=0))
)
@example(date=datetime(999, 1, 1, tzinfo=UTC))
async def test_moments_arrive_as_utc(
    date: datetime, opened: Opened, recorder: Any, answer_well: Callable[..., None]
) -> None:
    client = await opened("leia")
    answer_well("leia", find_service("leia").table.row("admin_get_jobs"))
    recorder.arrived.clear()
    await client.jobs.admin_get_jobs(created_after=date)
    (seen,) = recorder.arrived
    ((name, value),) = seen.query
    moment = date if date.tzinfo else date.replace(tzinfo=UTC)
    utc = moment.astimezone(UTC)
    # The service takes dates in UTC, without an offset and without fractions of a second.
    assert name == "created_after"
    assert datetime.fromisoformat(value).replace(tzinfo=UTC) == utc.replace(microsecond=0)


class Word(str, Enum):  # noqa: UP042 - what callers may have, not StrEnum
    """A word of a caller's own enumeration."""

    FINISHED = "finished"


class Number(int, Enum):
    """A number of a caller's own enumeration."""

    TEN = 10


async def test_members_of_enumerations_are_sent_by_their_value(
    opened: Opened, recorder: Any, answer_well: Callable[..., None]
) -> None:
    client = await opened("bsubio")
    answer_well("bsubio", find_service("bsubio").table.row("list_jobs"))
    await client.jobs.list_jobs(status=Word.FINISHED, limit=Number.TEN)
    answer_well("bsubio", find_service("bsubio").table.row("get_job"))
    await client.jobs.get_job(Word.FINISHED)
    listing, single = recorder.arrived
    assert sorted(listing.query) == [("limit", "10"), ("status", "finished")]
    assert single.segments == ["v1", "jobs", "finished"]


async def test_members_of_enumerations_in_bodies_are_sent_by_their_value(
    opened: Opened, recorder: Any
) -> None:
    client = await opened("ecotaxa")
    recorder.say("null")
    await client.jobs.reply_job_question(7, body={"word": Word.FINISHED, "number": Number.TEN})
    (seen,) = recorder.arrived
    assert seen.body == b'{"word":"finished","number":10}'


# -- forms


async def upload(client: Any, recorder: Any, file: Any) -> Any:
    recorder.say({"success": True, "message": "ok", "data_size": 1})
    recorder.arrived.clear()
    await client.jobs.upload_job_data("7", "upload-token", file)
    (seen,) = recorder.arrived
    assert seen.segments == ["v1", "upload", "7"]
    assert seen.query == [("token", "upload-token")]
    return seen.part


@pytest.mark.parametrize(
    "name",
    [
        'say "cheese".txt',
        "back\\slash.txt",
        'both\\".txt',
        "semi;colon=1.txt",
        "100%.txt",
        "%22quoted%22.txt",
        "Ünïcödé.txt",
        "日本語.pdf",
        "😀.bin",
        " spaces .txt ",
        "no extension",
        ".hidden",
        "x" * 200,
    ],
)
async def test_a_file_name_arrives_as_it_is(
    name: str, tmp_path: Path, opened: Opened, recorder: Any
) -> None:
    client = await opened("bsubio")
    path = tmp_path / name
    path.write_bytes(b"content")
    for source in (path, str(path), Upload(path), Upload(b"content", name=name)):
        part = await upload(client, recorder, source)
        assert (part.name, part.filename, part.content) == ("file", name, b"content")
    with path.open("rb") as file:
        part = await upload(client, recorder, file)
    assert (part.filename, part.content) == (name, b"content")


async def test_a_part_carries_the_base_name_of_a_path(
    tmp_path: Path, opened: Opened, recorder: Any
) -> None:
    client = await opened("bsubio")
    folder = tmp_path / "private" / "folder"
    folder.mkdir(parents=True)
    (folder / "in.bin").write_bytes(b"content")
    for path in (folder / "in.bin", folder / ".." / "folder" / "in.bin", f"{folder}//in.bin"):
        part = await upload(client, recorder, path)
        assert part.filename == "in.bin"


async def test_what_has_no_name_gets_a_neutral_one(opened: Opened, recorder: Any) -> None:
    client = await opened("bsubio")

    async def chunks() -> Any:
        yield b"con"
        yield b"tent"

    with (
        tempfile.TemporaryFile() as unnamed,
        tempfile.SpooledTemporaryFile() as spooled,
    ):
        for file in (unnamed, spooled):
            file.write(b"content")
            file.seek(0)
        for source in (b"content", io.BytesIO(b"content"), chunks(), unnamed, spooled):
            part = await upload(client, recorder, source)
            assert part.content == b"content"
            # Neither a descriptor's number nor the word None.
            assert part.filename == "file"


@given(content=st.binary(max_size=400))
@example(content=b"")
@example(content=b"\r\n--boundary--\r\n")
@example(content=b"\r\n\r\nContent-Disposition: form-data; name=token\r\n")
@example(content=bytes(range(256)))
async def test_any_content_arrives_as_it_is(content: bytes, opened: Opened, recorder: Any) -> None:
    bsubio, leia = await opened("bsubio"), await opened("leia")
    part = await upload(bsubio, recorder, content)
    assert part.content == content
    recorder.say(status=400)
    recorder.arrived.clear()
    with pytest.raises(Exception, match="HTTP 400"):
        await leia.models.admin_create_model(content, "name", "app")
    (seen,) = recorder.arrived
    assert seen.body == content


async def test_a_type_of_ones_own_is_that_of_the_part(opened: Opened, recorder: Any) -> None:
    client = await opened("bsubio")
    part = await upload(client, recorder, Upload(b"a", name="a.txt", content_type="text/x-own"))
    assert part.content_type == "text/x-own"


# -- headers

printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(value=st.lists(printable, min_size=1, max_size=3).map(" ".join))
@example(value='W/"67ab43", "x"; q=0.5')
@example(value="Basic dXNlcjpwdw==")
@example(value="%0d%0aX-Injected: 1")
@example(value="x" * 2000)
async def test_header_values_arrive_as_given(value: str, opened: Opened, recorder: Any) -> None:
    client = await opened("ecotaxa")
    recorder.say("null")
    recorder.arrived.clear()
    await client.jobs.restart_job(7)
    await client.with_options(headers={"X-Own": value}).jobs.restart_job(7)
    plain, own = recorder.arrived
    assert own.headers.getall("X-Own") == [value]
    del own.headers["X-Own"]
    assert own == plain


async def test_views_add_their_headers_up(opened: Opened, recorder: Any) -> None:
    client = await opened("ecotaxa")
    recorder.say("null")
    view = client.with_options(headers={"X-One": "1"}).with_options(headers={"X-Two": "2"})
    await view.jobs.restart_job(7)
    await client.jobs.restart_job(7)
    with_headers, without = recorder.arrived
    assert (with_headers.headers["X-One"], with_headers.headers["X-Two"]) == ("1", "2")
    assert not {"X-One", "X-Two"} & set(without.headers)
    assert with_headers.headers["Authorization"] == "Bearer eco-token"
