"""The fixtures that pytest finds by itself: a running server of each service."""

from __future__ import annotations

import pytest

from jobkit_async import BsubioClient, EcotaxaClient, LeiaClient, VidispineClient
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia, FakeVidispine

pytestmark = pytest.mark.looptime(end=100_000)


async def test_bsubio(fake_bsubio: FakeBsubio) -> None:
    server = fake_bsubio
    async with BsubioClient(api_key=server.api_key, base_url=server.base_url) as client:
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        await job.upload(b"data")
        await job.submit()
        await job.wait(check=False)
    assert server.ending(job.id) is not None
    assert server.ledger.count("submitted", job.id) == 1


async def test_ecotaxa(fake_ecotaxa: FakeEcotaxa) -> None:
    made = fake_ecotaxa.create_job()
    async with EcotaxaClient(token="eco-token", base_url=fake_ecotaxa.base_url) as client:
        final = await client.job(made.id).wait(check=False)
    assert final.id == made.id


async def test_leia(fake_leia: FakeLeia) -> None:
    fake_leia.add_model("ocr", short_name="ocr")
    async with LeiaClient(api_key=fake_leia.api_key, base_url=fake_leia.base_url) as client:
        job = await client.models.admin_apply_model_async("app-1", "ocr", ["doc-1"])
        final = await job.wait(check=False)
    assert final.finished_time is not None


async def test_vidispine(fake_vidispine: FakeVidispine) -> None:
    server = fake_vidispine
    async with VidispineClient(
        username="user", password="secret", base_url=server.base_url
    ) as client:
        job = await client.jobs.create_custom_job("TRANSCODE", SimpleMetadataType())
        final = await job.wait(check=False)
    assert final.finished is not None
