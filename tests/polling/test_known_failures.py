"""Failures that other libraries are known for, each by its number: waiters, and what they see.

The numbers are those of one list: 1 to 7 are here, 9 and 15 in ``test_known_many``, 8, 10, 11 and
13 in ``test_known_outages``, 12 and 14 in ``test_stress``, 16 in ``test_eager_and_uvloop``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from jobkit_async import as_completed, wait_all
from jobkit_async.errors import JobLost, PollingFailed
from jobkit_async.fakes.server import Refusal
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.states import JobState

START = 100.0
GAP = 10.0
pytestmark = pytest.mark.looptime(start=START, end=30_000)  # what would hang fails

S = JobState
EACH = pytest.mark.parametrize("name", ["leia", "ecotaxa", "vidispine", "bsubio"])
BATCHES = pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])
COUNTS = pytest.mark.parametrize("count", [1, 12])


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


def idle(service: Any) -> bool:
    """Whether nothing of a tracker is left at work."""
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("jobkit_async-")]
    return len(service._tracker) == 0 and not tasks


def hide(it: Any, job: Any) -> Callable[[], None]:
    """Let the service not know a job; returns what brings it back."""
    if it.name == "leia":
        hidden = it.server.jobs.pop(job.id)
        return lambda: it.server.jobs.update({job.id: hidden})
    found = it.server.jobs[job.id]
    found.removed = True
    return lambda: setattr(found, "removed", False)


class TestCancelledOpener:
    """1. Who opened a shared poll is cancelled, and with him all who follow, then and later."""

    @EACH
    @pytest.mark.parametrize("at", [0.0, 1.0, 7.0], ids=["before a look", "in it", "after it"])
    async def test_1_followers_finish_and_later_calls_work(
        self, world: Any, traffic: Any, name: str, at: float
    ) -> None:
        traffic.delay = 2.0
        async with world(name) as it:
            job, other = it.births(2)
            it.end(job.id, after=25.0)
            opener = asyncio.create_task(job.wait())
            followers = [start(job.wait()), start(job.wait(timeout=600.0)), start(job.wait())]
            await asyncio.sleep(at)
            opener.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opener
            ended = START + 25.0
            for value, told_at in await asyncio.gather(*followers):
                assert value is job.data
                assert ended <= told_at <= ended + GAP + 3 * traffic.delay
            assert await job.wait() is job.data
            it.end(other.id)
            assert await other.wait(timeout=30.0) is other.data

    @BATCHES
    async def test_1_the_poll_goes_on_as_if_nothing_had_been(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch, delay=2.0)
        job = service.runs("a", 15.0)
        opener, follower = asyncio.create_task(job.wait()), start(job.wait())
        await asyncio.sleep(1.0)
        opener.cancel()
        assert await follower == ("a succeeded", START + 26.0)
        assert service.times == [START, START + 12.0, START + 24.0]


class TestCancelledFollower:
    """2. One of two is cancelled: so is the other, and a third is given what was left of them."""

    @EACH
    async def test_2_the_other_is_not_and_a_third_gets_a_fresh_answer(
        self, world: Any, traffic: Any, name: str
    ) -> None:
        traffic.delay = 2.0
        async with world(name) as it:
            (job,) = it.births(1)
            first, second = start(job.wait()), start(job.wait())
            await asyncio.sleep(1.0)
            second.cancel()
            await asyncio.sleep(0.5)
            it.end(job.id)  # the look that is under way cannot know
            third = start(job.wait())
            for value, at in (await first, await third):
                assert value is job.data
                assert at <= START + 2 * GAP + 4 * traffic.delay
            assert second.cancelled()

    async def test_2_nothing_is_kept_of_a_look_that_nobody_waits_for(self, memory: Any) -> None:
        service = memory(delay=4.0)
        job = service.runs("a", 1.0)
        waits = [asyncio.create_task(job.wait()), asyncio.create_task(job.wait())]
        await asyncio.sleep(2.0)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
        assert all(wait.cancelled() for wait in waits)
        value, at = await timed(job.wait(timeout=60.0))
        assert value == "a succeeded"
        assert service.times[-1] > START + 1.0  # a look that left after the end
        assert at <= START + 4.0 + GAP + 4.0
        assert idle(service)


class TestThreeAwaiters:
    """3. Three who await one job ask three times as often."""

    @EACH
    @COUNTS
    async def test_3_three_cost_the_requests_of_one(
        self, world: Any, name: str, count: int
    ) -> None:
        async def last_of(job: Any) -> Any:
            outcomes = [outcome async for outcome in as_completed([job])]
            return outcomes[-1].unwrap()

        async def one_of(job: Any) -> Any:
            return (await wait_all([job], timeout=600.0))[0].unwrap()

        async def cost(*doors: Callable[[Any], Awaitable[Any]]) -> tuple[Any, float]:
            async with world(name) as it:
                begin = now()
                jobs = it.births(count)
                for index, job in enumerate(jobs):
                    it.end(job.id, after=95.0 + 13.0 * index)
                finals = await asyncio.gather(*(door(job) for job in jobs for door in doors))
                assert finals == [job.data for job in jobs for _ in doors]
                return it.requests(), now() - begin

        one = await cost(lambda job: job.wait())
        assert await cost(lambda job: job.wait(), last_of, one_of) == one


def _cut(operation: str, request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _refused(operation: str, request: web.Request) -> web.Response:
    raise Refusal(500, "out of order")


def _garbage(operation: str, request: web.Request) -> web.Response:
    return web.Response(body=b'{"half": [', content_type="application/json")


class TestBrokenCycle:
    """4. A poll cycle raises: all fail, all are dropped, or none ever returns."""

    @EACH
    @COUNTS
    @pytest.mark.parametrize("how", [_cut, _refused, _garbage])
    async def test_4_no_waiter_fails_is_dropped_or_hangs(
        self, world: Any, traffic: Any, name: str, count: int, how: Any
    ) -> None:
        async with world(name) as it:
            jobs = it.births(count)
            waits = [start(job.wait()) for job in jobs for _ in range(2)]
            await asyncio.sleep(5.0)
            traffic.refuse = how
            await asyncio.sleep(GAP)
            assert traffic.between(START + 5.0, now()) != []
            traffic.refuse = None
            for job in jobs:
                it.end(job.id, after=8.0)
            finals = [job.data for job in jobs for _ in range(2)]
            assert await asyncio.gather(*waits) != finals  # not before they have ended
            assert [(value, at) for value, at in (wait.result() for wait in waits)] == [
                (job.data, START + 3 * GAP) for job in jobs for _ in range(2)
            ]

    @BATCHES
    async def test_4_a_loop_that_breaks_tells_everybody_and_starts_anew(
        self, memory: Any, batch: int | None
    ) -> None:
        class Broken(BaseException):
            pass

        service = memory(batch=batch)
        service.faults = [None, Broken("for good")]
        waits = [start(service.runs(str(index), 25.0).wait()) for index in range(20)]
        for value, at in await asyncio.gather(*waits):
            assert (type(value), at) == (PollingFailed, START + GAP)
            assert "Broken" in str(value)
        assert idle(service)
        assert await timed(service.handle("7").wait()) == ("7 succeeded", START + 30.0)


class TestMissingId:
    """5. An id that the service does not know reads as success, or is waited for without end."""

    @EACH
    @COUNTS
    async def test_5_unknown_right_after_its_creation_is_grace(
        self, world: Any, name: str, count: int
    ) -> None:
        async with world(name) as it:
            jobs = it.births(count)
            bring_back = hide(it, jobs[-1])
            waits = [start(job.wait()) for job in jobs]
            await asyncio.sleep(25.0)
            bring_back()
            for job in jobs:
                it.end(job.id)
            outcomes = await asyncio.gather(*waits)
            assert [value for value, _ in outcomes] == [job.data for job in jobs]
            assert {at for _, at in outcomes} == {START + 3 * GAP}

    @EACH
    @COUNTS
    @pytest.mark.parametrize("known", [False, True], ids=["never known", "known before"])
    async def test_5_unknown_for_good_is_lost(
        self, world: Any, name: str, count: int, known: bool
    ) -> None:
        async with world(name) as it:
            jobs = it.births(count)
            gone = jobs[0]
            if not known:
                hide(it, gone)
            waits = [start(job.wait()) for job in jobs]
            await asyncio.sleep(5.0)
            if known:
                hide(it, gone)
            error, at = await waits[0]
            assert isinstance(error, JobLost)
            assert error.ref == gone.ref
            # Services that tell endings only are swept every 300 s for jobs seen on their way.
            assert START + 30.0 <= at <= START + (400.0 if known and count > 1 else 50.0)
            for job in jobs[1:]:
                it.end(job.id)
            outcomes = await asyncio.gather(*waits[1:])
            assert [value for value, _ in outcomes] == [job.data for job in jobs[1:]]


class TestUnknownWord:
    """6. A status word that nobody knows is an error at once, a success, or waited out for ever."""

    @staticmethod
    def say(it: Any, job: Any, word: str) -> None:
        it.server.states = {**it.server.states, word: S.UNKNOWN}
        found = it.server.jobs[job.id]
        if it.name == "ecotaxa":
            found.plan_anew(now(), [(0.0, word, {})])
        else:
            found.timeline.go(now(), (0.0, word))

    @EACH
    @COUNTS
    async def test_6_it_is_endured_for_so_long_and_named_then(
        self, world: Any, level: Any, name: str, count: int
    ) -> None:
        polling = Polling(policy=FixedInterval(GAP), rng=level, unknown_after=300.0)
        async with world(name, polling=polling) as it:
            jobs = it.births(count)
            waits = [start(job.wait()) for job in jobs]
            await asyncio.sleep(15.0)
            self.say(it, jobs[0], "SHELVED")
            error, at = await waits[0]
            assert isinstance(error, PollingFailed)
            assert "'SHELVED'" in str(error)
            # Services that tell endings only are swept every 300 s for jobs seen on their way.
            seen_by = START + 20.0 if count == 1 or name in ("leia", "ecotaxa") else START + 320.0
            assert START + 20.0 + 300.0 <= at <= seen_by + 300.0 + 2 * GAP
            assert (jobs[0].state, jobs[0].raw_status) == (S.UNKNOWN, "SHELVED")
            assert not any(wait.done() for wait in waits[1:])

    @EACH
    async def test_6_a_job_that_finds_back_to_known_words_is_followed_on(
        self, world: Any, level: Any, name: str
    ) -> None:
        polling = Polling(policy=FixedInterval(GAP), rng=level, unknown_after=300.0)
        async with world(name, polling=polling) as it:
            (job,) = it.births(1)
            wait = start(job.wait())
            for word in ("SHELVED", "AIRED", "SHELVED"):  # 600 s, but of no word more than 200
                self.say(it, job, word)
                await asyncio.sleep(200.0)
            it.end(job.id, after=5.0)
            value, at = await wait
            assert value is job.data
            assert START + 605.0 <= at <= START + 605.0 + 1.2 * GAP


class TestLostWakeUp:
    """7. The job changes between the reading of its state and the subscription to its changes."""

    @EACH
    @COUNTS
    async def test_7_an_end_after_the_reading_and_before_the_wait(
        self, world: Any, name: str, count: int
    ) -> None:
        async with world(name) as it:
            jobs = it.births(count)
            for job in jobs:
                await job.refresh()
                assert job.state is S.RUNNING
                it.end(job.id)
            outcomes = await asyncio.gather(*(timed(job.wait()) for job in jobs))
            assert [value for value, _ in outcomes] == [job.data for job in jobs]
            assert {at for _, at in outcomes} == {START + GAP}

    @EACH
    @COUNTS
    @pytest.mark.parametrize("alone", [True, False], ids=["alone", "with another"])
    async def test_7_an_end_while_a_look_is_under_way_that_does_not_show_it(
        self, world: Any, traffic: Any, name: str, count: int, alone: bool
    ) -> None:
        traffic.delay = 3.0
        async with world(name) as it:
            jobs = it.births(count)
            before = [start(job.wait()) for job in jobs]
            await asyncio.sleep(2.0)
            for job in jobs:
                it.end(job.id)
            if alone:  # the newcomer takes the place of one who has just left
                for wait in before:
                    wait.cancel()
            after = [start(job.wait()) for job in jobs]
            for job, wait in zip(jobs, after, strict=True):
                value, at = await wait
                assert value is job.data
                assert at <= START + 2 * GAP + 6 * traffic.delay

    @EACH
    async def test_7_an_end_that_another_call_sees_is_told_at_once(
        self, world: Any, name: str
    ) -> None:
        async with world(name) as it:
            jobs = it.births(3)
            waits = [start(job.wait()) for job in jobs]
            await asyncio.sleep(3.0)
            it.end(jobs[1].id)
            data = await jobs[1].refresh()
            assert await waits[1] == (data, START + 3.0)
            assert not waits[0].done()
