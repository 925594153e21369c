"""How long a job will take yet, as far as anything tells. In virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from jobkit_async import BsubioClient, EcotaxaClient, Polling
from jobkit_async.fakes.timeline import Plan
from jobkit_async.polling.durations import ENOUGH
from jobkit_async.polling.inspection import Grid
from jobkit_async.polling.laws import Point, fit
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import FakeBsubio, FakeEcotaxa

pytestmark = pytest.mark.looptime


def about_a_minute(rng: random.Random, job_type: str) -> Plan:
    return Plan(queued=0, running=rng.uniform(55, 65))


def test_the_median_of_what_is_left() -> None:
    seconds = [50.0 + i for i in range(21)]
    grid = Grid(fit([Point(age, 1.0, 1.0) for age in seconds], 0.0, seconds[-1]))
    assert grid.left(0.0) == pytest.approx(60.0, rel=0.05)
    assert grid.left(30.0) == pytest.approx(30.0, rel=0.1)
    late = grid.left(66.0)
    assert late is not None
    assert 0.0 < late < 6.0
    assert grid.left(1e9) is None
    before = None
    for age in range(60):
        left = grid.left(float(age))
        assert left is not None
        assert before is None or left <= before + 1e-6
        before = left


async def test_by_what_past_jobs_tell() -> None:
    async with (
        FakeBsubio(planner=about_a_minute) as server,
        BsubioClient(
            api_key=server.api_key,
            base_url=server.base_url,
            polling=Polling(rng=random.Random(1)),
        ) as client,
    ):
        assert client.job("nobody").time_left() is None
        past = []
        for _ in range(6 * ENOUGH):  # one by one, as the ends of one moment count for few
            past.append(await client.run("pdf/extract", b"data"))
            await past[-1].wait()
        assert past[0].time_left() is None  # over
        job = await client.run("pdf/extract", b"data")
        waiting = asyncio.create_task(job.wait())
        await asyncio.sleep(1)
        assert job.time_left() == pytest.approx(59, abs=8)
        await asyncio.sleep(40)
        requests = server.requests.total()
        assert job.time_left() == pytest.approx(19, abs=6)
        assert server.requests.total() == requests
        await waiting
        created = await client.jobs.create_job(CreateJobRequest(type="pdf/extract"))
        assert created.time_left() is None  # it needs its data first


async def test_by_progress_alone() -> None:
    def long(rng: random.Random, job_type: str) -> Plan:
        return Plan(queued=0, running=1000)

    async with FakeEcotaxa(planner=long) as server:
        job_id = server.create_job().id
        async with EcotaxaClient(token="eco-token", base_url=server.base_url) as client:
            await asyncio.sleep(400)
            job = client.job(job_id)
            waiting = asyncio.create_task(job.wait())
            await asyncio.sleep(0.1)
            assert job.progress == pytest.approx(0.4)
            assert job.time_left() == pytest.approx(600, abs=15)
            await asyncio.sleep(20)
            assert job.time_left() == pytest.approx(580, abs=15)
            await waiting
            assert job.time_left() is None
    assert job.time_left() is None  # the client is closed
