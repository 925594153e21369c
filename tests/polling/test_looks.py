"""What one look costs, and how far it reaches, without a tracker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs
import pytest
from aiohttp import web

from jobkit_async.options import Limits

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=200_000)  # what would hang fails

DAY = 86_400.0
NAMES = pytest.mark.parametrize("name", ["leia", "ecotaxa", "vidispine", "bsubio"])


def now() -> float:
    return asyncio.get_running_loop().time()


@attrs.frozen
class Seen:
    """What a source may know of a job."""

    seen_at: float | None = None
    alive_at: float | None = None
    newest: Any = None
    detail: bool = False


class Looks:
    """Looks at jobs of a world; none of them is read on its own."""

    def __init__(self, world: Any) -> None:
        self._world = world

    async def at(self, jobs: Iterable[Any], alive_at: float | None = None) -> tuple[Any, int]:
        """What a look tells, and how many requests it took."""
        before = sum(self._world.requests().values())
        asks = {job.id: Seen(alive_at, alive_at) for job in jobs}
        for job in jobs:
            self._world.client._record_of(job.id)
        observed = await self._world.client._source.observe(asks)
        return observed, sum(self._world.requests().values()) - before


def reaches(world: Any, traffic: Any) -> list[float]:
    """How many seconds before they arrived the looks at endings reached back, from now on."""
    reached: list[float] = []

    def watch(operation: str, request: web.Request) -> None:
        if since := request.query.get("finishtime-from"):
            reach = world.server.clock.date() - datetime.fromisoformat(since)
            reached.append(reach.total_seconds())

    traffic.refuse = watch
    return reached


class TestCost:
    @NAMES
    @pytest.mark.parametrize("count", [1, 2, 3, 7, 150])
    async def test_it_is_the_requests_of_the_look(self, world: Any, name: str, count: int) -> None:
        async with world(name) as it:
            looks, jobs = Looks(it), it.births(count)
            for alive_at in (None, now()):
                observed, requests = await looks.at(jobs, alive_at)
                assert observed.cost == requests

    @NAMES
    @pytest.mark.parametrize("count", [1, 2, 3, 150])
    async def test_reads_of_missing_jobs_are_not_in_it(
        self, world: Any, name: str, count: int
    ) -> None:
        unknown = {"leia": "{:024x}", "vidispine": "VX-9{:05}", "bsubio": "0-{:036}"}
        async with world(name) as it:
            ids = [unknown.get(name, "9{:05}").format(index) for index in range(count)]
            jobs = [it.client.job(int(one) if name == "ecotaxa" else one) for one in ids]
            observed, requests = await Looks(it).at(jobs)
            assert set(observed.missing) == {job.id for job in jobs}
            assert observed.cost == requests < 10

    async def test_nor_where_ecotaxas_listing_is_too_large(self, world: Any) -> None:
        async with world("ecotaxa", client={"limits": Limits(max_listing=2000)}) as it:
            looks, jobs = Looks(it), it.births(30)
            for cost in (1, 0):
                observed, requests = await looks.at(jobs)
                assert len(list(observed.missing)) == 30
                assert observed.cost == requests == cost


class TestReach:
    @pytest.mark.parametrize(("name", "least"), [("vidispine", 1), ("bsubio", 2)])
    async def test_whom_a_sweep_showed_alive_is_vouched_for_by_the_next_look(
        self, world: Any, name: str, least: int
    ) -> None:
        async with world(name) as it:
            for _ in range(300):
                it.end(it.birth().id)
            await asyncio.sleep(60.0)
            looks, jobs = Looks(it), it.births(12)
            await looks.at(it.births(6))  # the first answer tells the service's time
            began = now()
            await asyncio.sleep(0.001)  # a clock that goes on between the tracker and the source
            _, requests = await looks.at(jobs)
            assert requests > least
            for _ in range(3):
                await asyncio.sleep(10.0)
                observed, requests = await looks.at(jobs, began)
                assert requests == least
                assert len(list(observed.missing)) <= 2

    @pytest.mark.parametrize("known", [False, True])
    async def test_after_a_day_without_waits_a_look_reaches_no_farther_than_is_of_use(
        self, world: Any, traffic: Any, known: bool
    ) -> None:
        async with world("vidispine") as it:
            reached, looks = reaches(it, traffic), Looks(it)
            await looks.at(it.births(6))  # the first answer tells the service's time
            for _ in range(600):
                it.end(it.birth().id)
            await asyncio.sleep(DAY)
            jobs = it.births(2)
            await asyncio.sleep(30.0)
            _, requests = await looks.at(jobs, now() - 20.0 if known else None)
            assert requests == 1
            assert reached[-1] == pytest.approx(25.0 if known else 5.0, abs=1.5)

    async def test_no_look_reaches_back_more_than_an_hour(self, world: Any, traffic: Any) -> None:
        async with world("vidispine") as it:
            reached, looks, jobs = reaches(it, traffic), Looks(it), it.births(6)
            await looks.at(jobs)
            alive_at = now()
            await looks.at(jobs, alive_at)
            await asyncio.sleep(1800.0)
            await looks.at(jobs, alive_at)
            assert reached[-1] == pytest.approx(1805.0, abs=1.5)
            await asyncio.sleep(DAY)
            await looks.at(jobs, alive_at)
            assert reached[-1] == pytest.approx(3605.0, abs=1.5)
            await asyncio.sleep(10.0)
            await looks.at(jobs, alive_at)
            assert reached[-1] == pytest.approx(15.0, abs=1.5)
