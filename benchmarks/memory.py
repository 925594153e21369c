"""Bytes that each job and each waiter takes, and whether finished jobs leave any behind.

The service is in memory, the client is a real one. Bytes are those that Python allocates, as
tracemalloc counts them, in a process of its own for each case.

- ``job``: what is kept of a job that somebody waits for, whoever that is: its record, its place in
  the client's index, and its entries in the tracker and the schedule. All jobs share one sighting
  here, as snapshots are not counted; ``sighting`` tells what one from EcoTaxa's listing takes.
- ``job+handle``: the same with the job's id, a string of 36 characters, and its handle.
- ``awaiter``: what ``asyncio.create_task(job.wait(timeout=3600))`` adds to that, the task, its
  frames, its future and its deadline included.
- ``all``: the three together, also for fewer jobs; and beside it the growth of the process, which
  has in it what was allocated on the way and is free again.
- ``finished``: how resident memory grows while jobs pass through, after a tenth of them.

``one`` in a case is a service where one request answers for all jobs, ``chunks`` one with 100 jobs
to a request.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import sys
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.child import in_child
from benchmarks.memory_source import MemoryClient, MemorySource
from benchmarks.report import Row
from jobkit_async.codec import split
from jobkit_async.polling.schedule import Polling
from jobkit_async.services.ecotaxa.source import _sight_row, _skim
from jobkit_async.waiting import wait_all

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--jobs", "10000", "--finished", "50000")
MIB = 1 << 20
WAVE = 5_000
"""Jobs that are under way at once while a million passes through."""
BATCHES = {"one": None, "chunks": 100}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs that are awaited at once")
    parser.add_argument("--finished", type=int, default=1_000_000, help="jobs that pass through")


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Measure, and report what was found."""
    jobs: int = options.jobs
    for name, batch in BATCHES.items():
        kept = in_child(watched, jobs, batch)
        job = kept["record"] + kept["first watch"] - kept["third watch"]
        handled = job + kept["id"] + kept["handle"]
        waiter = in_child(awaited, jobs, batch, "bytes") - handled
        yield Row(case=f"job/{name}", metric="bytes", value=job, unit="B", most=450)
        yield Row(case=f"job+handle/{name}", metric="bytes", value=handled, unit="B", most=700)
        yield Row(case=f"awaiter/{name}", metric="bytes", value=waiter, unit="B", most=1500)
        resident = in_child(awaited, jobs, batch, "rss")
        for fewer in (1000, 10_000):
            if fewer < jobs:
                each = in_child(awaited, fewer, batch, "bytes")
                yield Row(case=f"all/{name}/{fewer}", metric="bytes", value=each, unit="B")
        case = f"all/{name}/{jobs}"
        yield Row(case=case, metric="bytes", value=handled + waiter, unit="B")
        yield Row(case=case, metric="rss", value=resident, unit="B")
    yield Row(case="sighting", metric="bytes", value=in_child(sightings, jobs), unit="B")
    first, last = in_child(flow, options.finished)
    yield Row(case="finished", metric="rss after a tenth", value=first / MIB, unit="MiB")
    yield Row(case="finished", metric="growth", value=(last - first) / MIB, unit="MiB", most=5)


# -- each in a process of its own


def watched(jobs: int, batch: int | None) -> dict[str, float]:
    """Bytes for each job by what they are for, one after the other."""
    return asyncio.run(_watched(jobs, batch, _meter("bytes")))


async def _watched(jobs: int, batch: int | None, used: Callable[[], int]) -> dict[str, float]:
    source = MemorySource(batch)
    async with MemoryClient(source, _once()) as client:
        await _warm_up(client)
        ids: list[Any] = [None] * jobs
        records, handles = ids.copy(), ids.copy()
        steps: dict[str, float] = {}
        before = used()

        def step(name: str) -> None:
            nonlocal before
            now = used()
            steps[name] = (now - before) / jobs
            before = now

        for index in range(jobs):
            ids[index] = str(uuid.uuid4())
        step("id")
        for index, key in enumerate(ids):
            records[index] = client._record_of(key)
        step("record")
        for index, record in enumerate(records):
            handles[index] = client._handle(record)
        step("handle")
        for job in handles:
            job._watch(_ignore)
        await _looked(client)
        step("first watch")
        # Another watch costs what is the watch's own; a second one, whatever holds more than one.
        for name in ("second watch", "third watch"):
            for job in handles:
                job._watch(_ignore)
            await asyncio.sleep(0)
            step(name)
        return steps


