"""Files on their way in and out. Mostly in real time: files are read and written in threads."""

from __future__ import annotations

import array
import asyncio
import gc
import gzip
import io
import os
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from multidict import CIMultiDict

from jobkit_async import (
    BsubioJob,
    ClientClosed,
    ConnectionLost,
    Download,
    InvalidArgument,
    JobkitError,
    OutcomeUnknown,
    RequestTimeout,
    Upload,
)
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia, Plan
from jobkit_async.transfer import CHUNK
from jobkit_async.transfer.upload import BATCH

Connect = Callable[..., Awaitable[Any]]

DATA = os.urandom(2 * CHUNK + 1234)


@attrs.frozen
class Bsubio:
    server: FakeBsubio
    client: Any

    async def job(self) -> BsubioJob:
        job: BsubioJob = await self.client.jobs.create_job(CreateJobRequest(type="t"))
        return job

    async def upload(self, content: Any) -> bytes:
        """Upload to a new job; what arrived."""
        job = await self.job()
        answer = await job.upload(content)
        data = self.server.jobs[job.id].data
        assert answer.data_size == len(data)
        return data

    @property
    def sent(self) -> Any:
        """The newest upload, as the server saw it."""
        return [seen for seen in self.server.seen if seen.operation == "upload_job_data"][-1]

    @property
    def head(self) -> str:
        """The head of its part."""
        return self.sent.body.split(b"\r\n\r\n")[0].decode()


@pytest.fixture
async def bsubio(connect: Connect) -> AsyncIterator[Bsubio]:
    async with FakeBsubio(record=True) as server:
        yield Bsubio(server, await connect("bsubio", server.base_url, api_key=server.api_key))


async def chunked(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[start : start + size]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "paper.pdf"
    path.write_bytes(DATA)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def open_files() -> set[str]:
    """Paths of what this process has open, where the system tells."""
    folder = Path("/proc/self/fd")
    links = list(folder.iterdir()) if folder.is_dir() else []
    return {str(link.resolve()) for link in links if link.exists()}


async def begun(folder: Path) -> None:
    """Wait until something is in a folder."""
    async with asyncio.timeout(10):
        while not names(folder):  # noqa: ASYNC110 - the file system rings no bell
            await asyncio.sleep(0.001)


# -- what can be uploaded


@pytest.mark.parametrize("data", [DATA, b"", b"x", bytes(CHUNK), bytes(CHUNK + 1)], ids=len)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO, Upload])
async def test_bytes(bsubio: Bsubio, kind: Callable[[bytes], Any], data: bytes) -> None:
    assert await bsubio.upload(kind(data)) == data
    assert int(bsubio.sent.headers["Content-Length"]) == len(bsubio.sent.body)
    assert "Transfer-Encoding" not in bsubio.sent.headers


async def test_a_memoryview_of_numbers(bsubio: Bsubio) -> None:
    numbers = array.array("i", range(1000))
    assert await bsubio.upload(memoryview(numbers)[::2]) == numbers[::2].tobytes()


async def test_bytes_that_change_during_the_upload(bsubio: Bsubio) -> None:
    data = bytearray(DATA)
    job = await bsubio.job()
    upload = asyncio.create_task(job.upload(data))
    await asyncio.sleep(0)
    data[:] = bytes(len(data))
    await upload
    assert bsubio.server.jobs[job.id].data == DATA


@pytest.mark.parametrize("kind", [Path, str, Upload])
async def test_a_path(bsubio: Bsubio, path: Path, kind: Callable[[Any], Any]) -> None:
    assert await bsubio.upload(kind(path)) == DATA
    assert int(bsubio.sent.headers["Content-Length"]) == len(bsubio.sent.body)
    assert 'filename="paper.pdf"' in bsubio.head
    assert "Content-Type: application/pdf" in bsubio.head
    assert str(path.parent) not in bsubio.head


