"""What pytest finds by itself: a running server of each service, and virtual time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from jobkit_async import (
    BsubioClient,
    EcotaxaClient,
    InvalidArgument,
    LeiaClient,
    VidispineClient,
)
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.testing import (
    FakeBsubio,
    FakeEcotaxa,
    FakeLeia,
    FakeVidispine,
    Plan,
    virtual_loop,
    virtual_time,
)

virtual = pytest.mark.looptime(end=100_000)


@virtual
async def test_bsubio(fake_bsubio: FakeBsubio) -> None:
    server = fake_bsubio
    async with BsubioClient(api_key=server.api_key, base_url=server.base_url) as client:
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        await job.upload(b"data")
        await job.submit()
        await job.wait(check=False)
    assert server.ending(job.id) is not None
    assert server.ledger.count("submitted", job.id) == 1


@virtual
async def test_ecotaxa(fake_ecotaxa: FakeEcotaxa) -> None:
    made = fake_ecotaxa.create_job()
    async with EcotaxaClient(token="eco-token", base_url=fake_ecotaxa.base_url) as client:
        final = await client.job(made.id).wait(check=False)
    assert final.id == made.id


@virtual
async def test_leia(fake_leia: FakeLeia) -> None:
    fake_leia.add_model("ocr", short_name="ocr")
    async with LeiaClient(api_key=fake_leia.api_key, base_url=fake_leia.base_url) as client:
        job = await client.models.admin_apply_model_async("app-1", "ocr", ["doc-1"])
        final = await job.wait(check=False)
    assert final.finished_time is not None


@virtual
async def test_vidispine(fake_vidispine: FakeVidispine) -> None:
    server = fake_vidispine
    async with VidispineClient(
        username="user", password="secret", base_url=server.base_url
    ) as client:
        job = await client.jobs.create_custom_job("TRANSCODE", SimpleMetadataType())
        final = await job.wait(check=False)
    assert final.finished is not None


# -- in projects of their own, as users have them

HELPERS = """
import asyncio
import pytest

from jobkit_async import BsubioClient, JobFailed
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.testing import Plan


def client_of(server):
    return BsubioClient(api_key=server.api_key, base_url=server.base_url)


async def wait_an_hour(server):
    server.next_jobs(Plan.fails("disk full", after=3600))
    async with client_of(server) as client:
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        await job.upload(b"data")
        await job.submit()
        with pytest.raises(JobFailed, match="disk full"):
            await job.wait()
"""
ANYIO = """
from helpers import *

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def client(fake_bsubio):
    async with client_of(fake_bsubio) as client:
        yield client


async def test_anyio(fake_bsubio, virtual_time):
    await wait_an_hour(fake_bsubio)
    assert 3600 <= virtual_time.elapsed < 4000


async def test_anyio_with_a_fixture_on_top(client, fake_bsubio):
    await client.jobs.list_jobs()
    assert fake_bsubio.requests["list_jobs"] == 1


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio(fake_bsubio):
    pass


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_time(virtual_time):
    pass


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})])
async def test_uvloop(fake_bsubio):
    async with client_of(fake_bsubio) as client:
        await client.jobs.list_jobs()


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})])
async def test_uvloop_time(virtual_time):
    pass
"""
ASYNCIO = """
from helpers import *
import pytest_asyncio

from jobkit_async.testing.plugin import server_fixture

fake_slow = server_fixture("bsubio", planner=lambda rng, job_type: Plan.succeeds(after=7200))


@pytest_asyncio.fixture
async def client(fake_bsubio):
    async with client_of(fake_bsubio) as client:
        yield client


@pytest.mark.asyncio
async def test_asyncio(fake_bsubio, virtual_time):
    await wait_an_hour(fake_bsubio)
    assert 3600 <= virtual_time.elapsed < 4000
    await virtual_time.advance(60)
    assert 3660 <= virtual_time.elapsed < 4060


@pytest.mark.asyncio
async def test_time_first(virtual_time, fake_bsubio):
    await wait_an_hour(fake_bsubio)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_both_ways_to_virtual_time(virtual_time, fake_bsubio):
    pass


@pytest.mark.asyncio
async def test_real_time(client, fake_bsubio):
    before = asyncio.get_running_loop().time()
    await asyncio.sleep(0.01)
    assert 0.009 < asyncio.get_running_loop().time() - before < 5
    await client.jobs.list_jobs()
    assert fake_bsubio.requests["list_jobs"] == 1


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("times", [1, 2])
async def test_a_loop_of_the_module(times, fake_bsubio, virtual_time):
    await wait_an_hour(fake_bsubio)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_loop_of_the_session(fake_slow):
    async with client_of(fake_slow) as client:
        job = await client.jobs.create_job(CreateJobRequest(type="t"))
        assert fake_slow.jobs[job.id].plan.running == 7200
