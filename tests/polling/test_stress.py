"""Failures that other libraries are known for, by their numbers: what only many waits bring out.

These are 12 and 14 of the list that ``test_known_failures`` begins.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from jobkit_async import as_completed, wait_all
from jobkit_async.errors import ClientClosed, JobCancelled, JobFailed, WaitTimeout
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=20_000)  # what would hang fails

S = JobState
ENDS = [S.SUCCEEDED, S.FAILED, S.CANCELLED]
LENGTHS = [3, 8, 15, 37, 61, 150]
TIMEOUTS = [0, 5, 10, 20, 60]
DELAY = 0.25
MOST_FOR_A_LOOK = 4 * DELAY  # the one under way, and a look with reads of final snapshots


def now() -> float:
    return asyncio.get_running_loop().time()


def own_tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("jobkit_async-")]


@pytest.fixture
async def complaints(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the event loop and the loggers have complained of by now."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(str(context)))

    def look() -> list[str]:
        gc.collect()
        return told + [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]

    return look


class Stress:
    """Waits that begin, time out, are cancelled and begin anew, over jobs that end meanwhile."""

    def __init__(self, service: Any, jobs: int, rng: random.Random) -> None:
        self.service = service
        self.rng = rng
        self.ends = {str(index): rng.choice(ENDS) for index in range(jobs)}
        self.jobs = [service.runs(key, rng.choice(LENGTHS), end) for key, end in self.ends.items()]
        self.open: list[asyncio.Task[None]] = []
        self.cancelled: set[asyncio.Task[None]] = set()
        self.count: Counter[str] = Counter()

    def step(self) -> None:
        """One operation, at random."""
        what = self.rng.random()
        job = self.rng.choice(self.jobs)
        if what < 0.35 and self.open:
            task = self.open.pop(self.rng.randrange(len(self.open)))
            if not task.done():
                self.cancelled.add(task)
                task.cancel()
        elif what < 0.7:
            self.begin(self.wait(job, None))
        elif what < 0.95:
            self.begin(self.wait(job, self.rng.choice(TIMEOUTS)))
        else:
            self.begin(self.first_of(self.rng.sample(self.jobs, 3)))

    def begin(self, wait: Any) -> None:
        self.open.append(asyncio.create_task(wait))

    async def wait(self, job: Any, timeout: float | None) -> None:
        """One wait; its outcome is what the script says."""
        begin, end = now(), self.ends[job.id]
        try:
            assert await job.wait(timeout=timeout) == f"{job.id} {end}"
            assert end is S.SUCCEEDED
        except JobFailed:
            assert end is S.FAILED
        except JobCancelled:
            assert end is S.CANCELLED
        except WaitTimeout:
            assert timeout is not None
            late = now() - begin - timeout
            assert abs(late) < 1e-3 or (timeout == 0 and late <= MOST_FOR_A_LOOK)
            self.count["timed out"] += 1
            return
        self.count["told"] += 1

    async def first_of(self, jobs: list[Any]) -> None:
        """Leaves at the first of several outcomes."""
        async with as_completed(jobs) as outcomes:
            async for outcome in outcomes:
                assert outcome.state is self.ends[outcome.job.id]
                break
        self.count["told"] += 1

    async def run(self, operations: int, at_once: int) -> None:
        """So many operations, some of them at each moment."""
        tasks: list[asyncio.Task[None]] = []
        for done in range(0, operations, at_once):
            for _ in range(min(at_once, operations - done)):
                before = len(self.open)
                self.step()
                tasks += self.open[before:]
            self.open = [task for task in self.open if not task.done()]
            await asyncio.sleep(self.rng.choice([0.0, 0.0, 1.0, 2.5]))
        async with asyncio.timeout(1000.0):
            await asyncio.wait(tasks)
        for task in tasks:
            if task.cancelled():
                self.count["cancelled" if task in self.cancelled else "foreign"] += 1
            else:
                task.result()  # which raises what went wrong in it


class TestStress:
    """12. Cancellations, timeouts and waits at random leave some hung, cancelled or behind."""

    @pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])
    @pytest.mark.parametrize(
        ("operations", "jobs", "at_once"),
        [(10_000, 1000, 100), pytest.param(100_000, 10_000, 800, marks=pytest.mark.slow)],
    )
    async def test_12_none_hangs_none_is_cancelled_by_others_nothing_is_left(
        self,
        memory: Any,
        complaints: Callable[[], list[str]],
        batch: int | None,
        operations: int,
        jobs: int,
        at_once: int,
    ) -> None:
        service = memory(batch=batch, delay=DELAY)
        stress = Stress(service, jobs, random.Random(12))
        await stress.run(operations, at_once)
        count = stress.count
        assert count["foreign"] == 0
        assert min(count["told"], count["timed out"], count["cancelled"]) > operations / 50
        await asyncio.sleep(1.0)
        tracker = service._tracker
        assert len(tracker) == len(tracker._deadlines) == 0
        assert own_tasks() == []
        del stress
        assert complaints() == []
        assert service.records == []


class TestClosing:
    """14. The client is closed under open waits: some hang, tasks are left, errors unretrieved."""

    @pytest.mark.parametrize(
        ("when", "count"),
        [(0.0, 400), (0.5, 2000), (5.0, 400)],
        ids=["at once", "in a look", "between looks"],
    )
    async def test_14_thousands_of_waits_end_at_once(
        self, world: Any, traffic: Any, complaints: Callable[[], list[str]], when: float, count: int
    ) -> None:
        async def first(job: Any) -> Any:
            outcomes = [outcome async for outcome in as_completed([job])]
            return outcomes[-1].unwrap()

        async def follow(job: Any) -> None:
            async for _ in job.updates():
                pass

        async def one_of(job: Any) -> Any:
            return (await wait_all([job], timeout=600.0))[0].unwrap()

        doors = [
            lambda job: job.wait(),
            lambda job: job.wait(timeout=600.0, on_input="keep"),
            one_of,
            first,
            follow,
        ]

        async def told(wait: Any) -> tuple[type[BaseException] | None, float]:
            try:
                await wait
            except BaseException as error:  # noqa: BLE001 - that is what is looked at
                return type(error), now()
            return None, now()

        traffic.delay = 1.0
        async with world("leia") as it:
            jobs = it.births(count)
            others = asyncio.all_tasks()
            waits = [asyncio.create_task(told(door(job))) for job in jobs for door in doors]
            await asyncio.sleep(when)
            assert len(waits) == 5 * count
            assert not any(wait.done() for wait in waits)
            closed_at = now()
            await it.client.aclose()
            assert set(await asyncio.gather(*waits)) == {(ClientClosed, closed_at)}
            assert own_tasks() == []
            # What the embedded server still has at hand ends with its answers.
            await asyncio.sleep(5.0)
            assert asyncio.all_tasks() <= others
            assert len(it.client._tracker) == 0
            waits.clear()
            assert complaints() == []
            with pytest.raises(ClientClosed):
                await jobs[0].wait()

    async def test_14_many_waits_for_one_job_take_one_place(self, memory: Any) -> None:
        # Or else the end of each, one after the other, costs as much as there are waits.
        service = memory(batch=100)
        jobs = [service.runs(str(index), 1e6) for index in range(100)]
        waits = [asyncio.create_task(job.wait()) for job in jobs for _ in range(50)]
        await asyncio.sleep(0.0)
        assert len(service._tracker) == 100
        assert len(service._tracker._schedule._heap) <= 200
        await service.aclose()
        ended = await asyncio.gather(*waits, return_exceptions=True)
        assert {type(error) for error in ended} == {ClientClosed}
