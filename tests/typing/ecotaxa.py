# pyright: reportUnnecessaryTypeIgnoreComment=true
"""What type checkers know of EcoTaxa's client. Checked, never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from jobkit_async import Download, EcotaxaClient, EcotaxaJob, JobList, JobNeedsInput
from jobkit_async.services.ecotaxa import models


async def results(client: EcotaxaClient) -> None:
    jobs = await client.jobs.list_jobs(for_admin=False)
    assert_type(jobs, JobList[EcotaxaJob])
    for job in jobs:
        assert_type(job, EcotaxaJob)
        assert_type(job.id, int)
        assert_type(job.data, models.JobModel | None)
        assert_type(await job.wait(), models.JobModel)
        assert_type(await job.refresh(), models.JobModel)
        assert_type(await client.jobs.get_job(job.id), EcotaxaJob)
        assert_type(await job.log(), str)
        assert_type(await client.jobs.get_job_log_file(job.id), str)
        async with await job.file() as download:
            assert_type(download, Download)
            assert_type(await download.save("folder"), Path)
            assert_type(download.size, int | None)
            async for chunk in download:
                assert_type(chunk, bytes)
        try:
            await job.wait()
        except JobNeedsInput as asked:
            assert_type(asked.needs, str)
            await job.answer({"users": {"a": 1}})
    assert_type(client.job(1), EcotaxaJob)


async def arguments() -> None:
    EcotaxaClient(token="t")
    EcotaxaClient(username="u", password="p", for_admin=True, base_url="https://a.example")


async def mistakes(client: EcotaxaClient, job: EcotaxaJob) -> None:
    await client.jobs.get_job("1")  # type: ignore[arg-type]
    await client.jobs.list_jobs()  # type: ignore[call-arg]
    await client.jobs.list_jobs(for_admin="no")  # type: ignore[arg-type]
    await client.jobs.reply_job_question(1, body="yes")  # type: ignore[arg-type]
    await client.jobs.erase_job(job)  # type: ignore[arg-type]
    await job.answer("yes")  # type: ignore[arg-type]
    await job.answer()  # type: ignore[call-arg]
    job.submit()  # type: ignore[attr-defined]
    client.job("1")  # type: ignore[arg-type]
    EcotaxaClient(token=1)  # type: ignore[arg-type]
    EcotaxaClient(api_key="k")  # type: ignore[call-arg]
