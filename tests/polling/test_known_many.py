"""Failures that other libraries are known for, each by its number: many jobs, many consumers.

These are 9 and 15 of the list that ``test_known_failures`` begins.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jobkit_async import as_completed
from jobkit_async.errors import JobFailed
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.states import JobState

START = 100.0
GAP = 10.0
pytestmark = pytest.mark.looptime(start=START, end=30_000)  # what would hang fails

S = JobState
EACH = pytest.mark.parametrize("name", ["leia", "ecotaxa", "vidispine", "bsubio"])
BATCHES = pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])
ENDS = {
    "leia": ["PROCESSED", "FAILED", "CANCELED"],
    "ecotaxa": ["F", "E"],
    "vidispine": ["FINISHED", "FINISHED_WARNING", "FAILED_TOTAL", "ABORTED"],
    "bsubio": ["finished", "failed"],
}


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


def _rows(name: str, operation: str, document: Any) -> list[Any] | None:
    """The list in a listing, itself; None in other answers."""
    at: dict[tuple[str, str], Callable[[Any], Any]] = {
        ("leia", "admin_get_jobs"): lambda: document,
        ("ecotaxa", "list_jobs"): lambda: document,
        ("vidispine", "get_jobs"): lambda: document.get("job"),
        ("bsubio", "list_jobs"): lambda: document["data"]["jobs"],
    }
    find = at.get((name, operation))
    found = find() if find is not None else None
    return found if isinstance(found, list) else None


class TestListings:
    """9. Listings shift between two pages, repeat a job, are truncated; windows overlap."""

    @staticmethod
    async def all_of(it: Any, jobs: list[Any], rng: random.Random) -> None:
        """All jobs end, within 100 s; each is taken once, and as the ledger has it."""
        for job in jobs:
            it.end(job.id, after=rng.uniform(0.0, 100.0), how=rng.choice(ENDS[it.name]))
        taken: Counter[Any] = Counter()
        async with asyncio.timeout(400.0), as_completed(jobs) as outcomes:
            async for outcome in outcomes:
                ending = it.server.ending(outcome.job.id)
                taken[outcome.job.id] += 1
                assert outcome.state is ending.state
                assert ending.at <= now() <= ending.at + 1.1 * GAP
        assert taken == dict.fromkeys((job.id for job in jobs), 1)

    @EACH
    @pytest.mark.parametrize("how", ["shifted", "repeated", "truncated", "shuffled"])
    async def test_9_no_job_is_lost_or_taken_twice(
        self, world: Any, traffic: Any, name: str, how: str
    ) -> None:
        rng = random.Random(9)
        async with world(name) as it:

            def meddle(operation: str, document: Any) -> Any:
                rows = _rows(name, operation, document)
                if rows is None:
                    return document
                if how == "shifted":  # others come in before the next page is read
                    for _ in range(7):
                        it.end(it.birth().id)
                elif how == "repeated":
                    rows.extend(json.loads(json.dumps(rows[: len(rows) // 2])))
                elif how == "truncated":  # the server has a mind of its own about page sizes
                    del rows[7:]
                else:
                    rng.shuffle(rows)
                return document

            jobs = it.births(130)
            traffic.meddle = meddle
            await self.all_of(it, jobs, rng)

    @pytest.mark.parametrize("name", ["vidispine", "bsubio"])
    @pytest.mark.parametrize("total", [lambda count: count + 1000, lambda count: None])
    async def test_9_a_total_that_jumps_or_is_left_out(
        self, world: Any, traffic: Any, name: str, total: Any
    ) -> None:
        def meddle(operation: str, document: Any) -> Any:
            if name == "vidispine" and operation == "get_jobs":
                document["hits"] = total(document["hits"])
            elif name == "bsubio" and operation == "list_jobs":
                document["data"]["total"] = total(document["data"]["total"])
            return document

        async with world(name) as it:
            jobs = it.births(40)
            traffic.meddle = meddle
            await self.all_of(it, jobs, random.Random(9))

    @pytest.mark.parametrize("name", ["vidispine", "bsubio"])
    async def test_9_more_end_between_two_looks_than_a_listing_shows(
        self, world: Any, name: str
    ) -> None:
        async with world(name) as it:
            jobs = it.births(250)
            waits = [start(job.wait()) for job in jobs]
            await asyncio.sleep(45.0)
            for job in jobs[:230]:
                it.end(job.id)
            outcomes = await asyncio.gather(*waits[:230])
            assert [value for value, _ in outcomes] == [job.data for job in jobs[:230]]
            assert max(at for _, at in outcomes) <= START + 45.0 + 3 * GAP
            assert not any(wait.done() for wait in waits[230:])

    async def test_9_an_end_in_two_windows_that_overlap_is_told_once(
        self, world: Any, level: Any
    ) -> None:
        polling = Polling(
            policy=FixedInterval(2.0), rng=level
        )  # and each look reaches 5 s further back
        async with world("vidispine", polling=polling) as it:
            jobs = it.births(5)
            for index, job in enumerate(jobs):
                it.end(job.id, after=20.0 + index)
            told: list[Any] = []
            for job in jobs:
                it.client._tracker.watch(job._record, told.append)
            await asyncio.sleep(60.0)
            assert [verdict.sighting.data.job_id for verdict in told] == [job.id for job in jobs]
            assert idle(it.client)


class TestSlowConsumers:
    """15. One consumer is slow, raises or leaves: others are held up, or memory grows."""

    @BATCHES
    async def test_15_a_callback_that_raises_holds_up_nobody(
        self, memory: Any, caplog: pytest.LogCaptureFixture, batch: int | None
    ) -> None:
        def refuse(_: Any) -> None:
            raise RuntimeError("not my day")

        service = memory(batch=batch)
        job = service.runs("a", 5.0)
        first = start(job.wait())
        service._tracker.watch(job._record, refuse, on_update=refuse)
        last = start(job.wait())
        other = start(service.runs("b", 15.0).wait())
        assert (await first, await last) == (("a succeeded", START + GAP),) * 2
        assert await other == ("b succeeded", START + 2 * GAP)
        raised = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert {record.getMessage() for record in raised} == {"a waiter's callback raised"}
        assert len(raised) == 3  # of two updates and one verdict
        assert idle(service)

    async def test_15_a_consumer_that_takes_its_time_takes_only_its_own(self, memory: Any) -> None:
        service = memory()
        jobs = [service.runs(str(index), 5.0 + GAP * index) for index in range(10)]

        async def slow() -> list[float]:
            times: list[float] = []
            async for _ in as_completed(jobs):
                times.append(now())
                await asyncio.sleep(500.0)
            return times

        reader = asyncio.create_task(slow())
        outcomes = await asyncio.gather(*(timed(job.wait()) for job in jobs))
        assert [at for _, at in outcomes] == [START + GAP * index for index in range(1, 11)]
        looks = len(service.looks)
        assert await reader == [START + GAP + 500.0 * index for index in range(10)]
        assert len(service.looks) == looks == 11

    async def test_15_a_slow_reader_of_updates_gets_the_newest_and_no_backlog(
        self, memory: Any, see: Any
    ) -> None:
        service = memory()
        scenes = [(GAP * index, see(S.RUNNING, progress=index / 1000)) for index in range(1000)]
        job = service.script("a", *scenes, (10_000.0, see(S.FAILED, data="no", final=True)))
        seen: list[float | None] = []
        states: list[JobState] = []
        async for update in job.updates():
            seen.append(update.progress)
            states.append(update.state)
            await asyncio.sleep(4995.0)
        assert seen == [0.0, 0.499, 0.998, None]
        assert states == [S.RUNNING, S.RUNNING, S.RUNNING, S.FAILED]
        assert len(service.looks) == 1001
        with pytest.raises(JobFailed):
            await job.wait()

    @EACH
    @pytest.mark.parametrize("how", ["break", "raise", "cancel"])
    async def test_15_leaving_an_as_completed_early_leaves_no_waiter(
        self, world: Any, name: str, how: str
    ) -> None:
        async with world(name) as it:
            jobs = it.births(20)
            it.end(jobs[3].id, after=5.0)

            async def leave() -> None:
                async with as_completed(jobs) as outcomes:
                    async for outcome in outcomes:
                        assert outcome.job is jobs[3]
                        if how == "break":
                            break
                        if how == "raise":
                            raise RuntimeError("enough")

            reader = start(leave())
            await asyncio.sleep(15.0)
            if how == "cancel":
                reader.cancel()
                await asyncio.wait([reader])
            assert reader.done()
            assert idle(it.client)
            asked = it.requests()
            await asyncio.sleep(1000.0)
            assert it.requests() == asked
            it.end(jobs[0].id)
            assert await jobs[0].wait(timeout=60.0) is jobs[0].data
