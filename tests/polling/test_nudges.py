"""Calls of a service about its jobs: at once, together, not too often, and only hints."""

from __future__ import annotations

import asyncio
import gc
import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from jobkit_async.errors import JobFailed, api_error
from jobkit_async.polling.nudges import MEMORY, REMEMBERED, SLOWEST, Nudges
from jobkit_async.polling.record import Record
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.polling.source import Sighting
from jobkit_async.polling.watch import Entry, Watch
from jobkit_async.states import JobState

Make = Callable[..., Any]

pytestmark = pytest.mark.looptime

HOURLY = Polling(policy=FixedInterval(3600.0), max_interval=3600.0)


def now() -> float:
    return asyncio.get_running_loop().time()


async def waits(*jobs: Any) -> list[asyncio.Task[Any]]:
    """Waits that have begun, and had their first look."""
    tasks = [asyncio.ensure_future(job.wait()) for job in jobs]
    await asyncio.sleep(1.0)
    return tasks


@pytest.mark.parametrize("batch", [None, 1, 100])
async def test_a_call_leads_to_a_look_at_once(memory: Make, batch: int | None) -> None:
    home = memory(polling=HOURLY, batch=batch)
    (task,) = await waits(home.runs("a", 100.0))
    await asyncio.sleep(120.0)
    assert not task.done()
    called_at = now()
    home._tracker.nudge("a")
    assert await task == "a succeeded"
    assert now() == pytest.approx(called_at, abs=0.01)
    assert len(home.looks) == 2


@pytest.mark.parametrize("batch", [None, 100])
async def test_calls_about_many_jobs_share_their_looks(memory: Make, batch: int | None) -> None:
    home = memory(polling=HOURLY, batch=batch)
    jobs = [home.runs(f"job{i}", 100.0) for i in range(100)]
    tasks = await waits(*jobs)
    looks = len(home.looks)
    await asyncio.sleep(120.0)
    for job in jobs:
        home._tracker.nudge(job.id)
    await asyncio.gather(*tasks)
    assert len(home.looks) == looks + 1


@pytest.mark.parametrize("batch", [None, 1])
async def test_a_false_call_costs_one_look_and_changes_nothing(
    memory: Make, batch: int | None
) -> None:
    home = memory(polling=HOURLY, batch=batch)
    (task,) = await waits(home.runs("a", 5000.0))
    looks = len(home.looks)
    home._tracker.nudge("a")
    await asyncio.sleep(100.0)
    assert len(home.looks) == looks + 1
    await task
    # The next look came an hour after that one, as it would have without.
    assert len(home.looks) == looks + 3


@pytest.mark.parametrize("batch", [None, 1])
async def test_a_thousand_calls_in_ten_seconds_lead_to_two_looks_a_second(
    memory: Make,
    batch: int | None,
) -> None:
    home = memory(polling=HOURLY, batch=batch)
    (task,) = await waits(home.runs("a", 1000.0))
    looks = len(home.looks)
    for _ in range(1000):
        home._tracker.nudge("a")
        await asyncio.sleep(0.01)
    assert 20 <= len(home.looks) - looks <= 21
    task.cancel()


async def test_the_call_that_comes_last_is_not_left_out(memory: Make) -> None:
    home = memory(polling=HOURLY, batch=1)
    (task,) = await waits(home.runs("a", 99.2))
    await asyncio.sleep(98.0)
    home._tracker.nudge("a")  # at 99: too early, or forged
    await asyncio.sleep(0.3)
    home._tracker.nudge("a")  # and this is the one
    await task
    assert now() == pytest.approx(99.5, abs=0.01)


@pytest.mark.parametrize("batch", [None, 1])
async def test_a_call_during_a_look_leads_to_another(memory: Make, batch: int | None) -> None:
    home = memory(polling=HOURLY, batch=batch, delay=2.0)
    (task,) = await waits(home.runs("a", 1.5))  # the look shows what was when it left
    await asyncio.sleep(0.7)
    home._tracker.nudge("a")
    await task
    assert now() < 5.0


