"""Waits for many jobs are begun, ended and told of in slices; nothing is lost between them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from jobkit_async import as_completed, wait_all, waiting
from jobkit_async.errors import ClientClosed
from jobkit_async.polling.schedule import Polling
from jobkit_async.polling.tracker import Tracker
from jobkit_async.polling.turns import SLICE

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=200_000)  # what would hang fails

JOBS = 2000


class Slices:
    """How many waits were begun and ended between two turns of the event loop, at most."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0

    def one(self) -> None:
        if not self._now:
            asyncio.get_running_loop().call_soon(self._turn)
        self._now += 1
        self.most = max(self.most, self._now)

    def _turn(self) -> None:
        self._now = 0


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> Slices:
    it = Slices()

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            it.one()
            return original(*args, **more)

        return call

    monkeypatch.setattr(Tracker, "watch", counted(Tracker.watch))
    monkeypatch.setattr(Tracker, "unwatch", counted(Tracker.unwatch))
    monkeypatch.setattr(waiting, "Outcome", counted(waiting.Outcome))
    return it


def running(service: Any, count: int = JOBS, seconds: float = 1e5) -> list[Any]:
    return [service.runs(str(index), seconds) for index in range(count)]


class TestWaitAll:
    async def test_the_first_that_ends(self, memory: Any, slices: Slices) -> None:
        service = memory()
        jobs = [service.runs("first", 5.0), *running(service)]
        outcomes = await wait_all(jobs, return_when=asyncio.FIRST_COMPLETED)
        assert [outcome.done for outcome in outcomes] == [True] + [False] * JOBS
        assert slices.most <= 2 * SLICE
        assert len(service._tracker) == 0

    async def test_one_that_is_cancelled(self, memory: Any, slices: Slices) -> None:
        service = memory()
        task = asyncio.create_task(wait_all(running(service)))
        await asyncio.sleep(5.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert slices.most <= 2 * SLICE
        assert len(service._tracker) == 0

    async def test_one_that_is_cancelled_twice_lets_go_at_once(self, memory: Any) -> None:
        service = memory()
        task = asyncio.create_task(wait_all(running(service)))
        await asyncio.sleep(5.0)
        task.cancel()
        await asyncio.sleep(0)
        assert 0 < len(service._tracker) < JOBS
        task.cancel()
        await asyncio.sleep(0)
        assert task.done()
        assert len(service._tracker) == 0


class TestAsCompleted:
    async def test_begun_and_left(self, memory: Any, slices: Slices) -> None:
        service = memory()
        async with as_completed(running(service)) as outcomes:
            assert len(outcomes) == JOBS
            await asyncio.sleep(5.0)
            assert len(service._tracker) == len(outcomes) == JOBS
        assert len(service._tracker) == 0
        assert slices.most <= 2 * SLICE

    async def test_closed_without_a_task(self, memory: Any, slices: Slices) -> None:
        service = memory()
        outcomes = as_completed(running(service))
        await asyncio.sleep(5.0)
        outcomes.close()
        assert len(outcomes) == 0
        await asyncio.sleep(1.0)
        assert len(service._tracker) == 0
        assert slices.most <= 2 * SLICE

    @pytest.mark.parametrize("turns", [0, 1, 3])
    async def test_closed_before_all_have_begun(self, memory: Any, turns: int) -> None:
        service = memory()
        outcomes = as_completed(running(service))
        for _ in range(turns):
            await asyncio.sleep(0)
        outcomes.close()
        assert [outcome async for outcome in outcomes] == []
        await asyncio.sleep(1.0)
        assert len(service._tracker) == 0

    async def test_thrown_away_before_all_have_begun(self, memory: Any) -> None:
        service = memory()
        outcomes = as_completed(running(service))
        ref = weakref.ref(outcomes)
        del outcomes
        gc.collect()
        assert ref() is None
        await asyncio.sleep(1.0)
        assert len(service._tracker) == 0

    async def test_every_outcome_comes_once(self, memory: Any) -> None:
        service = memory()
        known = running(service, 600, 5.0)
        await wait_all(known)
        jobs = [*known, *(service.runs(f"n{index}", 0.0) for index in range(JOBS))]
        outcomes = as_completed([*jobs, *jobs[600:]])
        outcomes.add(jobs[-1])  # whose turn has not come yet
        assert len(outcomes) == len(jobs)
        assert sorted([outcome.job.id async for outcome in outcomes]) == sorted(
            job.id for job in jobs
        )

    async def test_they_are_looked_at_together(self, memory: Any) -> None:
        service = memory()
        async with as_completed(running(service)):
            await asyncio.sleep(5.0)
            assert [len(look.keys) for look in service.looks] == [JOBS]

    async def test_a_closed_client_is_refused_at_once(self, memory: Any) -> None:
        service, closed = memory(), memory()
        jobs = [*running(service), *running(closed, 1)]
        await closed.aclose()
        with pytest.raises(ClientClosed):
            as_completed(jobs)
        assert len(service._tracker) == 0

    async def test_a_client_closed_on_the_way_is_an_outcome_of_each(self, memory: Any) -> None:
        service = memory()
        outcomes = as_completed(running(service))
        closing = asyncio.create_task(service.aclose())
        errors = [type(outcome.error) async for outcome in outcomes]
        assert errors == [ClientClosed] * JOBS
        await closing

    @pytest.mark.parametrize("nth", [1, 200, 1500])
    async def test_a_policy_that_raises_is_told_to_whoever_reads(
        self, memory: Any, nth: int
    ) -> None:
        calls = [0]

        def policy(_: Any) -> float:
            calls[0] += 1
            if calls[0] == nth:
                raise ZeroDivisionError
            return 5.0

        service = memory(polling=Polling(policy=policy))
        jobs = running(service)
        for job in jobs:  # seen before, so that the policy is asked when the wait begins
            await job.refresh()
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(100.0):
                assert [outcome async for outcome in as_completed(jobs)] == []
        await asyncio.sleep(1.0)
        assert len(service._tracker) == 0