async def test_a_path_is_closed_after_the_upload(bsubio: Bsubio, path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            await bsubio.upload(path)
        await asyncio.sleep(0.05)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
    assert str(path) not in open_files()


@pytest.mark.parametrize("position", [0, 7, CHUNK, len(DATA)])
async def test_a_file_from_its_present_position(bsubio: Bsubio, path: Path, position: int) -> None:
    with path.open("rb") as file:
        file.seek(position)
        assert await bsubio.upload(file) == DATA[position:]
        assert not file.closed
    assert int(bsubio.sent.headers["Content-Length"]) == len(bsubio.sent.body)
    assert 'filename="paper.pdf"' in bsubio.head


async def test_a_file_in_memory_is_left_open(bsubio: Bsubio) -> None:
    file = io.BytesIO(b"head" + DATA)
    file.seek(4)
    assert await bsubio.upload(Upload(file, name="a.bin")) == DATA
    assert not file.closed
    assert 'filename="a.bin"' in bsubio.head


async def test_a_file_that_cannot_seek(bsubio: Bsubio) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb") as sink:
        sink.write(b"through a pipe")
        sink.close()
        assert await bsubio.upload(source) == b"through a pipe"
    assert bsubio.sent.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in bsubio.sent.headers


async def test_an_async_iterable(bsubio: Bsubio) -> None:
    assert await bsubio.upload(chunked(DATA)) == DATA
    assert bsubio.sent.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in bsubio.sent.headers


async def test_an_async_iterable_with_empty_chunks(bsubio: Bsubio) -> None:
    async def source() -> AsyncIterator[bytes]:
        for chunk in (b"", b"one", b"", b"two", b""):
            yield chunk

    assert await bsubio.upload(source()) == b"onetwo"


@pytest.mark.parametrize("make", [bytearray, memoryview])
async def test_an_async_iterable_of_other_bytes(bsubio: Bsubio, make: Any) -> None:
    async def source() -> AsyncIterator[Any]:
        yield make(b"one")
        yield make(b"two")

    assert await bsubio.upload(source()) == b"onetwo"


async def test_a_download_can_be_uploaded(bsubio: Bsubio, connect: Connect) -> None:
    async with FakeLeia() as other:
        model = other.add_model("m", DATA)
        client = await connect("leia", other.base_url)
        async with await client.models.admin_get_model_contents("app-1", model.id) as download:
            assert await bsubio.upload(download) == DATA


async def test_a_bare_body_has_its_length(connect: Connect, path: Path) -> None:
    async with FakeLeia(record=True) as server:
        client = await connect("leia", server.base_url)
        for content in (DATA, path, io.BytesIO(DATA), chunked(DATA), b"x"):
            model = await client.models.admin_create_model(content, "m", "app-1")
            assert server.models[model.id].contents in (DATA, b"x")
        sent = [s.headers for s in server.seen if s.operation == "admin_create_model"]
        assert [headers.get("Content-Length") for headers in sent] == [
            *[str(len(DATA))] * 3,
            None,
            "1",
        ]
        assert sent[3]["Transfer-Encoding"] == "chunked"
        assert {headers["Content-Type"] for headers in sent} == {"application/octet-stream"}


@pytest.mark.parametrize(
    ("upload", "name", "content_type"),
    [
        (Upload(b"x"), "file", "application/octet-stream"),
        (Upload(b"x", name="a.json"), "a.json", "application/json"),
        (
            Upload(b"x", name="a", content_type="text/x-y; charset=utf-8"),
            "a",
            "text/x-y; charset=utf-8",
        ),
        (Upload(b"x", name="naïve \u2603.txt"), "naïve \u2603.txt", "text/plain"),
        (Upload(b"x", name='a"b\\c.txt'), 'a\\"b\\\\c.txt', "text/plain"),
        (Upload(b"x", name="a;b=c.txt"), "a;b=c.txt", "text/plain"),
    ],
)
async def test_names_and_types(
    bsubio: Bsubio, upload: Upload, name: str, content_type: str
) -> None:
    assert await bsubio.upload(upload) == b"x"
    assert f'name="file"; filename="{name}"' in bsubio.head
    assert f"Content-Type: {content_type}" in bsubio.head


async def test_an_upload_does_not_show_its_data() -> None:
    assert "secret" not in repr(Upload(b"secret", name="a"))


# -- what cannot


@pytest.fixture
def closed_file(path: Path) -> Any:
    with path.open("rb") as file:
        pass
    return file


@pytest.fixture
def text_file(path: Path) -> Iterator[Any]:
    with path.open(encoding="latin-1") as file:
        yield file


@pytest.mark.parametrize(
    "content",
    [
        None,
        1,
        ["a"],
        [b"a"],
        object(),
        io.StringIO("text"),
        Upload(None),  # type: ignore[arg-type]
        Upload(b"x", name=""),
        Upload(b"x", name="a\r\nX: y"),
        Upload(b"x", name="a\x00b"),
        Upload(b"x", content_type="nonsense"),
        Upload(b"x", content_type="text/plain\r\nX: y"),
        Upload(b"x", name=1),  # type: ignore[arg-type]
        Upload(b"x", content_type=1),  # type: ignore[arg-type]
        (b"x" for _ in range(1)),
        "",
        "no such file",
        "a\x00b/c",
        Path(__file__).parent,
    ],
    ids=lambda content: type(content).__name__,
)
async def test_what_cannot_be_uploaded(bsubio: Bsubio, content: Any) -> None:
    job = await bsubio.job()
    with pytest.raises(InvalidArgument) as caught:
        await job.upload(content)
    assert caught.value.argument == "file"
    assert bsubio.server.requests["upload_job_data"] == 0


@pytest.mark.parametrize("fixture", ["closed_file", "text_file"])
async def test_files_that_cannot_be_uploaded(
    bsubio: Bsubio, request: pytest.FixtureRequest, fixture: str
) -> None:
    job = await bsubio.job()
    with pytest.raises(InvalidArgument) as caught:
        await job.upload(request.getfixturevalue(fixture))
    assert caught.value.argument == "file"
    assert bsubio.server.requests["upload_job_data"] == 0


# -- sources that fail on the way


async def failing() -> AsyncIterator[bytes]:
    yield b"some"
    await asyncio.sleep(0.01)
    raise ZeroDivisionError("the source broke")


async def wrong_chunks() -> AsyncIterator[Any]:
    yield b"some"
    yield "text"


class FailingFile(io.BytesIO):
    """A disk that breaks."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise ZeroDivisionError("the source broke")
        return super().read(10)


@pytest.mark.parametrize("make", [failing, lambda: FailingFile(DATA)], ids=["iterable", "file"])
async def test_a_source_that_raises(bsubio: Bsubio, make: Callable[[], Any]) -> None:
    job = await bsubio.job()
    with pytest.raises(InvalidArgument, match="the source broke") as caught:
        await job.upload(make())
    assert caught.value.argument == "file"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert bsubio.server.ledger.count("uploaded") == 0
    assert await job.upload(b"good")  # the client goes on, and so can the job


async def test_a_source_of_something_else_than_bytes(bsubio: Bsubio) -> None:
    job = await bsubio.job()
    with pytest.raises(InvalidArgument) as caught:
        await job.upload(wrong_chunks())
    assert caught.value.argument == "file"
    assert bsubio.server.ledger.count("uploaded") == 0


class Misjudged(io.BytesIO):
    """A file that has another size when it is measured than when it is read."""

    error = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        at = super().seek(offset, whence)
        return at + self.error if whence == os.SEEK_END else at


@pytest.mark.parametrize("data", [b"short", DATA, bytes(CHUNK), bytes(BATCH)], ids=len)
@pytest.mark.parametrize("more", [1, -1, 1000, -1000])
@pytest.mark.parametrize("service", ["leia", "bsubio"])
async def test_a_file_that_grows_or_shrinks_while_it_is_read(
    service: str, connect: Connect, more: int, data: bytes
) -> None:
    file = Misjudged(data + bytes(max(more, 0)))
    file.error = -more
    make = FakeLeia if service == "leia" else FakeBsubio
    async with make() as server:
        client = await connect(service, server.base_url)
        if service == "leia":
            upload = client.models.admin_create_model(file, "m", "app-1")
            again = client.models.admin_create_model(b"next", "m", "app-1")
        else:
            job = await client.jobs.create_job(CreateJobRequest(type="t"))
            upload = job.upload(file)
            again = job.upload(b"next")
        # It ends before the server has all that was announced: the upload takes no effect.
        with pytest.raises(InvalidArgument, match="grown" if more > 0 else "shrunk"):
            await asyncio.wait_for(upload, 5)
        assert server.ledger.count("uploaded") == server.ledger.count("model_created") == 0
        await again


async def test_a_path_that_grows_while_it_is_read(bsubio: Bsubio, path: Path) -> None:
    def append(done: int, total: int | None) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    job = await bsubio.job()
    with pytest.raises(InvalidArgument, match=f"grown beyond {len(DATA)} bytes"):
        await job.upload(Upload(path, progress=append))
    assert bsubio.server.ledger.count("uploaded") == 0
    assert str(path) not in open_files()


async def test_a_cancelled_upload_closes_its_source(bsubio: Bsubio, serve: Any) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    job = await bsubio.job()
    upload = asyncio.create_task(job.upload(endless()))
    await asyncio.sleep(0.05)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await asyncio.wait_for(closed.wait(), 5)
    assert bsubio.server.ledger.count("uploaded") == 0


# -- how long a transfer may take, in virtual time


@pytest.mark.looptime
async def test_a_slow_but_steady_upload_takes_as_long_as_it_takes(
    serve: Any, connect: Connect
) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(20):
            await asyncio.sleep(9)
            yield b"more"

    server = await serve(serve.json({"success": True, "data_size": 80}))
    client = await connect("bsubio", server.url, timeout=10)
    answer = await client.jobs.upload_job_data("j", "token", slow())
    assert answer.data_size == 80
    assert asyncio.get_running_loop().time() == 180.0


@pytest.mark.looptime
async def test_an_answer_to_an_upload_that_does_not_come(serve: Any, connect: Connect) -> None:
    server = await serve(serve.hang)
    client = await connect("bsubio", server.url, timeout=10)
    with pytest.raises(OutcomeUnknown, match="data_size"):
        await client.jobs.upload_job_data("j", "token", b"data")
    assert asyncio.get_running_loop().time() == 10.0


@pytest.mark.looptime
async def test_a_server_that_stops_taking_an_upload(serve: Any, connect: Connect) -> None:
    async def asleep(arrival: Any, reader: Any, writer: Any) -> None:
        await asyncio.sleep(10_000)

    server = await serve(asleep, early=True)
    client = await connect("bsubio", server.url, timeout=10)
    upload = client.jobs.upload_job_data("j", "token", bytes(64 << 20))
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(upload, 1000)
    assert asyncio.get_running_loop().time() < 60.0


@pytest.mark.looptime
async def test_a_slow_but_steady_download_takes_as_long_as_it_takes(
    serve: Any, connect: Connect
) -> None:
    async def slow(arrival: Any, reader: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n")
        for _ in range(20):
            await asyncio.sleep(9)
            writer.write(b"more")

    server = await serve(slow)
    client = await connect("ecotaxa", server.url, timeout=10)
    download = await client.jobs.get_job_file(1)
    assert await download.read() == b"more" * 20
    assert asyncio.get_running_loop().time() == 180.0


@pytest.mark.looptime
async def test_a_download_that_stalls(serve: Any, connect: Connect) -> None:
    server = await serve(serve.stall(b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\nhalf"))
    client = await connect("ecotaxa", server.url, timeout=10)
    download = await client.jobs.get_job_file(1)
    with pytest.raises(RequestTimeout):
        await download.read()
    assert asyncio.get_running_loop().time() == 10.0


@pytest.mark.looptime
async def test_an_unread_download_gives_its_connection_back(connect: Connect) -> None:
    async with (
        FakeEcotaxa(planner=lambda rng, job_type: Plan(queued=0.0, running=0.0)) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
    ):
        client = await connect("ecotaxa", server.base_url, session=session, timeout=200)
        job = server.create_job()
        job.file = bytes(8 << 20)
        await asyncio.sleep(1)
        download = await client.jobs.get_job_file(job.id)
        other = asyncio.create_task(client.jobs.get_job(job.id))
        await asyncio.sleep(59.5)
        assert not other.done()
        await asyncio.sleep(1)
        assert other.done()
        with pytest.raises(ConnectionLost, match="60 s"):
            await download.read()


@pytest.mark.looptime
async def test_a_slow_reader_is_not_idle(connect: Connect) -> None:
    async with FakeEcotaxa(planner=lambda rng, job_type: Plan(queued=0.0, running=0.0)) as server:
        client = await connect("ecotaxa", server.base_url)
        job = server.create_job()
        job.file = DATA * 4
        await asyncio.sleep(1)
        whole = b""
        async for chunk in await client.jobs.get_job_file(job.id):
            whole += chunk
            if len(whole) < 500_000:
                await asyncio.sleep(20)
        assert whole == job.file


@pytest.mark.looptime
async def test_a_reader_that_falls_asleep(connect: Connect) -> None:
    async with FakeEcotaxa(planner=lambda rng, job_type: Plan(queued=0.0, running=0.0)) as server:
        client = await connect("ecotaxa", server.base_url)
        job = server.create_job()
        job.file = bytes(8 << 20)
        await asyncio.sleep(1)
        chunks = aiter(await client.jobs.get_job_file(job.id))
        await anext(chunks)
        await asyncio.sleep(61)
        with pytest.raises(ConnectionLost, match="60 s"):
            await anext(chunks)


@pytest.mark.looptime
async def test_a_download_that_is_closed_while_another_task_reads_it(
    serve: Any, connect: Connect
) -> None:
    server = await serve(serve.stall(b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\nhalf"))
    client = await connect("ecotaxa", server.url)
    download = await client.jobs.get_job_file(1)
    task = asyncio.create_task(download.read())
    await asyncio.sleep(1)
    download.close()
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(task, 1000)
    assert asyncio.get_running_loop().time() == 1.0


# -- downloads


def answer(body: bytes, **headers: str) -> bytes:
    fields = {"Content-Length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode() + body


@pytest.fixture
def fetch(serve: Any, connect: Connect) -> Callable[..., Awaitable[tuple[Any, Any, Download]]]:
    """A server, a client, and a download of what the server gives."""

    async def fetch(*replies: Any) -> tuple[Any, Any, Download]:
        server = await serve(*replies)
        client = await connect("ecotaxa", server.url)
        return server, client, await client.jobs.get_job_file(1)

    return fetch


async def test_reading_it_whole(fetch: Any) -> None:
    file = answer(
        DATA, Content_Disposition='attachment; filename="a.zip"', Content_Type="application/zip"
    )
    server, client, download = await fetch(file, file)
    assert (download.filename, download.size) == ("a.zip", len(DATA))
    assert download.content_type == "application/zip"
    assert "a.zip" in repr(download)
    assert await download.read() == DATA
    with pytest.raises(ConnectionLost, match="ask for it again"):
        await download.read()
    await (await client.jobs.get_job_file(1)).read()
    assert [arrival.connection for arrival in server.arrivals] == [1, 1]


async def test_a_compressed_one(fetch: Any) -> None:
    body = gzip.compress(DATA)
    _, _, download = await fetch(answer(body, Content_Encoding="gzip"))
    assert download.size is None
    assert await download.read() == DATA


async def test_one_of_unknown_size(fetch: Any) -> None:
    chunks = b"4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n"
    _, _, download = await fetch(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert (download.size, download.filename, download.content_type) == (None, None, None)
    assert await download.read() == b"Wikipedia"


async def test_one_that_ends_with_the_connection(fetch: Any, serve: Any) -> None:
    _, _, download = await fetch(serve.cut(b"HTTP/1.1 200 OK\r\n\r\nall of it"))
    assert download.size is None
    assert await download.read() == b"all of it"


async def test_an_empty_one(fetch: Any, tmp_path: Path) -> None:
    _, _, download = await fetch(answer(b""))
    assert (await download.save(tmp_path / "empty")).read_bytes() == b""


async def test_in_chunks(fetch: Any) -> None:
    _, _, download = await fetch(answer(DATA))
    async with download:
        chunks = [chunk async for chunk in download]
    assert b"".join(chunks) == DATA
    assert all(isinstance(chunk, bytes) and chunk for chunk in chunks)
    assert [chunk async for chunk in download] == []


async def test_leaving_early(fetch: Any) -> None:
    file = answer(bytes(4 << 20))
    server, client, download = await fetch(file, file)
    async with download:
        async for _ in download:
            break
    with pytest.raises(ConnectionLost, match="closed"):
        await download.read()
    assert len(await (await client.jobs.get_job_file(1)).read()) == 4 << 20
    assert [arrival.connection for arrival in server.arrivals] == [1, 2]


async def test_leaving_early_without_a_block(fetch: Any) -> None:
    _, _, download = await fetch(answer(bytes(4 << 20)))
    async for _ in download:
        break
    gc.collect()
    await asyncio.sleep(0.05)
    with pytest.raises(ConnectionLost, match="closed"):
        await download.read()


async def test_it_is_not_had_whole_once_some_of_it_was_taken(fetch: Any, tmp_path: Path) -> None:
    _, _, download = await fetch(answer(DATA))
    chunks = aiter(download)
    taken = await anext(chunks)
    for again in (download.save(tmp_path), download.read(), anext(aiter(download))):
        with pytest.raises(ConnectionLost, match="being read already"):
            await again
    assert taken + b"".join([chunk async for chunk in chunks]) == DATA
    for again in (download.save(tmp_path), download.read()):
        with pytest.raises(ConnectionLost, match=f"{len(DATA)} bytes of it were given out"):
            await again
    assert names(tmp_path) == []


async def test_two_readers_at_once(fetch: Any, tmp_path: Path) -> None:
    _, _, download = await fetch(answer(DATA))
    first, second = await asyncio.gather(
        download.read(), download.save(tmp_path), return_exceptions=True
    )
    assert first == DATA
    assert isinstance(second, ConnectionLost)
    assert names(tmp_path) == []


async def test_an_empty_one_is_whole_as_often_as_one_likes(fetch: Any, tmp_path: Path) -> None:
    _, _, download = await fetch(answer(b""))
    assert await download.read() == b""
    assert (await download.save(tmp_path)).read_bytes() == b""


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -1, 0, "x", None, True, 1.5])
async def test_limits_that_are_none(fetch: Any, limit: Any) -> None:
    _, _, download = await fetch(answer(DATA))
    with pytest.raises(InvalidArgument) as caught:
        await download.read(limit=limit)
    assert caught.value.argument == "limit"


@pytest.mark.parametrize("path", [5, None, b"x", [], "a\0b"], ids=repr)
async def test_paths_that_are_none(fetch: Any, path: Any) -> None:
    _, _, download = await fetch(answer(DATA))
    with pytest.raises(InvalidArgument) as caught:
        await download.save(path)
    assert caught.value.argument == "path"


class AsyncCallback:
    async def __call__(self, done: int, total: int | None) -> None:
        raise AssertionError("nobody awaits it")


async def async_callback(done: int, total: int | None) -> None:
    raise AssertionError("nobody awaits it")


@pytest.mark.parametrize(
    "progress", [async_callback, AsyncCallback(), partial(async_callback, total=1)], ids=type
)
async def test_callbacks_that_nobody_would_await(
    fetch: Any, bsubio: Bsubio, tmp_path: Path, progress: Any
) -> None:
    file = answer(DATA)
    _, client, download = await fetch(file, file)
    other = await client.jobs.get_job_file(1)
    job = await bsubio.job()
    for call in (
        download.read(progress=progress),
        other.save(tmp_path, progress=progress),
        job.upload(Upload(b"x", progress=progress)),
    ):
        with pytest.raises(InvalidArgument, match="async") as caught:
            await call
        assert caught.value.argument == "progress"
    assert names(tmp_path) == []


async def test_closing_it_again_and_again(fetch: Any) -> None:
    _, _, download = await fetch(answer(DATA))
    download.close()
    download.close()
    async with download:
        pass
    with pytest.raises(ConnectionLost, match="closed"):
        await download.read()


async def test_one_that_is_cut_off(fetch: Any, serve: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"
    _, _, download = await fetch(serve.cut(head))
    with pytest.raises(ConnectionLost) as caught:
        await download.read()
    assert caught.value.operation == "get_job_file"


async def test_an_error_is_raised_before_there_is_a_download(serve: Any, connect: Connect) -> None:
    server = await serve(serve.http(500, b"Traceback\n  no file"))
    client = (await connect("ecotaxa", server.url)).with_options(retries=0)
    with pytest.raises(JobkitError, match="Traceback"):
        await client.jobs.get_job_file(1)


# -- saving


async def test_to_a_file(fetch: Any, tmp_path: Path) -> None:
    target = tmp_path / "there.zip"
    target.write_bytes(b"old")
    _, _, download = await fetch(answer(DATA, Content_Disposition='attachment; filename="a.zip"'))
    assert await download.save(target) == target
    assert target.read_bytes() == DATA
    assert names(tmp_path) == ["there.zip"]


@pytest.mark.parametrize("as_text", [True, False])
async def test_to_a_folder(fetch: Any, tmp_path: Path, as_text: bool) -> None:
    _, _, download = await fetch(answer(DATA, Content_Disposition='attachment; filename="a.zip"'))
    path = await download.save(str(tmp_path) if as_text else tmp_path)
    assert path == tmp_path / "a.zip"
    assert type(path) is type(tmp_path)
    assert path.read_bytes() == DATA
    assert names(tmp_path) == ["a.zip"]


async def test_to_a_folder_that_does_not_exist(fetch: Any, tmp_path: Path) -> None:
    file = answer(bytes(4 << 20))
    _, client, download = await fetch(file, file)
    with pytest.raises(FileNotFoundError):
        await download.save(tmp_path / "none" / "a.zip")
    await (await client.jobs.get_job_file(1)).read()
    assert names(tmp_path) == []


async def test_a_transfer_that_breaks_off_leaves_nothing(
    fetch: Any, serve: Any, tmp_path: Path
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"
    _, client, download = await fetch(serve.cut(head), serve.cut(head))
    with pytest.raises(ConnectionLost):
        await download.save(tmp_path)
    assert names(tmp_path) == []
    there = tmp_path / "there"
    there.write_bytes(b"old")
    with pytest.raises(ConnectionLost):
        await (await client.jobs.get_job_file(1)).save(there)
    assert there.read_bytes() == b"old"
    assert names(tmp_path) == ["there"]


async def test_a_cancelled_saving_leaves_nothing(fetch: Any, serve: Any, tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"
    _, client, download = await fetch(serve.stall(head), answer(b"next"))
    saving = asyncio.create_task(download.save(tmp_path))
    await begun(tmp_path)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert names(tmp_path) == []
    assert await (await client.jobs.get_job_file(1)).read() == b"next"


@pytest.mark.parametrize("steps", range(16))
async def test_a_saving_cancelled_at_any_step_leaves_no_open_file(
    fetch: Any, serve: Any, tmp_path: Path, steps: int
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"
    _, _, download = await fetch(serve.stall(head))
    saving = asyncio.create_task(download.save(tmp_path))
    for _ in range(steps):
        await asyncio.sleep(0)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await asyncio.sleep(0.01)  # a thread that was left alone would open its file now
        gc.collect()
    assert names(tmp_path) == []


async def test_a_saving_whose_client_is_closed_leaves_nothing(
    fetch: Any, serve: Any, tmp_path: Path
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"
    _, client, download = await fetch(serve.stall(head))
    saving = asyncio.create_task(download.save(tmp_path))
    await begun(tmp_path)
    await client.aclose()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(saving, 2)
    assert names(tmp_path) == []


async def test_a_closed_download_is_not_saved(fetch: Any, tmp_path: Path) -> None:
    _, _, download = await fetch(answer(DATA))
    download.close()
    with pytest.raises(ConnectionLost, match="closed"):
        await download.save(tmp_path)
    assert names(tmp_path) == []


async def test_two_savings_to_one_path_do_not_mix(
    serve: Any, connect: Connect, tmp_path: Path
) -> None:
    server = await serve(answer(b"a" * 500_000), answer(b"b" * 500_000))
    client = await connect("ecotaxa", server.url)
    downloads = [await client.jobs.get_job_file(1) for _ in range(2)]
    await asyncio.gather(*(download.save(tmp_path / "x") for download in downloads))
    assert set((tmp_path / "x").read_bytes()) in ({97}, {98})
    assert len(names(tmp_path)) == 1


# -- names that the service gives


@attrs.define
class Stream:
    """A body without a connection."""

    headers: Mapping[str, str]
    status: int = 200
    closed: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"data"

    def close(self) -> None:
        self.closed += 1


NAMES = [
    ('attachment; filename="a.zip"', "a.zip"),
    ("attachment; filename=a.zip", "a.zip"),
    ('attachment; filename="a b;c.zip"', "a b;c.zip"),
    ("attachment; filename*=UTF-8''na%C3%AFve%20%E2%98%83.zip", "naïve \u2603.zip"),
    ("attachment; filename=\"plain.zip\"; filename*=UTF-8''%C3%A9.zip", None),
    ("attachment; filename*=iso-8859-1''caf%E9.zip", "café.zip"),
    ('attachment; filename="../../x"', "x"),
    ('attachment; filename="..\\\\x"', "x"),
    ('attachment; filename="..\\x"', None),
    ('attachment; filename="/etc/passwd"', "passwd"),
    ('attachment; filename="C:\\\\Windows\\\\x.dll"', "x.dll"),
    ('attachment; filename="C:x.dll"', "x.dll"),
    ('attachment; filename="\\\\\\\\server\\\\share\\\\x"', None),
    ("attachment; filename*=UTF-8''..%2F..%2Fx", "x"),
    ("attachment; filename*=UTF-8''..%5C..%5Cx", "x"),
    ("attachment; filename*=UTF-8''%2e%2e", None),
    ("attachment; filename*=UTF-8''a%00b%0A%0D%1Bc%7F.txt", "abc.txt"),
    ("attachment; filename*=UTF-8''a%E2%80%AEfdp.exe", "afdp.exe"),
    ("attachment; filename*=UTF-8''%FF%FE.txt", None),
    ("attachment; filename*=nonsense''a", None),
    ('attachment; filename=".."', None),
    ('attachment; filename="."', None),
    ('attachment; filename=""', None),
    ('attachment; filename="/"', None),
    ('attachment; filename="a/"', None),
    ('attachment; filename=".bashrc"', None),
    ('attachment; filename="..."', None),
    ("attachment", None),
    ("", None),
    ("nonsense; ;;=", None),
    ('attachment; filename="unterminated', None),
]


@pytest.mark.looptime
@pytest.mark.parametrize(("disposition", "name"), NAMES, ids=[repr(given) for given, _ in NAMES])
async def test_a_name_is_no_path(disposition: str, name: str | None) -> None:
    stream = Stream(CIMultiDict({"Content-Disposition": disposition}))
    download = Download(stream, operation="get_job_file")
    download.close()
    assert stream.closed == 1
    found = download.filename
    if name is not None:
        assert found == name
    if found is not None:
        assert found not in ("", ".", "..")
        assert not set(found) & set("/\\\0\r\n")
        assert found.isprintable()
        assert (Path("folder") / found).parent == Path("folder")


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="../../x"', "x"),
        ('attachment; filename="..\\\\x"', "x"),
        ('attachment; filename="/etc/x"', "x"),
        ('attachment; filename=""', "download"),
        ('attachment; filename=".."', "download"),
        ("attachment; filename*=UTF-8''%E2%98%83.zip", "\u2603.zip"),
        ("attachment; filename*=UTF-8''%2Ftmp%2Fx", "x"),
        (None, "download"),
    ],
)
async def test_a_saved_file_stays_inside(
    fetch: Any, tmp_path: Path, disposition: str | None, name: str
) -> None:
    headers = {} if disposition is None else {"Content_Disposition": disposition}
    _, _, download = await fetch(answer(b"data", **headers))
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    assert await download.save(folder) == folder / name
    assert files(tmp_path) == [folder / name]


@pytest.mark.parametrize("name", ["n" * 255, "\u96ea" * 80], ids=["255 letters", "240 bytes"])
async def test_a_long_name(fetch: Any, tmp_path: Path, name: str) -> None:
    _, _, download = await fetch(answer(b"data"))
    path = await download.save(tmp_path / name)
    assert path.read_bytes() == b"data"
    assert len(names(tmp_path)) == 1
