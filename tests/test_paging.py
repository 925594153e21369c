"""All items of a listing, whatever comes and goes while its pages are read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from jobkit_async import BsubioClient, EcotaxaClient, LeiaClient, VidispineClient
from jobkit_async.fakes.timeline import Plan
from jobkit_async.paging import OVERLAP, STALLED, all_items
from jobkit_async.services.bsubio import models
from jobkit_async.testing import FakeBsubio, FakeEcotaxa, FakeLeia, FakeVidispine

Fetch = Callable[[int, int], Any]


async def read(fetch: Fetch, **options: Any) -> list[Any]:
    return [item async for item in all_items(fetch, lambda item: item, **options)]


@st.composite
def changes(draw: st.DrawFn) -> tuple[int, int, int, bool, list[tuple[int, int, int]]]:
    """Length, page size, the server's own, whether it tells a total, and what happens when."""
    size = draw(st.integers(OVERLAP + 1, 9))
    some = st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 40))
    return (
        draw(st.integers(0, 40)),
        size,
        draw(st.integers(OVERLAP + 1, 12)),
        draw(st.booleans()),
        draw(st.lists(some, max_size=6)),
    )


@settings(max_examples=150)
@given(changes())
async def test_what_stays_is_found_and_found_once(
    plan: tuple[int, int, int, bool, list[tuple[int, int, int]]],
) -> None:
    length, size, most, tells, happenings = plan
    listing = list(range(length))
    stayed, new, requests = set(listing), 1000, 0
    rest = iter(happenings)

    async def fetch(offset: int, limit: int) -> tuple[Sequence[int], int | None]:
        nonlocal new, requests
        requests += 1
        page, total = listing[offset : offset + min(limit, most)], len(listing)
        removed, added, at = next(rest, (0, 0, 0))
        gone = listing[at : at + 4 * removed]
        stayed.difference_update(gone)
        del listing[at : at + 4 * removed]
        # No more at once than can be told from a server that knows no pages.
        listing[at:at] = range(new, new + added)
        new += added
        return page, total if tells else None

    found = await read(fetch, size=size)
    assert len(found) == len(set(found))
    assert stayed <= set(found)
    assert requests < 150


async def test_jobs_that_were_removed_let_none_be_left_out() -> None:
    listing = list(range(20))
    asked: list[int] = []

    async def fetch(offset: int, limit: int) -> tuple[Sequence[int], int]:
        asked.append(offset)
        page = listing[offset : offset + limit]
        if len(asked) == 1:
            del listing[:5]
        return page, len(listing)

    assert await read(fetch, size=10) == list(range(20))
    assert asked == [0, 8, 0, 8]  # 8 begins with item 13; back to where something is known


async def test_what_was_removed_beneath_the_reader_is_no_trouble() -> None:
    listing = list(range(250))

    async def fetch(offset: int, limit: int) -> tuple[Sequence[int], None]:
        return listing[offset : offset + limit], None

    found = []
    async for item in all_items(fetch, lambda item: item):
        found.append(item)
        listing.remove(item)
    assert found == list(range(250))
    assert listing == []


@pytest.mark.parametrize("total", [None, 10**9])
async def test_a_server_that_knows_no_pages(total: int | None) -> None:
    requests = 0

    async def fetch(_offset: int, _limit: int) -> tuple[Sequence[int], int | None]:
        nonlocal requests
        requests += 1
        return list(range(10)), total

    assert await read(fetch, size=10) == list(range(10))
    assert requests == 1 + STALLED


async def test_positions_may_count_from_zero() -> None:
    requests = 0

    async def fetch(offset: int, limit: int) -> tuple[Sequence[int], int]:
        nonlocal requests
        requests += 1
        first = offset + bool(offset)  # what a service does that counts otherwise than is said
        return list(range(first, min(first + limit, 30))), 30

    assert await read(fetch, size=10) == list(range(30))
    assert requests == 5


