"""bsub.io's three calls in one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from jobkit_async import BsubioClient, InvalidArgument, OutcomeUnknown, ServerError, Upload
from jobkit_async.fakes.timeline import Plan
from jobkit_async.testing import FakeBsubio, Fault, Faults

pytestmark = pytest.mark.looptime


def soon(rng: random.Random, job_type: str) -> Plan:
    return Plan(queued=1, running=5)


def client_of(server: FakeBsubio) -> BsubioClient:
    return BsubioClient(api_key=server.api_key, base_url=server.base_url)


async def test_a_job_is_on_its_way() -> None:
    async with FakeBsubio(planner=soon) as server, client_of(server) as client:
        job = await client.run("pdf/extract", b"%PDF-1.7 ...")
        final = await job.wait(timeout=60)
    assert (final.type, final.status, final.data_size) == ("pdf/extract", "finished", 12)
    for what in ("created", "uploaded", "submitted"):
        assert server.ledger.count(what, job.id) == 1


@pytest.mark.looptime(False)
async def test_a_path_or_more_is_said_of_it(tmp_path: Path) -> None:
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(b"%PDF")
    async with FakeBsubio(record=True) as server, client_of(server) as client:
        await client.run("pdf/extract", paper)
        await client.run("pdf/extract", Upload(b"%PDF", name="other.pdf"))
        bodies = [seen.body for seen in server.seen if seen.operation == "upload_job_data"]
        assert b'filename="paper.pdf"' in bodies[0]
        assert b'filename="other.pdf"' in bodies[1]


@pytest.mark.looptime(False)
async def test_what_cannot_be_read_creates_no_job(tmp_path: Path) -> None:
    async with FakeBsubio() as server, client_of(server) as client:
        with pytest.raises(InvalidArgument, match="data: "):
            await client.run("pdf/extract", tmp_path / "missing.pdf")
        with pytest.raises(InvalidArgument, match="data: "):
            await client.run("pdf/extract", 7)  # type: ignore[arg-type]
    assert server.requests.total() == 0


@pytest.mark.parametrize("operation", ["upload_job_data", "submit_job"])
async def test_an_answer_is_lost_of_what_took_effect(operation: str) -> None:
    faults = Faults(Fault.drop(after_effect=True), on=operation, times=1)
    async with FakeBsubio(planner=soon, faults=faults) as server, client_of(server) as client:
        job = await client.run("pdf/extract", b"data")
        assert (await job.wait()).status == "finished"
    assert server.struck[operation] == 1
    assert server.requests["upload_job_data"] == server.requests["submit_job"] == 1


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault.drop(), OutcomeUnknown), (Fault.status(500), ServerError)]
)
@pytest.mark.parametrize("operation", ["upload_job_data", "submit_job"])
async def test_what_fails_tells_the_job(
    operation: str, fault: Fault, error: type[Exception]
) -> None:
    faults = Faults(fault, on=operation)
    async with FakeBsubio(faults=faults) as server, client_of(server) as client:
        with pytest.raises(error) as raised:
            await client.run("pdf/extract", b"data")
        (note,) = raised.value.__notes__
        job = client.job_from_ref(note.rpartition(" ")[2])
        assert [job.id] == list(server.jobs)
        server.faults = None
        if operation == "upload_job_data":
            await job.upload(b"data")
        await job.submit()
        await job.wait(check=False)
    assert server.ledger.count("created") == 1
    assert server.ledger.count("submitted", job.id) == 1
