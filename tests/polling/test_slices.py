"""Many jobs at once: the event loop gets its turn meanwhile, and nothing else changes for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jobkit_async import wait_all
from jobkit_async.errors import ClientClosed, WaitTimeout
from jobkit_async.polling.record import Record
from jobkit_async.polling.turns import SLICE
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=200_000)  # what would hang fails

JOBS = 2000
TURNS = JOBS // 256
BATCHES = pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])


@asynccontextmanager
async def counted() -> AsyncIterator[list[int]]:
    """The number of turns that others have got in the meantime."""
    turns = [0]

    async def count() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    try:
        yield turns
    finally:
        counting.cancel()
        await asyncio.wait([counting])


async def failure(awaitable: Any) -> object:
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error


class TestLooks:
    @BATCHES
    async def test_a_wait_for_many_is_begun_in_turns_and_looked_at_together(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        jobs = [service.runs(str(index), 5.0) for index in range(JOBS)]
        looked = asyncio.Event()
        service.on_look = looked.set
        waiting = asyncio.create_task(wait_all(jobs))
        async with counted() as turns:
            await looked.wait()
        assert turns[0] > TURNS
        assert all(outcome.state is JobState.SUCCEEDED for outcome in await waiting)
        assert [len(look.keys) for look in service.looks] == [JOBS] * 2

    @BATCHES
    async def test_those_who_come_later_are_looked_at_together_too(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        keeper = asyncio.create_task(service.runs("keeper", 15.0).wait())
        await asyncio.sleep(3.0)
        outcomes = await wait_all(service.runs(str(index), 15.0) for index in range(JOBS))
        assert len(outcomes) == JOBS
        await keeper
        news = [len(look.keys) for look in service.looks if look.at == START + 3.0]
        assert news in ([JOBS], [JOBS + 1])

    @pytest.mark.parametrize("full", [True, False], ids=["in-the-look", "read-after-it"])
    async def test_ends_that_are_seen_together_are_of_one_moment(
        self, memory: Any, monkeypatch: pytest.MonkeyPatch, full: bool
    ) -> None:
        service = memory(full=full)
        jobs = [service.runs(str(index), 5.0) for index in range(JOBS)]
        moments: list[float] = []
        monkeypatch.setattr(
            service._tracker._outlook,
            "ended",
            lambda _record, _sighting, _alive_at, now, **_: moments.append(now),
        )
        loop = asyncio.get_running_loop()
        time, asked = loop.time, [0]

        def hurrying() -> float:  # as real time does
            asked[0] += 1
            return time() + 1e-9 * asked[0]

        monkeypatch.setattr(loop, "time", hurrying)
        await wait_all(jobs)
        assert (len(moments), len(set(moments))) == (JOBS, 1)

    @BATCHES
    @pytest.mark.parametrize("turns", range(6))
    async def test_a_wait_that_is_given_up_at_once_leaves_no_loop_behind(
        self, memory: Any, batch: int | None, turns: int
    ) -> None:
        tracker = memory(batch=batch)._tracker
        watch = tracker.watch(Record("a"), lambda _: None, timeout=3600)
        for _ in range(turns):
            await asyncio.sleep(0)
        tracker.unwatch(watch)
        await asyncio.sleep(0.1)
        assert (tracker._task, tracker._alarm) == (None, None)


class TestClosing:
    async def test_closing_gives_others_their_turn(self, memory: Any) -> None:
        service = memory()
        tasks = [
            asyncio.create_task(failure(service.runs(str(index), 1e6).wait()))
            for index in range(JOBS)
        ]
        await asyncio.sleep(5.0)
        async with counted() as turns:
            await service.aclose()
        assert turns[0] >= TURNS
        assert {type(error) for error in await asyncio.gather(*tasks)} == {ClientClosed}

    async def test_a_closing_that_is_cancelled_leaves_nobody_hanging(self, memory: Any) -> None:
        service = memory()
        tasks = [
            asyncio.create_task(failure(service.runs(str(index), 1e6).wait()))
            for index in range(JOBS)
        ]
        await asyncio.sleep(5.0)
        closing = asyncio.create_task(service.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert {type(error) for error in await asyncio.gather(*tasks)} == {ClientClosed}
        assert len(service._tracker) == 0

    async def test_closing_while_a_wait_for_many_is_begun(self, memory: Any) -> None:
        service = memory()
        jobs = [service.runs(str(index), 1e6) for index in range(JOBS)]
        waiting = asyncio.create_task(wait_all(jobs))
        await asyncio.sleep(0)
        await service.aclose()
        outcomes = await waiting
        assert {type(outcome.error) for outcome in outcomes} == {ClientClosed}


class TestDeadlines:
    """One timer serves all of them."""

    async def test_each_wait_ends_at_its_own_deadline(self, memory: Any) -> None:
        service = memory(delay=1000.0)  # the looks are of no help
        timeouts = [1.0 + (37 * index % 100) / 8.0 for index in range(500)]
        now = asyncio.get_running_loop().time

        async def ended(timeout: float) -> tuple[float, object]:
            error = await failure(service.runs(str(timeout), 1e6).wait(timeout=timeout))
            return now() - START, type(error)

        ends = await asyncio.gather(*(ended(timeout) for timeout in timeouts))
        assert ends == [(timeout, WaitTimeout) for timeout in timeouts]

    async def test_a_single_look_that_hangs_keeps_no_deadline_from_coming(
        self, memory: Any
    ) -> None:
        service = memory(delay=1000.0)
        now = asyncio.get_running_loop().time
        once = asyncio.create_task(failure(service.runs("once", 1e6).wait(timeout=0)))
        await asyncio.sleep(0)
        assert isinstance(await failure(service.runs("b", 1e6).wait(timeout=5.0)), WaitTimeout)
        assert now() == START + 5.0
        assert isinstance(await once, WaitTimeout)
        assert now() == START + 60.0

    async def test_many_waits_end_in_turns_and_at_one_moment(self, memory: Any) -> None:
        service = memory()
        loop = asyncio.get_running_loop()
        left: list[int] = []

        def note() -> None:
            left.append(len(service._tracker))
            if left[-1]:
                loop.call_soon(note)

        waits = [
            asyncio.create_task(failure(service.runs(str(index), 1e6).wait(timeout=10.0)))
            for index in range(JOBS)
        ]
        loop.call_at(START + 10.0, note)
        assert {type(error) for error in await asyncio.gather(*waits)} == {WaitTimeout}
        assert loop.time() == START + 10.0
        assert max(a - b for a, b in itertools.pairwise(left)) == SLICE

    async def test_no_timer_is_left_behind(self, memory: Any) -> None:
        service = memory()
        await service.runs("a", 5.0).wait(timeout=3600)
        assert service._tracker._alarm is None
