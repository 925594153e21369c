"""When a job is first looked at for somebody: at once, if it may have something to tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Any

import pytest

from jobkit_async.errors import JobNeedsInput, WaitTimeout
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.states import JobState, Need

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=20_000)  # what would hang fails

S = JobState
GAP = 300.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def timed(awaitable: Awaitable[Any]) -> tuple[Any, float]:
    """What came out, value or exception, and when."""
    try:
        return await awaitable, now()
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error, now()


@pytest.fixture(params=[None, 100], ids=["one-for-all", "by-name"])
def service(memory: Any, request: pytest.FixtureRequest) -> Any:
    """A service that is looked at every five minutes."""
    return lambda: memory(polling=Polling(policy=FixedInterval(GAP)), batch=request.param)


async def first(job: Any) -> tuple[Any, float]:
    """The first update that a new reader gets, and when."""
    async with aclosing(job.updates()) as updates:
        return (await anext(updates)).state, now()


class TestANewWait:
    async def test_a_job_that_was_never_seen_is_looked_at_at_once(self, service: Any) -> None:
        assert await timed(service().runs("a", 0.0).wait()) == ("a succeeded", START)

    async def test_so_is_one_that_was_last_seen_in_need_of_input(
        self, service: Any, see: Any
    ) -> None:
        it = service()
        done = see(S.SUCCEEDED, data="done", final=True)
        job = it.script("a", (0.0, see(S.NEEDS_INPUT, needs=Need.ANSWER)), (5.0, done))
        assert isinstance((await timed(job.wait()))[0], JobNeedsInput)
        await asyncio.sleep(7.0)  # somebody else has answered meanwhile
        assert await timed(job.wait()) == ("done", START + 7.0)

    async def test_so_is_one_that_was_changed_from_here(self, service: Any, see: Any) -> None:
        it = service()
        done = see(S.SUCCEEDED, data="done", final=True)
        job = it.script("a", (0.0, see(S.NEEDS_INPUT, needs=Need.ANSWER)), (5.0, done))
        assert isinstance((await timed(job.wait()))[0], JobNeedsInput)
        await asyncio.sleep(6.0)
        it.touch(job)
        await asyncio.sleep(1.0)
        assert await timed(job.wait()) == ("done", START + 7.0)

    async def test_so_is_one_that_was_changed_and_never_seen(self, service: Any) -> None:
        it = service()
        job = it.runs("a", 0.0)
        it.touch(job)
        await asyncio.sleep(1.0)
        assert await timed(job.wait()) == ("a succeeded", START + 1.0)

    async def test_so_is_one_that_was_cancelled_as_it_ran(self, service: Any, see: Any) -> None:
        it = service()
        dead = see(S.CANCELLED, data="dead", final=True)
        job = it.script("a", (0.0, see(S.RUNNING)), (5.0, dead))
        assert isinstance((await timed(job.wait(timeout=2.0)))[0], WaitTimeout)
        it.touch(job, cancels=True)
        await asyncio.sleep(5.0)
        assert await timed(job.wait(check=False)) == ("dead", START + 7.0)

    async def test_so_is_one_whose_end_can_be_undone(self, service: Any, see: Any) -> None:
        it = service()
        failed = see(S.FAILED, data="failed")
        job = it.script("a", (0.0, failed), (5.0, see(S.SUCCEEDED, data="done", final=True)))
        assert await timed(job.wait(check=False)) == ("failed", START)
        await asyncio.sleep(7.0)
        assert await timed(job.wait()) == ("done", START + 7.0)

    async def test_one_that_is_known_to_be_on_its_way_is_not(self, service: Any) -> None:
        it = service()
        job = it.runs("a", 5.0)
        await timed(job.wait(timeout=2.0))
        looks = len(it.looks)
        wait = asyncio.create_task(timed(job.wait()))
        await asyncio.sleep(GAP / 2)
        assert len(it.looks) == looks
        assert (await wait)[0] == "a succeeded"


class TestASecondWait:
    async def test_it_is_told_of_a_need_for_input_at_once(self, service: Any, see: Any) -> None:
        it = service()
        job = it.script("a", (0.0, see(S.NEEDS_INPUT, needs=Need.ANSWER)))
        patient = asyncio.create_task(job.wait(timeout=1000.0, on_input="keep"))
        await asyncio.sleep(20.0)
        error, at = await timed(job.wait())
        assert isinstance(error, JobNeedsInput)
        assert at == START + 20.0
        assert not patient.done()
        patient.cancel()

    async def test_its_look_serves_the_first_as_well(self, service: Any, see: Any) -> None:
        it = service()
        done = see(S.SUCCEEDED, data="done", final=True)
        job = it.script("a", (0.0, see(S.NEEDS_INPUT, needs=Need.ANSWER)), (5.0, done))
        patient = asyncio.create_task(timed(job.wait(on_input="keep")))
        await asyncio.sleep(20.0)
        assert await timed(job.wait()) == ("done", START + 20.0)
        assert await patient == ("done", START + 20.0)
        assert len(it.looks) == 2

    async def test_it_costs_nothing_while_the_job_is_on_its_way(self, service: Any) -> None:
        it = service()
        job = it.runs("a", 5.0)
        waits = [asyncio.create_task(timed(job.wait()))]
        await asyncio.sleep(2.0)
        waits.append(asyncio.create_task(timed(job.wait())))
        assert {value for value, _ in await asyncio.gather(*waits)} == {"a succeeded"}
        assert len(it.looks) == 2


class TestANewReader:
    async def test_it_is_told_at_once_beside_a_wait(self, service: Any) -> None:
        it = service()
        job = it.runs("a", 1000.0)
        wait = asyncio.create_task(timed(job.wait()))
        await asyncio.sleep(20.0)
        assert await first(job) == (S.RUNNING, START + 20.0)
        assert not wait.done()
        wait.cancel()

    async def test_it_is_told_at_once_beside_another_reader(self, service: Any) -> None:
        it = service()
        job = it.runs("a", 1000.0)
        async with aclosing(job.updates()) as updates:
            await anext(updates)
            await asyncio.sleep(20.0)
            assert await first(job) == (S.RUNNING, START + 20.0)

    async def test_it_is_told_at_once_of_a_job_that_was_just_seen(self, service: Any) -> None:
        it = service()
        job = it.runs("a", 1000.0)
        await timed(job.wait(timeout=2.0))
        await asyncio.sleep(20.0)
        began = now()
        assert await first(job) == (S.RUNNING, began)
