"""Many jobs of which nothing is known are awaited where looks show endings only."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from jobkit_async import Polling, as_completed

pytestmark = pytest.mark.looptime(start=100.0, end=200_000)


async def test_their_first_reads_do_not_make_the_next_look_late(world: Any) -> None:
    """The first look has every job read, which none after it does if it comes soon enough."""
    count, rng = 300, random.Random(3)
    async with world("bsubio", polling=Polling(rng=random.Random(1))) as it:
        loop = asyncio.get_running_loop()
        jobs = it.births(count)
        ends: dict[str, float] = {}
        for job in jobs:
            after = min(15.0, 5.0 * rng.lognormvariate(0.0, 0.6))
            it.end(job.id, after=after)
            ends[job.id] = loop.time() + after
        async with as_completed(jobs) as outcomes:
            late = [loop.time() - ends[outcome.job.id] async for outcome in outcomes]
        assert sum(late) / count < 2.0
        assert max(late) < 20.0
        assert sum(it.requests().values()) < 1.3 * count
