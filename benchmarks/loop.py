"""How long we hold the event loop: jobs awaited on a large EcoTaxa listing.

The server is a process of its own and sends a listing that it has prepared. Each step of the loop,
from the call of a callback or task to its return, is timed; the longest one of a run is its
``slice``. The median over the runs is reported, and the ``worst``.

``own slice`` counts all steps of our tasks and callbacks, with what aiohttp does inside of them,
the steps of the tasks that wait, and whatever cannot be attributed. Not in it are garbage
collections, which have a row of their own, aiohttp's own steps (receiving, parsing and unpacking
the body), and the steps of the benchmark itself, such as making the tasks. ``own cpu`` is the
processor time of the steps, which other processes do not lengthen; ``turn`` is the longest time
between two looks at sockets, in which many steps may lie, whoever takes them, and collections.

- ``awaited``: nothing ends, and the listing is read several times.
- ``gzip``: the same, the listing being compressed.
- ``released``: all jobs are seen at their end in one listing.
- ``wait_all``: the same with a single ``wait_all`` for all jobs.
- ``closed``: the client is closed while all are awaited.
- ``chunks``: jobs of a service in memory that answers for 100 in a request, each job's next look
  being planned by what 40 finished ones have shown; they are looked at several times, and end.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

import attrs

from benchmarks.listing_server import ListingServer
from benchmarks.memory_source import MemoryClient, MemorySource
from benchmarks.report import Row, row_of
from benchmarks.slices import Slices, new_loop
from jobkit_async.errors import ClientClosed
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.source import Ask, Observed
from jobkit_async.services.ecotaxa.client import EcotaxaClient
from jobkit_async.services.ecotaxa.job import EcotaxaJob
from jobkit_async.services.ecotaxa.models import JobModel
from jobkit_async.waiting import wait_all

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--jobs", "1000", "--bytes", "2500000", "--repeat", "2")
MARK: Final = 20.0
"""The longest slice of our own work, in milliseconds."""
CHUNK: Final = 100
"""Jobs in one request of the service in memory."""
LOOKS: Final = 3
"""How often the listing is read in the cases in which nothing ends."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs that are awaited at once")
    parser.add_argument("--bytes", type=int, default=25_000_000, help="size of the listing")
    parser.add_argument("--repeat", type=int, default=5, help="how often each case is run")


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Measure, and report what was found."""
    with ListingServer(options.jobs, options.bytes) as server:
        for case, scenario in SCENARIOS.items():
            coding = "gzip" if case == "gzip" else "identity"
            runs = [_measure(scenario, server, coding, options.jobs) for _ in range(options.repeat)]
            yield from _rows(case, runs)
    yield from _rows("chunks", [_measure_chunks(options.jobs) for _ in range(options.repeat)])


@attrs.frozen
class _Run:
    """What one run of a scenario came to: its steps, and the seconds of its turns."""

    slices: Slices
    turns: list[float]


def _rows(case: str, runs: list[_Run]) -> Iterator[Row]:
    longest = [run.slices.longest("own") for run in runs]
    worst = max(longest, key=lambda each: each.seconds)
    own = [1000.0 * each.seconds for each in longest]
    yield row_of(own, case, "own slice", "ms", most=MARK)
    yield Row(
        case=case,
        metric="own slice, worst",
        value=1000.0 * worst.seconds,
        unit="ms",
        most=MARK,
        note=worst.owner,
    )
    others: dict[str, Callable[[_Run], float]] = {
        "own cpu": lambda run: run.slices.longest("own", by_cpu=True).cpu,
        "aiohttp slice": lambda run: run.slices.longest("aiohttp").seconds,
        "collection": lambda run: max(run.slices.collections, default=0.0),
        "turn": lambda run: max(run.turns, default=0.0),
    }
    for metric, number in others.items():
        yield row_of([1000.0 * number(run) for run in runs], case, metric, "ms")


# -- one run


@attrs.frozen
class _Stage:
    """What a scenario plays with."""

    client: EcotaxaClient
    server: ListingServer
    jobs: list[EcotaxaJob]

    def wait_for_each(self) -> list[asyncio.Task[JobModel]]:
        return [asyncio.create_task(job.wait(timeout=3600)) for job in self.jobs]


Scenario = Callable[[_Stage], Awaitable[None]]


def _measure(scenario: Scenario, server: ListingServer, coding: str, jobs: int) -> _Run:
    slices = Slices()
    loop, turns = new_loop()

    async def measure() -> None:
        polling = Polling(min_interval=0.1, max_interval=0.2)
        url = server.url(coding)
        async with EcotaxaClient(token="t", base_url=url, polling=polling) as client:  # noqa: S106 - any will do
            handles = [client.job(job_id + 1) for job_id in range(jobs)]
            turns.clear()
            with slices.measured():
                await scenario(_Stage(client, server, handles))

    server.begin()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(measure())
    return _Run(slices, turns)


class _Chunks(MemorySource):
    """Makes one answer at a time, as they come over a network: to make them is not our work."""

    async def observe(self, asks: Mapping[str, Ask]) -> Observed[str]:
        keys = list(asks)
        parts: list[Observed[str]] = []
        for start in range(0, len(keys), CHUNK):
            await asyncio.sleep(0)
            parts.append(
                await super().observe({key: asks[key] for key in keys[start : start + CHUNK]})
            )
        await asyncio.sleep(0)
        seen = {key: sighting for part in parts for key, sighting in part.seen.items()}
        await asyncio.sleep(0)
        return Observed(seen=seen, cost=len(parts))


def _measure_chunks(jobs: int) -> _Run:
    slices = Slices()
    loop, turns = new_loop()

    async def measure() -> None:
        source = _Chunks(CHUNK)
        polling = Polling(min_interval=0.1, max_interval=0.4)
        async with MemoryClient(source, polling) as client:
            await wait_all([client.submit(f"first {n}", 0.2 + 0.01 * n) for n in range(40)])
            handles = [client.submit(f"job {n}", 1e6) for n in range(jobs)]
            source.requests = 0
            turns.clear()
            with slices.measured():
                tasks = [asyncio.create_task(job.wait(timeout=3600)) for job in handles]
                while source.requests < LOOKS * jobs // 100:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.1)
                source.ends.clear()
                source.ends.update((job.id, 0.0) for job in handles)
                await asyncio.gather(*tasks)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(measure())
    return _Run(slices, turns)


async def _awaited(stage: _Stage) -> None:
    tasks = stage.wait_for_each()
    await stage.server.asked(LOOKS + 1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _released(stage: _Stage) -> None:
    tasks = stage.wait_for_each()
    await stage.server.asked(2)
    stage.server.end_all()
    await asyncio.gather(*tasks)


async def _wait_all(stage: _Stage) -> None:
    waiting = asyncio.create_task(wait_all(stage.jobs, timeout=3600))
    await stage.server.asked(2)
    stage.server.end_all()
    for outcome in await waiting:
        outcome.unwrap()


async def _closed(stage: _Stage) -> None:
    tasks = stage.wait_for_each()
    await stage.server.asked(2)
    closing = asyncio.create_task(stage.client.aclose())  # apart from the steps of the benchmark
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(error, ClientClosed):
            raise TypeError(f"a wait ended with {error!r}")
    await closing


SCENARIOS: Final[dict[str, Scenario]] = {
    "awaited": _awaited,
    "gzip": _awaited,
    "released": _released,
    "wait_all": _wait_all,
    "closed": _closed,
}
