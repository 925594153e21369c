"""The tracker with a service in memory, in virtual time: exact times, exact counts."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import logging
import random
import time
from collections.abc import Awaitable
from typing import Any

import attrs
import pytest

from jobkit_async.errors import (
    ClientClosed,
    ConnectionLost,
    DecodeError,
    JobCancelled,
    JobFailed,
    JobLost,
    JobNeedsInput,
    PollingFailed,
    RequestTimeout,
    WaitTimeout,
    api_error,
)
from jobkit_async.polling.schedule import FixedInterval, Polling, Schedule, Waited
from jobkit_async.states import JobState, Need

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=200_000)  # what would hang fails

S = JobState
EVERY_10 = FixedInterval(10.0)
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


def gaps_of(times: list[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times)]


def idle(service: Any) -> bool:
    """Whether nothing of a tracker is left at work."""
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("jobkit_async-")]
    return len(service._tracker) == 0 and not tasks


def http(status: int, retry_after: float | None = None) -> Exception:
    return api_error(status, operation="get_job", reason="no", retry_after=retry_after)


class TestLooks:
    @BATCHES
    async def test_a_job_is_looked_at_at_once_then_after_each_gap(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        job = service.runs("a", 25.0)
        assert await timed(job.wait()) == ("a succeeded", START + 30.0)
        assert service.times == [100.0, 110.0, 120.0, 130.0]

    async def test_cold_gaps_grow_with_the_square_root_of_the_age(self, memory: Any) -> None:
        service = memory(polling=Polling(delay_price=5.0), batch=1)
        job = service.runs("a", 40.0)
        await job.wait()
        assert service.times[0] == START
        # Half the price, times the squares: 2.5 * k ** 2.
        ages = [at - START for at in service.times]
        assert ages == pytest.approx([0.0, 2.5, 10.0, 22.5, 40.0], abs=1e-4)

    async def test_jobs_that_one_request_answers_for_share_its_price(self, memory: Any) -> None:
        service = memory(polling=Polling(delay_price=5.0))
        tasks = [start(service.runs(str(index), 1e6).wait()) for index in range(100)]
        await asyncio.sleep(1000.0)
        gap = service.times[-1] - service.times[-2]
        age = service.times[-2] - START
        assert gap == pytest.approx((10.0 * age / 100) ** 0.5 + 2.5 / 100)
        await service.aclose()
        await asyncio.gather(*tasks)

    @BATCHES
    @pytest.mark.parametrize(
        ("jobs", "policy", "apart"),
        [(5, None, 0.4), (1, None, 0.0), (5, FixedInterval(8.0), 0.0)],
        ids=["several", "one", "by-the-user"],
    )
    async def test_processes_that_begin_together_are_soon_out_of_step(
        self, memory: Any, batch: int | None, jobs: int, policy: Any, apart: float
    ) -> None:
        begins: list[float] = []
        for seed in range(20):
            rng = random.Random(seed)
            service = memory(polling=Polling(policy=policy, delay_price=80.0, rng=rng), batch=batch)
            tasks = [start(service.runs(str(index), 1e6).wait()) for index in range(jobs)]
            await asyncio.sleep(100.0)
            begins.append(gaps_of(service.times)[0])
            await service.aclose()
            await asyncio.gather(*tasks, return_exceptions=True)
        spread = max(begins) / min(begins) - 1.0
        assert (spread > apart) if apart else (spread < 0.11)

    @pytest.mark.looptime(start=0)
    @BATCHES
    async def test_a_loop_whose_clock_starts_at_zero_is_no_exception(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(polling=Polling(delay_price=5.0), batch=batch)
        job = service.runs("a", 40.0)
        await job.wait()
        gaps = gaps_of(service.times)
        assert gaps[-1] == pytest.approx((10.0 * service.times[-2]) ** 0.5 + 2.5)

    async def test_a_known_job_is_not_looked_at_again_at_once(self, memory: Any) -> None:
        service = memory()
        job = service.runs("a", 5.0)
        await job.refresh()
        await asyncio.sleep(4.0)
        assert await timed(job.wait()) == ("a succeeded", START + 10.0)
        assert service.times == [START + 10.0]

    async def test_a_final_end_that_is_known_costs_nothing(self, memory: Any) -> None:
        service = memory()
        job = service.runs("a", 5.0)
        await job.wait()
        looks = len(service.looks)
        await service.aclose()
        assert await job.wait(timeout=0) == "a succeeded"
        assert len(service.looks) == looks

    async def test_an_end_that_can_be_undone_is_looked_at_again(
        self, memory: Any, see: Any
    ) -> None:
        service = memory()
        job = service.script(
            "a",
            (0.0, see(S.FAILED, data="failed once")),
            (5.0, see(S.RUNNING)),
            (25.0, see(S.SUCCEEDED, data="done", final=True)),
        )
        assert await job.wait(check=False) == "failed once"
        await asyncio.sleep(6.0)
        assert await job.wait() == "done"

    async def test_an_end_without_a_snapshot_is_read_in_full(self, memory: Any) -> None:
        service = memory(full=False)
        jobs = [service.runs(key, 5.0) for key in "abc"]
        results = await asyncio.gather(*(job.wait() for job in jobs))
        assert results == ["a succeeded", "b succeeded", "c succeeded"]
        assert service.finishes == [(110.0, frozenset("abc"))]

    async def test_max_rps_spaces_the_looks_by_what_they_cost(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=FixedInterval(1.0), max_rps=2.0))
        service.cost = 8
        await timed(service.runs("a", 1e6).wait(timeout=60.0))
        gaps = set(gaps_of(service.times))
        assert gaps == {4.0}
        assert len(service.looks) == 15

    @pytest.mark.parametrize("wait", [{"timeout": 0}, {"timeout": 3.0}])
    async def test_nothing_passes_max_rps(self, memory: Any, wait: Any) -> None:
        service = memory(polling=Polling(policy=FixedInterval(1.0), max_rps=0.1))
        first = start(service.runs("a", 1e6).wait(timeout=40.0))
        await asyncio.sleep(1.0)
        await timed(service.runs("b", 1e6).wait(**wait))
        await first
        gaps = gaps_of(service.times)
        assert min(gaps) >= 10.0

    @BATCHES
    async def test_ten_thousand_waiters_share_the_rounds(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        jobs = [service.runs(str(index), 15.0) for index in range(10_000)]
        results = await asyncio.gather(*(timed(job.wait()) for job in jobs))
        assert {at for _, at in results} == {START + 20.0}
        assert all(job.state is S.SUCCEEDED for job in jobs)
        assert [len(look.keys) for look in service.looks] == [10_000] * 3
        assert idle(service)


class TestSharing:
    """Invariant 1."""

    @BATCHES
    async def test_k_awaiters_of_one_job_cost_one_poll(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        job = service.runs("a", 25.0)
        tasks = [start(service.handle("a").wait()) for _ in range(50)]
        await asyncio.sleep(3.0)
        tasks += [start(job.wait()) for _ in range(50)]
        results = await asyncio.gather(*tasks)
        assert set(results) == {("a succeeded", START + 30.0)}
        assert service.times == [100.0, 110.0, 120.0, 130.0]
        assert service.reads == []

    @BATCHES
    @pytest.mark.parametrize("delay", [0.0, 4.0])
    @pytest.mark.parametrize("after", [0.0, 2.0, 7.0])
    async def test_cancelling_the_first_awaiter_leaves_the_others(
        self, memory: Any, batch: int | None, delay: float, after: float
    ) -> None:
        service = memory(batch=batch, delay=delay)
        job = service.runs("a", 25.0)
        opener = asyncio.create_task(job.wait())
        await asyncio.sleep(0)
        others = [start(job.wait()) for _ in range(3)]
        await asyncio.sleep(after)
        opener.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opener
        results = await asyncio.gather(*others)
        assert [value for value, _ in results] == ["a succeeded"] * 3
        assert idle(service)

    async def test_cancelling_all_but_one_shows_nobody_a_foreign_cancellation(
        self, memory: Any
    ) -> None:
        service = memory(delay=1.0)
        job = service.runs("a", 25.0)
        tasks = [asyncio.create_task(job.wait()) for _ in range(20)]
        for index, task in enumerate(tasks[:-1]):
            await asyncio.sleep(index % 3)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[-1] == "a succeeded"
        assert {type(result) for result in results[:-1]} == {asyncio.CancelledError}

    async def test_later_callers_get_a_fresh_answer(self, memory: Any) -> None:
        service = memory()
        job = service.runs("a", 25.0)
        with pytest.raises(WaitTimeout):
            await job.wait(timeout=3.0)
        await asyncio.sleep(40.0)
        looks = len(service.looks)
        assert await timed(job.wait()) == ("a succeeded", now())
        assert len(service.looks) == looks + 1

    async def test_a_wait_that_begins_as_the_last_one_ends_is_served(self, memory: Any) -> None:
        service = memory()
        job = service.runs("a", 25.0)
        first = asyncio.create_task(job.wait())
        await asyncio.sleep(3.0)
        first.cancel()
        second = start(job.wait())
        assert (await second)[0] == "a succeeded"
        assert idle(service)


class TestLeaving:
    """Invariant 2, and that records end with their last waiter."""

    async def test_a_timeout_tells_ref_and_newest_snapshot(self, memory: Any, see: Any) -> None:
        service = memory()
        job = service.script("a", (0.0, see(S.RUNNING, data="half way")))
        error, at = await timed(job.wait(timeout=25.0))
        assert isinstance(error, WaitTimeout)
        assert isinstance(error, TimeoutError)
        assert (error.ref, error.snapshot, at) == (job.ref, "half way", START + 25.0)

    async def test_timeouts_and_cancellations_leave_the_remote_job_alone(self, memory: Any) -> None:
        service = memory()
        job = service.runs("a", 100.0)
        waiting = asyncio.create_task(job.wait())
        error, _ = await timed(job.wait(timeout=5.0))
        assert isinstance(error, WaitTimeout)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert job.state is S.RUNNING
        assert await job.wait() == "a succeeded"

    async def test_one_timeout_leaves_the_other_waits(self, memory: Any) -> None:
        service = memory()
        job = service.runs("a", 25.0)
        short, long = start(job.wait(timeout=12.0)), start(job.wait())
        assert isinstance((await short)[0], WaitTimeout)
        assert (await long)[0] == "a succeeded"

    @BATCHES
    @pytest.mark.parametrize("how", ["end", "timeout", "cancel", "lost", "closed"])
    async def test_nothing_is_left_of_a_job_that_nobody_awaits(
        self, memory: Any, batch: int | None, how: str
    ) -> None:
        service = memory(batch=batch)
        job = service.handle("a") if how == "lost" else service.runs("a", 50.0)
        timeout = 20.0 if how == "timeout" else None
        waiting = start(job.wait(timeout=timeout))
        await asyncio.sleep(1.0)
        if how == "cancel":
            waiting.cancel()
        if how == "closed":
            await service.aclose()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert idle(service)
        assert len(service._tracker._deadlines) == 0
        looks = len(service.looks)
        await asyncio.sleep(1000.0)
        assert len(service.looks) == looks
        del job, waiting
        gc.collect()
        assert service.records == []

    async def test_deadlines_of_finished_waits_do_not_pile_up(self, memory: Any) -> None:
        service = memory()
        keeper = start(service.runs("keeper", 1e6).wait())
        for index in range(800):
            with pytest.raises(WaitTimeout):
                await service.runs(str(index), 1e6).wait(timeout=0.01)
        for index in range(800):
            task = asyncio.create_task(service.runs(str(index), 1e6).wait(timeout=1e5))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert len(service._tracker._deadlines) < 200
        await service.aclose()
        await keeper


class TestAbsence:
    """Invariant 3."""

    @BATCHES
    async def test_missing_in_a_look_at_many_is_read_on_its_own(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        job = service.runs("a", 25.0)
        other = service.runs("b", 25.0)
        service.hidden.add("a")
        results = await asyncio.gather(job.wait(), other.wait())
        assert results == ["a succeeded", "b succeeded"]
        assert service.reads == [(at, "a") for at in (100.0, 110.0, 120.0, 130.0)]

    @pytest.mark.parametrize(
        ("interval", "lost_after", "looks"),
        [
            (10.0, 30.0, [0, 10, 20, 30]),  # three looks are not enough: not yet 30 s
            (10.0, 5.0, [0, 10 / 6, 10 / 3, 5]),  # the grace paces the looks
            (10.0, 0.1, [0, 0.5, 1.0]),  # 0.1 s are not enough: not yet three looks
            (1.0, 4.5, [0, 1, 2, 3, 4, 5]),
            (200.0, 30.0, [0, 10, 20, 30]),
        ],
    )
    async def test_a_job_is_lost_after_enough_looks_and_enough_time(
        self, memory: Any, interval: float, lost_after: float, looks: list[float]
    ) -> None:
        service = memory(
            polling=Polling(policy=FixedInterval(interval), lost_after=lost_after), batch=10
        )
        error, at = await timed(service.handle("a").wait())
        assert isinstance(error, JobLost)
        assert error.ref == service.handle("a").ref
        times = [at - START for at in service.times]
        assert len(times) >= 3
        assert times[-1] >= lost_after
        assert at == service.times[-1]
        if looks[1] != 10 / 6:
            assert times == pytest.approx(looks)

    async def test_a_sighting_resets_the_grace(self, memory: Any, see: Any) -> None:
        service = memory(polling=Polling(policy=EVERY_10, lost_after=30.0))
        scenes: list[tuple[float, Any]] = [(0.0, see(S.RUNNING))]
        for at in range(40, 400, 40):  # away for 35 s, back for 5, again and again
            scenes += [(at - 35.0, None), (at - 1.0, see(S.RUNNING))]
        scenes.append((400.0, see(S.SUCCEEDED, data="done", final=True)))
        assert await service.script("a", *scenes).wait() == "done"
        assert len(service.reads) > 10

    async def test_a_job_that_vanishes_never_succeeds(self, memory: Any, see: Any) -> None:
        service = memory()
        job = service.script("a", (0.0, see(S.RUNNING, data="running")), (15.0, None))
        error, at = await timed(job.wait(check=False))
        assert isinstance(error, JobLost)
        assert (error.snapshot, at) == ("running", START + 50.0)  # missing from 20 s on

    async def test_others_go_on_while_one_is_lost(self, memory: Any) -> None:
        service = memory()
        lost, fine = start(service.handle("a").wait()), start(service.runs("b", 95.0).wait())
        assert isinstance((await lost)[0], JobLost)
        assert await fine == ("b succeeded", START + 100.0)

    async def test_a_missing_job_that_was_cancelled_from_here_is_cancelled(
        self, memory: Any, see: Any
    ) -> None:
        service = memory()
        job = service.script("a", (0.0, see(S.RUNNING, data="running")), (5.0, None))
        await job.refresh()
        await asyncio.sleep(6.0)
        service.touch(job, cancels=True)
        error, _ = await timed(job.wait())
        assert isinstance(error, JobCancelled)
        assert job.state is S.CANCELLED


class TestFailures:
    """Invariant 4."""

    @BATCHES
    @pytest.mark.parametrize(
        "fault",
        [
            http(500),
            http(503),
            http(429),
            http(401),
            http(404),
            http(400),
            ConnectionLost("gone", operation="x"),
            RequestTimeout("late", operation="x"),
            DecodeError("garbage", operation="x"),
            ValueError("a bug in a source"),
            TimeoutError(),
            OSError("network"),
        ],
        ids=repr,
    )
    async def test_one_bad_answer_fails_no_waiter(
        self, memory: Any, batch: int | None, fault: Exception
    ) -> None:
        service = memory(batch=batch)
        service.faults = [None, fault]
        jobs = [service.runs(key, 25.0) for key in "abc"]
        results = await asyncio.gather(*(timed(job.wait()) for job in jobs))
        assert results == [(f"{key} succeeded", START + 30.0) for key in "abc"]

    async def test_unknown_just_after_its_submission_fails_no_waiter(
        self, memory: Any, see: Any
    ) -> None:
        service = memory()
        done = see(S.SUCCEEDED, data="done", final=True)
        job = service.script("a", (5.0, see(S.RUNNING)), (25.0, done))
        assert await job.wait() == "done"

    async def test_a_single_read_that_fails_fails_no_waiter(self, memory: Any, see: Any) -> None:
        service = memory()
        done = see(S.SUCCEEDED, data="done", final=True)
        job = service.script("a", (0.0, http(500)), (5.0, ValueError("odd")), (15.0, done))
        assert await job.wait() == "done"

    async def test_a_final_read_that_fails_fails_no_waiter(self, memory: Any) -> None:
        service = memory(full=False)
        service.faults = [None, http(500)]  # the look, and then the read of the ended ones
        jobs = [service.runs(key, 0.0) for key in "ab"]
        assert await asyncio.gather(*(job.wait() for job in jobs)) == [
            "a succeeded",
            "b succeeded",
        ]

    async def test_a_success_resets_the_budget(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=EVERY_10, give_up_after=1.0))
        service.faults = ([http(500)] * 4 + [None]) * 20
        job = service.runs("a", 5000.0)
        assert (await timed(job.wait()))[0] == "a succeeded"

    async def test_failures_of_one_job_are_counted_for_it_alone(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=EVERY_10, give_up_after=20.0))
        service.failing["bad"] = http(500)
        bad, good = start(service.runs("bad", 5.0).wait()), start(service.runs("b", 500.0).wait())
        assert isinstance((await bad)[0], PollingFailed)
        assert (await good)[0] == "b succeeded"

    async def test_only_many_failures_over_a_long_time_end_a_wait(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=EVERY_10, give_up_after=45.0))
        fault = http(502)
        service.faults = [None] + [fault] * 100
        job = service.runs("a", 5.0)
        error, at = await timed(job.wait())
        assert isinstance(error, PollingFailed)
        assert error.__cause__ is fault
        assert error.ref == job.ref
        first = START + 10.0
        assert at - first >= 45.0
        assert len([at for at in service.times if at >= first]) >= 5

    async def test_few_failures_do_not_end_a_wait_however_long_they_take(self, memory: Any) -> None:
        polling = Polling(policy=FixedInterval(200.0), give_up_after=10.0)
        service = memory(polling=polling)
        service.faults = [http(500)] * 4
        assert await service.runs("a", 5.0).wait() == "a succeeded"

    async def test_pauses_grow_while_the_service_fails(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=FixedInterval(0.5)))
        service.faults = [http(500)] * 200
        await timed(service.runs("a", 5.0).wait(timeout=600.0))
        gaps = gaps_of(service.times[:-1])
        assert gaps == sorted(gaps)
        assert gaps[-1] == 60.0

    @pytest.mark.parametrize("status", [401, 403])
    async def test_three_refusals_in_a_row_end_a_wait(self, memory: Any, status: int) -> None:
        service = memory()
        service.faults = [None, http(status), http(status), None] + [http(status)] * 3
        error, at = await timed(service.runs("a", 500.0).wait())
        assert isinstance(error, PollingFailed)
        assert getattr(error.__cause__, "status", None) == status
        assert (at, len(service.looks)) == (START + 60.0, 7)

    async def test_failures_of_other_kinds_do_not_count_as_refusals(self, memory: Any) -> None:
        service = memory()
        service.faults = [http(500), http(500), http(401)]
        assert await service.runs("a", 5.0).wait() == "a succeeded"

    @pytest.mark.parametrize("status", [429, 503])
    async def test_retry_after_holds_back_every_look(self, memory: Any, status: int) -> None:
        service = memory()
        service.faults = [None, http(status, retry_after=70.0)]
        first = start(service.runs("a", 15.0).wait())
        await asyncio.sleep(11.0)
        second = start(service.runs("b", 15.0).wait())
        third = start(service.runs("c", 500.0).wait(timeout=20.0))
        assert await first == ("a succeeded", START + 80.0)
        assert await second == ("b succeeded", START + 80.0)
        assert isinstance((await third)[0], WaitTimeout)
        assert service.times[:3] == [100.0, 110.0, 180.0]


class TestDeadlines:
    """Invariant 6."""

    async def test_jumps_of_the_wall_clock_change_nothing(
        self, memory: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = memory()
        ends = start(service.runs("a", 55.0).wait())
        stays = start(service.runs("b", 1e6).wait(timeout=77.0))
        for jump in (-1e9, 1e9, -1e5):
            await asyncio.sleep(15.0)
            monkeypatch.setattr(time, "time", lambda jump=jump: 1.7e9 + jump)
        assert await ends == ("a succeeded", START + 60.0)
        assert (await stays)[1] == START + 77.0
        assert service.times == [START + at for at in (0, 10, 20, 30, 40, 50, 60, 70, 76.5)]

    @pytest.mark.parametrize(
        ("delay", "lead"), [(0.0, 0.5), (0.5, 1.0), (2.0, 4.0), (4.0, 5.0), (30.0, 5.0)]
    )
    async def test_the_last_look_leaves_before_the_deadline(
        self, memory: Any, delay: float, lead: float
    ) -> None:
        service = memory(polling=Polling(policy=FixedInterval(200.0)), delay=delay)
        job = service.runs("a", 1e6)
        error, at = await timed(job.wait(timeout=100.0))
        assert isinstance(error, WaitTimeout)
        assert at == START + 100.0
        assert service.times == [START, START + 100.0 - lead]

    async def test_the_lead_follows_the_round_trips_of_earlier_waits(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=FixedInterval(200.0)), delay=2.0)
        await service.runs("a", 0.0).wait()
        begin = now()
        await timed(service.runs("b", 1e6).wait(timeout=100.0))
        assert service.times == [START, begin, begin + 96.0]

    async def test_an_end_that_only_the_last_look_sees_counts(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=FixedInterval(200.0)), delay=1.0)
        job = service.runs("a", 97.0)
        assert await timed(job.wait(timeout=100.0)) == ("a succeeded", START + 99.0)

    @pytest.mark.parametrize("delay", [50.0, 1e6])
    async def test_the_wait_ends_at_the_deadline_answered_or_not(
        self, memory: Any, delay: float
    ) -> None:
        service = memory(delay=delay)
        error, at = await timed(service.runs("a", 1.0).wait(timeout=10.0))
        assert isinstance(error, WaitTimeout)
        assert (at, len(service.looks)) == (START + 10.0, 1)
        await service.aclose()

    async def test_every_waiter_has_a_deadline_of_its_own(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=FixedInterval(200.0)))
        job = service.runs("a", 1e6)
        timeouts = [7.0, 40.0, 3.0, 90.0, 40.0]
        results = await asyncio.gather(*(timed(job.wait(timeout=t)) for t in timeouts))
        assert [at - START for _, at in results] == timeouts
        assert service.times == [START + at for at in (0.0, 2.5, 6.5, 39.5, 89.5)]

    async def test_a_wait_without_end_has_no_deadline(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=FixedInterval(200.0)))
        result = await timed(service.runs("a", 1e5).wait(timeout=float("inf")))
        assert result == ("a succeeded", START + 200.0 * 500)

    @BATCHES
    async def test_an_end_during_the_set_up_of_a_wait_is_not_lost(
        self, memory: Any, batch: int | None
    ) -> None:
        # The look that is under way left while the job was running; the job ends, and only then
        # somebody begins to wait: another look follows at once.
        service = memory(batch=batch, delay=4.0, polling=Polling(policy=FixedInterval(20.0)))
        job = service.runs("a", 1.0)
        first = start(job.wait())
        await asyncio.sleep(2.0)
        second = start(service.handle("a").wait())
        assert await first == ("a succeeded", START + 8.0)
        assert await second == ("a succeeded", START + 8.0)

    @BATCHES
    async def test_a_job_added_during_a_look_is_looked_at_right_after(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch, delay=4.0)
        first = start(service.runs("a", 1e6).wait())
        await asyncio.sleep(2.0)
        assert await timed(service.runs("b", 0.0).wait()) == ("b succeeded", START + 8.0)
        first.cancel()
        await service.aclose()

    @BATCHES
    async def test_an_end_seen_as_a_wait_begins_reaches_it(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        job = service.runs("a", 25.0)
        late: list[Any] = []
        service.on_look = lambda: late.append(start(service.handle("a").wait()))
        assert (await job.wait()) == "a succeeded"
        results = await asyncio.gather(*late)
        assert {value for value, _ in results} == {"a succeeded"}
        assert idle(service)


class TestOneLook:
    """``timeout=0``."""

    @BATCHES
    @pytest.mark.parametrize("delay", [0.0, 3.0])
    async def test_a_running_job_takes_exactly_one_look(
        self, memory: Any, batch: int | None, delay: float
    ) -> None:
        service = memory(batch=batch, delay=delay)
        error, at = await timed(service.runs("a", 50.0).wait(timeout=0))
        assert isinstance(error, WaitTimeout)
        assert (at, service.times) == (START + delay, [START])

    @BATCHES
    async def test_an_ended_job_takes_exactly_one_look(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        assert await service.runs("a", 0.0).wait(timeout=0) == "a succeeded"
        assert service.times == [START]

    @BATCHES
    async def test_a_known_job_is_looked_at_all_the_same(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        job = service.runs("a", 1.0)
        await job.refresh()
        await asyncio.sleep(2.0)
        assert await timed(job.wait(timeout=0)) == ("a succeeded", START + 2.0)
        assert service.times == [START + 2.0]

    @BATCHES
    async def test_a_look_that_is_under_way_does_not_do(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch, delay=4.0)
        job = service.runs("a", 1.0)
        other = start(job.wait())
        await asyncio.sleep(2.0)
        assert await timed(job.wait(timeout=0)) == ("a succeeded", START + 8.0)
        assert service.times == [START, START + 4.0]
        await other

    @BATCHES
    async def test_it_waits_for_the_gate_and_then_looks_once(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        service.faults = [http(429, retry_after=30.0)]
        other = start(service.runs("other", 1e6).wait())
        await asyncio.sleep(5.0)
        error, at = await timed(service.runs("a", 1e6).wait(timeout=0))
        assert isinstance(error, WaitTimeout)
        assert (at, service.times) == (START + 30.0, [START, START + 30.0])
        other.cancel()
        await service.aclose()

    async def test_a_gate_that_stays_closed_does_not_hold_it_for_ever(self, memory: Any) -> None:
        service = memory()
        service.faults = [http(429, retry_after=3000.0)]
        other = start(service.runs("other", 1e6).wait())
        await asyncio.sleep(5.0)
        error, at = await timed(service.runs("a", 1e6).wait(timeout=0))
        assert isinstance(error, WaitTimeout)
        assert (at - START, service.times) == (65.0, [START])
        other.cancel()
        await service.aclose()

    @BATCHES
    async def test_a_look_that_fails_was_the_one_look(self, memory: Any, batch: int | None) -> None:
        service = memory(batch=batch)
        service.faults = [http(500)]
        error, at = await timed(service.runs("a", 0.0).wait(timeout=0))
        assert isinstance(error, WaitTimeout)
        assert (at, service.times) == (START, [START])

    async def test_each_of_very_many_that_are_read_one_by_one_gets_its_look(
        self, memory: Any
    ) -> None:
        service = memory()
        jobs = [service.runs(str(index), 0.0) for index in range(500)]
        service.hidden.update(job.id for job in jobs)
        results = await asyncio.gather(*(timed(job.wait(timeout=0)) for job in jobs))
        assert [value for value, _ in results] == [f"{index} succeeded" for index in range(500)]


class Bug(BaseException):
    """Not even an Exception."""


class TestBreaking:
    """Invariant 7: if the tracker itself breaks, nothing hangs, and the next wait works."""

    async def _all_told(self, service: Any, waits: list[asyncio.Task[Any]]) -> None:
        done, pending = await asyncio.wait(waits, timeout=1e4)
        assert not pending, "a waiter hangs"
        for task in done:
            error, _ = task.result()
            assert isinstance(error, PollingFailed)
        assert idle(service)

    async def _works_again(self, service: Any) -> None:
        async with asyncio.timeout(1e4):
            assert await service.runs("fresh", 5.0).wait() == "fresh succeeded"
            assert await service.runs("a", 5.0).wait() == "a succeeded"

    @BATCHES
    @pytest.mark.parametrize("method", ["observe", "read", "finish"])
    async def test_a_source_that_raises_what_is_no_exception(
        self, memory: Any, monkeypatch: pytest.MonkeyPatch, batch: int | None, method: str
    ) -> None:
        service = memory(batch=batch, full=False)
        if method == "read":
            service.hidden.update("abc")

        async def broken(_: Any) -> Any:
            await asyncio.sleep(0)
            raise Bug

        waits = [start(service.runs(key, 5.0).wait()) for key in "abc"]
        await asyncio.sleep(6.0)
        with monkeypatch.context() as patch:
            patch.setattr(service, method, broken)
            await self._all_told(service, waits)
        service.hidden.clear()
        await self._works_again(service)

    @BATCHES
    async def test_a_source_that_is_cancelled_by_strangers(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        service.faults = [None, asyncio.CancelledError()]
        waits = [start(service.runs(key, 50.0).wait()) for key in "abc"]
        await self._all_told(service, waits)
        await self._works_again(service)

    @BATCHES
    @pytest.mark.parametrize("method", ["wake", "take", "gap"])
    async def test_a_schedule_that_raises(
        self, memory: Any, monkeypatch: pytest.MonkeyPatch, batch: int | None, method: str
    ) -> None:
        service = memory(batch=batch)
        waits = [start(service.runs(key, 50.0).wait()) for key in "abc"]
        await asyncio.sleep(6.0)

        def broken(*_: Any) -> Any:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(Schedule, method, broken)
            await self._all_told(service, waits)
        await self._works_again(service)

    @BATCHES
    async def test_a_policy_that_raises(self, memory: Any, batch: int | None) -> None:
        broken = True

        def policy(_: Waited) -> float:
            return 1 / 0 if broken else 10.0

        service = memory(batch=batch, polling=Polling(policy=policy))
        waits = [start(service.runs(key, 50.0).wait()) for key in "abc"]
        await self._all_told(service, waits)
        broken = False
        await self._works_again(service)

    @BATCHES
    async def test_a_policy_that_raises_as_a_wait_begins(
        self, memory: Any, batch: int | None
    ) -> None:
        broken = True

        def policy(_: Waited) -> float:
            return 1 / 0 if broken else 10.0

        service = memory(batch=batch, polling=Polling(policy=policy))
        job = service.runs("a", 50.0)
        await job.refresh()  # what is known already is planned as the wait begins
        error, _ = await timed(job.wait(timeout=100.0))
        assert isinstance(error, Exception)
        assert idle(service)
        broken = False
        await self._works_again(service)

    @BATCHES
    async def test_a_policy_that_gives_no_number(self, memory: Any, batch: int | None) -> None:
        service = memory(batch=batch, polling=Polling(policy=lambda _: "soon"))  # type: ignore[arg-type,return-value]  # so it is
        await self._all_told(service, [start(service.runs("a", 50.0).wait())])

    @BATCHES
    @pytest.mark.parametrize("delay", [0.0, 4.0])
    @pytest.mark.parametrize("after", [0.0, 2.0, 12.0])
    async def test_a_loop_task_that_is_cancelled_from_outside(
        self, memory: Any, batch: int | None, delay: float, after: float
    ) -> None:
        service = memory(batch=batch, delay=delay)
        waits = [start(service.runs(key, 50.0).wait()) for key in "abc"]
        await asyncio.sleep(after)
        task = service._tracker._task
        assert task is not None
        task.cancel()
        await self._all_told(service, waits)
        await self._works_again(service)

    async def test_a_loop_task_that_is_cancelled_before_its_first_step(self, memory: Any) -> None:
        service = memory()
        job = service.runs("a", 50.0)
        told: list[Any] = []
        service._tracker.watch(job._record, told.append)
        service._tracker._task.cancel()
        await asyncio.sleep(1000.0)
        assert len(told) == 1, "the waiter hangs"
        assert idle(service)
        await self._works_again(service)

    async def test_a_callback_that_raises_holds_up_nobody(
        self, memory: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        service = memory()
        jobs = [service.runs(key, 15.0) for key in "abc"]

        def broken(_: Any) -> None:
            raise ZeroDivisionError

        told: list[Any] = []
        service._tracker.watch(jobs[0]._record, broken, on_update=broken)
        service._tracker.watch(jobs[0]._record, told.append)
        waits = [start(job.wait()) for job in jobs]
        results = await asyncio.gather(*waits)
        assert [value for value, _ in results] == ["a succeeded", "b succeeded", "c succeeded"]
        assert len(told) == 1
        assert "ZeroDivisionError" in caplog.text
        assert idle(service)

    async def test_the_break_is_logged_and_told(
        self, memory: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def policy(_: Waited) -> float:
            raise ZeroDivisionError("by the user's policy")

        service = memory(polling=Polling(policy=policy))
        job = service.runs("a", 50.0)
        error, _ = await timed(job.wait())
        assert isinstance(error, PollingFailed)
        assert isinstance(error.__cause__, ZeroDivisionError)
        assert "by the user's policy" in str(error)
        assert "by the user's policy" in caplog.text


class TestInput:
    """Invariant 8, and what our own changes do to observations."""

    async def test_a_need_for_input_ends_the_wait(self, memory: Any, see: Any) -> None:
        service = memory()
        asking = see(S.NEEDS_INPUT, needs=Need.ANSWER, question={"who": 1}, data="asking")
        job = service.script("a", (0.0, see(S.RUNNING)), (5.0, asking))
        error, at = await timed(job.wait())
        assert isinstance(error, JobNeedsInput)
        assert (error.needs, error.question, error.snapshot) == ("answer", {"who": 1}, "asking")
        assert (error.ref, at) == (job.ref, START + 10.0)

    async def test_keep_waits_on_while_others_are_told(self, memory: Any, see: Any) -> None:
        service = memory()
        done = see(S.SUCCEEDED, data="done", final=True)
        asking = see(S.NEEDS_INPUT, needs=Need.START)
        job = service.script("a", (0.0, asking), (45.0, done))
        keep, told = start(job.wait(on_input="keep")), start(job.wait())
        assert isinstance((await told)[0], JobNeedsInput)
        assert await keep == ("done", START + 50.0)

    async def test_waiting_again_after_the_answer_works(self, memory: Any, see: Any) -> None:
        service = memory()
        asking = see(S.NEEDS_INPUT, needs=Need.ANSWER, mark=1)
        job = service.script("a", (0.0, asking))
        assert isinstance((await timed(job.wait()))[0], JobNeedsInput)
        service.script(
            "a",
            (0.0, see(S.RUNNING, mark=2)),
            (30.0, see(S.SUCCEEDED, data="done", final=True)),
        )
        service.touch(job)
        assert await job.wait() == "done"

    @pytest.mark.parametrize("mark", [None, 1])
    async def test_what_left_before_our_own_change_is_ignored(
        self, memory: Any, see: Any, mark: int | None
    ) -> None:
        service = memory(delay=4.0)
        job = service.script(
            "a",
            (0.0, see(S.NEEDS_INPUT, needs=Need.ANSWER, mark=mark)),
            (2.0, see(S.RUNNING, mark=2)),
            (20.0, see(S.SUCCEEDED, data="done", final=True)),
        )
        waiting = start(job.wait())
        await asyncio.sleep(2.0)
        service.touch(job)  # the look at 0 comes back at 4 and still tells of the question
        assert (await waiting)[0] == "done"

    async def test_a_late_answer_with_an_unchanged_mark_is_no_new_question(
        self, memory: Any, see: Any
    ) -> None:
        service = memory()
        asking = see(S.NEEDS_INPUT, "A", needs=Need.ANSWER, mark="t1")
        job = service.script(
            "a",
            (0.0, asking),
            (40.0, see(S.RUNNING, "R", mark="t2")),
            (70.0, see(S.SUCCEEDED, "F", data="done", final=True)),
        )
        assert isinstance((await timed(job.wait()))[0], JobNeedsInput)
        service.touch(job)
        assert await timed(job.wait()) == ("done", now())

    async def test_a_new_mark_is_a_new_question_at_once(self, memory: Any, see: Any) -> None:
        service = memory()
        job = service.script(
            "a",
            (0.0, see(S.NEEDS_INPUT, "A", needs=Need.ANSWER, mark="t1")),
            (5.0, see(S.NEEDS_INPUT, "A", needs=Need.ANSWER, mark="t2")),
        )
        assert isinstance((await timed(job.wait()))[0], JobNeedsInput)
        service.touch(job)
        error, at = await timed(job.wait())
        assert isinstance(error, JobNeedsInput)
        assert at == START + 10.5

    async def test_lag_is_believed_for_a_minute_at_most(self, memory: Any, see: Any) -> None:
        service = memory()
        job = service.script("a", (0.0, see(S.NEEDS_INPUT, "A", needs=Need.ANSWER, mark="t1")))
        assert isinstance((await timed(job.wait()))[0], JobNeedsInput)
        service.touch(job)
        error, at = await timed(job.wait())
        assert isinstance(error, JobNeedsInput)
        assert at == START + 60.5  # the first look but half a second after the one before

    async def test_a_changed_job_is_looked_at_before_long(self, memory: Any) -> None:
        service = memory(polling=Polling(policy=FixedInterval(200.0)))
        job = service.runs("a", 50.0)
        waiting = start(job.wait())
        await asyncio.sleep(60.0)
        service.touch(job)
        assert await waiting == ("a succeeded", START + 60.5)

    async def test_a_failure_after_an_own_cancellation_is_a_cancellation(
        self, memory: Any, see: Any
    ) -> None:
        service = memory()
        killed = see(S.FAILED, "E", cancels=True, data="killed")
        job = service.script("a", (0.0, see(S.RUNNING)), (5.0, killed))
        foreign = service.script("b", (0.0, see(S.RUNNING)), (5.0, killed))
        await job.refresh()
        service.touch(job, cancels=True)
        error, _ = await timed(job.wait())
        assert isinstance(error, JobCancelled)
        assert isinstance((await timed(foreign.wait()))[0], JobFailed)


class TestOddWords:
    async def test_an_unknown_word_is_kept_and_is_no_end(
        self, memory: Any, see: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        service = memory()
        done = see(S.SUCCEEDED, data="done", final=True)
        job = service.script("a", (0.0, see(S.UNKNOWN, "THAWING")), (3000.0, done))
        waiting = start(job.wait())
        await asyncio.sleep(100.0)
        assert (job.state, job.raw_status) == (S.UNKNOWN, "THAWING")
        assert (await waiting)[0] == "done"
        assert [r.getMessage() for r in caplog.records if "THAWING" in r.getMessage()] == [
            "unknown job status 'THAWING'"
        ]

    async def test_an_unknown_word_that_stays_ends_the_wait(self, memory: Any, see: Any) -> None:
        service = memory(polling=Polling(policy=EVERY_10, unknown_after=600.0))
        job = service.script(
            "a",
            (0.0, see(S.UNKNOWN, "MELTING")),
            (300.0, see(S.UNKNOWN, "THAWING", data="wet")),
        )
        error, at = await timed(job.wait())
        assert isinstance(error, PollingFailed)
        assert "'THAWING'" in str(error)
        assert (error.snapshot, at) == ("wet", START + 900.0)

    async def test_an_hour_is_the_default(self, memory: Any, see: Any) -> None:
        service = memory()
        error, at = await timed(service.script("a", (0.0, see(S.UNKNOWN, "ODD"))).wait())
        assert isinstance(error, PollingFailed)
        assert at == START + 3600.0

    async def test_a_word_is_logged_once_for_however_many_jobs(
        self, memory: Any, see: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        service = memory()
        jobs = [service.script(str(i), (0.0, see(S.UNKNOWN, "ODD"))) for i in range(50)]
        await asyncio.gather(*(timed(job.wait(timeout=100.0)) for job in jobs))
        assert len([r for r in caplog.records if "ODD" in r.getMessage()]) == 1


class TestUpdates:
    def _steps(self, see: Any) -> list[tuple[float, Any]]:
        return [
            (0.0, see(S.PENDING)),
            (15.0, see(S.RUNNING, progress=0.0)),
            (35.0, see(S.RUNNING, progress=0.5)),
            (45.0, see(S.RUNNING, progress=0.5, message="nearly")),
            (65.0, see(S.SUCCEEDED, progress=1.0, data="done", final=True)),
        ]

    async def test_each_change_is_told_once(self, memory: Any, see: Any) -> None:
        service = memory()
        job = service.script("a", *self._steps(see))
        told = [
            (now() - START, update.state, update.progress, update.message)
            async for update in job.updates()
        ]
        assert told == [
            (0.0, S.PENDING, None, None),
            (20.0, S.RUNNING, 0.0, None),
            (40.0, S.RUNNING, 0.5, None),
            (50.0, S.RUNNING, 0.5, "nearly"),
            (70.0, S.SUCCEEDED, 1.0, None),
        ]
        assert idle(service)

    async def test_a_second_reader_repeats_nothing_to_the_first(
        self, memory: Any, see: Any
    ) -> None:
        service = memory()
        job = service.script("a", *self._steps(see))

        async def read() -> list[Any]:
            return [(update.state, update.progress) async for update in job.updates()]

        first = asyncio.create_task(read())
        await asyncio.sleep(22.0)
        second = asyncio.create_task(read())
        ahead = [(S.RUNNING, 0.5), (S.RUNNING, 0.5), (S.SUCCEEDED, 1.0)]
        assert await second == [(S.RUNNING, 0.0), *ahead]
        assert await first == [(S.PENDING, None), (S.RUNNING, 0.0), *ahead]

    async def test_a_slow_reader_misses_what_lies_between(self, memory: Any, see: Any) -> None:
        service = memory()
        job = service.script("a", *self._steps(see))
        fast = start(service.runs("b", 30.0).wait())
        told = []
        async for update in job.updates():
            told.append((update.state, update.progress, update.message))
            await asyncio.sleep(52.0)
        assert told == [
            (S.PENDING, None, None),
            (S.RUNNING, 0.5, "nearly"),
            (S.SUCCEEDED, 1.0, None),
        ]
        assert await fast == ("b succeeded", START + 30.0)

    async def test_it_ends_at_a_need_for_input(self, memory: Any, see: Any) -> None:
        service = memory()
        asking = see(S.NEEDS_INPUT, needs=Need.ANSWER)
        job = service.script("a", (0.0, see(S.RUNNING)), (15.0, asking))
        states = [update.state async for update in job.updates()]
        assert states == [S.RUNNING, S.NEEDS_INPUT]
        assert idle(service)

    @pytest.mark.parametrize("end", [S.FAILED, S.CANCELLED])
    async def test_a_bad_end_is_an_update_and_no_error(self, memory: Any, end: JobState) -> None:
        service = memory()
        states = [update.state async for update in service.runs("a", 5.0, end).updates()]
        assert states == [S.RUNNING, end]

    async def test_a_known_end_is_told_without_a_look(self, memory: Any) -> None:
        service = memory()
        job = service.runs("a", 0.0)
        await job.wait()
        looks = len(service.looks)
        assert [update.state async for update in job.updates()] == [S.SUCCEEDED]
        assert len(service.looks) == looks

    async def test_a_lost_job_is_an_error(self, memory: Any, see: Any) -> None:
        service = memory()
        job = service.script("a", (0.0, see(S.RUNNING)), (5.0, None))
        with pytest.raises(JobLost):
            async for _ in job.updates():
                pass

    async def test_closing_is_an_error(self, memory: Any) -> None:
        service = memory()
        updates = service.runs("a", 100.0).updates()
        assert (await anext(updates)).state is S.RUNNING
        await service.aclose()
        with pytest.raises(ClientClosed):
            await anext(updates)

    async def test_leaving_early_ends_the_looks(self, memory: Any) -> None:
        service = memory()
        async for _ in service.runs("a", 100.0).updates():
            break
        await asyncio.sleep(1.0)
        assert idle(service)

    async def test_updates_are_frozen(self, memory: Any) -> None:
        service = memory()
        updates = [update async for update in service.runs("a", 0.0).updates()]
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            updates[0].progress = 1.0
        assert updates[0].raw_status == "succeeded"
        assert updates[0].at.tzinfo is not None


class TestSurroundings:
    async def test_closing_ends_ten_thousand_waits_at_once(
        self, memory: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        service = memory()
        tasks = [start(service.runs(str(index), 1e6).wait()) for index in range(10_000)]
        await asyncio.sleep(5.0)
        await service.aclose()
        results = await asyncio.gather(*tasks)
        assert {(type(value), at) for value, at in results} == {(ClientClosed, START + 5.0)}
        assert idle(service)
        gc.collect()
        await asyncio.sleep(1.0)
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    async def test_a_closed_tracker_ends_what_begins_later(self, memory: Any) -> None:
        service = memory()
        await service.aclose()
        await service.aclose()
        told: list[Any] = []
        service._tracker.watch(service.runs("a", 0.0)._record, told.append)
        assert told == []  # not before the caller has its watch
        await asyncio.sleep(0.1)
        assert [verdict.kind.value for verdict in told] == ["closed"]
        assert service.looks == []

    async def test_the_poll_loop_does_not_run_in_the_first_waiters_context(
        self, memory: Any
    ) -> None:
        span: contextvars.ContextVar[str] = contextvars.ContextVar("span")
        service = memory()
        spans: list[str | None] = []
        service.on_look = lambda: spans.append(span.get(None))
        span.set("the first waiter's")
        await service.runs("a", 15.0).wait()
        assert spans == [None, None, None]

    @pytest.mark.skipif(
        not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with Python 3.12"
    )
    @BATCHES
    async def test_an_eager_task_factory_changes_nothing(
        self, memory: Any, batch: int | None
    ) -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        service = memory(batch=batch)
        jobs = [service.runs(str(index), 25.0) for index in range(20)]
        waits = [start(job.wait()) for job in jobs]
        short = start(jobs[0].wait(timeout=12.0))
        results = await asyncio.gather(*waits)
        assert isinstance((await short)[0], WaitTimeout)
        # One look is for the deadline; the next follows ten seconds after it.
        assert service.times == [START + at for at in (0.0, 10.0, 11.5, 21.5, 31.5)]
        assert {value for value, _ in results} == {f"{index} succeeded" for index in range(20)}
        assert {len(look.keys) for look in service.looks} == {20}
        assert idle(service)
        assert await jobs[0].wait() == "0 succeeded"

    async def test_a_seed_repeats_the_looks(self, memory: Any) -> None:
        async def looks(seed: int) -> list[float]:
            service = memory(polling=Polling(rng=random.Random(seed)))
            begin = now()
            await timed(service.runs("a", 1e6).wait(timeout=50.0))
            return [round(at - begin, 3) for at in service.times]

        first = await looks(1)
        assert len(first) > 4
        assert await looks(1) == first
        assert await looks(3) != first

    @pytest.mark.parametrize("fraction", [-5e-10, 0.0, 3e-10, 7e-10, 4e-7, 6e-7])
    @BATCHES
    async def test_a_timer_that_fires_a_tick_early_makes_no_busy_loop(
        self,
        memory: Any,
        monkeypatch: pytest.MonkeyPatch,
        batch: int | None,
        fraction: float,
    ) -> None:
        # asyncio fires timers up to the resolution of its clock too early. In virtual time no time
        # passes between two attempts, so a loop that is not content with that never ends.
        service = memory(batch=batch, polling=Polling(policy=FixedInterval(10.0 + fraction)))
        sleeps = 0
        original = Schedule.wake

        def counted(schedule: Schedule) -> float:
            nonlocal sleeps
            sleeps += 1
            assert sleeps < 100, "a busy loop"
            return original(schedule)

        monkeypatch.setattr(Schedule, "wake", counted)
        assert (await timed(service.runs("a", 35.0).wait()))[0] == "a succeeded"
        assert len(service.looks) == 5

    async def test_repr_tells_jobs_and_waiters(self, memory: Any) -> None:
        service = memory()
        job = service.runs("a", 5.0)
        waits = [start(job.wait()), start(job.wait())]
        await asyncio.sleep(1.0)
        assert repr(service._tracker) == "<Tracker of memory: 1 jobs, 2 waiters>"
        await asyncio.gather(*waits)
