"""What following many jobs costs the processor: microseconds for each job and round of polling.

The service is in memory and time is virtual, so that nothing counts but the following itself: whom
to ask, taking in what was seen, and planning the next look. All jobs run, and none ends. The case
is JOBS/CONTENDER, each in a process of its own:

- ``chunks``: ours, where a request answers for 100 jobs.
- ``one``: ours, where one answers for all of them.
- ``bare``: a heap of who is due and a dict of what is known, for a request that answers for 100
  jobs, in one plain loop: no deadlines, errors, learning or event loop.

``cpu`` is the processor's time for one job and round without that of the source, while the garbage
collector rests and what is there is frozen; ``collected`` is the same while it works as ever.
``by bare`` is our ``cpu`` by that of the bare loop in the same round of repeats. ``growth`` is what
a job and round costs with the most jobs by what it costs with 10,000.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import heapq
import math
import random
import statistics
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import attrs

from benchmarks import virtual
from benchmarks.child import in_child
from benchmarks.memory_source import MemoryClient, MemorySource
from benchmarks.report import Row, row_of
from jobkit_async import Polling
from jobkit_async.polling.source import Ask, Observed

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--jobs", "200", "2000", "--repeat", "1")
SIDES: Final[Mapping[str, int | None]] = {"bare": 100, "chunks": 100, "one": None}
"""Jobs that a request answers for, by contender; None is all of them."""
BY_BARE: Final = 1.5
GROWTH: Final = 3.0
BASE: Final = 10_000
"""Jobs that growth is counted from."""
ROUNDS: Final = 2
LEAST: Final = 100_000
"""Looks at a job that are measured at least."""
ONCE: Final = 1_000_000
"""So many jobs are run once: it takes minutes."""
AGE: Final = 0.6
"""Seconds that the jobs have run when the measuring begins."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument(
        "--jobs",
        type=int,
        nargs="+",
        default=[1000, 10_000, 100_000, 1_000_000],
        help="jobs that are followed at once",
    )
    parser.add_argument("--repeat", type=int, default=3, help="how often each case is run")


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Measure, and report what was found."""
    medians: dict[tuple[str, int], float] = {}
    for jobs in options.jobs:
        runs: dict[str, list[_Run]] = {side: [] for side in SIDES}
        for turn in range(options.repeat if jobs < ONCE else 1):
            for side in sorted(SIDES, reverse=turn % 2 > 0):
                runs[side].append(in_child(measure, side, jobs))
        yield from _rows(jobs, runs)
        for side, found in runs.items():
            medians[side, jobs] = statistics.median(one.cpu for one in found)
    most = max(options.jobs)
    for side in SIDES:
        if (side, BASE) in medians and most > BASE:
            yield Row(
                case=f"{most}/{side}",
                metric="growth",
                value=medians[side, most] / medians[side, BASE],
                most=None if side == "bare" else GROWTH,
            )


@attrs.frozen
class _Run:
    """Seconds of the processor for a job and round, without and with the collector's."""

    cpu: float
    collected: float


def _rows(jobs: int, runs: Mapping[str, list[_Run]]) -> Iterator[Row]:
    for side, found in runs.items():
        case = f"{jobs}/{side}"
        yield row_of([1e6 * one.cpu for one in found], case, "cpu", "us")
        yield row_of([1e6 * one.collected for one in found], case, "collected", "us")
        if side != "bare":
            ratios = [ours.cpu / bare.cpu for ours, bare in zip(found, runs["bare"], strict=True)]
            yield row_of(ratios, case, "by bare", most=BY_BARE)


# -- one contender, in a process of its own


def measure(side: str, jobs: int) -> _Run:
    """What a job and round costs."""
    looks = max(ROUNDS * jobs, LEAST)
    if side == "bare":
        return _bare(jobs, looks)
    return virtual.run(_ours(jobs, SIDES[side], looks))


class _Clock:
    """The processor's time, but for what is left out."""

    def __init__(self) -> None:
        self._left_out = 0.0

    def time(self) -> float:
        return time.process_time() - self._left_out

    @contextmanager
    def stopped(self) -> Generator[None]:
        began = time.process_time()
        try:
            yield
        finally:
            self._left_out += time.process_time() - began


class _Source(MemorySource):
    """Counts the jobs that were looked at, and stops the clock for what a service would do."""

    def __init__(self, batch: int | None) -> None:
        super().__init__(batch)
        self.clock = _Clock()
        self.looked = 0

    async def observe(self, asks: Mapping[str, Ask]) -> Observed[str]:
        with self.clock.stopped():
            self.looked += len(asks)
            return await super().observe(asks)


async def _ours(jobs: int, batch: int | None, looks: int) -> _Run:
    source = _Source(batch)
    async with MemoryClient(source, Polling(rng=random.Random(1))) as client:
        handles = [client.submit(f"job {index}") for index in range(jobs)]
        watches = [client._tracker.watch(handle._record, lambda _: None) for handle in handles]

        async def through() -> float:
            most, began = source.looked + looks, source.clock.time()
            before = source.looked
            while source.looked < most:  # noqa: ASYNC110 - it sleeps in virtual time
                await asyncio.sleep(0.5)
            return (source.clock.time() - began) / (source.looked - before)

        await asyncio.sleep(AGE)
        with _frozen():
            cpu = await through()
        collected = await through()
        for watch in watches:
            client._tracker.unwatch(watch)
        return _Run(cpu, collected)


def _bare(jobs: int, looks: int) -> _Run:
    poller = _Bare(jobs)

    def through() -> float:
        began, looked = poller.clock.time(), 0
        while looked < looks:
            looked += poller.look()
        return (poller.clock.time() - began) / looked

    with _frozen():
        cpu = through()
    return _Run(cpu, through())


class _Bare:
    """What one writes by hand: a heap, a dict, and gaps that grow with the root of the age."""

    def __init__(self, jobs: int) -> None:
        self.clock = _Clock()
        self._rng = random.Random(1)
        self._known: dict[str, list[Any]] = {f"job {n}": [0.0, "running"] for n in range(jobs)}
        self._heap = [(AGE + 10.0 * self._rng.random(), key) for key in self._known]
        heapq.heapify(self._heap)

    def look(self) -> int:
        """Look at those who are due next; how many they were."""
        now = self._heap[0][0]
        count = min(100, len(self._heap))
        due = [heapq.heappop(self._heap)[1] for _ in range(count)]
        with self.clock.stopped():
            seen = dict.fromkeys(due, "running")
        for key, word in seen.items():
            job = self._known[key]
            job[0] = now
            if word != job[1]:
                job[1] = word
            gap = math.sqrt(0.1 * now) * (1.0 + 0.1 * (self._rng.random() - 0.5))
            heapq.heappush(self._heap, (now + gap, key))
        return count


@contextmanager
def _frozen() -> Generator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
