# pyright: reportUnnecessaryTypeIgnoreComment=true
"""What type checkers know of bsub.io's client. Checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from pathlib import Path
from typing import BinaryIO, assert_type

import aiohttp

from jobkit_async import (
    BsubioClient,
    BsubioJob,
    JobList,
    JobState,
    Outcome,
    RawResponse,
    Upload,
    wait_all,
    with_raw_response,
)
from jobkit_async.services.bsubio import models


async def results(client: BsubioClient, request: models.CreateJobRequest) -> None:
    job = await client.jobs.create_job(request)
    assert_type(job, BsubioJob)
    assert_type(job.id, str)
    assert_type(job.data, models.Job | None)
    assert_type(job.state, JobState)
    assert_type(job.progress, float | None)
    assert_type(await job.wait(), models.Job)
    assert_type(await job.wait(60, check=False, on_input="keep"), models.Job)
    assert_type(await job.refresh(), models.Job)
    await job.cancel()
    assert_type(await client.jobs.get_job(job.id), BsubioJob)
    assert_type(await client.jobs.list_jobs(), JobList[BsubioJob])
    assert_type((await client.jobs.list_jobs())[0], BsubioJob)
    assert_type((await client.jobs.list_jobs())[1:], JobList[BsubioJob])
    assert_type((await client.jobs.list_jobs()).total, int | None)
    assert_type(await client.jobs.cancel_job(job.id), models.CancelJob200Response)
    assert_type(await client.jobs.submit_job(job.id), models.SubmitJob200Response)
    assert_type(await client.run("pdf/extract", "paper.pdf"), BsubioJob)
    assert_type([one async for one in client.iter_jobs()], list[BsubioJob])
    assert_type(await with_raw_response(client.jobs.get_job, job.id), RawResponse[BsubioJob])
    answer = await with_raw_response(client.jobs.list_jobs, status="created", limit=3)
    assert_type(answer.value, JobList[BsubioJob])
    assert_type(answer.headers, Mapping[str, str])
    assert_type(client.job("id"), BsubioJob)
    assert_type(client.job_from_ref(job.ref), BsubioJob)
    assert_type(await wait_all([job]), list[Outcome[BsubioJob]])


async def arguments(
    job: BsubioJob, file: BinaryIO, chunks: AsyncIterable[bytes], session: aiohttp.ClientSession
) -> None:
    async with BsubioClient(api_key="k", session=session, timeout=3.5) as client:
        assert_type(client, BsubioClient)
        assert_type(client.with_options(retries=0, headers={"X": "y"}), BsubioClient)
        await client.jobs.list_jobs(status=models.JobStatus.CREATED, limit=100)
        for content in (b"", bytearray(), memoryview(b""), "path", Path(), file, chunks):
            await job.upload(content)
        await job.upload(Upload(b"", name="a.pdf", content_type="application/pdf"))
        await client.jobs.upload_job_data(job.id, "token", Upload(chunks))
    assert_type(BsubioClient.from_env(), BsubioClient)


async def mistakes(client: BsubioClient, job: BsubioJob) -> None:
    await client.jobs.get_job(1)  # type: ignore[arg-type]
    await client.jobs.get_job()  # type: ignore[call-arg]
    await client.jobs.get_job(None)  # type: ignore[arg-type]
    await client.jobs.get_job(job)  # type: ignore[arg-type]
    await client.jobs.list_jobs("created")  # type: ignore[call-arg]
    await client.jobs.list_jobs(limit="3")  # type: ignore[arg-type]
    await client.jobs.create_job({"type": "t"})  # type: ignore[arg-type]
    await client.jobs.create_job("t")  # type: ignore[arg-type]
    await client.jobs.nonsense()  # type: ignore[attr-defined]
    await job.upload(3)  # type: ignore[arg-type]
    await job.upload([b""])  # type: ignore[arg-type]
    await job.wait("60")  # type: ignore[arg-type]
    await job.wait(on_input="ask")  # type: ignore[arg-type]
    await job.wait(60, False)  # type: ignore[call-arg]
    await with_raw_response(client.jobs.get_job, 1)  # type: ignore[arg-type]
    await with_raw_response(client.jobs.get_job)  # type: ignore[call-arg]
    job.restart()  # type: ignore[attr-defined]
    client.job(3)  # type: ignore[arg-type]
    client.with_options(headers=["a"])  # type: ignore[arg-type]
    models.CreateJobRequest()  # type: ignore[call-arg]
    models.CreateJobRequest(type=3)  # type: ignore[arg-type]
    BsubioClient("key")  # type: ignore[call-arg]
    BsubioClient()  # type: ignore[call-arg]
    BsubioClient(api_key=b"key")  # type: ignore[arg-type]
    BsubioClient(token="token")  # type: ignore[call-arg]