async def test_it_ends_with_its_last_page_where_that_is_told() -> None:
    asked: list[int] = []

    async def fetch(offset: int, limit: int) -> tuple[Sequence[int], int]:
        asked.append(offset)
        return list(range(25))[offset : offset + limit], 25

    assert len(await read(fetch, size=10)) == 25
    assert asked == [0, 8, 16]


# -- the services'


def soon(rng: random.Random, job_type: str) -> Plan:
    return Plan(queued=1, running=50)


@pytest.mark.looptime
async def test_jobs_of_vidispine_that_come_and_go() -> None:
    async with FakeVidispine(planner=soon) as server:
        for number in range(230):
            server.create_job("INGEST" if number % 2 else "TRANSCODE")
        server.create_job("INGEST", user="somebody")
        async with VidispineClient(
            username=server.username, password=server.password, base_url=server.base_url
        ) as client:
            found = []
            async for job in client.iter_jobs(sort="jobId desc"):
                found.append(job.id)
                if len(found) == 50:
                    await client.jobs.delete_jobs([f"VX-{number}" for number in range(220, 231)])
                    server.create_job("INGEST")
            assert len(found) == len(set(found))
            assert {f"VX-{number}" for number in range(1, 220)} <= {*found}
            assert server.requests["get_jobs"] == 5  # one of them to go back
            typed = [job.id async for job in client.iter_jobs(type=["TRANSCODE"])]
            assert len(typed) == 110
            assert typed[0] == "VX-1"
            assert len([job async for job in client.iter_jobs(user=False)]) == 221
        async with VidispineClient(
            username=server.username,
            password=server.password,
            base_url=server.base_url,
            all_users=True,
        ) as everybody:
            assert len([job async for job in everybody.iter_jobs()]) == 221


@pytest.mark.looptime
async def test_jobs_and_models_of_leia() -> None:
    async with FakeLeia() as server:
        wanted = [server.add_model(f"model {number}", b"").id for number in range(150)]
        async with LeiaClient(api_key=server.api_key, base_url=server.base_url) as client:
            assert [model.id async for model in client.iter_models()] == wanted
            assert server.requests["admin_get_models"] == 3
            assert [model.id async for model in client.iter_models(name="model 7")] == [wanted[7]]
            assert [job async for job in client.iter_jobs()] == []
            made = [
                (await client.models.admin_apply_model_async("app-1", wanted[0], ["doc-1"])).id
                for _ in range(104)
            ]
            await asyncio.sleep(1)
            last = await client.models.admin_apply_model_async("app-1", wanted[0], ["doc-1"])
            made.append(last.id)
            assert [job.id async for job in client.iter_jobs()] == made
            assert server.requests["admin_get_jobs"] == 1 + 2
            async with aclosing(client.iter_jobs(sort="-creation_time")) as newest:
                assert (await anext(newest)).id == last.id
            assert [job async for job in client.iter_jobs(job_type="transform")] == []


async def test_jobs_of_ecotaxa() -> None:
    async with FakeEcotaxa() as server:
        mine = {server.create_job().id for _ in range(3)}
        async with EcotaxaClient(token="eco-token", base_url=server.base_url) as client:
            assert {job.id async for job in client.iter_jobs()} == mine


@pytest.mark.looptime
async def test_as_many_jobs_of_bsubio_as_can_be_listed() -> None:
    request = models.CreateJobRequest(type="pdf/extract")
    async with (
        FakeBsubio(planner=soon) as server,
        BsubioClient(api_key=server.api_key, base_url=server.base_url) as client,
    ):
        assert [job async for job in client.iter_jobs()] == []
        for number in range(130):
            job = await client.jobs.create_job(request)
            if number < 60:
                await job.upload(b"data")
            if number < 30:
                await job.submit()
        before = server.requests["list_jobs"]
        assert len([job async for job in client.iter_jobs()]) == 130
        assert server.requests["list_jobs"] == before + 1 + len(models.JobStatus)
        loaded = [job.raw_status async for job in client.iter_jobs(status="loaded")]
        assert loaded == ["loaded"] * 30
        assert server.requests["list_jobs"] == before + 2 + len(models.JobStatus)
