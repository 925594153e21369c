"""Downloads that break off and go on where they stopped, in virtual time."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from jobkit_async import (
    ClientClosed,
    ConnectionLost,
    Hooks,
    JobkitError,
    RequestEvent,
    RequestTimeout,
    Retry,
    RetryEvent,
)
from jobkit_async.testing import FakeEcotaxa, Plan
from jobkit_async.transfer.ranges import Rest, Version

pytestmark = pytest.mark.looptime

Connect = Callable[..., Awaitable[Any]]

DATA = os.urandom(3 << 20)
OTHER = os.urandom(3 << 20)
TAG = '"version-1"'


@attrs.define
class Ranged:
    """A service that sends parts, and breaks off where it is told."""

    data: bytes = DATA
    cuts: Iterator[int | None] = attrs.field(factory=lambda: iter(()))
    tag: str | None = TAG
    headers: dict[str, str] = attrs.field(factory=dict)
    status: int | None = None
    """What it answers to a question for a part, unless it sends it."""
    shift: int = 0
    """By how much Content-Range is wrong."""
    then: Callable[[Ranged], None] = lambda _: None
    """What happens after a break."""
    stall: bool = False
    asked: list[str | None] = attrs.field(factory=list)

    async def __call__(
        self, arrival: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        wanted = arrival.headers.get("Range")
        self.asked.append(wanted)
        validator = arrival.headers.get("If-Range")
        data, start, status = self.data, 0, 200
        headers = {"Accept-Ranges": "bytes", **self.headers}
        if self.tag is not None:
            headers["ETag"] = self.tag
        if wanted and self.status is not None:
            status, data = self.status, b"no"
        elif wanted and validator in (None, self.tag, headers.get("Last-Modified")):
            found = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert found
            start = int(found[1])
            if start >= len(data):
                status, data = 416, b""
                headers["Content-Range"] = f"bytes */{len(self.data)}"
            else:
                status = 206
                told = f"{start + self.shift}-{len(data) - 1}/{len(data)}"
                headers["Content-Range"] = f"bytes {told}"
        part = data[start:]
        if "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(len(part))
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        cut = next(self.cuts, None)
        sent = part if cut is None else part[:cut]
        if "Transfer-Encoding" in headers:
            writer.write(b"%x\r\n%b\r\n" % (len(sent), sent) if sent else b"")
            writer.write(b"0\r\n\r\n" if cut is None else b"")
        else:
            writer.write(sent)
        await writer.drain()
        if cut is not None:
            if self.stall:
                await reader.read()
            self.then(self)


@pytest.fixture
def fetch(serve: Any, connect: Connect) -> Callable[..., Awaitable[Any]]:
    """A download from a server, by an operation of Leia's, whose files may change."""

    async def fetch(server: Ranged, **options: Any) -> Any:
        raw = await serve(server)
        client = await connect("leia", raw.url)
        client = client.with_options(**options) if options else client
        return await client.models.admin_get_model_contents("app-1", "m")

    return fetch


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def resumed_at(server: Ranged) -> list[int]:
    """Where the rest was asked for; below a break, where what had come was not taken yet."""
    assert server.asked[0] is None
    return [int(str(wanted)[6:-1]) for wanted in server.asked[1:]]


async def in_chunks(download: Any, folder: Path) -> bytes:
    return b"".join([chunk async for chunk in download])


async def by_read(download: Any, folder: Path) -> bytes:
    whole: bytes = await download.read()
    return whole


async def by_save(download: Any, folder: Path) -> bytes:
    target = folder / "saved"
    try:
        await download.save(target)
        return target.read_bytes()
    finally:
        assert names(folder) in ([], ["saved"])


WAYS = pytest.mark.parametrize("way", [in_chunks, by_read, by_save])


# -- it goes on


@WAYS
@pytest.mark.parametrize("cut", [0, 1, 1000, 1 << 20, len(DATA) - 1])
async def test_a_break(fetch: Any, tmp_path: Path, way: Any, cut: int) -> None:
    server = Ranged(cuts=iter([cut]))
    download = await fetch(server)
    assert await way(download, tmp_path) == DATA
    (at,) = resumed_at(server)
    assert at == cut or (way is by_save and at < cut)
    assert download.size == len(DATA)


@WAYS
async def test_several_breaks(fetch: Any, tmp_path: Path, way: Any) -> None:
    server = Ranged(cuts=iter([1000, 0, 1 << 20, 5, 1 << 20]))
    assert await way(await fetch(server), tmp_path) == DATA
    ends = [1000, 1000, 1000 + (1 << 20), 1005 + (1 << 20), 1005 + (2 << 20)]
    assert way is by_save or resumed_at(server) == ends