def awaited(jobs: int, batch: int | None, meter: str) -> float:
    """Bytes for each job with its id, handle and a task that waits for it."""
    return asyncio.run(_awaited(jobs, batch, _meter(meter)))


async def _awaited(jobs: int, batch: int | None, used: Callable[[], int]) -> float:
    source = MemorySource(batch)
    async with MemoryClient(source, _once()) as client:
        await _warm_up(client)
        handles: list[Any] = [None] * jobs
        tasks = handles.copy()
        before = used()
        for index in range(jobs):
            handles[index] = client.job(str(uuid.uuid4()))
            tasks[index] = asyncio.create_task(handles[index].wait(timeout=3600))
        await asyncio.sleep(0)
        await _looked(client)
        grown = (used() - before) / jobs
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return grown


def sightings(jobs: int) -> float:
    """Bytes for each sighting of a running job, as EcoTaxa's listing gives them."""
    body = b",".join(
        b'{"id":%d,"owner_id":1,"type":"FileImport","state":"R","progress_pct":%d,'
        b'"creation_date":"2026-03-01T10:00:05","updated_on":"2026-03-01T10:%02d:05",'
        b'"progress_msg":"Working on row %d"}' % (index + 1, index % 100, index % 60, index)
        for index in range(jobs)
    )
    raws = split(b"[" + body + b"]", operation="list_jobs")
    seen: list[Any] = [None] * jobs
    used = _meter("bytes")
    before = used()
    for index, raw in enumerate(raws):
        row = _skim(raw)
        seen[index] = None if row is None else _sight_row(row, None)
    return (used() - before) / jobs


def flow(jobs: int) -> tuple[int, int]:
    """Resident bytes after a tenth of the jobs has come and gone, and after all of them."""
    return asyncio.run(_flow(jobs))


async def _flow(jobs: int) -> tuple[int, int]:
    used = _meter("rss")
    source = MemorySource(100)
    first, done = 0, 0
    async with MemoryClient(source, Polling(min_interval=0.01, max_interval=0.01)) as client:
        while done < jobs:
            wave = min(WAVE, max(1, jobs // 10))
            waiting = [client.submit(f"job {done + n}", 0.001) for n in range(wave)]
            outcomes = await wait_all(waiting)
            assert all(outcome.unwrap() for outcome in outcomes)  # noqa: S101 - a broken benchmark
            done += wave
            del waiting, outcomes
            source.ends.clear()
            source.looks.clear()
            if not first and 10 * done >= jobs:
                first = used()
        return first, used()


# -- helpers


def _once() -> Polling:
    """One look at each job, then none for longer than any measurement lasts."""
    return Polling(min_interval=3600, max_interval=7200)


async def _warm_up(client: MemoryClient) -> None:
    """Have everything imported, bound and cached before anything is measured."""
    for timeout in (60, None):
        client._memory.ends["warm-up"] = 0.0
        await client.job("warm-up").wait(timeout)
    client._memory.ends.clear()


async def _looked(client: MemoryClient) -> None:
    """Until all jobs have been looked at, and the tracker sleeps till the next look."""
    while client._tracker._bell is None:  # noqa: ASYNC110 - it has no other way of telling
        await asyncio.sleep(0)


def _ignore(_: object) -> None:
    """Somebody who waits, and costs nothing."""


def _meter(kind: str) -> Callable[[], int]:
    if kind == "bytes":
        tracemalloc.start()
    read = _traced if kind == "bytes" else _resident

    def used() -> int:
        gc.collect()
        return read()

    return used


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]


def _resident() -> int:
    """Resident bytes of this process; where the system does not tell, the most there ever were."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10
