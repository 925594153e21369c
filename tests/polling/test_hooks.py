"""What hooks are told of looks and of detected ends, on all services."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobkit_async import (
    EndEvent,
    Hooks,
    JobCancelled,
    JobState,
    LookEvent,
    Polling,
    RequestEvent,
    WaitTimeout,
    wait_all,
)
from jobkit_async.hooks import Reporter
from jobkit_async.polling.record import Record
from jobkit_async.polling.report import Report
from jobkit_async.polling.watch import Entry, Verdict, VerdictKind
from jobkit_async.registry import service_names

pytestmark = pytest.mark.looptime(end=100_000)

START = datetime(2026, 5, 1, tzinfo=UTC)


def now() -> float:
    return asyncio.get_running_loop().time()


class Kept(Hooks):
    """Keeps what it is told, and when."""

    def __init__(self) -> None:
        self.polls = 0
        self.looks: list[LookEvent] = []
        self.ends: list[tuple[float, EndEvent]] = []

    def on_request(self, event: RequestEvent) -> None:
        self.polls += event.poll

    def on_look(self, event: LookEvent) -> None:
        self.looks.append(event)

    def on_end(self, event: EndEvent) -> None:
        self.ends.append((now(), event))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("service", service_names())
async def test_looks_and_ends_are_those_of_the_server(
    service: str, count: int, world: Any, kept: Kept
) -> None:
    async with world(service, client={"hooks": kept}) as it:
        jobs = it.births(count)
        for number, job in enumerate(jobs):
            it.end(job.id, after=15.0 + number)
        waits = [asyncio.create_task(job.wait()) for job in [*jobs, jobs[0]]]
        await asyncio.gather(*waits)
        asked = sum(it.requests().values())
        real = sorted(ending.at for ending in it.server.endings().values())
    assert kept.polls == sum(look.requests for look in kept.looks) == asked
    # One event for each job, though one of them has two waiters.
    assert sum(look.ended for look in kept.looks) == len(kept.ends) == count
    assert {look.service for look in kept.looks} == {service}
    assert kept.looks[0].asked == count
    assert all(0 <= look.seen <= look.asked for look in kept.looks)
    assert all(look.missing == look.failed == 0 for look in kept.looks)
    assert {event.state for _, event in kept.ends} == {JobState.SUCCEEDED}
    assert all(event.kind for _, event in kept.ends)
    ends = sorted(at - event.delay for at, event in kept.ends if event.delay is not None)
    assert ends == pytest.approx(real, abs=1.0)


async def test_duration_and_looks(world: Any, kept: Kept) -> None:
    async with world("leia", client={"hooks": kept}) as it:
        job = it.birth()
        it.end(job.id, after=35.0)
        await it.client.job(job.id).wait()
    ((at, event),) = kept.ends
    assert event.duration == pytest.approx(35.0, abs=1.0)
    assert event.looks == len(kept.looks) - 2 >= 3  # but for the one that saw the end, and its read
    assert event.delay == pytest.approx(at - 35.0, abs=1.0)


async def test_what_ended_before_anybody_waited_has_no_delay(world: Any, kept: Kept) -> None:
    async with world("leia", client={"hooks": kept}) as it:
        job = it.birth()
        it.end(job.id, after=10.0)
        await asyncio.sleep(500)
        await it.client.job(job.id).wait()
    ((_, event),) = kept.ends
    assert event.delay is None
    assert event.duration == pytest.approx(10.0, abs=1.0)


async def test_an_end_is_told_once(world: Any, kept: Kept) -> None:
    async with world("ecotaxa", client={"hooks": kept}) as it:
        job = it.client.job(it.birth().id)
        it.end(job.id, after=5.0, how="E")
        await job.wait(check=False)
        looks = len(kept.looks)
        await job.wait(check=False)  # EcoTaxa's failures can be undone, so it looks again
        assert len(kept.looks) == looks + 1
        assert len(kept.ends) == 1
        it.server.jobs[job.id].plan_anew(now(), [(0.0, "R", {"progress_msg": "Again"})])
        wait = asyncio.create_task(job.wait())
        await asyncio.sleep(25)
        it.end(job.id, after=5.0)
        await wait
    assert len(kept.ends) == 2


async def test_an_end_that_a_call_shows_is_told(world: Any, kept: Kept) -> None:
    async with world("leia", client={"hooks": kept}) as it:
        job = it.client.job(it.birth().id)
        wait = asyncio.create_task(job.wait())
        await asyncio.sleep(12)
        it.end(job.id, after=1.0)
        await asyncio.sleep(3)
        looks = list(kept.looks)
        await job.refresh()
        await wait
        await asyncio.sleep(100)
    ((_, event),) = kept.ends
    assert event.delay == pytest.approx(2.0, abs=1.0)
    assert event.looks == len(looks)
    assert sum(look.ended for look in kept.looks) == 0


async def test_a_cancelled_job_that_is_gone_has_ended(world: Any, kept: Kept) -> None:
    async with world("bsubio", client={"hooks": kept}) as it:
        job = it.client.job(it.birth().id)
        wait = asyncio.create_task(job.wait())
        await asyncio.sleep(12)
        del it.server.jobs[job.id]
        it.client._touch(job.id, cancels=True)  # as after a cancellation that was accepted
        with pytest.raises(JobCancelled):
            await wait
    ((_, event),) = kept.ends
    assert (event.state, event.delay) == (JobState.CANCELLED, None)
    assert kept.looks[-1].missing == kept.looks[-1].ended == 1


async def test_looks_that_fail_or_miss_are_told(world: Any, traffic: Any, kept: Kept) -> None:
    from aiohttp import web

    traffic.refuse = lambda operation, request: web.Response(status=500, text="oops")
    async with world("leia", client={"hooks": kept}) as it:
        jobs = it.births(3)
        outcomes = await wait_all(jobs, timeout=15)
        assert all(isinstance(outcome.error, WaitTimeout) for outcome in outcomes)
        assert {look.failed for look in kept.looks} == {3}
        assert {look.seen for look in kept.looks} == {0}
        kept.looks.clear()
        traffic.refuse = None
        for job in jobs[:2]:
            del it.server.jobs[job.id]
        await wait_all(jobs, timeout=15)
    assert {(look.seen, look.missing, look.failed) for look in kept.looks} == {(1, 0, 0), (0, 2, 0)}
    assert kept.ends == []


def test_a_delay_is_no_less_than_nothing_and_no_more_than_was_waited(see: Any) -> None:
    """The service's clock may be misjudged by a second or so."""
    kept: list[EndEvent] = []

    class Ends(Hooks):
        def on_end(self, event: EndEvent) -> None:
            kept.append(event)

    reporter = Reporter(Ends(), service="memory", base_url="http://memory")
    report = Report(reporter.for_polls(), lambda at: START.timestamp() + at)

    def delay(ended: float, *, alive: float | None = None) -> float | None:
        entry: Entry[str] = Entry(Record("a"))
        report.awaited(entry.record, 100.0)
        entry.was_alive_at = alive
        end = see(JobState.SUCCEEDED, ended_at=START + timedelta(seconds=ended))
        report.decided(entry, Verdict(VerdictKind.SUCCEEDED, end), 130.0)
        return kept.pop().delay

    assert delay(120.0) == 10.0
    assert delay(131.0) == 0.0
    assert delay(99.0) == 30.0
    assert delay(97.0) is None
    assert delay(97.0, alive=90.0) is None
    assert delay(110.0, alive=125.0) == 5.0
    entry: Entry[str] = Entry(Record("a"))
    report.awaited(entry.record, 100.0)
    unset = see(JobState.FAILED, ended_at=datetime(1, 1, 1, tzinfo=UTC), created_at=START)
    report.decided(entry, Verdict(VerdictKind.FAILED, unset), 130.0)
    assert (kept[0].delay, kept[0].duration) == (None, None)


async def test_polls_run_in_no_context_of_a_waiter(world: Any) -> None:
    place = contextvars.ContextVar("place", default="nowhere")
    places: set[tuple[bool, str]] = set()

    class Placed(Hooks):
        def on_request(self, event: RequestEvent) -> None:
            places.add((event.poll, place.get()))

    polling = Polling()
    async with world("bsubio", client={"hooks": Placed()}, polling=polling) as it:
        place.set("here")
        job = it.client.job(it.birth().id)
        it.end(job.id, after=3.0)
        await job.wait()
        await job.refresh()
    assert places == {(True, "nowhere"), (False, "here")}