async def test_breaks_without_headway_come_to_an_end(fetch: Any) -> None:
    server = Ranged(cuts=iter([1000] * 100))
    with pytest.raises(ConnectionLost):
        await (await fetch(server, retries=4)).read()
    assert resumed_at(server) == [1000, 2000, 3000, 4000]


async def test_no_repetitions_no_rest(fetch: Any) -> None:
    server = Ranged(cuts=iter([1000]))
    with pytest.raises(ConnectionLost):
        await (await fetch(server, retries=0)).read()
    assert server.asked == [None]


async def test_a_pause_comes_before_the_rest(serve: Any, connect: Connect, longest: Any) -> None:
    server = Ranged(cuts=iter([1000, 0]))
    raw = await serve(server)
    client = await connect("leia", raw.url)
    client._caller.rng.uniform = longest.uniform
    download = await client.models.admin_get_model_contents("app-1", "m")
    assert await download.read() == DATA
    assert raw.times == [0.0, 0.5, 1.5]


async def test_a_file_of_unknown_size(fetch: Any, tmp_path: Path) -> None:
    server = Ranged(cuts=iter([1000]), headers={"Transfer-Encoding": "chunked"})
    download = await fetch(server)
    assert download.size is None
    assert await download.read() == DATA
    assert download.size == len(DATA)


async def test_a_break_after_the_last_byte(fetch: Any) -> None:
    server = Ranged(cuts=iter([len(DATA)]), headers={"Transfer-Encoding": "chunked"})
    assert await (await fetch(server)).read() == DATA
    assert server.asked == [None, f"bytes={len(DATA)}-"]


async def test_silence(fetch: Any) -> None:
    server = Ranged(cuts=iter([1000]), stall=True)
    assert await (await fetch(server, timeout=10)).read() == DATA
    assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.6)


async def test_progress_goes_on(fetch: Any) -> None:
    told: list[tuple[int, int | None]] = []
    server = Ranged(cuts=iter([1000, 1 << 20]))
    await (await fetch(server)).read(progress=lambda *state: told.append(state))
    assert told == sorted(told)
    assert told[-1] == (len(DATA), len(DATA))
    assert {total for _, total in told} == {len(DATA)}


async def test_a_date_that_tells_versions_apart(fetch: Any) -> None:
    def date(second: int) -> str:
        return format_datetime(datetime(2026, 3, 1, 10, 0, second, tzinfo=UTC), usegmt=True)

    for sent, offered in ((7, True), (5, False)):
        headers = {"Last-Modified": date(5), "Date": date(sent)}
        server = Ranged(cuts=iter([1000]), tag=None, headers=headers)
        download = await fetch(server)
        if offered:
            assert await download.read() == DATA
        else:  # within the same second the file may have changed again
            with pytest.raises(ConnectionLost):
                await download.read()
            assert server.asked == [None]


async def test_parts_that_nobody_announced(fetch: Any) -> None:
    server = Ranged(cuts=iter([1000]), headers={"Accept-Ranges": ""})
    assert await (await fetch(server)).read() == DATA


async def test_an_outage_meanwhile(serve: Any, connect: Connect) -> None:
    server = Ranged(cuts=iter([1000]))
    raw = await serve(server, serve.http(503, Retry_After="7"), server)
    client = await connect("leia", raw.url)
    download = await client.models.admin_get_model_contents("app-1", "m")
    assert await download.read() == DATA
    assert [arrival.headers.get("If-Range") for arrival in raw.arrivals] == [None, TAG, TAG]
    assert asyncio.get_running_loop().time() == pytest.approx(7, abs=0.6)


# -- it does not


@WAYS
@pytest.mark.parametrize(
    "server",
    [
        Ranged(tag=None),
        Ranged(tag='W/"weak"'),
        Ranged(tag='"not\tgood"'),
        Ranged(headers={"Accept-Ranges": "none"}),
    ],
    ids=["no tag", "weak tag", "odd tag", "no parts"],
)
async def test_without_ranges_it_is_lost(
    fetch: Any, tmp_path: Path, way: Any, server: Ranged
) -> None:
    server = attrs.evolve(server, cuts=iter([1000]), asked=[])
    with pytest.raises(ConnectionLost):
        await way(await fetch(server), tmp_path)
    assert server.asked == [None]
    assert names(tmp_path) == []


