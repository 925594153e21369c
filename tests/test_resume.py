"""A process that stopped takes its jobs up again, all together, from a file of references."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from jobkit_async import (
    BsubioClient,
    EcotaxaClient,
    InvalidArgument,
    JobList,
    LeiaClient,
    Polling,
    wait_all,
)
from jobkit_async.fakes.timeline import Plan
from jobkit_async.services.bsubio import models
from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia


def for_hours(rng: random.Random, job_type: str) -> Plan:
    return Plan(queued=1, running=rng.uniform(3500, 36000))


def client_of(server: FakeLeia) -> LeiaClient:
    polling = Polling(rng=random.Random(1))
    return LeiaClient(token="leia-token", base_url=server.base_url, polling=polling)


async def resumed(jobs: int, seconds: float, *, with_refs: bool) -> tuple[int, float, int]:
    """Requests for statuses in the first seconds, the mean delay, and the number of ends."""
    async with FakeLeia(planner=for_hours, seed=7) as server:
        model = server.add_model("m")
        async with client_of(server) as client:
            apply = client.models.admin_apply_model_async
            begun = [await apply("app-1", model.id, ["doc-1"]) for _ in range(jobs)]
            await asyncio.sleep(3600)
            lines = [job.ref for job in begun]
        assert server.requests["admin_get_job_statuses"] == 0
        loop = asyncio.get_running_loop()
        async with client_of(server) as client:
            if with_refs:
                handles = await client.jobs_from_refs(lines)
            else:
                handles = JobList([client.job(job.id, submitter_id="app-1") for job in begun])
            ended: dict[str, float] = {}

            async def follow(job: Any) -> None:
                await job.wait(check=False)
                ended[job.id] = loop.time()

            tasks = [asyncio.create_task(follow(job)) for job in handles]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        delays = []
        for job_id, at in ended.items():
            ending = server.ending(job_id)
            assert ending is not None
            delays.append(at - ending.at)
        assert delays
        requests = server.requests["admin_get_job_statuses"]
        return requests, sum(delays) / len(delays), len(delays)


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("jobs", "seconds"), [(200, 120), pytest.param(1000, 600, marks=pytest.mark.slow)]
)
async def test_ages_come_with_the_references(jobs: int, seconds: float) -> None:
    """Jobs of an hour are looked at as such, and not as often as if they had just begun."""
    warm, warm_delay, ends = await resumed(jobs, seconds, with_refs=True)
    cold, cold_delay, _ = await resumed(jobs, seconds, with_refs=False)
    chunks = jobs / 100
    # By the rule for jobs of which nothing is known, whose price is shared by a hundred.
    assert warm / chunks == pytest.approx(1 + seconds / (2 * 0.05 * 3600) ** 0.5, rel=0.5)
    assert cold / chunks == pytest.approx((2 * seconds / 0.05) ** 0.5, rel=0.5)
    assert warm < cold / 4
    # What it saves is worth more than the delay that it costs.
    price = 5.0
    assert price * warm + ends * warm_delay < 0.4 * (price * cold + ends * cold_delay)
    assert warm_delay < 20


@pytest.mark.looptime
async def test_looks_are_shared_from_the_first_on(tmp_path: Path) -> None:
    """And jobs that have ended meanwhile are told at once."""
    refs = tmp_path / "refs.txt"
    async with FakeEcotaxa(planner=for_hours) as server:
        ids = [server.create_job().id for _ in range(1000)]
        async with EcotaxaClient(token="eco-token", base_url=server.base_url) as client:
            jobs = await client.jobs.list_jobs(False)
            refs.write_text("".join(f"{job.ref}\n" for job in jobs), encoding="ascii")
        await asyncio.sleep(7200)
        over = {job_id for job_id in ids if server.ending(job_id) is not None}
        before = server.requests.total()
        async with EcotaxaClient(token="eco-token", base_url=server.base_url) as client:
            again = await client.jobs_from_refs(refs.read_text(encoding="ascii").splitlines())
            assert server.requests.total() == before
            assert {*again} == {*jobs}
            outcomes = await wait_all(again, timeout=0)
        assert {outcome.job.id for outcome in outcomes if outcome.state.ended} == over
        assert 50 < len(over) < 200
        assert server.requests.total() == before + 1


# -- what cannot be resumed


async def test_comments_and_blank_lines() -> None:
    async with (
        FakeBsubio() as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
    ):
        job = await client.jobs.create_job(models.CreateJobRequest(type="t"))
        lines = ["# my jobs\n", "\n", f"  {job.ref}\r\n", "   "]
        found = await client.jobs_from_refs(iter(lines))
        assert isinstance(found, JobList)
        assert [*found] == [job]
        assert [*await client.jobs_from_refs([])] == []


def of(service: str, deployment: str) -> str:
    return f"jk1:{service}:{deployment}:7:1700000000"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["", "nonsense"], "refs: line 2: it is no job reference, which looks like jk1:"),
        (["jk1:ecotaxa:{here}:7", of("leia", "{here}")], "refs: line 2: it is a job of leia; this"),
        ([of("ecotaxa", "00000000")], "refs: line 1: it is a job of another deployment than http"),
        (["jk1:ecotaxa:{here}:seven"], "refs: line 1: 'seven' is no id of an EcoTaxa job"),
        (["jk1:ecotaxa:{here}:0"], "refs: line 1: job_id: 0 is too small"),
        (["jk2:ecotaxa:{here}:7"], "refs: line 1: it is no job reference"),
        (["x"] * 2, r"refs: line 1: it is no .*; line 2: it is no [^;]*$"),
        (["x"] * 900, "; line 5: it is no job reference.*; and 895 more$"),
        ([7], "refs: line 1: a str is due, not int"),
        ("jk1:ecotaxa:{here}:7", "refs: one text is one reference: pass a list of them"),
        (7, "refs: references are due, not int"),
    ],
)
async def test_what_is_wrong_with_which_line(lines: Any, problem: str) -> None:
    async with EcotaxaClient(token="eco-token", base_url="http://127.0.0.1:1/api") as client:
        here = client.deployment

        def put(line: Any) -> Any:
            return line.format(here=here) if isinstance(line, str) else line

        given = [put(line) for line in lines] if isinstance(lines, list) else put(lines)
        with pytest.raises(InvalidArgument, match=problem):
            await client.jobs_from_refs(given)