async def test_calls_about_jobs_that_nobody_awaits_cost_nothing(memory: Make) -> None:
    home = memory(polling=HOURLY)
    home.runs("known", 5.0)
    for key in ("known", "unknown", 7, "", None):
        home._tracker.nudge(key)
    await asyncio.sleep(10.0)
    assert home.looks == []
    assert home.reads == []


@pytest.mark.parametrize("batch", [None, 100])
async def test_a_call_that_came_before_the_wait_is_remembered(
    memory: Make, batch: int | None
) -> None:
    home = memory(polling=HOURLY, batch=batch)
    job = home.runs("a", 100.0)
    (task,) = await waits(job)
    task.cancel()
    await asyncio.sleep(120.0)
    home._tracker.nudge("a")
    await asyncio.sleep(10.0)
    began = now()
    await job.wait()
    assert now() == pytest.approx(began, abs=0.01)


async def test_a_call_from_before_the_last_look_is_not(memory: Make) -> None:
    home = memory(polling=HOURLY, batch=1)
    job = home.runs("a", 5000.0)
    (task,) = await waits(job)
    home._tracker.nudge("a")
    await asyncio.sleep(10.0)
    task.cancel()
    await asyncio.sleep(0)
    looks = len(home.looks)
    (task,) = await waits(job)
    assert len(home.looks) == looks
    task.cancel()


async def test_a_call_breaks_through_no_retry_after(memory: Make) -> None:
    home = memory(polling=HOURLY, batch=1)
    (task,) = await waits(home.runs("a", 50.0))
    home.faults = [api_error(429, operation="get", reason="slow", retry_after=60.0)]
    home._tracker.nudge("a")
    await asyncio.sleep(5.0)
    looks = len(home.looks)
    for _ in range(10):
        home._tracker.nudge("a")
        await asyncio.sleep(5.0)
    assert len(home.looks) == looks
    await task
    assert now() == pytest.approx(61.0, abs=1.0)


async def test_calls_do_not_outrun_the_limit_on_requests(memory: Make) -> None:
    polling = Polling(policy=FixedInterval(3600.0), max_interval=3600.0, max_rps=0.1)
    home = memory(polling=polling, batch=1)
    (task,) = await waits(home.runs("a", 1000.0))
    for _ in range(100):
        home._tracker.nudge("a")
        await asyncio.sleep(1.0)
    assert len(home.looks) <= 12
    task.cancel()


async def test_a_closed_client_takes_no_harm(memory: Make) -> None:
    home = memory()
    await home.aclose()
    home._tracker.nudge("a")


# -- fewer looks at jobs about which a call is promised


async def looks_of(home: Any, *, promised: bool, seconds: float = 3000.0) -> int:
    job = home.runs("a", seconds)
    if promised:
        home._tracker.promise(job._record)
    await job.wait()
    return len(home.looks)


@pytest.mark.parametrize("batch", [None, 1])
async def test_a_promised_job_is_looked_at_less_often(memory: Make, batch: int | None) -> None:
    polling = Polling(policy=FixedInterval(10.0))
    plain = await looks_of(memory(polling=polling, batch=batch), promised=False)
    slow = await looks_of(memory(polling=polling, batch=batch), promised=True)
    assert plain == pytest.approx(2 * slow, rel=0.02)  # three of four are taken to be told


@pytest.mark.parametrize(("promised", "at"), [(False, 10.0), (True, 20.0)])
async def test_so_is_one_for_which_somebody_waits_again(
    memory: Make, promised: bool, at: float
) -> None:
    home = memory(polling=Polling(policy=FixedInterval(10.0)), batch=1)
    job = home.runs("a", 1000.0)
    if promised:
        home._tracker.promise(job._record)
    for _ in range(2):
        (task,) = await waits(job)
        task.cancel()
        await asyncio.sleep(0)
    (task,) = await waits(job)
    await asyncio.sleep(30.0)
    first, second, *_ = home.times
    assert second - first == pytest.approx(at)
    task.cancel()


async def test_one_whose_way_is_watched_is_not(memory: Make) -> None:
    home = memory(polling=Polling(policy=FixedInterval(10.0)), batch=1)
    job = home.runs("a", 1000.0)
    home._tracker.promise(job._record)
    async for _ in job.updates():
        pass
    assert len(home.looks) == 101


