"""Waiting that learns from the jobs before. In virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobkit_async.errors import api_error
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.states import JobState

pytestmark = pytest.mark.looptime(start=100.0)

BATCHES = pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FREE = Polling(min_interval=0.1, max_interval=3600.0)


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


class Shop:
    """Jobs of several kinds on the service in memory, dated or not."""

    def __init__(self, service: Any, see: Callable[..., Any], *, dated: bool = True) -> None:
        self.service = service
        self._see = see
        self._dated = dated
        self._count = 0

    def begin(
        self,
        seconds: float,
        kind: str | None = "k",
        *,
        queued: float = 0.0,
        end: JobState = JobState.SUCCEEDED,
    ) -> Any:
        """A job that has just been made, and is known to be on its way."""
        self._count += 1
        key, now = str(self._count), asyncio.get_running_loop().time()
        dates: dict[str, Any] = {}
        if self._dated:
            dates = {"created_at": at(now), "ended_at": at(now + queued + seconds)}
            if queued:
                dates["started_at"] = at(now + queued)
        pending = self._see(JobState.PENDING, kind=kind)
        running = self._see(JobState.RUNNING, kind=kind)
        over = self._see(end, kind=kind, data=f"{key} over", final=True, **dates)
        scenes = [(0.0, pending)] if queued else []
        job = self.service.script(key, *scenes, (queued, running), (queued + seconds, over))
        record = job._record
        record.observe(pending if queued else running, asked_at=now, now=now)
        record.born, record.dated = now, True
        return job

    async def looks(self, job: Any) -> list[float]:
        """The ages at which a job is looked at until its end."""
        self.service.looks.clear()
        began = asyncio.get_running_loop().time()
        await job.wait(check=False)
        return [look - began for look in self.service.times]

    async def learn(self, count: int, *, kind: str | None = "k", **more: Any) -> None:
        """Wait for jobs that last a minute each, 2 % more or less."""
        rng = random.Random(4)
        for _ in range(count):
            await self.begin(60.0 * rng.gauss(1.0, 0.02), kind, **more).wait(check=False)


@pytest.fixture
def shop(memory: Any, see: Callable[..., Any]) -> Callable[..., Shop]:
    def made(*, dated: bool = True, polling: Polling = FREE, batch: int | None = None) -> Shop:
        return Shop(memory(polling=polling, batch=batch), see, dated=dated)

    return made


@BATCHES
async def test_jobs_that_last_a_minute_are_looked_at_after_a_minute(
    shop: Callable[..., Shop], batch: int | None
) -> None:
    place = shop(batch=batch)
    assert (await place.looks(place.begin(60.0)))[:3] == pytest.approx([2.5, 10.0, 22.5], abs=1e-3)
    await place.learn(20)
    looks = await place.looks(place.begin(60.0))
    assert 1 <= len(looks) <= 2
    assert 58.0 < looks[0] < 66.0


@BATCHES
async def test_without_dates_it_learns_from_when_ends_were_seen(
    shop: Callable[..., Shop], batch: int | None
) -> None:
    place = shop(dated=False, batch=batch)
    await place.learn(40)
    looks = await place.looks(place.begin(60.0))
    assert len(looks) <= 3
    assert looks[0] > 35.0


async def test_each_kind_has_a_law_of_its_own(shop: Callable[..., Shop]) -> None:
    place = shop()
    await place.learn(20)
    assert (await place.looks(place.begin(60.0, "other")))[0] == pytest.approx(2.5, abs=1e-3)


async def test_a_job_of_a_kind_that_nobody_told_is_one_like_all_others(
    shop: Callable[..., Shop],
) -> None:
    place = shop()
    await place.learn(20)
    assert (await place.looks(place.begin(60.0, None)))[0] > 50.0


async def test_cancelled_jobs_teach_nothing(shop: Callable[..., Shop]) -> None:
    place = shop()
    await place.learn(20, end=JobState.CANCELLED)
    assert (await place.looks(place.begin(60.0)))[0] == pytest.approx(2.5, abs=1e-3)


async def test_failed_jobs_teach_as_others_do(shop: Callable[..., Shop]) -> None:
    place = shop()
    await place.learn(20, end=JobState.FAILED)
    assert (await place.looks(place.begin(60.0)))[0] > 50.0


async def test_a_policy_of_the_users_comes_before_what_was_learned(
    shop: Callable[..., Shop],
) -> None:
    place = shop(polling=Polling(policy=FixedInterval(7.0)))
    await place.learn(20)
    assert (await place.looks(place.begin(60.0)))[:2] == pytest.approx([7.0, 14.0])


async def test_a_hint_of_the_services_comes_before_what_was_learned(
    shop: Callable[..., Shop],
) -> None:
    place = shop()
    await place.learn(20)
    place.service.faults = [api_error(429, operation="list", reason="", retry_after=300.0)]
    looks = await place.looks(place.begin(60.0))
    assert looks[1] >= looks[0] + 300.0


async def test_the_intervals_bound_what_was_learned(shop: Callable[..., Shop]) -> None:
    place = shop(polling=Polling(max_interval=20.0))
    await place.learn(20)
    assert (await place.looks(place.begin(60.0)))[0] == pytest.approx(20.0, rel=0.011)


@pytest.mark.parametrize("jobs", [1, 3])
async def test_intervals_that_leave_no_choice(shop: Callable[..., Shop], jobs: int) -> None:
    place = shop(polling=Polling(min_interval=7.0, max_interval=7.0))
    await place.learn(20)
    place.service.looks.clear()
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(place.begin(60.0).wait() for _ in range(jobs)))
    assert {look - began for look in place.service.times} == {7.0 * k for k in range(1, 10)}


@pytest.mark.parametrize("jobs", [1, 3], ids=["one", "several"])
@pytest.mark.parametrize("what", ["ended", "grid"])
async def test_what_cannot_be_reckoned_with_is_as_if_never_learned(
    shop: Callable[..., Shop],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    jobs: int,
    what: str,
) -> None:
    place = shop()
    outlook = place.service._tracker._outlook
    await place.learn(20)

    def impossible(*_: Any) -> None:
        raise ZeroDivisionError("numbers that nobody has thought of")

    monkeypatch.setattr(outlook.durations, what, impossible)
    results = await asyncio.gather(*(place.begin(60.0).wait() for _ in range(jobs)))
    assert len(results) == jobs
    assert "is dropped" in caplog.text
    caplog.clear()
    await place.learn(20)  # from the beginning
    assert outlook.durations.grid(("k", "whole"), list) is not None
    assert not caplog.records


async def test_a_job_that_outlasts_all_is_asked_as_if_nothing_were_known(
    shop: Callable[..., Shop],
) -> None:
    place = shop()
    await place.learn(40)
    looks = await place.looks(place.begin(7200.0))
    assert looks[-1] < 7200.0 + 400.0
    assert 4 < len(looks) < 80


async def test_the_running_time_counts_from_the_start(
    memory: Any, shop: Callable[..., Shop], see: Callable[..., Any]
) -> None:
    # Queues last from a minute to two hours; a run lasts a minute. Once a job is seen to begin,
    # what is left of it is known well.
    place = shop()
    rng = random.Random(2)
    for _ in range(30):
        job = place.begin(60.0 * rng.gauss(1.0, 0.02), queued=60.0 * 120.0 ** rng.random())
        await job.wait()
    outlook = place.service._tracker._outlook
    record = place.begin(60.0, queued=10.0)._record
    now = asyncio.get_running_loop().time()
    whole = outlook.gap(record, now + 30.0, 5.0)
    record.observe(see(JobState.RUNNING, kind="k"), asked_at=now + 12.0, now=now + 12.0)
    assert record.started == pytest.approx(now + 6.0)
    assert outlook.gap(record, now + 30.0, 5.0) == pytest.approx(whole)  # begun, nobody knows when
    record.start_spread = 1.0
    gap = outlook.gap(record, now + 30.0, 5.0)
    assert now + 30.0 + gap == pytest.approx(record.started + 61.0, abs=5.0)


async def test_many_jobs_that_one_look_shows_are_looked_at_as_they_end(
    shop: Callable[..., Shop],
) -> None:
    place = shop()
    await place.learn(30)
    place.service.looks.clear()
    rng = random.Random(8)
    began = asyncio.get_running_loop().time()
    waits = [place.begin(60.0 * rng.gauss(1.0, 0.02)).wait() for _ in range(200)]
    await asyncio.gather(*waits)
    looks = [look - began for look in place.service.times]
    assert not [look for look in looks if look < 50.0]
    assert 4 <= len(looks) <= 40


@pytest.mark.parametrize("jobs", [1, 2, 5])
async def test_jobs_of_a_short_mode_are_not_left_until_the_long_one(
    shop: Callable[..., Shop], jobs: int
) -> None:
    place = shop()
    rng = random.Random(4)
    for k in range(40):
        await place.begin(rng.gauss(300.0, 15.0) if k % 2 else rng.gauss(5.0, 0.5)).wait()
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(place.begin(5.0).wait() for _ in range(jobs)))
    assert asyncio.get_running_loop().time() - began < 12.0


@pytest.mark.parametrize("jobs", [1, 3])
async def test_progress_sharpens_the_estimate(
    memory: Any, see: Callable[..., Any], jobs: int
) -> None:
    # Jobs last from ten seconds to an hour, and each tells evenly how far it is.
    rng = random.Random(6)
    service = memory(polling=FREE, batch=None)

    def begin(key: str, seconds: float, *, tells: bool) -> Any:
        now = asyncio.get_running_loop().time()
        scenes = [
            (
                part * seconds,
                see(JobState.RUNNING, kind=str(tells), progress=part if tells else None),
            )
            for part in (k / 100.0 for k in range(100))
        ]
        dates = {"created_at": at(now), "ended_at": at(now + seconds)}
        over = see(JobState.SUCCEEDED, kind=str(tells), data="over", final=True, **dates)
        job = service.script(key, *scenes, (seconds, over))
        job._record.observe(scenes[0][1], asked_at=now, now=now)
        job._record.born, job._record.dated = now, True
        return job

    async def looks_and_delay(*, tells: bool) -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        looks, late, count = 0, 0.0, 0
        for k in range(60):
            lasting = [10.0 * 360.0 ** rng.random() for _ in range(jobs)]
            began, before = loop.time(), len(service.looks)

            async def delay(number: int, seconds: float, began: float, k: int = k) -> float:
                await begin(f"{tells} {k} {number}", seconds, tells=tells).wait()
                return loop.time() - began - seconds

            delays = [delay(number, seconds, began) for number, seconds in enumerate(lasting)]
            found = await asyncio.gather(*delays)
            if k >= 30:
                looks, late, count = (
                    looks + len(service.looks) - before,
                    late + sum(found),
                    count + 1,
                )
        return looks / count, late / count

    silent_looks, silent_late = await looks_and_delay(tells=False)
    looks, late = await looks_and_delay(tells=True)
    # What both cost together, a look being worth five seconds.
    assert 5.0 * looks + late < 0.7 * (5.0 * silent_looks + silent_late)


class TestWorth:
    """Requests by name wait for the others to fall due with the first."""

    @pytest.fixture(autouse=True)
    def _booked(self, booked: Any) -> None:
        self.booked = booked

    def schedule(self, polling: Polling | None = None, batch: int = 10) -> Any:
        return self.booked(polling or Polling(), batch, random.Random(1))

    def fill(self, schedule: Any, plans: list[tuple[float, float]]) -> None:
        for key, _ in enumerate(plans):
            schedule.add(key, 0.0)
        schedule.take(0.0)
        for key, (due, gap) in enumerate(plans):
            schedule.looked(key, due, due - gap)

    def test_one_that_is_due_waits_for_nine_that_are_not(self) -> None:
        schedule = self.schedule()
        # Nine jobs have waited for half of their gap when one falls due.
        self.fill(schedule, [(10.0, 10.0), *[(20.0, 20.0)] * 9])
        assert schedule.wake() == 10.0
        assert schedule.take(10.0) == []
        # (t / 10)² + 9 (t / 20)² = 10
        expected = (10.0 / (1 / 100 + 9 / 400)) ** 0.5
        assert schedule.wake() == pytest.approx(expected)
        assert sorted(schedule.take(expected) or []) == list(range(10))

    def test_none_waits_for_more_than_another_gap(self) -> None:
        schedule = self.schedule()
        self.fill(schedule, [(10.0, 10.0), *[(1000.0, 1000.0)] * 9])
        schedule.take(10.0)
        assert schedule.wake() == 20.0
        assert sorted(schedule.take(20.0) or []) == list(range(10))

    def test_a_policy_of_the_users_waits_for_nobody(self) -> None:
        schedule = self.schedule(Polling(policy=FixedInterval(10.0)))
        self.fill(schedule, [(10.0, 10.0), *[(20.0, 20.0)] * 9])
        assert len(schedule.take(10.0) or []) == 10

    def test_whoever_is_in_a_hurry_waits_for_nobody(self) -> None:
        schedule = self.schedule()
        self.fill(schedule, [(10.0, 10.0), *[(20.0, 20.0)] * 9])
        assert schedule.take(10.0) == []
        schedule.add(5, 11.0)
        assert schedule.wake() == 11.0
        assert len(schedule.take(11.0) or []) == 10

    def test_a_full_request_leaves_at_once(self) -> None:
        schedule = self.schedule(batch=2)
        self.fill(schedule, [(10.0, 10.0)] * 2)
        assert sorted(schedule.take(10.0) or []) == [0, 1]

    def test_free_seats_go_to_those_that_gain_most(self) -> None:
        schedule = self.schedule(batch=2)
        # Job 1 falls due first, but has hardly been waited for; job 2 has waited for nearly all.
        self.fill(schedule, [(100.0, 5.0), (101.0, 2.0), (102.0, 100.0)])
        assert schedule.take(100.0) == []
        assert 100.0 < schedule.wake() < 100.2
        assert sorted(schedule.take(schedule.wake()) or []) == [0, 2]

    @pytest.mark.parametrize("jobs", [1, 2, 7, 50])
    def test_a_lone_request_goes_out_when_all_fall_due(self, jobs: int) -> None:
        schedule = self.schedule(batch=50)
        self.fill(schedule, [(10.0, 10.0)] * jobs)
        assert sorted(schedule.take(10.0) or []) == list(range(jobs))


class TestOddDates:
    """Whatever a service dates its jobs with, waiting goes on and learns nothing odd."""

    @pytest.mark.parametrize(
        ("created", "ended"),
        [
            (datetime(1, 1, 1, tzinfo=UTC), at(0.0)),
            (at(0.0), datetime(1, 1, 1, tzinfo=UTC)),
            (datetime(2026, 1, 1), at(50.0)),  # noqa: DTZ001 - as some services write them
            (at(50.0), at(0.0)),
            (at(0.0), datetime(9999, 12, 31, tzinfo=UTC)),
        ],
        ids=["born in the year 1", "over in the year 1", "naive", "over before born", "far off"],
    )
    async def test_a_wait_ends_as_ever(
        self, memory: Any, see: Callable[..., Any], created: datetime, ended: datetime
    ) -> None:
        service = memory(polling=FREE)
        dates = {"created_at": created, "started_at": created, "ended_at": ended}
        for k in range(12):
            over = see(JobState.SUCCEEDED, kind="k", data="over", final=True, **dates)
            running = see(JobState.RUNNING, kind="k", started_at=created)
            job = service.script(str(k), (0.0, running), (60.0, over))
            assert await job.wait(timeout=600.0) == "over"
        grid = service._tracker._outlook.durations.grid(("k", "whole"), list)
        assert grid is None or grid.median < 200.0
