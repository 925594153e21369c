"""Failures that other libraries are known for, each by its number: the service, clock or machine.

These are 8, 10, 11 and 13 of the list that ``test_known_failures`` begins.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from jobkit_async.errors import JobLost, PollingFailed, RateLimited, WaitTimeout
from jobkit_async.fakes.clock import Clock
from jobkit_async.fakes.server import Refusal
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.states import JobState

START = 100.0
GAP = 10.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
pytestmark = pytest.mark.looptime(start=START, end=30_000)  # what would hang fails

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


def gaps_of(times: list[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times)]


def always(
    status: int, **headers: Callable[[], str]
) -> Callable[[str, web.Request], web.Response | None]:
    """Refuses every request."""

    def refuse(operation: str, request: web.Request) -> web.Response | None:
        told = {name.replace("_", "-"): value() for name, value in headers.items()}
        raise Refusal(status, "not now", headers=told)

    return refuse


class TestThrottling:
    """8. Permanent throttling is answered by a loop at a fixed pace, for ever."""

    @pytest.fixture
    def eager(self, level: Any) -> Polling:
        return Polling(policy=FixedInterval(1.0), rng=level, give_up_after=1800.0)

    @EACH
    @COUNTS
    async def test_8_without_a_hint_gaps_grow_until_the_wait_gives_up(
        self, world: Any, traffic: Any, eager: Polling, name: str, count: int
    ) -> None:
        traffic.refuse = always(429)
        async with world(name, polling=eager) as it:
            outcomes = await asyncio.gather(*(timed(job.wait()) for job in it.births(count)))
            for error, at in outcomes:
                assert isinstance(error, PollingFailed)
                assert isinstance(error.__cause__, RateLimited)
                assert START + 1800.0 <= at <= START + 1900.0
            gaps = gaps_of(traffic.times)
            assert gaps[0] <= 1.5
            assert all(after >= 0.8 * before for before, after in itertools.pairwise(gaps))
            assert min(gaps[8:]) >= 30.0
            assert len(traffic.arrived) <= 60

    @EACH
    @pytest.mark.parametrize(("count", "form"), [(1, "date"), (12, "seconds")])
    async def test_8_the_hint_is_honoured_until_the_wait_gives_up(
        self, world: Any, traffic: Any, eager: Polling, name: str, count: int, form: str
    ) -> None:
        async with world(name, polling=eager) as it:

            def in_two_minutes() -> str:
                date = it.server.clock.date().replace(microsecond=0) + timedelta(seconds=120)
                return "120" if form == "seconds" else format_datetime(date, usegmt=True)

            traffic.refuse = always(429, Retry_After=in_two_minutes)
            outcomes = await asyncio.gather(*(timed(job.wait()) for job in it.births(count)))
            for error, at in outcomes:
                assert isinstance(error, PollingFailed)
                assert START + 1800.0 <= at <= START + 1800.0 + 130.0
            gaps = gaps_of(traffic.times)
            assert all(120.0 <= gap <= 130.0 for gap in gaps)
            assert len(traffic.arrived) == len(traffic.times) == 16

    @EACH
    async def test_8_each_hint_is_read_anew(
        self, world: Any, traffic: Any, eager: Polling, name: str
    ) -> None:
        hints = [5, 300, 40, 1, 90]
        left = iter(hints)

        def refuse(operation: str, request: web.Request) -> None:
            if (hint := next(left, None)) is not None:
                raise Refusal(503, "not now", headers={"Retry-After": str(hint)})

        traffic.refuse = refuse
        async with world(name, polling=eager) as it:
            (job,) = it.births(1)
            it.end(job.id, after=7.0)
            assert await timed(job.wait()) == (job.data, now())
            # The pause after so many failures is a floor, as the hint is.
            pauses = [max(hint, 2.0**index) for index, hint in enumerate(hints)]
            assert gaps_of(traffic.times)[: len(hints)] == pytest.approx(pauses, abs=0.1)

    @EACH
    async def test_8_a_hint_without_end_holds_no_deadline_up(
        self, world: Any, traffic: Any, eager: Polling, name: str
    ) -> None:
        traffic.refuse = always(429, Retry_After=lambda: "999999999")
        async with world(name, polling=eager) as it:
            (job,) = it.births(1)
            error, at = await timed(job.wait(timeout=77.0))
            assert isinstance(error, WaitTimeout)
            assert at == START + 77.0
            assert len(traffic.arrived) == 1


class TestBadId:
    """10. One bad id spoils a batch of a hundred: the others fail, or are read one by one."""

    LOOK = 1 + 2 * math.ceil(math.log2(100))  # the batch, and two halves at each step

    @staticmethod
    def refuse(traffic: Any, status: int, *bad: Any) -> None:
        ids = {job.id for job in bad}

        def refuse(operation: str, request: web.Request) -> None:
            if not ids.isdisjoint(request.match_info.get("job_id", "").split(",")):
                raise Refusal(status, "cannot deal with this id")

        traffic.refuse = refuse

    @pytest.mark.parametrize("where", [0, 61])
    @pytest.mark.parametrize("status", [400, 404, 500])
    @pytest.mark.parametrize("seen", [True, False], ids=["seen before", "never seen"])
    async def test_10_the_others_proceed_in_a_logarithm_of_requests(
        self, world: Any, traffic: Any, status: int, where: int, seen: bool
    ) -> None:
        async with world("leia", server={"unknown_ids": "404"}) as it:
            jobs = it.births(100)
            waits = [start(job.wait()) for job in jobs]
            if seen:
                await asyncio.sleep(5.0)
                assert traffic.between(START, now()) == ["admin_get_job_statuses"]
            bad, bad_wait = jobs.pop(where), waits.pop(where)
            if status == 404:
                del it.server.jobs[bad.id]
            else:
                self.refuse(traffic, status, bad)
            for job in jobs:
                it.end(job.id, after=START + 15.0 - now())
            outcomes = await asyncio.gather(*waits)
            assert [value for value, _ in outcomes] == [job.data for job in jobs]
            assert {at for _, at in outcomes} == {START + 2 * GAP}
            for look in range(1 if seen else 0, 3):
                begin = START + GAP * look - 1.0
                asked = Counter(traffic.between(begin, begin + GAP))
                assert 1 < asked["admin_get_job_statuses"] <= self.LOOK
                # The odd one itself; and the full snapshots at the end, by the listing.
                assert asked["admin_get_job"] + asked["admin_get_jobs"] <= 1 + 3 * (look == 2)
            assert not bad_wait.done()
            if status == 404:
                error, at = await bad_wait
                assert isinstance(error, JobLost)
                assert START + 30.0 <= at <= START + 40.0

    async def test_10_two_bad_ids_cost_twice_as_much(self, world: Any, traffic: Any) -> None:
        async with world("leia") as it:
            jobs = it.births(100)
            bad = [jobs.pop(80), jobs.pop(10)]
            self.refuse(traffic, 400, *bad)
            waits = [start(job.wait()) for job in [*bad, *jobs]]
            await asyncio.sleep(5.0)
            assert {job.state for job in jobs} == {JobState.RUNNING}
            assert len(traffic.arrived) <= 2 * self.LOOK
            for job in jobs:
                it.end(job.id)
            outcomes = await asyncio.gather(*waits[2:])
            assert {at for _, at in outcomes} == {START + GAP}

    @pytest.mark.parametrize("count", [100, 150])
    async def test_10_a_bad_id_is_tried_less_and_less(
        self, world: Any, traffic: Any, count: int
    ) -> None:
        async with world("leia") as it:
            jobs = it.births(count)
            self.refuse(traffic, 500, jobs[42])
            waits = [start(job.wait()) for job in jobs]
            await asyncio.sleep(700.0)
            usual = math.ceil(count / 100) * 60
            asked = len(traffic.between(START + 95.0, START + 695.0))
            # Once a minute is as often as failures in a row are tried again.
            assert asked <= usual + 11 * self.LOOK
            assert {job.state for job in jobs if job != jobs[42]} == {JobState.RUNNING}
            assert not any(wait.done() for wait in waits)


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the wall clocks of this machine and of the servers by so many seconds, from now on."""
    date = Clock.date

    def jump(seconds: float) -> None:
        since = now()

        def jumped(clock: Clock, at: float | None = None) -> Any:
            moment = clock.time() if at is None else at
            return date(clock, moment) + timedelta(seconds=seconds if moment >= since else 0.0)

        monkeypatch.setattr(Clock, "date", jumped)
        wall = time.time
        monkeypatch.setattr(time, "time", lambda: wall() + seconds)

    return jump


