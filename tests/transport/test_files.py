"""Files up and down: progress, bounds, names from servers, and disks that take no more."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
import os
import resource
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobkit_async import AnswerTooLarge, ConnectionLost, Download, InvalidArgument, Upload
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio, FakeLeia
from jobkit_async.transfer import CHUNK, part
from jobkit_async.transfer.names import LONGEST, file_name

Connect = Callable[..., Awaitable[Any]]
Told = list[tuple[int, int | None]]

DATA = os.urandom(2 * CHUNK + 1234)


@pytest.fixture
def fetch(serve: Any, connect: Connect) -> Callable[..., Awaitable[tuple[Any, Download]]]:
    """A client, and a download of what a server gives."""

    async def fetch(*replies: Any) -> tuple[Any, Download]:
        server = await serve(*replies)
        client = await connect("ecotaxa", server.url)
        return client, await client.jobs.get_job_file(1)

    return fetch


async def whole(client: Any) -> bytes:
    """The next file, whole."""
    data: bytes = await (await client.jobs.get_job_file(1)).read()
    return data


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def chunked(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


# -- progress of uploads


@pytest.mark.parametrize("size", [0, 1, CHUNK, len(DATA)])
@pytest.mark.parametrize("kind", ["bytes", "path", "file", "iterable"])
async def test_progress_of_an_upload(
    connect: Connect, tmp_path: Path, kind: str, size: int
) -> None:
    data, told = DATA[:size], Told()
    path = tmp_path / "file"
    path.write_bytes(data)
    sources: dict[str, Any] = {
        "bytes": data,
        "path": path,
        "file": io.BytesIO(data),
        "iterable": chunked(data),
    }
    total = None if kind == "iterable" else size
    async with FakeBsubio() as server:
        client = await connect("bsubio", server.base_url, api_key=server.api_key)
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        await job.upload(Upload(sources[kind], progress=lambda *state: told.append(state)))
        assert server.jobs[job.id].data == data
    assert told[-1] == (size, total)
    assert {each for _, each in told} == {total}
    done = [0] * (size > 0) + [each for each, _ in told]
    assert all(0 < after - before <= CHUNK for before, after in pairwise(done))


class Stop(Exception):
    """What a callback raises."""


def stop_at(limit: int) -> Callable[[int, int | None], None]:
    def progress(done: int, total: int | None) -> None:
        if done >= limit:
            raise Stop(done)

    return progress


@pytest.mark.parametrize("limit", [1, CHUNK + 1])
async def test_what_a_callback_raises_ends_the_upload(connect: Connect, limit: int) -> None:
    async with FakeBsubio() as server:
        client = await connect("bsubio", server.base_url, api_key=server.api_key)
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        with pytest.raises(Stop) as caught:
            await job.upload(Upload(DATA, progress=stop_at(limit)))
        assert caught.value.args == (CHUNK if limit == 1 else 2 * CHUNK,)
        assert server.ledger.count("uploaded") == 0
        assert await job.upload(DATA)


@pytest.mark.parametrize("progress", [1, "text", object()])
async def test_a_callback_that_cannot_be_called(connect: Connect, progress: Any) -> None:
    async with FakeLeia() as server:
        client = await connect("leia", server.base_url)
        with pytest.raises(InvalidArgument, match="progress"):
            await client.models.admin_create_model(Upload(b"x", progress=progress), "m", "app-1")
        model = server.add_model("m", DATA)
        download = await client.models.admin_get_model_contents("app-1", model.id)
        with pytest.raises(InvalidArgument, match="progress"):
            await download.read(progress=progress)
        assert not server.requests["admin_create_model"]


# -- progress of downloads


@pytest.mark.parametrize("save", [True, False])
async def test_progress_of_a_download(fetch: Any, serve: Any, tmp_path: Path, save: bool) -> None:
    told = Told()

    def progress(done: int, total: int | None) -> None:
        told.append((done, total))

    _, download = await fetch(serve.http(200, DATA))
    await (download.save(tmp_path, progress=progress) if save else download.read(progress=progress))
    assert told == sorted(set(told))
    assert told[-1] == (len(DATA), len(DATA))


async def test_progress_of_one_of_unknown_size(fetch: Any) -> None:
    told = Told()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    _, download = await fetch(head + b"4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n")
    await download.read(progress=lambda *state: told.append(state))
    assert told[-1] == (9, None)


async def test_progress_of_an_empty_one(fetch: Any, serve: Any) -> None:
    told = Told()
    _, download = await fetch(serve.http(200))
    await download.read(progress=lambda *state: told.append(state))
    assert told == [(0, 0)]


async def test_what_a_callback_raises_ends_the_download(
    fetch: Any, serve: Any, tmp_path: Path
) -> None:
    file = serve.http(200, DATA)
    client, download = await fetch(file)
    with pytest.raises(Stop):
        await download.save(tmp_path, progress=stop_at(CHUNK))
    assert names(tmp_path) == []
    with pytest.raises(Stop):
        await (await client.jobs.get_job_file(1)).read(progress=stop_at(CHUNK))
    assert await whole(client) == DATA


# -- into memory


@pytest.mark.parametrize("told", [True, False])
async def test_a_bound_on_what_is_read(fetch: Any, serve: Any, told: bool) -> None:
    if told:
        file = serve.http(200, DATA)
    else:
        file = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        file += b"%x\r\n%b\r\n0\r\n\r\n" % (len(DATA), DATA)
    client, download = await fetch(file)
    with pytest.raises(AnswerTooLarge, match=r"save\(\)") as caught:
        await download.read(limit=len(DATA) - 1)
    assert caught.value.operation == "get_job_file"
    assert caught.value.status == 200
    assert await (await client.jobs.get_job_file(1)).read(limit=len(DATA)) == DATA


async def test_the_bound_that_there_is_by_default(fetch: Any) -> None:
    _, download = await fetch(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ((256 << 20) + 1))
    with pytest.raises(AnswerTooLarge, match="268435456"):
        await download.read()


def bomb(size: int) -> bytes:
    """Zeros, compressed."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    body = b"".join([packer.compress(zeros) for _ in range(size >> 20)]) + packer.flush()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_a_bomb_stays_within_the_bound(fetch: Any) -> None:
    file = bomb(64 << 20)
    client, download = await fetch(file)
    assert download.size is None
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLarge):
            await download.read(limit=4 << 20)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert len(await whole(client)) == 64 << 20


