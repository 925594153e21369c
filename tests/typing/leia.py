# pyright: reportUnnecessaryTypeIgnoreComment=true
"""What type checkers know of Leia's client. Checked, never run."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

from jobkit_async import Download, JobList, LeiaClient, LeiaJob
from jobkit_async.services.leia import models


async def results(client: LeiaClient) -> None:
    job = await client.models.admin_apply_model_async("app", "model", ["doc"])
    assert_type(job, LeiaJob)
    assert_type(job.id, str)
    assert_type(job.submitter_id, str | None)
    assert_type(job.data, models.Job | None)
    assert_type(await job.wait(), models.Job)
    submitter = job.submitter_id or "app"
    assert_type(await client.jobs.admin_get_job(submitter, job.id), LeiaJob)
    assert_type(await client.jobs.admin_get_job_statuses("app", ["a"]), dict[str, str])
    assert_type(await client.jobs.admin_get_jobs(limit=3), JobList[LeiaJob])
    assert_type(await client.models.admin_get_models(), list[models.Model])
    assert_type([one async for one in client.iter_models()], list[models.Model])
    assert_type([one async for one in client.iter_jobs()], list[LeiaJob])
    assert_type(await client.models.admin_get_model("app", "model"), models.Model)
    assert_type(await client.models.admin_create_model(b"", "name", "app"), models.Model)
    assert_type(await client.models.admin_get_model_contents("app", "model"), Download)
    assert_type(await client.models.admin_train_model_async("app", "module", "tag"), LeiaJob)
    assert_type(await client.jobs.admin_create_conditional_job("app", "job"), LeiaJob)
    assert_type(client.job("id", submitter_id="app"), LeiaJob)


async def arguments(client: LeiaClient, day: datetime) -> None:
    LeiaClient(api_key="k", submitter_id="app")
    LeiaClient(token="t")
    await client.jobs.admin_get_jobs(
        status=models.Statuses.PROCESSED, created_after=day, sort="-finished_time"
    )
    await client.models.admin_apply_model_async(
        "app",
        "model",
        ("doc-1", "doc-2"),
        body=models.ApplyBody(block_processing=True),
        format_type=models.FormatTypes.CLASSIFICATION,
        model_params={"a": 1},
    )
    await client.models.admin_edit_model("app", "model", ttl=-1, allow_all_applications=False)


async def mistakes(client: LeiaClient, job: LeiaJob) -> None:
    await client.jobs.admin_get_job(job.id)  # type: ignore[call-arg]
    await client.jobs.admin_get_job(1, job.id)  # type: ignore[arg-type]
    await client.jobs.admin_get_job_statuses("app", [1])  # type: ignore[list-item]
    await client.jobs.admin_get_jobs(created_after="2026-01-01")  # type: ignore[arg-type]
    await client.models.admin_apply_model_async("app", "model", [1])  # type: ignore[list-item]
    await client.models.admin_apply_model_async(
        "app",
        "model",
        ["doc"],
        body={"tag": "t"},  # type: ignore[arg-type]
    )
    await client.models.admin_create_model(3, "name", "app")  # type: ignore[arg-type]
    await client.models.admin_edit_model("app", "model", ttl="3")  # type: ignore[arg-type]
    job.upload(b"")  # type: ignore[attr-defined]
    client.job("id", "app")  # type: ignore[call-arg]
    LeiaClient(api_key=1)  # type: ignore[arg-type]
