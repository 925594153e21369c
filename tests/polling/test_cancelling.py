"""A job that is looked at while the call that cancels it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jobkit_async.caller import Caller
from jobkit_async.errors import (
    JobCancelled,
    JobEnded,
    JobFailed,
    RequestTimeout,
)
from jobkit_async.fakes.server import Refusal
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=20_000)  # what would hang fails

S = JobState
CANCELS = {
    "bsubio": "cancel_job",
    "ecotaxa": "erase_job",
    "leia": "admin_cancel_job",
    "vidispine": "abort_job",
}
EACH = pytest.mark.parametrize("name", CANCELS)
SLOW = 4.0
"""Seconds that the answer to a cancellation takes; jobs are looked at each second."""


@pytest.fixture
def polling() -> Polling:
    return Polling(policy=FixedInterval(1.0))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has answers to cancellations come late, and the first of them not at all."""
    original = Caller._send

    def meddle(*, lost: int = 0) -> None:
        left = [lost]

        async def send(self: Caller, request: Any, headers: Any, time: Any) -> Any:
            if request.operation not in CANCELS.values():
                return await original(self, request, headers, time)
            try:
                return await original(self, request, headers, time)
            finally:
                await asyncio.sleep(SLOW)
                if left[0] > 0:
                    left[0] -= 1
                    raise RequestTimeout("no answer", operation=request.operation)

        monkeypatch.setattr(Caller, "_send", send)

    return meddle


async def result(awaitable: Awaitable[Any]) -> Any:
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error


async def waited(it: Any, count: int) -> tuple[Any, asyncio.Task[Any], list[asyncio.Task[Any]]]:
    """A running job, the wait for it, and waits for others."""
    job, *others = it.births(count)
    waits = [asyncio.create_task(result(one.wait())) for one in (job, *others)]
    await asyncio.sleep(3.5)
    return job, waits[0], waits[1:]


def now() -> float:
    return asyncio.get_running_loop().time()


@EACH
@pytest.mark.parametrize("count", [1, 7])
async def test_the_effect_is_seen_before_the_answer(
    world: Any, answers: Any, polling: Polling, name: str, count: int
) -> None:
    async with world(name, polling=polling) as it:
        job, wait, _ = await waited(it, count)
        answers()
        assert await result(job.cancel()) is None
        assert isinstance(await wait, JobCancelled)
        assert job.state is S.CANCELLED
        assert now() <= START + 3.5 + SLOW + 2.5


@pytest.mark.parametrize("name", ["bsubio", "leia"])  # whose calls are repeated
async def test_the_first_answer_is_lost(
    world: Any, answers: Any, polling: Polling, name: str
) -> None:
    async with world(name, polling=polling) as it:
        job, wait, _ = await waited(it, 1)
        answers(lost=1)
        assert await result(job.cancel()) is None
        assert isinstance(await wait, JobCancelled)


@EACH
async def test_no_answer_comes_at_all(
    world: Any, answers: Any, polling: Polling, name: str
) -> None:
    async with world(name, polling=polling) as it:
        job, wait, _ = await waited(it, 1)
        answers(lost=3)
        assert isinstance(await result(job.cancel()), Exception)
        assert isinstance(await wait, JobCancelled)


@pytest.mark.parametrize("count", [1, 7])
async def test_a_job_that_it_removed_is_not_lost_before_the_answer(
    world: Any, answers: Any, count: int
) -> None:
    polling = Polling(policy=FixedInterval(0.5), lost_after=1.5)
    async with world("bsubio", server={"cancelled_as": "removed"}, polling=polling) as it:
        job, wait, _ = await waited(it, count)
        answers()
        assert await result(job.cancel()) is None
        assert isinstance(await wait, JobCancelled)
        assert now() <= START + 3.5 + SLOW + 1.0


@EACH
async def test_whoever_cancels_gives_up_on_the_way(
    world: Any, answers: Any, polling: Polling, name: str
) -> None:
    async with world(name, polling=polling) as it:
        job, wait, _ = await waited(it, 1)
        answers()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job.cancel(), 0.5 * SLOW)
        assert isinstance(await wait, JobCancelled)


async def test_a_handle_that_is_made_on_the_way_knows_of_it(
    world: Any, answers: Any, polling: Polling
) -> None:
    async with world("bsubio", polling=polling) as it:
        job_id = it.birth().id
        answers()
        cancelling = asyncio.create_task(it.client.jobs.cancel_job(job_id))
        await asyncio.sleep(1.0)
        assert isinstance(await result(it.client.job(job_id).wait()), JobCancelled)
        await cancelling


@pytest.mark.parametrize("count", [1, 7])
async def test_a_job_that_failed_by_itself_before_stays_failed(
    world: Any, answers: Any, polling: Polling, count: int
) -> None:
    async with world("bsubio", polling=polling) as it:
        job, wait, _ = await waited(it, count)
        it.end(job.id, how="failed")  # and nobody has looked since
        answers()
        assert isinstance(await result(job.cancel()), JobEnded)
        answered = now()
        assert isinstance(await wait, JobFailed)
        assert job.state is S.FAILED
        assert now() - answered <= 1.0


@pytest.mark.parametrize("status", [400, 403, 429])
async def test_after_a_refusal_a_failure_is_one(
    world: Any, traffic: Any, polling: Polling, status: int
) -> None:
    async with world("bsubio", polling=polling) as it:
        job, wait, _ = await waited(it, 1)

        def refuse(operation: str, request: Any) -> None:
            if operation == "cancel_job":
                raise Refusal(status, "no", headers={"Retry-After": "600"})

        traffic.refuse = refuse
        assert isinstance(await result(job.cancel()), Exception)
        it.end(job.id, after=5.0, how="failed")
        assert isinstance(await wait, JobFailed)


async def test_an_id_that_can_be_none_is_refused_as_ever(world: Any) -> None:
    async with world("ecotaxa") as it:
        for odd in ([], True, "7", 0):
            error = await result(it.client.jobs.erase_job(odd))
            assert getattr(error, "argument", None) == "job_id"
        assert it.client._tracker.known() == set()
