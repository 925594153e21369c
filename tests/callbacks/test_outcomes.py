"""Calls from embedded services, in virtual time: they wake waiters, and decide nothing."""

from __future__ import annotations

import asyncio
import random
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import aiohttp
import looptime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobkit_async import FixedInterval, JobFailed, JobState, Polling, wait_all
from jobkit_async.testing import CallbackFaults, Plan

pytestmark = pytest.mark.looptime

BOTH = pytest.mark.parametrize("name", ["leia", "vidispine"])
RARELY = Polling(policy=FixedInterval(3000.0), max_interval=3000.0)


def lasts(seconds: float) -> Callable[..., Plan]:
    return lambda rng, job_type: Plan(queued=1.0, running=seconds - 1.0)


def mixed(rng: random.Random, job_type: str) -> Plan:
    return Plan(
        queued=rng.uniform(0.1, 10.0),
        running=rng.uniform(0.1, 600.0),
        outcome="failure" if rng.random() < 0.3 else "success",
        message="planned",
    )


@BOTH
async def test_a_call_wakes_the_waiter_at_once(name: str, world: Any, now: Any) -> None:
    async with world(name, planner=lasts(1000.0), polling=RARELY) as it:
        job = await it.start()
        began = now()
        await job.wait()
        assert now() - began == pytest.approx(1000.0, abs=0.5)
        assert it.server.ending(job.id).state is job.state is JobState.SUCCEEDED
        (*_, call) = it.server.calls.made
        assert (call.job, call.status, call.url) == (job.id, 204, it.url)
        assert call.at == pytest.approx(began + 1000.0, abs=0.5)


@BOTH
async def test_without_calls_it_takes_the_next_look(name: str, world: Any, now: Any) -> None:
    async with world(name, planner=lasts(1000.0), polling=RARELY) as it:
        job = await it.start(called=False)
        began = now()
        await job.wait()
        assert now() - began > 2000.0
        assert it.server.calls.made == []


@BOTH
async def test_all_waiters_of_a_job_are_woken(name: str, world: Any, now: Any) -> None:
    async with world(name, planner=lasts(100.0), polling=RARELY) as it:
        job = await it.start()
        other = it.client.job(job.id)
        view = it.client.with_options(retries=0).job(job.id)
        began = now()
        await asyncio.gather(job.wait(), other.wait(timeout=500.0), view.wait())
        assert now() - began == pytest.approx(100.0, abs=0.5)


async def test_the_address_in_the_body_will_do(world: Any, now: Any) -> None:
    from jobkit_async.services.leia import models

    async with world("leia", planner=lasts(100.0), polling=RARELY) as it:
        body = models.ApplyBody(callback_url=it.url, callback_headers={"X-From": "leia"})
        job = await it.client.models.admin_apply_model_async("app-1", it.model, ["d"], body=body)
        assert job._record in it.client._tracker._nudges._promised
        began = now()
        await job.wait()
        assert now() - began == pytest.approx(100.0, abs=0.5)


async def test_only_our_own_address_promises_a_call(world: Any) -> None:
    async with world("leia") as it:
        await it.client.models.admin_apply_model_async(
            "app-1", it.model, ["d"], callback_url="http://127.0.0.1:1/elsewhere"
        )
        assert not it.client._tracker._nudges.any_promised
        await it.start(called=False)
        assert not it.client._tracker._nudges.any_promised
        await it.start()
        assert it.client._tracker._nudges.any_promised


@BOTH
async def test_cancelling_is_called_about_too(name: str, world: Any, now: Any) -> None:
    async with world(name, planner=lasts(5000.0), polling=RARELY) as it:
        job = await it.start()
        task = asyncio.ensure_future(job.wait(check=False))
        await asyncio.sleep(100.0)
        # By somebody else, so that nothing here knows of it.
        async with aiohttp.ClientSession() as session:
            if name == "leia":
                url = f"{it.server.base_url}/admin/app-1/job/{job.id}"
                sent = session.delete(url, headers={"token": "leia-token"})
            else:
                headers = {"Authorization": "Basic " + b64encode(b"user:secret").decode()}
                sent = session.delete(f"{it.server.base_url}/job/{job.id}", headers=headers)
            async with sent as response:
                assert response.status < 300
        began = now()
        await task
        assert job.state is JobState.CANCELLED
        assert now() - began < 2.0


# -- what goes wrong with calls


