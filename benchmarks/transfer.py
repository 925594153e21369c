"""What large files cost on their way, against plain aiohttp.

The server is a process of its own on loopback. Each transfer runs in a fresh process, ours and that
of plain aiohttp in turn, after a small one that warms it up. ``aiohttp`` is written as somebody
would who knows it: it reads in chunks of the same size, writes them where they come, and bounds the
time between two of them instead of the time of all.

- ``down/chunks``: a download, taken with ``async for`` and dropped.
- ``down/save``: a download to a file.
- ``up/iterable``: an upload from an async iterable of bytes.
- ``up/path``: an upload of a file.

``ratio`` is our throughput by that of aiohttp: the median of the ratios of neighbours, which a
machine that others use as well slows down alike; ``cpu ratio`` is the same of the processor time of
the client's process. ``growth`` is how far resident memory rises during
a transfer above what it was before, the most of all repeats.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp
import attrs

from benchmarks.child import in_child
from benchmarks.file_server import FileServer
from benchmarks.report import Row, row_of
from benchmarks.resident import most_resident, resident
from jobkit_async.services.leia.client import LeiaClient
from jobkit_async.transfer import CHUNK

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--mib", "64", "--repeat", "2")
MIB: Final = 1 << 20
WARM_UP: Final = 4 * MIB
"""Bytes of the transfer that comes first and is not counted."""
TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=30)
"""Of plain aiohttp, whose own would end a large file after five minutes."""
LEAST_RATIO: Final = 0.9
MOST_GROWTH: Final = 32.0
"""MiB."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--mib", type=int, default=1024, help="size of the file in MiB")
    parser.add_argument("--repeat", type=int, default=9, help="how often each case is run")
    parser.add_argument("--folder", type=Path, help="where files are put; a temporary one")


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Measure, and report what was found."""
    size: int = options.mib * MIB
    with TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        files = {kind: folder / kind for kind in ("file", "warm-up")}
        for kind, path in files.items():
            with path.open("wb") as file:  # it has no blocks on the disk, so reading costs little
                file.truncate(size if kind == "file" else min(size, WARM_UP))
        with FileServer(files["file"]) as large, FileServer(files["warm-up"]) as small:
            stages = [
                _Stage(small.base_url, files["warm-up"]),
                _Stage(large.base_url, files["file"]),
            ]
            for case in CASES:
                runs: dict[str, list[_Run]] = {"aiohttp": [], "ours": []}
                for turn in range(options.repeat):
                    for side in sorted(runs, reverse=turn % 2 > 0):
                        runs[side].append(in_child(measure, case, side, stages))
                yield from _rows(case, size, runs)


@attrs.frozen
class _Stage:
    """Where to transfer to or from: the server's base URL, and a file for it or like its own."""

    url: str
    file: Path

    @property
    def target(self) -> Path:
        """Where to save to."""
        return self.file.with_name("saved")


@attrs.frozen
class _Run:
    """What one transfer took: seconds, those of the processor, and bytes of memory."""

    seconds: float
    cpu: float
    growth: float


def _rows(case: str, size: int, runs: dict[str, list[_Run]]) -> Iterator[Row]:
    for side, found in runs.items():
        yield row_of([size / MIB / one.seconds for one in found], case, side, "MiB/s")
    pairs = list(zip(runs["aiohttp"], runs["ours"], strict=True))
    ratios = [theirs.seconds / ours.seconds for theirs, ours in pairs]
    yield row_of(ratios, case, "ratio", least=LEAST_RATIO)
    yield row_of([theirs.cpu / ours.cpu for theirs, ours in pairs], case, "cpu ratio")
    for side, found in runs.items():
        ours = side == "ours"
        yield Row(
            case=case,
            metric="growth" if ours else "growth, aiohttp",
            value=max(one.growth for one in found) / MIB,
            unit="MiB",
            most=MOST_GROWTH if ours else None,
        )


# -- one transfer, in a process of its own


def measure(case: str, side: str, stages: list[_Stage]) -> _Run:
    """Transfer the last of the files; those before it are for warming up."""
    transfer = CASES[case][side]

    async def each() -> _Run:
        for stage in stages[:-1]:
            await transfer(stage)
        stages[-1].target.unlink(missing_ok=True)  # as it takes time to replace a large file
        gc.collect()
        before = resident()
        begun, cpu = time.perf_counter(), time.process_time()
        await transfer(stages[-1])
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        return _Run(took, cpu, max(0, most_resident() - before))

    return asyncio.run(each())


async def _chunks(size: int) -> AsyncIterator[bytes]:
    chunk = bytes(CHUNK)
    for start in range(0, size, CHUNK):
        yield chunk[: size - start]


def _check(size: float | None, stage: _Stage) -> None:
    if size != stage.file.stat().st_size:
        raise ValueError(f"{size} bytes of {stage.file.stat().st_size} were transferred")


def _client(stage: _Stage) -> LeiaClient:
    return LeiaClient(token="t", base_url=stage.url)  # noqa: S106 - any will do


async def _our_chunks(stage: _Stage) -> None:
    size = 0
    async with _client(stage) as client:
        async for chunk in await client.models.admin_get_model_contents("a", "m"):
            size += len(chunk)
    _check(size, stage)


async def _our_save(stage: _Stage) -> None:
    async with _client(stage) as client:
        download = await client.models.admin_get_model_contents("a", "m")
        path = await download.save(stage.target)
    _check(path.stat().st_size, stage)


async def _our_iterable(stage: _Stage) -> None:
    async with _client(stage) as client:
        chunks = _chunks(stage.file.stat().st_size)
        _check((await client.models.admin_create_model(chunks, "m", "a")).size, stage)


async def _our_path(stage: _Stage) -> None:
    async with _client(stage) as client:
        _check((await client.models.admin_create_model(stage.file, "m", "a")).size, stage)


async def _their_chunks(stage: _Stage) -> None:
    size = 0
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.get(f"{stage.url}/admin/a/model/m/file_contents") as response,
    ):
        response.raise_for_status()
        async for chunk in response.content.iter_chunked(CHUNK):
            size += len(chunk)
    _check(size, stage)


async def _their_save(stage: _Stage) -> None:
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.get(f"{stage.url}/admin/a/model/m/file_contents") as response,
    ):
        response.raise_for_status()
        with stage.target.open("wb") as file:
            async for chunk in response.content.iter_chunked(CHUNK):
                file.write(chunk)
    _check(stage.target.stat().st_size, stage)


async def _their_iterable(stage: _Stage) -> None:
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.post(
            f"{stage.url}/admin/a/model", data=_chunks(stage.file.stat().st_size)
        ) as response,
    ):
        response.raise_for_status()
        _check((await response.json())["size"], stage)


async def _their_path(stage: _Stage) -> None:
    with stage.file.open("rb") as file:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.post(f"{stage.url}/admin/a/model", data=file) as response,
        ):
            response.raise_for_status()
            _check((await response.json())["size"], stage)


Transfer = Callable[[_Stage], Awaitable[None]]

CASES: Final[dict[str, dict[str, Transfer]]] = {
    "down/chunks": {"aiohttp": _their_chunks, "ours": _our_chunks},
    "down/save": {"aiohttp": _their_save, "ours": _our_save},
    "up/iterable": {"aiohttp": _their_iterable, "ours": _our_iterable},
    "up/path": {"aiohttp": _their_path, "ours": _our_path},
}
