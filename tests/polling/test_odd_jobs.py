"""What one odd job among many, or one answer of another kind, does to the others: nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobkit_async import DecodeError, JobState, Polling, PollingFailed

pytestmark = pytest.mark.looptime(end=100_000)

ODD = {
    "bsubio": {"data_size": "many"},
    "ecotaxa": {"errors": "one"},
    "vidispine": {"totalSteps": "ten"},
}


def spoil(server: Any, job_id: Any, members: dict[str, Any]) -> None:
    """Let the server show one of its jobs with members of another type."""
    original = server._document

    def document(job: Any, *args: Any, **named: Any) -> dict[str, Any]:
        shown: dict[str, Any] = original(job, *args, **named)
        return {**shown, **members} if job.id == job_id else shown

    server._document = document


@pytest.mark.parametrize("name", ODD)
async def test_a_job_that_cannot_be_read_spoils_no_other(world: Any, name: str) -> None:
    async with world(name, polling=Polling(give_up_after=600.0)) as it:
        jobs = it.births(12)
        spoil(it.server, jobs[5].id, ODD[name])
        waits = [asyncio.create_task(job.wait()) for job in jobs]
        for index, job in enumerate(jobs):
            it.end(job.id, after=10.0 * index)
        done, _ = await asyncio.wait(waits, timeout=500.0)
        assert len(done) == 11
        assert waits[5] not in done
        assert all(job.state is JobState.SUCCEEDED for job in jobs if job is not jobs[5])
        with pytest.raises(PollingFailed) as caught:
            await waits[5]
        assert isinstance(caught.value.__cause__, DecodeError)


NULLS: dict[str, dict[str, Any]] = {
    "a value of its metadata": {"data": [{"key": "k", "value": None}]},
    "the reason of a failure": {"data": [{"key": "errorMessage", "value": None}]},
    "the description of its step": {
        "currentStep": {"number": 1, "status": "STARTED", "description": None}
    },
    "a line of its log": {
        "log": {
            "task": [
                {
                    "step": 1,
                    "attempts": 1,
                    "status": "STARTED",
                    "timestamp": "2026-01-01T00:00:00.000+0000",
                    "subStep": [{"timestamp": "2026-01-01T00:00:00.000+0000", "description": None}],
                }
            ]
        }
    },
}


@pytest.mark.parametrize("what", NULLS)
async def test_a_null_of_vidispine_spoils_no_read(world: Any, what: str) -> None:
    async with world("vidispine") as it:
        (job,) = it.births(1)
        spoil(it.server, job.id, NULLS[what])
        jobs = it.client.jobs
        read = [
            await job.refresh(),
            (await jobs.get_job(job.id, metadata=True)).data,
            (await jobs.get_jobs(metadata=True, step=True))[0].data,
        ]
        for data in read:
            assert data is not None
            match what:
                case "the description of its step":
                    assert data.current_step.description is None
                case "a line of its log":
                    assert data.log.task[0].sub_step[0].description is None
                case _:
                    assert [pair.value for pair in data.data] == [None]
        assert job.state is JobState.RUNNING
        assert (job.message is None) is (what == "the description of its step")


@pytest.mark.parametrize("what", NULLS)
@pytest.mark.parametrize("count", [1, 3, 12])
async def test_a_null_of_vidispine_spoils_no_wait(world: Any, count: int, what: str) -> None:
    async with world("vidispine", polling=Polling(policy=lambda _: 10.0)) as it:
        jobs = it.births(count)
        for job in jobs:
            spoil(it.server, job.id, NULLS[what])
            it.end(job.id, after=25.0, how="FAILED_TOTAL")
        waits = [asyncio.create_task(job.wait(check=False)) for job in jobs]
        await asyncio.sleep(15.0)
        assert {job.state for job in jobs} == {JobState.RUNNING}
        async with asyncio.timeout(30.0):
            finals = await asyncio.gather(*waits)
        assert {final.status for final in finals} == {"FAILED_TOTAL"}


@pytest.mark.parametrize("name", ["bsubio", "ecotaxa", "leia", "vidispine"])
async def test_an_end_that_is_seen_otherwise_ends_the_wait(world: Any, name: str) -> None:
    loop = asyncio.get_running_loop()
    async with world(name, polling=Polling(policy=lambda _: 300.0)) as it:
        (job,) = it.births(1)
        wait = asyncio.create_task(job.wait())
        await asyncio.sleep(10.0)
        it.end(job.id)
        began = loop.time()
        await job.refresh()
        await asyncio.wait_for(wait, 1.0)
        assert loop.time() == began


@pytest.mark.parametrize("end", ["2026-03-01T10:00:05", "0001-01-01T00:00:00"])
async def test_an_end_without_an_offset_spoils_no_other(world: Any, end: str) -> None:
    async with world("bsubio") as it:
        jobs = it.births(120)
        spoil(it.server, jobs[60].id, {"finished_at": end})
        waits = [asyncio.create_task(job.wait()) for job in jobs]
        await asyncio.sleep(5.0)
        for job in jobs:
            it.end(job.id)
        done, _ = await asyncio.wait(waits, timeout=500.0)
        assert len(done) == 120
        assert {(await wait).status for wait in waits} == {"finished"}


@pytest.mark.parametrize(
    ("number", "of", "progress"),
    [(10**400, 3, 1.0), (-5, 3, 0.0), (3, -1, None), (1, 0, None), (10**399, 10**400, 0.1)],
)
async def test_steps_that_make_no_sense(
    world: Any, number: int, of: int, progress: float | None
) -> None:
    async with world("vidispine") as it:
        (job,) = it.births(1)
        step = {"number": number, "status": "STARTED", "description": "odd"}
        spoil(it.server, job.id, {"totalSteps": of, "currentStep": step})
        await job.refresh()
        assert job.state is JobState.RUNNING
        assert job.progress == progress