async def test_the_longest_interval_holds(memory: Make) -> None:
    home = memory(polling=Polling(policy=FixedInterval(10.0), max_interval=12.0), batch=1)
    assert await looks_of(home, promised=True, seconds=1200.0) == pytest.approx(101, abs=1)


async def end_of(home: Any, key: str, *, called: bool) -> None:
    job = home.runs(key, 100.0, JobState.FAILED)
    home._tracker.promise(job._record)
    (task,) = await waits(job)
    if called:
        await asyncio.sleep(100.0)
        home._tracker.nudge(key)
    with pytest.raises(JobFailed):
        await task


async def test_the_pace_follows_how_many_calls_come(memory: Make) -> None:
    home = memory(polling=Polling(policy=FixedInterval(1000.0), max_interval=1e6), batch=1)
    nudges = home._tracker._nudges
    shares = [nudges.share_told]
    for i in range(30):
        await end_of(home, f"told{i}", called=True)
        shares.append(nudges.share_told)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(33 / 34)
    for i in range(300):
        await end_of(home, f"missed{i}", called=False)
    assert nudges.share_told < 0.05


def entry_of(key: str, *, ended: bool = False) -> Entry[Any]:
    record: Record[Any] = Record(key)
    if ended:
        record.observe(
            Sighting(state=JobState.SUCCEEDED, raw_status="done", final=True, data="data"),
            asked_at=5.0,
            now=5.0,
        )
    entry: Entry[Any] = Entry(record)
    entry.add(Watch(record, print, keep_input=False, on_update=None, once_after=None))
    return entry


def test_the_factor() -> None:
    nudges = Nudges(0.5)
    entries = [entry_of(f"{i}") for i in range(4)]
    assert nudges.slower(entries) == 1.0
    nudges.promise(entries[0].record)
    # A quarter of the jobs has three quarters of its ends told.
    assert nudges.slower(entries) == pytest.approx(1 / math.sqrt(1 - 3 / 16))
    assert nudges.slower(entries[:1]) == pytest.approx(2.0)
    assert nudges.slower(entries[1:]) == 1.0
    for i in range(10_000):
        entry = entry_of(f"end{i}", ended=True)
        nudges.promise(entry.record)
        nudges.came(entry.record.key, 4.0)
        nudges.left(entry)
    assert nudges.slower(entries[:1]) == pytest.approx(SLOWEST)
    assert nudges._told + nudges._missed <= MEMORY + 1


def test_of_very_many_jobs_some_stand_for_all() -> None:
    nudges = Nudges(0.5)
    entries = [entry_of(f"{i}") for i in range(10_001)]
    for entry in entries:
        nudges.promise(entry.record)
    assert nudges.slower(entries) == pytest.approx(2.0)


def test_an_end_is_learned_from_once_and_only_an_end() -> None:
    nudges = Nudges(0.5)
    entry = entry_of("a", ended=True)
    nudges.left(entry)  # it was never promised
    assert nudges.share_told == 0.75
    nudges.promise(entry.record)
    nudges.left(entry)
    nudges.left(entry)
    assert nudges.share_told == 0.6
    alive = entry_of("b")
    nudges.promise(alive.record)
    nudges.left(alive)
    assert nudges.share_told == 0.6


def test_a_call_from_before_the_last_sign_of_life_has_not_told_the_end() -> None:
    nudges = Nudges(0.5)
    entry = entry_of("a", ended=True)
    entry.was_alive_at = 4.5
    nudges.promise(entry.record)
    nudges.came("a", 4.0)
    nudges.left(entry)
    assert nudges.share_told == 0.6


def test_memory_is_bounded() -> None:
    nudges = Nudges(0.5)
    rng = random.Random(1)
    for i in range(3 * REMEMBERED):
        nudges.came(rng.random(), float(i))
        nudges.promise(Record(i))
    gc.collect()
    assert len(nudges._due) == REMEMBERED
    assert len(nudges._promised) <= 1


def test_it_shows_itself() -> None:
    assert repr(Nudges(0.5)) == "<Nudges: 75% of ends told by calls>"
