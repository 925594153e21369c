"""What waiting for many jobs costs, against waiting for one at a time.

Leia answers for up to 100 given jobs in one request. Jobs last as in workload A: log-normal, median
60 s, sigma 1. ``steady``: n jobs are awaited at any time, and each that ends is replaced.
``together``: n jobs are sent off at the same moment, after a hundred that ended one by one.

``share`` is the number of status requests per job, in percent of what one job alone takes at the
same mean delay of detection; 1 % is the least where every request is full. Final reads are apart.
The jobs are in memory, behind the real tracker; ``http`` repeats one case on the embedded server.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

import attrs

from benchmarks.dated import DatedSource
from benchmarks.memory_source import MemoryClient
from benchmarks.optimum import requests_and_delay
from benchmarks.planned import learned, planned
from benchmarks.report import Row
from benchmarks.virtual import run as run_virtually
from benchmarks.workloads import LAWS
from jobkit_async import LeiaClient, Polling
from jobkit_async.testing import FakeLeia, Plan

__all__ = ["QUICK", "add_options", "run"]

QUICK: Final = ("--jobs", "1", "100", "--least", "500")
BATCH: Final = 100
LAW: Final = LAWS["A"]
PRICES: Final = (20.0, 5.0, 2.0, 0.8, 0.3, 0.12, 0.05, 0.02, 0.008, 0.003)
"""Prices at which one job alone is waited for; between them it is interpolated."""
WARM: Final = 600.0
"""Virtual seconds before a steady state is measured."""
ROUNDS: Final = 50
"""The most times over that jobs are sent off together: each time, the client learns anew."""
MARKS: Final = {("steady", 1000): 1.1, ("together", 1000): 1.6, ("together", 10_000): 1.1}


@attrs.frozen
class Cost:
    """What some waits have cost.

    Attributes:
        requests: Status requests per job.
        delay: Mean delay of detection in seconds.
    """

    requests: float
    delay: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument(
        "--jobs",
        type=int,
        nargs="+",
        default=[1, 10, 100, 1000, 10_000],
        help="numbers of jobs that are awaited at once (default 1 to 10000)",
    )
    parser.add_argument(
        "--least", type=int, default=2000, help="jobs that are measured at least (default 2000)"
    )


def run(options: argparse.Namespace) -> Iterator[Row]:
    """Measure all numbers of jobs."""
    alone = _alone()
    for count in options.jobs:
        cost = run_virtually(_steady(count, 5.0, max(options.least, 5 * count)))
        yield from _rows("steady", count, cost, alone)
        rounds = min(ROUNDS, max(1, options.least // count))
        cost = run_virtually(_together(count, 5.0, rounds))
        yield from _rows("together", count, cost, alone)
    largest = min(1000, max(options.jobs))
    cost = run_virtually(_over_http(largest), sockets=True)
    memory = run_virtually(_together(largest, 5.0, 1))
    case = f"together/{largest}/http"
    yield Row(case=case, metric="requests", value=cost.requests, unit="requests/job")
    yield Row(case=case, metric="in memory", value=memory.requests, unit="requests/job")


def _rows(mode: str, count: int, cost: Cost, alone: list[Cost]) -> Iterator[Row]:
    case = f"{mode}/{count}"
    yield Row(case=case, metric="requests", value=cost.requests, unit="requests/job")
    yield Row(case=case, metric="delay", value=cost.delay, unit="s")
    share = 100.0 * cost.requests / _alone_at(alone, cost.delay)
    yield Row(case=case, metric="share", value=share, unit="%", most=MARKS.get((mode, count)))


def _alone() -> list[Cost]:
    """What one job alone costs at some prices, by rising delay; exact, once much is known."""
    rng = random.Random(3)
    known = learned([LAW.draw(rng) for _ in range(200)])
    plans = (planned(LAW, known, _polling(price)) for price in PRICES)
    costs = [Cost(*requests_and_delay(looks, LAW)) for looks in plans]
    return sorted(costs, key=lambda cost: cost.delay)


def _alone_at(alone: list[Cost], delay: float) -> float:
    """Requests that one job alone takes at a mean delay."""
    i = min(max(bisect_left([cost.delay for cost in alone], delay), 1), len(alone) - 1)
    low, high = alone[i - 1], alone[i]
    part = math.log(delay / low.delay) / math.log(high.delay / low.delay)
    return low.requests * math.exp(part * math.log(high.requests / low.requests))


def _polling(price: float) -> Polling:
    return Polling(
        delay_price=price, min_interval=0.02, max_interval=36_000.0, rng=random.Random(7)
    )


async def _steady(count: int, price: float, jobs: int) -> Cost:
    """So many jobs at any time; each that ends is replaced."""
    source, rng = DatedSource(BATCH), random.Random(1)
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    begun = 0
    enough = asyncio.Event()

    async def work(client: MemoryClient) -> None:
        while True:
            seconds = LAW.draw(rng)
            end = loop.time() + seconds
            await source.begin(client, seconds).wait()
            delays.append(loop.time() - end)
            if len(delays) - begun >= jobs:
                enough.set()

    async with MemoryClient(source, _polling(price)) as client:
        workers = [asyncio.create_task(work(client)) for _ in range(count)]
        await asyncio.sleep(WARM if count > 1 else 60.0 * WARM)
        begun, before = len(delays), source.requests
        enough.clear()
        await enough.wait()
        counted = delays[begun:]
        requests = source.requests - before
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
    return Cost(requests / len(counted), sum(counted) / len(counted))


async def _together(count: int, price: float, rounds: int) -> Cost:
    """So many jobs sent off at one moment, some times over."""
    source, rng = DatedSource(BATCH), random.Random(2)
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    requests = 0

    async def follow(client: MemoryClient) -> None:
        seconds = LAW.draw(rng)
        end = loop.time() + seconds
        await source.begin(client, seconds).wait()
        delays.append(loop.time() - end)

    for _ in range(rounds):
        async with MemoryClient(source, _polling(price)) as client:
            for _ in range(100):
                await source.begin(client, LAW.draw(rng)).wait()
            before = source.requests
            await asyncio.gather(*(follow(client) for _ in range(count)))
            requests += source.requests - before
    return Cost(requests / len(delays), sum(delays) / len(delays))


async def _over_http(count: int) -> Cost:
    """The same on the embedded server, once."""
    rng = random.Random(2)

    def planner(_rng: random.Random, _kind: str) -> Plan:
        return Plan(queued=0.0, running=LAW.draw(rng))

    async with (
        FakeLeia(planner=planner) as server,
        LeiaClient(
            api_key=server.api_key, base_url=server.base_url, polling=_polling(5.0)
        ) as client,
    ):
        model = await client.models.admin_create_model(b"...", "m", "app-1", short_name="m")

        async def begin() -> None:
            job = await client.models.admin_apply_model_async(
                "app-1", model.short_name or "", ["d"]
            )
            await job.wait()

        for _ in range(100):
            await begin()
        name = "admin_get_job_statuses"
        before = server.requests[name]
        await asyncio.gather(*(begin() for _ in range(count)))
        return Cost((server.requests[name] - before) / count, 0.0)