"""
INI = """
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., tuple[dict[str, int], str]]:
    """Runs tests in a project; what became of how many, and what was printed."""
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "test_anyio.py").write_text(ANYIO)
    (tmp_path / "test_asyncio.py").write_text(ASYNCIO)

    def run(*arguments: str) -> tuple[dict[str, int], str]:
        plugins = [f"-pno:{name}" for name in ("cacheprovider", "xdist", "timeout", "randomly")]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--tb=short", *plugins, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        counts = re.findall(r"(\d+) (passed|failed|errors?)", done.stdout.splitlines()[-1])
        return {what.rstrip("s"): int(count) for count, what in counts}, done.stdout

    return run


NO_TRIO = (
    "takes asyncio, and this test runs on trio: give it a fixture anyio_backend that returns "
    "'asyncio'"
)


def test_tests_of_anyio_and_of_pytest_asyncio_side_by_side(project: Any) -> None:
    counts, told = project()
    assert counts == {"passed": 9, "error": 4}, told
    assert f"\nfake_bsubio {NO_TRIO}\n" in told
    assert f"\nvirtual_time {NO_TRIO}\n" in told
    assert "\nvirtual_time and looptime's mark or option do the same: leave one of them" in told
    assert "\nvirtual_time cannot be had: the time of a Loop cannot be virtual: use asyn" in told


@pytest.mark.slow
def test_where_pytest_asyncio_takes_all(project: Any) -> None:
    counts, told = project("-oasyncio_mode=auto", "-k", "test_asyncio or test_anyio")
    assert counts == {"passed": 6, "error": 7}, told
    assert "\nfake_bsubio cannot serve a test of anyio while pytest-asyncio takes all" in told


@pytest.mark.slow
def test_without_pytest_asyncio(project: Any, tmp_path: Path) -> None:
    (tmp_path / "test_asyncio.py").write_text("def test_none(fake_bsubio):\n    pass\n")
    counts, told = project("-pno:asyncio", "-pno:looptime_plugin", "-Wignore", "-k", "not uvloop")
    assert counts == {"passed": 2, "error": 3}, told
    assert "\nfake_bsubio takes an asynchronous test: install pytest-asyncio, or mark the" in told


def test_a_run_that_uses_none_of_it_loads_none_of_it(tmp_path: Path) -> None:
    """The plugin is imported in every run of whoever has the library installed."""
    (tmp_path / "test_none.py").write_text("def test_none():\n    pass\n")
    code = (
        "import json, pytest, sys; status = pytest.main(['-q', '-pno:cacheprovider']); "
        "print(json.dumps([status, *sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    status, *loaded = json.loads(done.stdout.splitlines()[-1])
    assert status == 0
    assert {name for name in loaded if name.partition(".")[0] == "jobkit_async"} == {
        "jobkit_async",
        "jobkit_async.testing",
        "jobkit_async.testing.loops",  # where pytest-asyncio is active, which it imports
        "jobkit_async.testing.plugin",
    }
    assert not {"aiohttp", "attrs", "cattrs", "msgspec", "yarl"} & {*loaded}


# -- virtual time by itself


async def test_virtual_time_for_a_while() -> None:
    loop = asyncio.get_running_loop()
    began, before = perf_counter(), loop.time()
    with virtual_time() as time:
        await asyncio.sleep(3600)
        assert time.elapsed == pytest.approx(3600)
        assert repr(time) == "<VirtualTime, 3600.000 s>"
        with virtual_time() as inner:
            await inner.advance(60)
        assert loop.time() - before == pytest.approx(3660, abs=10)
    assert perf_counter() - began < 10


def test_a_loop_in_virtual_time() -> None:
    with asyncio.Runner(loop_factory=virtual_loop) as runner:
        runner.run(asyncio.sleep(3600))
        assert runner.get_loop().time() == pytest.approx(3600)


async def test_virtual_time_takes_looptime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "looptime", None)
    for what in (virtual_loop, virtual_time().__enter__):
        with pytest.raises(RuntimeError, match="takes the package looptime: pip install loopt"):
            what()


# -- canned jobs


async def test_the_next_jobs_go_as_planned_and_the_others_as_ever(fake_bsubio: FakeBsubio) -> None:
    server = fake_bsubio
    server.planner = lambda rng, job_type: Plan(running=9.0)
    first, second = Plan.fails("disk full", after=5, queued=1), Plan.never_ends()
    server.next_jobs(first)
    server.next_jobs(second)
    async with BsubioClient(api_key=server.api_key, base_url=server.base_url) as client:
        jobs = [await client.jobs.create_job(CreateJobRequest(type="t")) for _ in range(3)]
    assert [server.jobs[job.id].plan for job in jobs] == [first, second, Plan(running=9.0)]
    assert (first.queued, first.running, first.outcome) == (1, 4, "failure")


def test_plans_that_cannot_be() -> None:
    with pytest.raises(InvalidArgument, match="after: the job is queued for 6 s of it"):
        Plan.succeeds(after=5, queued=6)
    with pytest.raises(InvalidArgument, match="after"):
        Plan.fails(after=-1)
    with pytest.raises(InvalidArgument, match="plans: a Plan is due, not str"):
        FakeBsubio().next_jobs("failure")  # type: ignore[arg-type]
