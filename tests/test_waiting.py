"""Waiting for several jobs at once, in virtual time, on the embedded services."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import pytest

from jobkit_async import as_completed, wait_all
from jobkit_async.errors import (
    ClientClosed,
    InvalidArgument,
    JobError,
    JobFailed,
    JobLost,
    JobNeedsInput,
    WaitTimeout,
)
from jobkit_async.fakes.timeline import Plan
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.services.ecotaxa.client import EcotaxaClient
from jobkit_async.services.ecotaxa.fake import FakeEcotaxa
from jobkit_async.services.vidispine.client import VidispineClient
from jobkit_async.services.vidispine.fake import FakeVidispine
from jobkit_async.states import JobState
from jobkit_async.waiting import Outcome

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=20_000)  # what would hang fails

S = JobState


def now() -> float:
    return asyncio.get_running_loop().time()


@attrs.define
class Both:
    """Two services, and a client of each; jobs of both run for so many seconds."""

    ecotaxa_server: FakeEcotaxa
    vidispine_server: FakeVidispine
    ecotaxa: EcotaxaClient
    vidispine: VidispineClient
    plan: Plan = attrs.field(factory=Plan)

    def eco(self, seconds: float, outcome: Any = "success") -> Any:
        self.plan = Plan(queued=0.0, running=seconds, outcome=outcome)
        return self.ecotaxa.job(self.ecotaxa_server.create_job().id)

    def vidi(self, seconds: float, outcome: Any = "success") -> Any:
        self.plan = Plan(queued=0.0, running=seconds, outcome=outcome)
        return self.vidispine.job(self.vidispine_server.create_job("TRANSCODE").id)

    @property
    def waiters(self) -> int:
        """Watches of both trackers."""
        return sum(
            len(entry.watches)
            for client in (self.ecotaxa, self.vidispine)
            for entry in client._tracker._entries.values()
        )

    @property
    def requests(self) -> int:
        servers = (self.ecotaxa_server, self.vidispine_server)
        return sum(sum(server.requests.values()) for server in servers)


@asynccontextmanager
async def both() -> AsyncIterator[Both]:
    polling = Polling(policy=FixedInterval(1.0))
    holder: list[Both] = []

    def planner(rng: Any, job_type: str) -> Plan:
        return holder[0].plan

    async with AsyncExitStack() as stack:
        eco = await stack.enter_async_context(FakeEcotaxa(planner=planner))
        vidi = await stack.enter_async_context(FakeVidispine(planner=planner))
        holder.append(
            Both(
                eco,
                vidi,
                await stack.enter_async_context(
                    EcotaxaClient(token="eco-token", base_url=eco.base_url, polling=polling)
                ),
                await stack.enter_async_context(
                    VidispineClient(
                        username="user",
                        password="secret",
                        base_url=vidi.base_url,
                        polling=polling,
                    )
                ),
            )
        )
        yield holder[0]


async def failure(awaitable: Awaitable[Any]) -> Exception | None:
    try:
        await awaitable
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error
    return None


class TestWaitAll:
    async def test_outcomes_come_in_the_order_of_the_handles(self) -> None:
        async with both() as it:
            jobs = [it.eco(30.0), it.vidi(5.0), it.eco(1.0, "failure"), it.vidi(20.0)]
            outcomes = await wait_all(jobs)
            assert [outcome.job for outcome in outcomes] == jobs
            assert all(outcome.job is job for outcome, job in zip(outcomes, jobs, strict=True))
            assert [outcome.state for outcome in outcomes] == [
                S.SUCCEEDED,
                S.SUCCEEDED,
                S.FAILED,
                S.SUCCEEDED,
            ]
            assert [outcome.data for outcome in outcomes] == [job.data for job in jobs]
            assert [type(outcome.error) for outcome in outcomes].count(JobFailed) == 1
            assert all(outcome.done for outcome in outcomes)
            assert START + 30.0 <= now() <= START + 31.5
            assert it.waiters == 0

    async def test_no_error_of_a_job_is_raised(self) -> None:
        async with both() as it:
            jobs = [
                it.eco(5.0, "failure"),
                it.eco(8.0, "question"),
                it.ecotaxa.job(4711),
                it.vidi(1000.0),
            ]
            outcomes = await wait_all(jobs, timeout=60.0)
            errors = [type(outcome.error) for outcome in outcomes]
            assert errors == [JobFailed, JobNeedsInput, JobLost, WaitTimeout]
            assert [outcome.data is None for outcome in outcomes] == [False, True, True, True]
            assert now() == pytest.approx(START + 60.0)

    async def test_it_costs_what_one_wait_costs(self) -> None:
        async with both() as it:
            jobs = [it.eco(20.0) for _ in range(50)]
            await wait_all(jobs)
            assert it.requests <= 22

    async def test_nothing_to_wait_for(self) -> None:
        assert await wait_all([]) == []
        assert await wait_all(iter(()), return_when=asyncio.FIRST_COMPLETED) == []

    async def test_any_iterable_will_do(self) -> None:
        async with both() as it:
            outcomes = await wait_all(it.eco(float(n)) for n in range(3))
            assert [outcome.state for outcome in outcomes] == [S.SUCCEEDED] * 3

    async def test_a_job_that_is_given_twice_has_two_outcomes(self) -> None:
        async with both() as it:
            job = it.eco(5.0)
            outcomes = await wait_all([job, it.vidi(3.0), job, it.ecotaxa.job(job.id)])
            assert [outcome.state for outcome in outcomes] == [S.SUCCEEDED] * 4
            assert outcomes[0].data is outcomes[2].data is outcomes[3].data
            assert it.waiters == 0

    async def test_the_first_that_ends(self) -> None:
        async with both() as it:
            jobs = [it.eco(30.0), it.vidi(5.0, "failure"), it.eco(50.0)]
            outcomes = await wait_all(jobs, return_when=asyncio.FIRST_COMPLETED)
            assert [outcome.done for outcome in outcomes] == [False, True, False]
            assert START + 5.0 <= now() <= START + 6.5
            assert outcomes[0].error is None
            assert (outcomes[0].state, outcomes[0].data) == (S.RUNNING, None)
            assert it.waiters == 0
            await asyncio.sleep(1.0)
            before = it.requests
            await asyncio.sleep(100.0)
            assert it.requests == before

    async def test_the_first_error(self) -> None:
        async with both() as it:
            jobs = [it.eco(2.0), it.vidi(5.0, "failure"), it.eco(50.0), it.vidi(1.0)]
            outcomes = await wait_all(jobs, return_when=asyncio.FIRST_EXCEPTION)
            assert [outcome.done for outcome in outcomes] == [True, True, False, True]
            assert isinstance(outcomes[1].error, JobFailed)
            assert it.waiters == 0

    async def test_without_an_error_the_first_error_is_all(self) -> None:
        async with both() as it:
            jobs = [it.eco(2.0), it.vidi(5.0)]
            outcomes = await wait_all(jobs, return_when=asyncio.FIRST_EXCEPTION)
            assert [outcome.done for outcome in outcomes] == [True, True]

    async def test_an_end_that_is_known_is_the_first(self) -> None:
        async with both() as it:
            known = it.vidi(1.0)
            await known.wait()
            begin, before = now(), it.requests
            outcomes = await wait_all([it.eco(50.0), known], return_when=asyncio.FIRST_COMPLETED)
            assert [outcome.done for outcome in outcomes] == [False, True]
            assert (now(), it.requests) == (begin, before)

    async def test_a_timeout_ends_those_that_are_left(self) -> None:
        async with both() as it:
            jobs = [it.eco(5.0), it.vidi(500.0), it.eco(500.0)]
            outcomes = await wait_all(jobs, timeout=20.0)
            assert [type(outcome.error) for outcome in outcomes[1:]] == [WaitTimeout] * 2
            assert [outcome.done for outcome in outcomes] == [True] * 3
            assert outcomes[0].unwrap() is jobs[0].data
            assert now() == START + 20.0

    async def test_a_timeout_of_zero_is_one_look_at_each(self) -> None:
        async with both() as it:
            jobs = [it.eco(500.0), it.eco(0.0), it.vidi(500.0), it.vidi(0.0)]
            await asyncio.sleep(0.1)
            begin = now()
            outcomes = await wait_all(jobs, timeout=0)
            assert [outcome.state for outcome in outcomes] == [
                S.RUNNING,
                S.SUCCEEDED,
                S.RUNNING,
                S.SUCCEEDED,
            ]
            assert now() == begin
            assert it.ecotaxa_server.requests == {"list_jobs": 1}

    async def test_cancelling_it_leaves_nothing_behind(self) -> None:
        async with both() as it:
            waiting = asyncio.create_task(wait_all([it.eco(500.0), it.vidi(500.0)]))
            await asyncio.sleep(5.0)
            assert it.waiters == 2
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert it.waiters == 0

    async def test_closing_a_client_is_an_outcome_of_its_jobs(self) -> None:
        async with both() as it:
            waiting = asyncio.create_task(wait_all([it.eco(500.0), it.vidi(20.0)]))
            await asyncio.sleep(5.0)
            await it.ecotaxa.aclose()
            outcomes = await waiting
            assert isinstance(outcomes[0].error, ClientClosed)
            assert outcomes[1].state is S.SUCCEEDED

    async def test_a_closed_client_is_refused_before_anything_is_asked(self) -> None:
        async with both() as it:
            known = it.eco(0.0)
            await known.wait()
            jobs = [it.vidi(5.0), it.eco(5.0), known]
            await it.ecotaxa.aclose()
            before = it.requests
            assert isinstance(await failure(wait_all(jobs)), ClientClosed)
            assert (it.waiters, it.requests) == (0, before)
            (outcome,) = await wait_all([known])
            assert outcome.unwrap() is known.data

    @pytest.mark.parametrize(
        ("arguments", "options", "name"),
        [
            (7, {}, "jobs"),
            (["x"], {}, "jobs"),
            ([None], {}, "jobs"),
            ([], {"timeout": -1}, "timeout"),
            ([], {"return_when": "SOMETIME"}, "return_when"),
        ],
    )
    async def test_arguments_out_of_bounds_are_refused(
        self, arguments: Any, options: Any, name: str
    ) -> None:
        error = await failure(wait_all(arguments, **options))
        assert isinstance(error, InvalidArgument)
        assert error.argument == name


class TestOutcome:
    async def test_unwrap_gives_the_snapshot_or_raises(self) -> None:
        async with both() as it:
            good, bad, asks = it.eco(1.0), it.vidi(1.0, "failure"), it.eco(2.0, "question")
            outcomes = await wait_all([good, bad, asks])
            assert outcomes[0].unwrap() is good.data
            with pytest.raises(JobFailed) as failed:
                outcomes[1].unwrap()
            assert failed.value is outcomes[1].error
            with pytest.raises(JobNeedsInput):
                outcomes[2].unwrap()

    async def test_unwrap_of_a_wait_that_goes_on(self) -> None:
        async with both() as it:
            job = it.eco(500.0)
            with pytest.raises(JobError) as caught:
                Outcome(job, job.state, done=False).unwrap()
            assert caught.value.ref == job.ref


class TestAsCompleted:
    async def test_outcomes_come_as_the_jobs_end(self) -> None:
        async with both() as it:
            jobs = [it.eco(30.0), it.vidi(5.0), it.eco(15.0, "failure"), it.vidi(45.0)]
            came: list[Any] = []
            async with as_completed(jobs) as outcomes:
                async for outcome in outcomes:
                    came.append((jobs.index(outcome.job), outcome.state))
                    ends = [5.0, 15.0, 30.0, 45.0]
                    assert ends[len(came) - 1] <= now() - START <= ends[len(came) - 1] + 1.5
            assert came == [(1, S.SUCCEEDED), (2, S.FAILED), (0, S.SUCCEEDED), (3, S.SUCCEEDED)]
            assert it.waiters == 0

    async def test_several_clients_of_one_service(self) -> None:
        async with both() as it:
            url = it.ecotaxa_server.base_url
            async with EcotaxaClient(token="eco-token", base_url=url) as second:
                first = it.eco(3.0)
                other = second.job(it.eco(6.0).id)
                outcomes = [outcome.job async for outcome in as_completed([other, first])]
                assert [job.id for job in outcomes] == [first.id, other.id]

    async def test_nothing_to_wait_for(self) -> None:
        assert [outcome async for outcome in as_completed()] == []
        assert [outcome async for outcome in as_completed([])] == []

    async def test_known_ends_come_at_once(self) -> None:
        async with both() as it:
            known = it.vidi(1.0)
            await known.wait()
            await it.vidispine.aclose()
            (outcome,) = [outcome async for outcome in as_completed([known])]
            assert outcome.unwrap() is known.data

    async def test_a_job_is_waited_for_once_however_often_it_is_given(self) -> None:
        async with both() as it:
            job = it.eco(5.0)
            waiting = as_completed([job, job])
            waiting.add(it.ecotaxa.job(job.id))
            assert len(waiting) == 1
            assert len([outcome async for outcome in waiting]) == 1

    async def test_jobs_can_be_added_on_the_way(self) -> None:
        async with both() as it:
            seen = []
            async with as_completed([it.eco(5.0)]) as outcomes:
                async for outcome in outcomes:
                    seen.append(outcome.job)
                    if len(seen) < 4:
                        outcomes.add(it.vidi(3.0) if len(seen) % 2 else it.eco(3.0))
            assert len(set(seen)) == 4
            assert it.waiters == 0

    async def test_a_job_added_while_somebody_waits_is_waited_for(self) -> None:
        async with both() as it:
            outcomes = as_completed([it.eco(50.0)])
            next_one = asyncio.create_task(anext(outcomes))
            await asyncio.sleep(5.0)
            quick = it.vidi(3.0)
            outcomes.add(quick)
            assert (await next_one).job == quick
            outcomes.close()

    async def test_a_need_for_input_is_an_outcome_and_may_be_added_again(self) -> None:
        async with both() as it:
            asking = it.eco(10.0, "question")
            told: list[Any] = []
            async with as_completed([asking, it.vidi(30.0)]) as outcomes:
                async for outcome in outcomes:
                    told.append(type(outcome.error).__name__)
                    if isinstance(outcome.error, JobNeedsInput):
                        assert outcome.error.needs == "answer"
                        await outcome.job.answer(
                            {"users": {"Jane Doe": 1}, "taxa": {"Calanoida": 2}}
                        )
                        outcomes.add(outcome.job)
            assert told == ["JobNeedsInput", "NoneType", "NoneType"]
            assert asking.state is S.SUCCEEDED

    async def test_a_lost_job_and_a_closed_client_are_outcomes(self) -> None:
        async with both() as it:
            told: dict[Any, Any] = {}
            lost, closed = it.vidispine.job("VX-4711"), it.eco(500.0)
            async with as_completed([lost, closed, it.vidi(5.0)]) as outcomes:
                async for outcome in outcomes:
                    told[outcome.job] = type(outcome.error)
                    if len(told) == 2:
                        await it.ecotaxa.aclose()
            assert told[lost] is JobLost
            assert told[closed] is ClientClosed

    async def test_leaving_early_leaves_no_waiter_behind(self) -> None:
        async with both() as it:
            jobs = [it.eco(5.0), it.eco(500.0), it.vidi(500.0)]
            async with as_completed(jobs) as outcomes:
                async for _ in outcomes:
                    break
            assert it.waiters == 0
            await asyncio.sleep(1.0)
            before = it.requests
            await asyncio.sleep(100.0)
            assert it.requests == before
            assert it.ecotaxa_server.ending(jobs[1].id) is None

    async def test_leaving_by_an_error_leaves_no_waiter_behind(self) -> None:
        async with both() as it:
            with pytest.raises(ZeroDivisionError):
                async with as_completed([it.eco(500.0)]):
                    raise ZeroDivisionError
            assert it.waiters == 0

    async def test_one_that_is_thrown_away_leaves_no_waiter_behind(self) -> None:
        async with both() as it:
            async for _ in as_completed([it.eco(5.0), it.eco(500.0), it.vidi(500.0)]):
                break
            gc.collect()
            await asyncio.sleep(1.0)
            assert it.waiters == 0

    async def test_one_that_is_thrown_away_unused_is_collected(self) -> None:
        async with both() as it:
            outcomes = as_completed([it.eco(500.0)])
            ref = weakref.ref(outcomes)
            await asyncio.sleep(5.0)
            del outcomes
            gc.collect()
            assert ref() is None
            assert it.waiters == 0

    async def test_closing_ends_the_iteration(self) -> None:
        async with both() as it:
            outcomes = as_completed([it.eco(5.0), it.eco(500.0)])
            seen = [await anext(outcomes)]
            waiting = asyncio.create_task(anext(outcomes, None))
            await asyncio.sleep(5.0)
            outcomes.close()
            outcomes.close()
            assert await waiting is None
            assert len(seen) == 1
            assert it.waiters == 0

    async def test_cancelling_a_reader_loses_no_outcome(self) -> None:
        async with both() as it:
            outcomes = as_completed([it.eco(20.0)])
            reader = asyncio.create_task(anext(outcomes))
            await asyncio.sleep(5.0)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            assert (await anext(outcomes)).state is S.SUCCEEDED

    async def test_two_readers_share_the_outcomes(self) -> None:
        async with both() as it:
            jobs = [it.eco(float(5 * n)) for n in range(1, 7)]
            outcomes = as_completed(jobs)

            async def read() -> list[Any]:
                return [outcome.job async for outcome in outcomes]

            async with asyncio.timeout(500.0):
                first, second = await asyncio.gather(read(), read())
            assert sorted(job.id for job in first + second) == [job.id for job in jobs]

    async def test_length_and_repr_tell_what_is_to_come(self) -> None:
        async with both() as it:
            outcomes = as_completed([it.eco(5.0), it.eco(500.0)])
            assert (len(outcomes), repr(outcomes)) == (2, "<AsCompleted: 0 ready, 2 to come>")
            await asyncio.sleep(10.0)
            assert (len(outcomes), repr(outcomes)) == (2, "<AsCompleted: 1 ready, 1 to come>")
            outcomes.close()
            assert len(outcomes) == 1

    async def test_what_is_no_handle_is_refused(self) -> None:
        async with both() as it:
            outcomes = as_completed()
            for call in (lambda: as_completed([7]), lambda: outcomes.add("x")):  # type: ignore[list-item,arg-type]  # so they are
                with pytest.raises(InvalidArgument) as caught:
                    call()
                assert caught.value.argument == "jobs"
            assert it.waiters == 0

    async def test_a_closed_client_among_the_first_leaves_no_waiter_behind(self) -> None:
        async with both() as it:
            jobs = [it.vidi(500.0), it.eco(500.0)]
            await it.ecotaxa.aclose()
            with pytest.raises(ClientClosed):
                as_completed(jobs)
            gc.collect()
            assert it.waiters == 0