@BOTH
@pytest.mark.parametrize(
    "faults",
    [
        CallbackFaults(),
        CallbackFaults(lost=1.0),
        CallbackFaults(late=1.0, delay=600.0),
        CallbackFaults(doubled=1.0),
        CallbackFaults(doubled=1.0, late=0.5, delay=100.0),
        CallbackFaults(lost=0.3, doubled=0.3, late=0.5, delay=300.0, seed=3),
    ],
    ids=["none", "lost", "late", "doubled", "reordered", "all"],
)
async def test_no_fault_of_calls_changes_an_outcome(
    name: str, faults: CallbackFaults, world: Any
) -> None:
    async with world(name, planner=mixed, seed=5) as it:
        it.server.calls.faults = faults
        jobs = [await it.start(called=i % 4 > 0) for i in range(16)]
        outcomes = await wait_all(jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            assert outcome.state is it.server.ending(job.id).state
            assert outcome.data is not None
            assert isinstance(outcome.error, JobFailed | None)
        assert {outcome.state for outcome in outcomes} == {JobState.SUCCEEDED, JobState.FAILED}
        statuses = {call.status for call in it.server.calls.made}
        assert statuses <= {204}


@given(
    name=st.sampled_from(["leia", "vidispine"]),
    lost=st.floats(0, 1),
    doubled=st.floats(0, 1),
    late=st.floats(0, 1),
    delay=st.floats(0, 2000),
    seed=st.integers(0, 1000),
    forged=st.lists(st.tuples(st.floats(0.1, 60), st.integers(0, 12)), max_size=20),
)
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_outcomes_are_those_of_the_ledger_whatever_is_called(
    world: Any,
    name: str,
    lost: float,
    doubled: float,
    late: float,
    delay: float,
    seed: int,
    forged: list[tuple[float, int]],
) -> None:
    async def run() -> None:
        async with world(name, planner=mixed, seed=seed) as it:
            it.server.calls.faults = CallbackFaults(
                lost=lost, doubled=doubled, late=late, delay=delay, seed=seed
            )
            jobs = [await it.start() for _ in range(8)]
            waiting = asyncio.ensure_future(wait_all(jobs))
            ids = [*(job.id for job in jobs), "unknown", "", "VX-999", "5f1e", "x" * 999]
            async with aiohttp.ClientSession() as session:
                for pause, index in forged:
                    await asyncio.sleep(pause)
                    if name == "leia":
                        body: Any = {"id": ids[index], "status": "PROCESSED", "result": "forged"}
                    else:
                        pairs = {"jobId": ids[index], "status": "FINISHED", "action": "STOP"}
                        body = {"field": [{"key": k, "value": v} for k, v in pairs.items()]}
                    async with session.post(it.url, json=body) as response:
                        assert response.status == 204
            outcomes = await waiting
            for job, outcome in zip(jobs, outcomes, strict=True):
                assert outcome.state is it.server.ending(job.id).state
                assert (outcome.error is None) is (outcome.state is JobState.SUCCEEDED)

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=100.0)) as runner:
        runner.run(run())


@BOTH
async def test_a_forged_end_is_not_believed(name: str, world: Any, now: Any) -> None:
    async with world(name, planner=lasts(1000.0), polling=RARELY) as it:
        it.server.calls.faults = CallbackFaults(lost=1.0)
        job = await it.start()
        task = asyncio.ensure_future(job.wait())
        await asyncio.sleep(5.0)
        looks = it.looks
        ends = {
            "leia": {"id": job.id, "status": "FAILED", "reason": "forged"},
            "vidispine": {"field": [{"key": "jobId", "value": job.id}]},
        }
        async with aiohttp.ClientSession() as session:
            for body in (ends[name], {**ends[name], "more": "of it"}):
                async with session.post(it.url, json=body) as response:
                    assert response.status == 204
        await asyncio.sleep(600.0)
        assert not task.done()
        assert it.looks - looks == 2  # one each, half a second apart
        await task
        assert job.state is JobState.SUCCEEDED


@BOTH
async def test_the_service_may_lag_behind_its_call(name: str, world: Any, now: Any) -> None:
    # The call comes while reads still show the job running: a look finds it in the end.
    async with world(name, planner=lasts(60.0)) as it:
        it.server.calls.faults = CallbackFaults(lost=1.0)
        job = await it.start()
        task = asyncio.ensure_future(job.wait())
        await asyncio.sleep(59.0)
        it.client._tracker.nudge(job.id)
        await task
        assert now() < 400.0


# -- the price


@BOTH
async def test_calls_save_looks_and_delay(name: str, world: Any, now: Any) -> None:
    looks: dict[bool, float] = {}
    delays: dict[bool, float] = {}
    for called in (True, False):
        async with world(name, planner=mixed, seed=9) as it:
            late: list[float] = []
            if name == "vidispine":  # by default it calls whenever a status changes
                it.notification = it.server.add_notification(it.url, actions=["STOP"])

            async def follow(job: Any, it: Any = it, late: list[float] = late) -> None:
                await job.wait(check=False)
                late.append(now() - it.server.ending(job.id).at)

            async with asyncio.TaskGroup() as group:
                for _ in range(15):
                    group.create_task(follow(await it.start(called=called)))
                    await asyncio.sleep(30.0)
            looks[called], delays[called] = it.looks, sum(late) / len(late)
    assert delays[True] < 0.1
    assert delays[False] > 3.0
    assert looks[True] < looks[False]


@pytest.mark.slow
async def test_where_no_call_ever_comes_waits_become_as_prompt_as_without(
    world: Any, now: Any
) -> None:
    delays: dict[bool, float] = {}
    for called in (True, False):
        async with world(
            "leia", planner=mixed, seed=9, polling=Polling(rng=random.Random(1))
        ) as it:
            it.server.calls.faults = CallbackFaults(lost=1.0)
            late: list[float] = []
            for _ in range(40):
                job = await it.start(called=called)
                await job.wait(check=False)
                late.append(now() - it.server.ending(job.id).at)
            delays[called] = sum(late[15:]) / len(late[15:])
    assert delays[True] < 1.5 * delays[False]


# -- before anybody waits


@BOTH
async def test_a_call_before_the_wait_begins(name: str, world: Any, now: Any) -> None:
    async with world(name, planner=lasts(5.0), polling=RARELY) as it:
        job = await it.start()
        await asyncio.sleep(100.0)
        assert it.server.calls.made
        began = now()
        await job.wait()
        assert now() - began < 1.0


@BOTH
async def test_a_closed_client_is_called_in_vain(name: str, world: Any) -> None:
    async with world(name, planner=lasts(50.0)) as it:
        await it.start()
        await it.client.aclose()
        await asyncio.sleep(100.0)
        assert {call.status for call in it.server.calls.made} == {204}
