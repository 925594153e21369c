# pyright: reportUnnecessaryTypeIgnoreComment=true
"""What type checkers know of Vidispine's client. Checked, never run."""

from __future__ import annotations

from typing import assert_type

from jobkit_async import JobList, JobUpdate, VidispineClient, VidispineJob
from jobkit_async.services.vidispine import models


async def results(client: VidispineClient) -> None:
    job = await client.jobs.create_custom_job("TRANSCODE", models.SimpleMetadataType())
    assert_type(job, VidispineJob)
    assert_type(job.id, str)
    assert_type(job.data, models.JobType | None)
    assert_type(await job.wait(), models.JobType)
    async for update in job.updates():
        assert_type(update, JobUpdate)
    assert_type(await job.rerun(priority="HIGH"), VidispineJob)
    assert_type(await job.problems(), models.JobProblemListType)
    assert_type(await client.jobs.get_job(job.id), VidispineJob)
    assert_type(await client.jobs.get_jobs(), JobList[VidispineJob])
    assert_type(await client.jobs.create_duplicate_job(job.id), VidispineJob)
    assert_type(await client.jobs.get_job_types(), models.URIListType)
    assert_type(await client.jobs.get_all_job_problems(), models.JobProblemListType)
    assert_type(client.job("VX-1"), VidispineJob)


async def arguments(client: VidispineClient) -> None:
    VidispineClient(username="u", password="p", all_users=True)
    await client.jobs.get_jobs(
        state=[models.JobStatus.READY], type=("all",), field=["a"], user=False, number=10
    )
    await client.jobs.get_job("VX-1", metadata=True)
    await client.jobs.delete_jobs(["VX-1", "VX-2"])
    await client.jobs.update_job("VX-1", priority=models.Priority.HIGH)


async def mistakes(client: VidispineClient, job: VidispineJob) -> None:
    await client.jobs.get_job(1)  # type: ignore[arg-type]
    await client.jobs.get_job(job.id, ["a"], True)  # type: ignore[call-arg]
    await client.jobs.create_custom_job("TRANSCODE")  # type: ignore[call-arg]
    await client.jobs.create_custom_job("TRANSCODE", {"a": "b"})  # type: ignore[arg-type]
    await client.jobs.delete_jobs([1])  # type: ignore[list-item]
    await client.jobs.get_jobs(first="1")  # type: ignore[arg-type]
    await client.jobs.update_job("VX-1", priority=1)  # type: ignore[arg-type]
    await client.jobs.abort_job("VX-1", cleanup="no")  # type: ignore[arg-type]
    job.log()  # type: ignore[attr-defined]
    VidispineClient(username="u")  # type: ignore[call-arg]
