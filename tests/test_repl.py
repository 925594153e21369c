"""One short script per service, as a user would type it, against the embedded servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobkit_async import (
    BsubioClient,
    EcotaxaClient,
    JobFailed,
    JobNeedsInput,
    JobState,
    LeiaClient,
    VidispineClient,
    as_completed,
    wait_all,
)
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.bsubio.models import Job as BsubioModel
from jobkit_async.services.ecotaxa.models import JobModel
from jobkit_async.services.leia.models import ApplyBody
from jobkit_async.services.leia.models import Job as LeiaModel
from jobkit_async.services.vidispine.models import JobType, SimpleMetadataType
from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia, FakeVidispine, Plan, Planner

pytestmark = pytest.mark.looptime

PLAN = Plan(queued=3.0, running=60.0)
FAILS = Plan(queued=3.0, running=60.0, outcome="failure", message="page 3 is blank")


def always(plan: Plan) -> Planner:
    return lambda rng, job_type: plan


# -- the scripts


async def extract(url: str, key: str) -> BsubioModel:
    async with BsubioClient(api_key=key, base_url=url) as client:
        job = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
        await job.upload(b"%PDF-1.7 ...")
        await job.submit()
        return await job.wait(timeout=600)


async def export(url: str) -> tuple[JobModel, bytes]:
    async with EcotaxaClient(
        username="user@example.org", password="secret", base_url=url
    ) as client:
        jobs = await client.jobs.list_jobs(for_admin=False)
        job = max(jobs, key=lambda job: job.id)
        final = await job.wait()
        async with await job.file() as download:
            return final, await download.read()


async def answer_and_wait(url: str) -> JobModel:
    async with EcotaxaClient(token="eco-token", base_url=url) as client:
        (job,) = await client.jobs.list_jobs(for_admin=False)
        try:
            return await job.wait()
        except JobNeedsInput as asked:
            await job.answer({"users": dict.fromkeys(asked.question["missing_users"], 1)})
            return await job.wait()


async def predict(url: str, key: str) -> LeiaModel:
    async with LeiaClient(api_key=key, base_url=url) as client:
        (model,) = await client.models.admin_get_models(short_name="invoices")
        job = await client.models.admin_apply_model_async(
            model.application_id,
            model.id,
            ["doc-1", "doc-2"],
            body=ApplyBody(format_type="classification"),
        )
        return await job.wait(timeout=600)


async def transcode(url: str) -> JobType:
    async with VidispineClient(username="user", password="secret", base_url=url) as client:
        job = await client.jobs.create_custom_job(
            "TRANSCODE", SimpleMetadataType(), priority="HIGH"
        )
        async for update in job.updates():
            print(update.state, update.progress)  # noqa: T201 - as in a REPL
        return await job.wait()


async def all_of_them(clients: list[BsubioClient]) -> list[JobState]:
    jobs = []
    for client in clients:
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        await job.upload(b"data")
        await job.submit()
        jobs.append(job)
    return [outcome.state for outcome in await wait_all(jobs)]


async def failure(url: str, key: str) -> str:
    async with BsubioClient(api_key=key, base_url=url) as client:
        job = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
        await job.upload(b"%PDF-1.7 ...")
        await job.submit()
        try:
            await job.wait()
        except JobFailed as error:
            return f"{error.reason} ({error.snapshot.error_code}), {error.ref}"
        return "it went well"


async def later(url: str, key: str) -> BsubioModel:
    async with BsubioClient(api_key=key, base_url=url) as client:
        job = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
        await job.upload(b"%PDF-1.7 ...")
        await job.submit()
        ref = job.ref
    async with BsubioClient(api_key=key, base_url=url) as client:
        return await client.job_from_ref(ref).wait()


async def as_they_come(url: str, folder: Path) -> list[Path]:
    async with EcotaxaClient(token="eco-token", base_url=url) as client:
        jobs = await client.jobs.list_jobs(for_admin=False)
        async with as_completed(jobs) as outcomes:
            return [
                await (await outcome.job.file()).save(folder)
                async for outcome in outcomes
                if outcome.state is JobState.SUCCEEDED
            ]


# -- and what comes of them


async def test_bsubio() -> None:
    async with FakeBsubio(planner=always(PLAN), record=True) as server:
        final = await extract(server.base_url, server.api_key)
        assert (final.status, final.data_size) == ("finished", 12)
        assert [event.kind for event in server.ledger.events] == [
            "created",
            "uploaded",
            "submitted",
        ]
        assert server.jobs[final.id].data == b"%PDF-1.7 ..."
        assert {seen.operation for seen in server.seen[:3]} == {
            "create_job",
            "upload_job_data",
            "submit_job",
        }


async def test_bsubio_that_fails() -> None:
    async with FakeBsubio(planner=always(FAILS)) as server:
        said = await failure(server.base_url, server.api_key)
        (job_id,) = server.jobs
        assert said.startswith("EFAILED: page 3 is blank (EFAILED), jk1:bsubio:")
        assert job_id in said


async def test_bsubio_taken_up_later() -> None:
    async with FakeBsubio(planner=always(PLAN)) as server:
        assert (await later(server.base_url, server.api_key)).status == "finished"


async def test_several_deployments_together() -> None:
    async with (
        FakeBsubio(planner=always(PLAN)) as one,
        FakeBsubio(planner=always(FAILS)) as two,
        BsubioClient(api_key=one.api_key, base_url=one.base_url) as first,
        BsubioClient(api_key=two.api_key, base_url=two.base_url) as second,
    ):
        states = await all_of_them([first, second, first])
        assert states == [JobState.SUCCEEDED, JobState.FAILED, JobState.SUCCEEDED]


async def test_ecotaxa() -> None:
    async with FakeEcotaxa(planner=always(PLAN)) as server:
        server.create_job()
        job = server.create_job()
        job.file = b"the export"
        final, data = await export(server.base_url)
        assert (final.id, final.state, data) == (job.id, "F", b"the export")
        assert server.requests["login"] == 1


async def test_ecotaxa_that_asks() -> None:
    async with FakeEcotaxa(planner=always(PLAN)) as server:
        job = server.create_job("FileImport", question={"missing_users": ["Jane Doe"]})
        final = await answer_and_wait(server.base_url)
        assert final.state == "F"
        (answered,) = [e for e in server.ledger.events if e.kind == "answered"]
        assert (answered.job, answered.detail) == (job.id, {"reply": {"users": {"Jane Doe": 1}}})


@pytest.mark.looptime(False)  # files are written in threads, which virtual time does not wait for
async def test_ecotaxa_as_they_come(tmp_path: Path) -> None:
    async with FakeEcotaxa(planner=always(Plan(queued=0.0, running=0.01))) as server:
        jobs = [server.create_job() for _ in range(3)]
        saved = await as_they_come(server.base_url, tmp_path)
        assert sorted(path.name for path in saved) == [job.file_name for job in jobs]
        assert all(path.read_bytes()[:2] == b"PK" for path in saved)


async def test_leia() -> None:
    async with FakeLeia(planner=always(PLAN)) as server:
        server.add_model("Invoices", b"zip", short_name="invoices")
        final = await predict(server.base_url, server.api_key)
        assert (final.status, final.document_ids) == ("PROCESSED", ["doc-1", "doc-2"])
        assert server.requests["login"] == 1


async def test_vidispine(capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeVidispine(planner=always(PLAN)) as server:
        final = await transcode(server.base_url)
        assert (final.status, final.type) == ("FINISHED", "TRANSCODE")
        assert server.jobs[final.job_id].priority == "HIGH"
        states = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert states[0] in ("pending", "JobState.PENDING")
        assert states[-1] in ("succeeded", "JobState.SUCCEEDED")
