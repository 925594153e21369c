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