def change(server: Ranged) -> None:
    server.data, server.tag = OTHER, '"version-2"'


async def test_a_changed_file_is_not_pieced_together(fetch: Any) -> None:
    chunks = aiter(await fetch(Ranged(cuts=iter([1000]), then=change)))
    assert await anext(chunks) == DATA[:1000]
    with pytest.raises(ConnectionLost, match=r"after 1000 bytes.*has changed"):
        await anext(chunks)


@pytest.mark.parametrize("way", [by_read, by_save])
async def test_a_changed_file_begins_anew_where_it_can(
    fetch: Any, tmp_path: Path, way: Any
) -> None:
    server = Ranged(cuts=iter([1 << 20, 1000]), then=change)
    assert await way(await fetch(server), tmp_path) == OTHER
    assert server.asked == [None, f"bytes={1 << 20}-", "bytes=1000-"]


async def test_a_changed_file_of_which_nothing_was_given_out(fetch: Any, tmp_path: Path) -> None:
    server = Ranged(cuts=iter([0]), then=change)
    assert await in_chunks(await fetch(server), tmp_path) == OTHER


async def test_a_file_that_changes_for_ever(fetch: Any) -> None:
    def change_again(server: Ranged) -> None:
        server.tag = f'"other-{len(server.asked)}"'

    server = Ranged(cuts=iter([2 << 20] * 100), then=change_again)
    with pytest.raises(ConnectionLost, match="has changed"):
        await (await fetch(server)).read()
    assert len(server.asked) == 3


@pytest.mark.parametrize("way", [by_read, by_save])
async def test_a_shorter_file_leaves_nothing_of_the_longer(
    fetch: Any, tmp_path: Path, way: Any
) -> None:
    def shorten(server: Ranged) -> None:
        server.data, server.tag = b"short", '"version-2"'

    server = Ranged(cuts=iter([2 << 20]), then=shorten)
    assert await way(await fetch(server), tmp_path) == b"short"


async def test_a_service_that_sends_all_of_it_again(fetch: Any) -> None:
    server = Ranged(cuts=iter([1000]), status=200)
    download = await fetch(server)
    with pytest.raises(ConnectionLost, match="all of it again"):
        await in_chunks(download, Path())


@pytest.mark.parametrize("shift", [1, -1, 10**7])
async def test_another_part_than_was_asked_for(fetch: Any, tmp_path: Path, shift: int) -> None:
    server = Ranged(cuts=iter([1000]), shift=shift)
    with pytest.raises(ConnectionLost, match="something else"):
        await (await fetch(server)).save(tmp_path)
    assert names(tmp_path) == []


async def test_a_rest_that_is_gone(fetch: Any) -> None:
    server = Ranged(cuts=iter([1000]), status=404)
    with pytest.raises(ConnectionLost, match=r"after 1000 bytes.*404") as caught:
        await (await fetch(server)).read()
    assert isinstance(caught.value.__cause__, JobkitError)


async def test_a_client_that_is_closed_during_the_pause(
    serve: Any, connect: Connect, longest: Any
) -> None:
    raw = await serve(Ranged(cuts=iter([1000])))
    client = await connect("leia", raw.url)
    client._caller.rng.uniform = longest.uniform
    download = await client.models.admin_get_model_contents("app-1", "m")
    reading = asyncio.create_task(download.read())
    await asyncio.sleep(0.25)
    await client.aclose()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(reading, 30)
    assert len(raw.arrivals) == 1


async def test_a_download_that_is_closed_during_the_pause(
    serve: Any, connect: Connect, longest: Any
) -> None:
    raw = await serve(Ranged(cuts=iter([1000])))
    client = await connect("leia", raw.url)
    client._caller.rng.uniform = longest.uniform
    download = await client.models.admin_get_model_contents("app-1", "m")
    reading = asyncio.create_task(download.read())
    await asyncio.sleep(0.25)
    download.close()
    with pytest.raises(ConnectionLost, match="closed"):
        await asyncio.wait_for(reading, 30)


@pytest.mark.parametrize(("seconds", "asked"), [(5.0, 2), (15.0, 3)], ids=["pause", "request"])
async def test_a_download_that_is_closed_while_its_rest_is_asked_for(
    serve: Any, connect: Connect, seconds: float, asked: int
) -> None:
    raw = await serve(Ranged(cuts=iter([1000])), serve.http(503, Retry_After="9"), serve.hang)
    client = await connect("leia", raw.url)
    download = await client.models.admin_get_model_contents("app-1", "m")
    reading = asyncio.create_task(download.read())
    await asyncio.sleep(seconds)
    download.close()
    with pytest.raises(ConnectionLost, match="is closed"):
        await asyncio.wait_for(reading, 60)
    assert asyncio.get_running_loop().time() == seconds
    assert not reading.cancelling()
    await asyncio.sleep(60)
    assert len(raw.arrivals) == asked
    assert client._caller.transport.pool.used == 0