async def test_a_bomb_is_saved_in_constant_memory(fetch: Any, tmp_path: Path) -> None:
    _, download = await fetch(bomb(64 << 20))
    tracemalloc.start()
    try:
        path = await download.save(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == 64 << 20


async def test_files_are_asked_for_as_they_are(serve: Any, connect: Connect) -> None:
    server = await serve(serve.http(200, DATA))
    client = await connect("ecotaxa", server.url)
    await whole(client)
    assert server.arrivals[0].headers.getall("Accept-Encoding") == ["identity"]


# -- bodies that are not as they say


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"
LOST = {
    "short": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", bytes(98)),
    "short, compressed": (ZIPPED % (b"gzip", 99), gzip.compress(b"x")),
    "chunks without an end": (CHUNKED, b"4\r\nWiki\r\n"),
    "half a chunk": (CHUNKED, b"4\r\nWi"),
    "no last line": (CHUNKED, b"4\r\nWiki\r\n0\r\n"),
    "bad chunks": (CHUNKED, b"4\r\nWiki\r\nxyz\r\n\r\n"),
    "no gzip": (ZIPPED % (b"gzip", 14), b"not compressed"),
    "half a deflate": (ZIPPED % (b"deflate", 1000), zlib.compress(DATA)[:1000]),
}
"""Heads, and bodies after which the connection is closed."""


def later(head: bytes, body: bytes) -> Any:
    """An answer whose body comes a little later, and is all that comes."""

    async def action(arrival: Any, reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(body)
        await writer.drain()

    return action


@pytest.mark.looptime
@pytest.mark.parametrize("fault", LOST)
async def test_never_a_short_file(fetch: Any, serve: Any, tmp_path: Path, fault: str) -> None:
    reply = later(*LOST[fault])
    client, download = await fetch(reply, reply, reply, serve.http(200, b"next"))
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(download.read(), 5)
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for((await client.jobs.get_job_file(1)).save(tmp_path), 5)
    third = await client.jobs.get_job_file(1)
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(anext(chunk async for chunk in third if not chunk), 5)
    assert names(tmp_path) == []
    assert await whole(client) == b"next"
    assert asyncio.get_running_loop().time() < 7


async def test_more_than_was_told_at_once(serve: Any, connect: Connect) -> None:
    longer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour and more"
    server = await serve(longer, serve.http(200, b"next"))
    client = await connect("ecotaxa", server.url)
    with pytest.raises(ConnectionLost):
        await client.with_options(retries=0).jobs.get_job_file(1)
    assert await whole(client) == b"next"


async def test_more_than_was_told_later(fetch: Any, serve: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    client, download = await fetch(later(head + b"four", b" and more"), serve.http(200, b"next"))
    assert await download.read() == b"four"
    assert await whole(client) == b"next"


# -- disks


async def test_a_thread_that_holds_on_to_what_it_has_written(
    fetch: Any, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []
    run_sync = part.anyio.to_thread.run_sync

    async def holding(function: Callable[..., Any], *arguments: Any) -> Any:
        held.extend(arguments)
        return await run_sync(function, *arguments)

    monkeypatch.setattr(part.anyio.to_thread, "run_sync", holding)
    data = os.urandom(5 * part.BATCH + 17)
    _, download = await fetch(serve.http(200, data))
    assert (await download.save(tmp_path / "file")).read_bytes() == data
    assert len(held) >= 4
    assert not any(held)


async def test_very_small_chunks_take_no_more_memory(tmp_path: Path) -> None:
    chunks = [b"ab", b"cde"] * 40_000
    tracemalloc.start()
    try:
        async with part.PartFile(tmp_path / "file") as file:
            for chunk in chunks:
                await file.write(bytes(bytearray(chunk)))  # each one of its own
            await file.finish()
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert (tmp_path / "file").read_bytes() == b"".join(chunks)


async def test_a_full_disk(fetch: Any, serve: Any, tmp_path: Path) -> None:
    body = bytes(4 << 20)
    client, download = await fetch(serve.http(200, body))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            await download.save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert names(tmp_path) == []
    assert await whole(client) == body


class Full(io.RawIOBase):
    """A disk without any room."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("size", [1, 5000, 3 << 20])
async def test_a_disk_without_any_room(
    fetch: Any, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    client, download = await fetch(serve.http(200, bytes(size)))
    opened: list[Any] = []

    def open_full(path: Path, mode: str, buffering: int) -> Any:
        path.touch()
        opened.append(io.BufferedWriter(Full(), buffering))
        return opened[-1]

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OSError, match="No space") as caught:
        await download.save(tmp_path)
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert opened[0].closed
    assert names(tmp_path) == []
    assert len(await whole(client)) == size


@pytest.mark.parametrize("where", ["none/file", "file/below", "x" * 300])
async def test_a_target_that_cannot_be(fetch: Any, serve: Any, tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    client, download = await fetch(serve.http(200, DATA))
    with pytest.raises(OSError, match=where[:4]):
        await download.save(tmp_path / where)
    with pytest.raises(ConnectionLost, match="closed"):
        await download.read()
    assert names(tmp_path) == ["file"]
    assert await whole(client) == DATA


async def test_a_folder_of_that_name(fetch: Any, serve: Any, tmp_path: Path) -> None:
    (tmp_path / "a.zip").mkdir()
    file = serve.http(200, DATA, Content_Disposition="attachment; filename=a.zip")
    client, download = await fetch(file)
    with pytest.raises(OSError, match=r"a\.zip"):
        await download.save(tmp_path)
    assert names(tmp_path) == ["a.zip"]
    assert await whole(client) == DATA


# -- names


NAMES: list[tuple[str, str | None]] = [
    ("attachment; filename=\"plain.zip\"; filename*=UTF-8''%C3%A9.zip", "é.zip"),
    ("attachment; filename*=UTF-8''%FF.zip; filename=plain.zip", "plain.zip"),
    ("attachment; filename*=utf-7''x; filename=plain.zip", "plain.zip"),
    ("attachment; FileName = spaced.zip ", "spaced.zip"),
    ('attachment; x="; filename=a"; filename=b', "b"),
    ('attachment; filename="a"; filename="b"', "a"),
    ('attachment; filename="C:\\Windows\\x.dll"', "x.dll"),
    ('attachment; filename="..\\x"', "x"),
    ('attachment; filename="a\\"b.zip"', "a_b.zip"),
    ('attachment; filename="na\udcc3\udcafve.zip"', "naïve.zip"),
    ('attachment; filename="na\udcefve.zip"', "naïve.zip"),
    ('attachment; filename="ab:c*d?.txt"', "ab_c_d_.txt"),
    ("attachment; filename=file.txt:stream", "file.txt_stream"),
    ("attachment; filename=CON", "_CON"),
    ("attachment; filename=nul.txt", "_nul.txt"),
    ("attachment; filename=com1.tar.gz", "_com1.tar.gz"),
    ("attachment; filename=LPT\u00b2", "_LPT\u00b2"),
    ("attachment; filename=console.txt", "console.txt"),
    ("attachment; filename=C:NUL", "_NUL"),
    ("attachment; filename=..", None),
    ("attachment; filename=. . .", None),
    ("attachment; filename=\x01\x02", None),
    ("attachment; filename=a.txt. ", "a.txt"),
    (f"attachment; filename={'n' * 300}.tar.gz", "n" * 252 + ".gz"),
    (f"attachment; filename={'n' * 300}", "n" * 255),
    (f"attachment; filename=a.{'n' * 300}", "a." + "n" * 253),
    (f"attachment; filename={'é' * 200}.zip", "é" * 125 + ".zip"),
    (f"attachment; filename=con.{'n' * 300}", "_con." + "n" * 250),
]


@pytest.mark.parametrize(("disposition", "name"), NAMES, ids=range(len(NAMES)))
def test_names(disposition: str, name: str | None) -> None:
    assert file_name(disposition) == name


PIECES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *("..", "/", "\\", "C:", "NUL", "con.", '"', "'", ";", "=", "%2F", "%00", " "),
            *("filename=", "filename*=", "attachment; ", "UTF-8''", "n" * 300, "\u96ea" * 100),
            "\udcff",
        ]
    ),
    st.characters(),
)
DISPOSITIONS = st.one_of(
    st.text(),
    st.lists(PIECES, max_size=12).map("".join),
    st.lists(PIECES, max_size=8).map(lambda pieces: "attachment; filename=" + "".join(pieces)),
    st.lists(PIECES, max_size=8).map(lambda pieces: f'a; filename="{"".join(pieces)}"'),
    st.lists(PIECES, max_size=8).map(lambda pieces: f"a; filename*=UTF-8''{''.join(pieces)}"),
)


def is_fit(name: str) -> bool:
    """Whether it names a file in any folder, on any common system."""
    stem = name.partition(".")[0].rstrip(" ").upper()
    devices = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    devices |= {f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789¹²³"}
    return (
        0 < len(name.encode()) <= LONGEST
        and name.isprintable()
        and not set(name) & set('/\\<>:"|?*')
        and name[0] not in ". "
        and name[-1] not in ". "
        and stem not in devices
    )


@given(DISPOSITIONS)
@example('attachment; filename="' + "\\" * 8000)
@example("attachment" + "; filename" * 800)
def test_any_disposition_gives_a_fit_name_or_none(disposition: str) -> None:
    name = file_name(disposition)
    assert name is None or is_fit(name)
    if name is not None:
        assert file_name(f'attachment; filename="{name}"') == name  # nothing is left to change


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    yield folder
    below = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in below} <= {folder}


class Stream:
    """A body without a connection."""

    status = 200

    def __init__(self, disposition: str) -> None:
        self.headers = {"Content-Disposition": disposition}

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"data"

    def close(self) -> None:
        """Nothing to give back."""


@given(disposition=DISPOSITIONS)
async def test_a_file_is_saved_inside_the_folder_whatever_its_name(
    folder: Path, disposition: str
) -> None:
    path = await Download(Stream(disposition), operation="get_job_file").save(folder)
    assert path.parent == folder
    assert path.read_bytes() == b"data"
    path.unlink()
