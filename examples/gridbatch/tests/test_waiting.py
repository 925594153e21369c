"""What is Gridbatch's own: batches of 100, terminated jobs, odd ids."""

from __future__ import annotations

import json

import pytest

from jobkit_async import BadRequest, Conflict, InvalidArgument, JobCancelled, JobFailed, wait_all
from jobkit_async.testing import Fault, Faults, Plan, VirtualTime
from jobkit_gridbatch.client import GridbatchClient
from jobkit_gridbatch.fake import FakeGridbatch
from jobkit_gridbatch.models import DescribeJobsRequest, SubmitJobRequest, TerminateJobRequest

FRAME = SubmitJobRequest(job_name="frame", job_queue="night", job_definition="render:3")


def client_of(server: FakeGridbatch) -> GridbatchClient:
    return GridbatchClient(api_key=server.api_key, base_url=server.base_url)


async def test_250_jobs_are_described_by_100(virtual_time: VirtualTime) -> None:
    def minute(rng: object, definition: str) -> Plan:
        return Plan.succeeds(after=60.0)

    async with FakeGridbatch(planner=minute, record=True) as server, client_of(server) as client:
        jobs = [await client.jobs.submit_job(FRAME) for _ in range(250)]
        outcomes = await wait_all(jobs)
    assert [outcome.unwrap().status for outcome in outcomes] == ["SUCCEEDED"] * 250
    assert 60 <= virtual_time.elapsed < 75
    bodies = [json.loads(it.body) for it in server.seen if it.operation == "describe_jobs"]
    sizes = [len(body["jobs"]) for body in bodies]
    assert max(sizes) == 100
    assert sum(sizes) > 50 * len(sizes)


async def test_a_failure_tells_the_reason_of_the_service(
    fake_gridbatch: FakeGridbatch, virtual_time: VirtualTime
) -> None:
    fake_gridbatch.next_jobs(Plan.fails("disk full", after=5))
    async with client_of(fake_gridbatch) as client:
        job = await client.jobs.submit_job(FRAME)
        with pytest.raises(JobFailed, match="disk full"):
            await job.wait()
        with pytest.raises(Conflict):
            await client.jobs.terminate_job(job.id, TerminateJobRequest(reason="too late"))


async def test_a_job_that_is_terminated_here_was_cancelled(
    fake_gridbatch: FakeGridbatch, virtual_time: VirtualTime
) -> None:
    fake_gridbatch.next_jobs(Plan.never_ends(), Plan.succeeds(after=60))
    async with client_of(fake_gridbatch) as client:
        endless, other = [await client.jobs.submit_job(FRAME) for _ in range(2)]
        await endless.cancel()
        with pytest.raises(JobCancelled):
            await endless.wait()
        await other.wait()


async def test_an_odd_id_spoils_the_batch_and_no_other_wait(
    fake_gridbatch: FakeGridbatch, virtual_time: VirtualTime
) -> None:
    async with client_of(fake_gridbatch) as client:
        jobs = [await client.jobs.submit_job(FRAME) for _ in range(150)]
        with pytest.raises(BadRequest):
            await client.jobs.describe_jobs(DescribeJobsRequest(jobs=[jobs[0].id, "odd"]))
        outcomes = await wait_all([*jobs, client.job("odd")], timeout=3600)
    assert all(outcome.state.ended for outcome in outcomes[:-1])
    assert outcomes[-1].error is not None


async def test_bad_days(fake_gridbatch: FakeGridbatch, virtual_time: VirtualTime) -> None:
    fake_gridbatch.faults = Faults(
        Fault.status(503, retry_after=2), Fault.drop(), on="describe_jobs", share=0.3, seed=1
    )
    async with client_of(fake_gridbatch) as client:
        jobs = [await client.jobs.submit_job(FRAME) for _ in range(20)]
        outcomes = await wait_all(jobs)
    assert all(outcome.state.ended for outcome in outcomes)
    assert fake_gridbatch.struck["describe_jobs"]


async def test_pages_of_a_queue(fake_gridbatch: FakeGridbatch) -> None:
    async with client_of(fake_gridbatch) as client:
        jobs = [await client.jobs.submit_job(FRAME) for _ in range(5)]
        first = await client.jobs.list_jobs(job_queue="night", max_results=3)
        rest = await client.jobs.list_jobs(job_queue="night", after=first[-1].id)
        assert [*first, *rest] == jobs[::-1]
        assert not await client.jobs.list_jobs(job_queue="day")
        with pytest.raises(InvalidArgument, match="max_results"):
            await client.jobs.list_jobs(max_results=101)
        jobs += [await client.jobs.submit_job(FRAME) for _ in range(200)]
        assert [job async for job in client.iter_jobs(job_queue="night")] == jobs[::-1]


async def test_a_client_from_the_environment(
    fake_gridbatch: FakeGridbatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRIDBATCH_API_KEY", raising=False)
    with pytest.raises(InvalidArgument, match="GRIDBATCH_API_KEY"):
        GridbatchClient.from_env()
    monkeypatch.setenv("GRIDBATCH_API_KEY", fake_gridbatch.api_key)
    monkeypatch.setenv("GRIDBATCH_BASE_URL", fake_gridbatch.base_url)
    async with GridbatchClient.from_env() as client:
        job = await client.jobs.submit_job(FRAME)
        (again,) = await client.jobs.describe_jobs(DescribeJobsRequest(jobs=[job.id]))
    assert again == job
    assert again.data is not None
    assert again.data.job_queue == "night"