async def test_a_reader_that_is_cancelled_as_its_download_is_closed(
    serve: Any, connect: Connect
) -> None:
    raw = await serve(Ranged(cuts=iter([1000])), serve.http(503, Retry_After="9"))
    client = await connect("leia", raw.url)
    download = await client.models.admin_get_model_contents("app-1", "m")
    reading = asyncio.create_task(download.read())
    await asyncio.sleep(5)
    download.close()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_the_numbers_of_attempts_go_on(serve: Any, connect: Connect) -> None:
    told: list[tuple[str, int]] = []

    class Kept(Hooks):
        def on_request(self, event: RequestEvent) -> None:
            told.append(("request", event.attempt))

        def on_retry(self, event: RetryEvent) -> None:
            told.append(("retry", event.attempt))

    server = Ranged(cuts=iter([1000, 1000]))
    unwell = serve.http(503)
    raw = await serve(unwell, server, unwell, server, server)
    client = await connect("leia", raw.url, hooks=Kept(), retry=Retry(retries=3))
    download = await client.models.admin_get_model_contents("app-1", "m")
    assert await download.read() == DATA
    assert [number for kind, number in told if kind == "request"] == [1, 2, 3, 4, 5]
    assert [number for kind, number in told if kind == "retry"] == [1, 2, 3, 4]


# -- parts of a file whose size nobody tells