class TestClocks:
    """11. The wall clock jumps, the machine sleeps, the loop stalls: hang, or a burst."""

    @EACH
    @pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["on", "back"])
    async def test_11_the_wall_clock_jumps_by_a_day(
        self, world: Any, traffic: Any, jump: Any, name: str, seconds: float
    ) -> None:
        async with world(name) as it:
            jobs = it.births(12)
            last = it.births(1)[0]
            waits = [start(job.wait()) for job in jobs]
            short = start(last.wait(timeout=203.0))
            for index, job in enumerate(jobs):
                it.end(job.id, after=12.5 + GAP * index)
            await asyncio.sleep(51.0)
            jump(seconds)
            outcomes = await asyncio.gather(*waits)
            assert [value for value, _ in outcomes] == [job.data for job in jobs]
            for job, (_, at) in zip(jobs, outcomes, strict=True):
                assert at <= it.server.ending(job.id).at + 2 * GAP
            error, at = await short
            assert isinstance(error, WaitTimeout)
            assert at == START + 203.0
            assert all(gap == pytest.approx(GAP) for gap in gaps_of(traffic.times)[:-1])

    @EACH
    @pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["on", "back"])
    async def test_11_ages_after_a_jump_stay_sane(
        self, world: Any, traffic: Any, jump: Any, name: str, seconds: float
    ) -> None:
        polling = Polling(min_interval=1.0, max_interval=30.0)
        async with world(name, polling=polling) as it:
            first, second = it.births(2)
            it.end(first.id, after=100.0)
            it.end(second.id, after=150.0)
            await first.refresh()
            jump(seconds)
            await second.refresh()
            asked = len(traffic.arrived)
            await asyncio.gather(first.wait(), second.wait())
            assert now() <= START + 150.0 + 30.0
            gaps = gaps_of(traffic.times)
            assert 0.99 <= min(gaps) <= max(gaps) <= 30.1
            assert len(traffic.arrived) - asked <= 2 * 150

    @BATCHES
    @pytest.mark.parametrize("asleep", [MINUTE, HOUR])
    async def test_11_nothing_is_made_up_for_after_a_stall(
        self, memory: Any, stall: Any, batch: int | None, asleep: float
    ) -> None:
        service = memory(batch=batch, polling=Polling(policy=FixedInterval(1.0)))
        stays = [service.runs(f"stays {index}", 1e6) for index in range(50)]
        ends = [service.runs(f"ends {index}", 30.0 + index / 10) for index in range(50)]
        waits = [start(job.wait()) for job in ends]
        short = [start(job.wait(timeout=20.0 + index / 5)) for index, job in enumerate(stays)]
        long = [start(job.wait(timeout=asleep + 100.0)) for job in stays]
        await asyncio.sleep(10.5)
        begin, looks = now() + asleep, len(service.looks)
        stall(asleep)
        await asyncio.sleep(0.0)
        outcomes = await asyncio.gather(*waits, *short)
        # Whose time was over during the stall is told so at once; ends are seen by the next look.
        assert {at for _, at in outcomes} == {begin}
        assert [value for value, _ in outcomes[:50]] == [f"{job.id} succeeded" for job in ends]
        assert {type(error) for error, _ in outcomes[50:]} == {WaitTimeout}
        await asyncio.sleep(MINUTE)
        assert 60 <= len(service.looks) - looks <= 61
        assert min(gaps_of(service.times)) >= 1.0 - 1e-3
        outcomes = await asyncio.gather(*long)
        assert {at for _, at in outcomes} == {START + asleep + 100.0}

    @BATCHES
    @pytest.mark.parametrize("trouble", ["fails", "misses"])
    async def test_11_an_hour_asleep_is_no_hour_of_failures(
        self, memory: Any, stall: Any, see: Any, batch: int | None, trouble: str
    ) -> None:
        service = memory(batch=batch)
        end = (HOUR + 50.0, see(JobState.SUCCEEDED, data="done", final=True))
        if trouble == "fails":
            service.faults = [None, None, ConnectionResetError("asleep"), TimeoutError("asleep")]
            job = service.script("a", (0.0, see(JobState.RUNNING)), end)
        else:
            back = (HOUR + 30.0, see(JobState.RUNNING))
            job = service.script("a", (0.0, see(JobState.RUNNING)), (15.0, None), back, end)
        wait = start(job.wait())
        await asyncio.sleep(25.0)
        stall(HOUR)
        assert await wait == ("done", START + HOUR + 55.0)
        assert service.times[2:5] == [START + 20.0, START + HOUR + 25.0, START + HOUR + 35.0]

    @EACH
    @pytest.mark.parametrize(
        ("asleep", "when"),
        [(MINUTE, 5.0), (HOUR, 0.5)],
        ids=["a minute between looks", "an hour in a look"],
    )
    async def test_11_a_machine_that_wakes_up_asks_as_usual(
        self, world: Any, traffic: Any, stall: Any, name: str, asleep: float, when: float
    ) -> None:
        traffic.delay = 1.0
        async with world(name, client={"timeout": 30.0}) as it:
            jobs = it.births(30)
            waits = [start(job.wait()) for job in jobs]
            late = start(jobs[-1].wait(timeout=asleep + 400.0))
            await asyncio.sleep(120.0)
            quiet = max(
                len(traffic.between(begin, begin + MINUTE))
                for begin in (START + 40.0, START + 50.0, START + 60.0)
            )
            ended = jobs[:15]
            for job in ended:
                it.end(job.id, after=20.0)
            busy = traffic.times[-1]  # somewhere in the ten seconds, by the round trips so far
            await asyncio.sleep(max(0.0, busy + GAP + when - now()) if when < 1.0 else when)
            stall(asleep)
            begin = now()
            outcomes = await asyncio.gather(*waits[:15])
            assert [value for value, _ in outcomes] == [job.data for job in ended]
            assert now() <= begin + 4 * GAP
            await asyncio.sleep(begin + MINUTE - now())
            reads = len(ended)
            assert len(traffic.between(begin, begin + MINUTE)) <= quiet + reads
            assert not any(wait.done() for wait in [*waits[15:], late])
            error, at = await late
            assert isinstance(error, WaitTimeout)
            assert at == pytest.approx(START + asleep + 400.0, abs=1e-3)


