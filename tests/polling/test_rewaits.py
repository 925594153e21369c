"""Waits that begin when a job is already known: after an end, during a look, after a cancellation.

Looks come five minutes apart, so that whoever is not told by the right one waits for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from jobkit_async.errors import JobCancelled, WaitTimeout
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=20_000)  # what would hang fails

S = JobState
GAP = 300.0
SELDOM = Polling(policy=FixedInterval(GAP))
BATCHES = pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])


def now() -> float:
    return asyncio.get_running_loop().time()


async def timed(awaitable: Awaitable[Any]) -> tuple[Any, float]:
    """What came out, value or exception, and when."""
    try:
        return await awaitable, now()
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error, now()


def start(awaitable: Any) -> asyncio.Task[tuple[Any, float]]:
    return asyncio.create_task(timed(awaitable))


class TestDuringALook:
    """The wait that a look was for is over, and the next one begins before the answer is there."""

    @BATCHES
    @pytest.mark.parametrize("full", [True, False], ids=["in full", "then read in full"])
    async def test_its_answer_is_told_to_the_new_wait(
        self, memory: Any, batch: int | None, full: bool
    ) -> None:
        service = memory(batch=batch, delay=4.0, polling=SELDOM, full=full)
        job = service.runs("a", 50.0)
        await job.refresh()
        # The last look leaves half a second before the deadline, when the job has ended.
        assert isinstance((await timed(job.wait(timeout=60.0 - 4.0)))[0], WaitTimeout)
        assert service.times == [START + 59.5]
        await asyncio.sleep(1.0)
        assert await timed(job.wait()) == ("a succeeded", START + 63.5)

    @BATCHES
    async def test_so_is_the_answer_to_a_read_on_its_own(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch, delay=4.0, polling=SELDOM)
        job = service.runs("a", 3.0)
        service.hidden = {"a"}
        assert isinstance((await timed(job.wait(timeout=6.0)))[0], WaitTimeout)
        assert service.reads == [(START + 4.0, "a")]
        await asyncio.sleep(1.0)
        assert await timed(job.wait()) == ("a succeeded", START + 8.0)

    @BATCHES
    async def test_no_read_is_begun_for_nobody(self, memory: Any, batch: int | None) -> None:
        service = memory(batch=batch, delay=4.0, polling=SELDOM)
        job = service.runs("a", 3.0)
        service.hidden = {"a"}
        assert isinstance((await timed(job.wait(timeout=3.0)))[0], WaitTimeout)
        await asyncio.sleep(10.0)
        assert not service.reads

    @BATCHES
    async def test_a_job_whose_end_was_undone_is_looked_at_right_after(
        self, memory: Any, see: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch, delay=4.0, polling=SELDOM)
        done = see(S.SUCCEEDED, data="done", final=True)
        job = service.script("a", (0.0, see(S.FAILED, data="failed")), (10.0, done))
        assert await timed(job.wait(check=False)) == ("failed", START + 4.0)
        await asyncio.sleep(16.0)
        other = start(service.runs("b", 1e6).wait())
        await asyncio.sleep(2.0)  # the look at the other job is under way
        assert await timed(job.wait()) == ("done", START + 28.0)
        assert not other.done()
        await service.aclose()
        await other


@pytest.mark.parametrize("others", [0, 5])
async def test_an_ecotaxa_job_that_was_restarted_elsewhere_is_told_at_once(
    world: Any, others: int
) -> None:
    async with world("ecotaxa", polling=SELDOM) as it:
        waits = [start(job.wait()) for job in it.births(others)]
        (job,) = it.births(1)
        it.end(job.id, how="E")
        assert (await job.wait(check=False)).state == "E"
        await asyncio.sleep(10.0)
        it.end(job.id)  # started again by somebody, and well this time
        await asyncio.sleep(10.0)
        began = now()
        final, at = await timed(job.wait())
        assert (final.state, at) == ("F", began)
        assert not any(wait.done() for wait in waits)


@pytest.mark.parametrize("count", [1, 3, 12])
@pytest.mark.parametrize("how", ["by its handle", "by the operation"])
async def test_a_bsubio_job_that_a_cancellation_removed_is_noticed_soon(
    world: Any, count: int, how: str
) -> None:
    """It is in no listing any more: nobody may vouch for it on the ground that it was alive."""
    async with world("bsubio", server={"cancelled_as": "removed"}, polling=SELDOM) as it:
        jobs = it.births(count)
        waits = [start(job.wait()) for job in jobs]
        await asyncio.sleep(2.5 * GAP)
        assert {job.state for job in jobs} == {S.RUNNING}
        job = jobs[-1]
        if how == "by its handle":
            await job.cancel()
        else:
            await it.client.jobs.cancel_job(job.id)
        began = now()
        error, at = await waits[-1]
        assert isinstance(error, JobCancelled)
        assert at <= began + 1.0
        assert job.state is S.CANCELLED
        assert not any(wait.done() for wait in waits[:-1])
