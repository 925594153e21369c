"""A service that throttles is sent no more than what is under way already."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from jobkit_async.errors import RateLimited, api_error
from jobkit_async.fakes.server import Refusal
from jobkit_async.polling.source import fan_out

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=20_000)  # what would hang fails

PARALLEL = 8
THROTTLED = pytest.mark.parametrize(
    ("status", "headers"),
    [(429, {"Retry-After": "60"}), (429, {}), (503, {"Retry-After": "60"})],
    ids=["429-after-60", "429", "503-after-60"],
)


def now() -> float:
    return asyncio.get_running_loop().time()


def refusing(
    status: int, headers: dict[str, str], *operations: str
) -> Callable[[str, web.Request], None]:
    """Refuses these operations."""

    def refuse(operation: str, request: web.Request) -> None:
        if operation in operations:
            raise Refusal(status, "not so fast", headers=headers)

    return refuse


async def waiting_for(world: Any, count: int) -> list[Any]:
    """Jobs of the world, their waits, which have been looked at once."""
    jobs = world.births(count)
    waits = [asyncio.create_task(job.wait()) for job in jobs]
    await asyncio.sleep(5.0)
    for job in jobs:
        world.end(job.id)
    return waits


class TestFanOut:
    async def test_nothing_is_begun_after_it(self) -> None:
        begun: list[int] = []

        async def call(item: int) -> int:
            begun.append(item)
            await asyncio.sleep(1.0 if item < 20 else 2.0)
            if item == 20:
                raise api_error(429, operation="read", reason="not so fast")
            return item

        results = await fan_out(call, range(200))
        assert len(begun) < 20 + 3 * PARALLEL
        assert results.keys() == set(range(200))
        error = results[20]
        assert isinstance(error, RateLimited)
        for item, result in results.items():
            assert result is (error if item == 20 or item not in begun else item)

    @pytest.mark.parametrize("status", [404, 500, 503])
    async def test_other_errors_stop_nobody(self, status: int) -> None:
        async def call(item: int) -> int:
            raise api_error(status, operation="read", reason=str(item))

        results = await fan_out(call, range(50))
        assert len({str(error) for error in results.values()}) == 50


class TestLeia:
    @THROTTLED
    async def test_a_throttled_listing_of_endings_is_not_followed_by_reads(
        self, world: Any, traffic: Any, status: int, headers: dict[str, str]
    ) -> None:
        async with world("leia") as it:
            waits = await waiting_for(it, 300)
            traffic.refuse = refusing(status, headers, "admin_get_jobs", "admin_get_job")
            traffic.arrived.clear()
            await asyncio.sleep(6.0)
            assert Counter(operation for _, operation in traffic.arrived) == {
                "admin_get_job_statuses": 3,
                "admin_get_jobs": 1,
            }
            traffic.refuse = None
            assert len(await asyncio.gather(*waits)) == 300
            assert now() <= START + 200.0

    async def test_what_was_listed_before_is_kept(self, world: Any, traffic: Any) -> None:
        async with world("leia") as it:
            waits = await waiting_for(it, 250)
            for job in list(it.server.jobs)[:10]:
                it.end(job, how="FAILED")

            def refuse(operation: str, request: web.Request) -> None:
                if request.query.get("status") == "FAILED":
                    raise Refusal(429, "not so fast", headers={"Retry-After": "60"})

            traffic.refuse = refuse
            await asyncio.sleep(6.0)
            assert sum(wait.done() for wait in waits) == 240
            traffic.refuse = None
            await asyncio.gather(*waits, return_exceptions=True)

    @THROTTLED
    async def test_of_many_chunks_few_are_sent(
        self, world: Any, traffic: Any, status: int, headers: dict[str, str]
    ) -> None:
        async with world("leia") as it:
            traffic.refuse = refusing(status, headers, "admin_get_job_statuses")
            waits = [asyncio.create_task(job.wait()) for job in it.births(2000)]
            await asyncio.sleep(0.3)
            assert len(traffic.arrived) <= 4
            traffic.refuse = None
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


class TestSingleReads:
    @THROTTLED
    @pytest.mark.parametrize("name", ["ecotaxa", "vidispine", "bsubio"])
    async def test_of_many_few_are_sent(
        self, world: Any, traffic: Any, name: str, status: int, headers: dict[str, str]
    ) -> None:
        empty: dict[str, Any] = {
            "ecotaxa": [],
            "vidispine": {"hits": 0},
            "bsubio": {"success": True, "data": {"jobs": [], "total": 0}},
        }

        def refuse(operation: str, request: web.Request) -> web.Response:
            if operation == "get_job":
                raise Refusal(status, "not so fast", headers=headers)
            return web.json_response(empty[name])

        async with world(name) as it:
            traffic.refuse = refuse
            waits = [asyncio.create_task(job.wait()) for job in it.births(300)]
            await asyncio.sleep(0.4)
            asked = Counter(operation for _, operation in traffic.arrived)
            assert asked["get_job"] == PARALLEL
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