class TestTenMinutesAway:
    """13. The service is away and comes back: waits have failed meanwhile, or all ask at once."""

    COUNT = 400
    AWAY = 600.0

    async def minute(
        self, it: Any, traffic: Any, leave: Any, come_back: Any
    ) -> tuple[Counter[str], float]:
        """What the first minute after the return costs, and how long it takes until all is told."""
        jobs = it.births(self.COUNT)
        for job in jobs:
            it.client._touch(job.id, starts=True)  # as if they had been started from here
        waits = [start(job.wait()) for job in jobs]
        await asyncio.sleep(32.0)
        await leave()
        half = jobs[: self.COUNT // 2]
        for index, job in enumerate(half):
            it.end(job.id, after=self.AWAY * index / len(half) if leave is not nothing else 0.0)
        if leave is not nothing:
            away_since = now()
            await asyncio.sleep(self.AWAY)
            assert len([at for at in traffic.times if at > away_since]) <= 20
        await come_back()
        begin = now()
        outcomes = await asyncio.gather(*waits[: len(half)])
        assert [value for value, _ in outcomes] == [job.data for job in half]
        took = now() - begin
        await asyncio.sleep(max(0.0, begin + MINUTE - now()))
        assert not any(wait.done() for wait in waits[len(half) :])
        return Counter(traffic.between(begin, begin + MINUTE)), took

    @EACH
    async def test_13_all_are_told_and_the_first_minute_is_one_like_others(
        self, world: Any, traffic: Any, name: str
    ) -> None:
        async with world(name) as it:
            # The same population, of which as many end at once while the service is there.
            usual, _ = await self.minute(it, traffic, nothing, nothing)
        for how in ("refused", "503"):
            async with world(name) as it:

                async def leave(it: Any = it, how: str = how) -> None:
                    traffic.refuse = always(503)
                    if how == "refused":
                        await it.server.aclose()

                async def come_back(it: Any = it, how: str = how) -> None:
                    traffic.refuse = None
                    if how == "refused":
                        await it.server.start()

                after, took = await self.minute(it, traffic, leave, come_back)
            assert took <= MINUTE + 3 * GAP
            # Vidispine's listing is swept for deleted jobs every 300 s in any case.
            sweep = math.ceil(self.COUNT / 99) if name == "vidispine" else 0
            assert after.total() <= usual.total() + sweep


async def nothing() -> None:
    pass