def part(told: str, body: bytes, tag: str = TAG) -> bytes:
    head = f"HTTP/1.1 206 X\r\nETag: {tag}\r\nContent-Range: bytes {told}\r\n"
    return (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + chunked(body) + b"0\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


BEGUN = f"HTTP/1.1 200 X\r\nETag: {TAG}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
ENDED = b"HTTP/1.1 416 X\r\nContent-Range: bytes */%d\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([part("5-9/*", b"56789"), ENDED % 10], b"0123456789"),
        ([part("5-9/*", b"56789"), part("10-14/15", b"ABCDE")], b"0123456789ABCDE"),
        ([part("5-9/10", b"56789")], b"0123456789"),
        ([part("5-6/10", b"56"), part("7-9/10", b"789")], b"0123456789"),
        ([part("5-99/*", b"56789"), part("10-14/15", b"ABCDE")], b"0123456789ABCDE"),
        ([part(f"{at}-{at}/*", b"x") for at in range(5, 15)] + [ENDED % 15], b"01234" + 10 * b"x"),
    ],
    ids=["ended", "told later", "told", "parts of a told size", "short part", "many parts"],
)
async def test_parts_of_a_file(
    serve: Any, connect: Connect, parts: list[bytes], whole: bytes
) -> None:
    raw = await serve(serve.cut(BEGUN + chunked(b"01234")), *parts, serve.http(404))
    client = await connect("leia", raw.url)
    download = await client.models.admin_get_model_contents("app-1", "m")
    assert await download.read() == whole
    assert len(raw.arrivals) == 1 + len(parts)


@pytest.mark.parametrize(
    "parts",
    [
        [part("5-99/*", b"56789")],
        [part("5-9/*", b"56789")],
        [part("5-9/*", b"56789XXXX")],
        [part("5-6/10", b"567")],
        [part("5-9/*", b"56789"), ENDED % 9],
        [part("5-9/*", b"56789"), b"HTTP/1.1 416 X\r\nContent-Length: 0\r\n\r\n"],
        [part("5-9/*", b"56789"), part("10-14/15", b"ABCDE", '"version-2"')],
    ],
    ids=["short", "no end", "long", "longer than told", "other end", "no total", "changed"],
)
async def test_parts_that_make_no_file(
    serve: Any, connect: Connect, tmp_path: Path, parts: list[bytes]
) -> None:
    raw = await serve(serve.cut(BEGUN + chunked(b"01234")), *parts, serve.http(404))
    client = await connect("leia", raw.url)
    download = await client.models.admin_get_model_contents("app-1", "m")
    with pytest.raises(ConnectionLost):
        await in_chunks(download, tmp_path)


async def test_a_part_that_the_users_session_asked_for(serve: Any, connect: Connect) -> None:
    server = Ranged(cuts=iter([1000]))
    raw = await serve(server)
    async with aiohttp.ClientSession(headers={"Range": "bytes=5-"}) as session:
        client = await connect("leia", raw.url, session=session)
        download = await client.models.admin_get_model_contents("app-1", "m")
        assert download.size == len(DATA) - 5
        with pytest.raises(ConnectionLost):
            await download.read()
    assert server.asked == ["bytes=5-"]


async def test_silence_without_ranges_is_a_timeout(fetch: Any) -> None:
    with pytest.raises(RequestTimeout):
        await (await fetch(Ranged(tag=None, cuts=iter([5]), stall=True), timeout=10)).read()


# -- EcoTaxa: parts, but no versions; the file of a finished job stays as it is


async def test_ecotaxa(serve: Any, connect: Connect, tmp_path: Path) -> None:
    server = Ranged(tag=None, cuts=iter([1 << 20]))
    raw = await serve(server)
    client = await connect("ecotaxa", raw.url)
    path = await (await client.jobs.get_job_file(1)).save(tmp_path)
    assert path.read_bytes() == DATA
    assert server.asked == [None, f"bytes={1 << 20}-"]
    assert "If-Range" not in raw.arrivals[1].headers


async def test_ecotaxa_with_another_size(serve: Any, connect: Connect) -> None:
    def change(server: Ranged) -> None:
        server.data = OTHER + b"x"

    raw = await serve(Ranged(tag=None, cuts=iter([1000]), then=change))
    client = await connect("ecotaxa", raw.url)
    download = await client.jobs.get_job_file(1)
    with pytest.raises(ConnectionLost, match="has changed"):
        await in_chunks(download, Path())


async def test_the_embedded_ecotaxa_sends_the_rest(connect: Connect) -> None:
    async with FakeEcotaxa(planner=lambda rng, job_type: Plan(queued=0.0, running=0.0)) as server:
        client = await connect("ecotaxa", server.base_url)
        job = server.create_job()
        job.file = DATA
        await asyncio.sleep(1)
        download = await client.jobs.get_job_file(job.id)
        stream = download._stream

        class Breaking:
            """The stream, which breaks off."""

            status, headers, close = stream.status, stream.headers, stream.close

            async def chunks(self) -> Any:
                async for chunk in stream.chunks():
                    yield chunk
                    raise ConnectionLost("a test: cut", operation="get_job_file")

        download._stream = Breaking()
        assert await download.read() == DATA


# -- what answers mean


@pytest.mark.parametrize(
    ("status", "headers", "rest"),
    [
        (206, {"Content-Range": "bytes 10-99/100"}, Rest.PART),
        (206, {"Content-Range": "bytes 10-49/100"}, Rest.PART),
        (206, {"Content-Range": "bytes 10-99/*"}, Rest.PART),
        (206, {"Content-Range": "bytes 10-99/100", "ETag": TAG}, Rest.PART),
        (206, {"Content-Range": "bytes 10-99/100", "ETag": '"2"'}, Rest.CHANGED),
        (206, {"Content-Range": "bytes 10-100/101"}, Rest.WRONG),
        (206, {"Content-Range": "bytes 10-100/100"}, Rest.WRONG),
        (206, {"Content-Range": "bytes 10-9/100"}, Rest.WRONG),
        (206, {"Content-Range": "bytes 0-99/100"}, Rest.WRONG),
        (206, {"Content-Range": "bytes 10-99/100", "Content-Encoding": "gzip"}, Rest.WRONG),
        (206, {"Content-Range": "bytes \u0661\u0660-99/100"}, Rest.WRONG),
        (206, {"Content-Range": "lines 10-99/100"}, Rest.WRONG),
        (206, {"Content-Range": f"bytes 10-{'9' * 5000}/100"}, Rest.WRONG),
        (206, {"Content-Type": "multipart/byteranges"}, Rest.WRONG),
        (200, {"ETag": TAG}, Rest.WHOLE),
        (200, {"ETag": '"2"'}, Rest.CHANGED),
        (200, {}, Rest.CHANGED),
        (416, {"Content-Range": "bytes */10"}, Rest.WRONG),
        (416, {}, Rest.WRONG),
    ],
)
async def test_answers(status: int, headers: dict[str, str], rest: Rest) -> None:
    version = Version(size=100, validator=TAG, fixed=False, in_parts=True)
    assert version.judge(status, headers, 10) is rest
