"""Snapshots: which of them count, which are kept, and what becomes of an end that has none."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from jobkit_async.errors import (
    ConnectionLost,
    DecodeError,
    JobLost,
    NotFound,
    PollingFailed,
    ServerError,
    api_error,
)
from jobkit_async.fakes.server import Refusal
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.services.leia.fake import FakeLeia
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=2_000)  # what would hang fails

S = JobState
BATCHES = pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])
RARELY = Polling(policy=FixedInterval(300.0))


def now() -> float:
    return asyncio.get_running_loop().time()


async def result(awaitable: Awaitable[Any]) -> Any:
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error


def http(status: int) -> Exception:
    return api_error(status, operation="get_job", reason="no")


class TestAnEndThatCannotBeRead:
    """The end is seen in each look at many, and its snapshot is read on its own, in vain."""

    @staticmethod
    def _spoil(service: Any, fault: Exception, spoilt: str, *, as_a_whole: bool) -> None:
        read = service.finish

        async def finish(keys: Any) -> Any:
            results = await read(keys)
            if as_a_whole and spoilt in results:
                raise fault
            return {key: fault if key == spoilt else seen for key, seen in results.items()}

        service.finish = finish

    @BATCHES
    @pytest.mark.parametrize("as_a_whole", [False, True], ids=["its-read", "all-reads"])
    @pytest.mark.parametrize(
        "fault",
        [
            http(500),
            DecodeError("garbage", operation="get_job"),
            ConnectionLost("gone", operation="get_job"),
        ],
        ids=lambda fault: type(fault).__name__,
    )
    async def test_it_uses_up_the_budget_and_ends_the_wait(
        self, memory: Any, batch: int | None, fault: Exception, as_a_whole: bool
    ) -> None:
        polling = Polling(policy=FixedInterval(10.0), give_up_after=120.0)
        service = memory(polling=polling, batch=batch, full=False)
        self._spoil(service, fault, "a", as_a_whole=as_a_whole)
        job = service.runs("a", 15.0)
        error = await result(job.wait())
        assert isinstance(error, PollingFailed)
        assert error.__cause__ is fault
        first = START + 20.0
        assert first + 120.0 <= now() <= first + 120.0 + 64.0  # the longest pause, and a little
        assert job.state is S.SUCCEEDED
        assert job.data is None

    async def test_it_harms_no_other(self, memory: Any) -> None:
        polling = Polling(policy=FixedInterval(10.0), give_up_after=120.0)
        service = memory(polling=polling, full=False)
        self._spoil(service, http(500), "a", as_a_whole=False)
        waits = [asyncio.create_task(result(service.runs(key, 15.0).wait())) for key in "abc"]
        assert await waits[1] == "b succeeded"
        assert await waits[2] == "c succeeded"
        assert now() == START + 20.0
        assert isinstance(await waits[0], PollingFailed)

    async def test_a_read_that_succeeds_at_last_ends_the_wait_well(self, memory: Any) -> None:
        polling = Polling(policy=FixedInterval(10.0), give_up_after=120.0)
        service = memory(polling=polling, full=False)
        # Before the end, and after it: the look, and then the read.
        service.faults = [None, None, *[None, http(500)] * 4]
        assert await service.runs("a", 15.0).wait() == "a succeeded"
        assert len(service.finishes) == 5

    async def test_refusals_of_the_read_end_the_wait(self, memory: Any) -> None:
        service = memory(full=False)
        self._spoil(service, http(403), "a", as_a_whole=False)
        error = await result(service.runs("a", 15.0).wait())
        assert isinstance(error, PollingFailed)
        assert len(service.finishes) == 3

    async def test_a_job_that_cannot_be_found_after_its_end_is_lost(self, memory: Any) -> None:
        service = memory(full=False)
        self._spoil(service, http(404), "a", as_a_whole=False)
        assert isinstance(await result(service.runs("a", 15.0).wait()), JobLost)
        assert now() <= START + 20.0 + 60.0

    @pytest.mark.parametrize("answer", ["500", "garbage"])
    @pytest.mark.parametrize("count", [1, 12])
    async def test_on_leia(
        self, world: Any, monkeypatch: pytest.MonkeyPatch, answer: str, count: int
    ) -> None:
        async def spoilt(self: Any, request: Any) -> Any:
            if answer == "500":
                raise Refusal(500, "no")
            return web.json_response(["garbage"])

        monkeypatch.setattr(FakeLeia, "_get_job", spoilt)
        monkeypatch.setattr(FakeLeia, "_get_jobs", spoilt)
        polling = Polling(policy=FixedInterval(10.0), give_up_after=120.0)
        async with world("leia", polling=polling) as it:
            jobs = it.births(count)
            for job in jobs:
                it.end(job.id)
            errors = await asyncio.gather(*(result(job.wait()) for job in jobs))
            assert {type(error) for error in errors} == {PollingFailed}
            kind = ServerError if answer == "500" else DecodeError
            assert all(isinstance(error.__cause__, kind) for error in errors)
            assert {job.state for job in jobs} == {S.SUCCEEDED}


Call = Callable[[Any, Any], Awaitable[Any]]


async def read_plainly(client: Any, job_id: Any) -> Any:
    return await client.jobs.get_job(job_id)


async def list_plainly(client: Any, job_id: Any) -> Any:
    return next(job for job in await client.jobs.get_jobs() if job.id == job_id)


async def read_without(client: Any, job_id: Any) -> Any:
    return await client.jobs.get_job(job_id, metadata=False)


async def list_ids(client: Any, job_id: Any) -> Any:
    return next(job for job in await client.jobs.get_jobs(idonly=True) if job.id == job_id)


PLAIN = pytest.mark.parametrize("look", [read_plainly, list_plainly, read_without])


def metadata(data: Any) -> dict[str, Any]:
    return {pair.key: pair.value for pair in data.data}


class TestVidispine:
    """Its answers lack the metadata unless they are asked for, and a listing may show ids only."""

    @PLAIN
    async def test_a_plain_look_leaves_the_full_snapshot(self, world: Any, look: Call) -> None:
        async with world("vidispine") as it:
            job = it.client.job(it.birth(metadata={"title": "one"}).id)
            full = await job.refresh()
            dated = job.data_at
            it.end(job.id)
            assert await look(it.client, job.id) == job
            assert job.state is S.SUCCEEDED  # it was seen all the same
            assert job.data is full
            assert job.data_at == dated
            assert metadata(job.data) == {"title": "one"}

    @pytest.mark.parametrize("name", ["get_job", "get_jobs"])
    async def test_a_look_with_metadata_is_a_full_snapshot(self, world: Any, name: str) -> None:
        async with world("vidispine") as it:
            job = it.client.job(it.birth(metadata={"title": "one"}).id)
            await job.refresh()
            it.end(job.id)
            if name == "get_job":
                await it.client.jobs.get_job(job.id, metadata=True)
            else:
                await it.client.jobs.get_jobs(metadata=True)
            assert job.data.status == "FINISHED"
            assert metadata(job.data)["title"] == "one"
            before = it.requests()
            assert (await job.wait()) is job.data
            assert it.requests() == before

    @PLAIN
    async def test_a_plain_look_does_for_want_of_a_better(self, world: Any, look: Call) -> None:
        async with world("vidispine") as it:
            job = await look(it.client, it.birth(metadata={"title": "one"}).id)
            assert job.data.status == "STARTED"
            assert metadata(job.data) == {}
            await job.refresh()
            assert metadata(job.data) == {"title": "one"}

    @PLAIN
    @pytest.mark.parametrize("count", [1, 12])
    async def test_a_plain_look_at_an_end_ends_no_wait_without_metadata(
        self, world: Any, look: Call, count: int
    ) -> None:
        async with world("vidispine") as it:
            jobs = [it.client.job(it.birth(metadata={"title": "one"}).id) for _ in range(count)]
            waits = [asyncio.create_task(job.wait()) for job in jobs]
            await asyncio.sleep(15.0)
            for job in jobs:
                it.end(job.id)
            for job in jobs:
                await look(it.client, job.id)
            for final in await asyncio.gather(*waits):
                assert final.status == "FINISHED"
                assert metadata(final)["title"] == "one"
            assert now() <= START + 40.0

    @PLAIN
    async def test_a_wait_for_what_was_plainly_seen_to_end_reads_the_metadata(
        self, world: Any, look: Call
    ) -> None:
        async with world("vidispine", polling=RARELY) as it:
            born = it.birth(metadata={"title": "one"})
            it.end(born.id)
            job = await look(it.client, born.id)
            assert job.state is S.SUCCEEDED
            final = await job.wait()
            assert metadata(final)["title"] == "one"
            assert now() == START

    async def test_ids_alone_leave_what_is_known(self, world: Any) -> None:
        async with world("vidispine") as it:
            job = it.client.job(it.birth(metadata={"title": "one"}).id)
            full = await job.refresh()
            known = (job.state, job.raw_status, job.progress, job.message, job.created_at)
            assert known[:2] == (S.RUNNING, "STARTED")
            assert await list_ids(it.client, job.id) == job
            assert known == (job.state, job.raw_status, job.progress, job.message, job.created_at)
            assert job.data is full

    async def test_ids_alone_leave_a_known_end(self, world: Any) -> None:
        async with world("vidispine") as it:
            job = it.client.job(it.birth(metadata={"title": "one"}).id)
            it.end(job.id)
            final = await job.wait()
            await list_ids(it.client, job.id)
            assert job.state is S.SUCCEEDED
            before = it.requests()
            assert await job.wait() is final
            assert it.requests() == before

    async def test_ids_alone_disturb_no_reader(
        self, world: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "jobkit_async")
        async with world("vidispine") as it:
            job = it.client.job(it.birth().id)
            it.end(job.id, after=35.0)

            async def read() -> list[Any]:
                return [update.raw_status async for update in job.updates()]

            reader = asyncio.create_task(read())
            await asyncio.sleep(15.0)
            await list_ids(it.client, job.id)
            told = await reader
            assert told[0] == "STARTED"
            assert told[-1] == "FINISHED"
            assert "" not in told
            assert not caplog.messages

    async def test_a_job_known_by_its_id_alone_is_waited_for(self, world: Any) -> None:
        async with world("vidispine") as it:
            born = it.birth(metadata={"title": "one"})
            job = await list_ids(it.client, born.id)
            assert job.state is S.UNKNOWN
            it.end(job.id, after=15.0)
            assert metadata(await job.wait())["title"] == "one"


class TestErased:
    """EcoTaxa's erase kills a job that has not ended, and only removes one that has."""

    @pytest.mark.parametrize("era", ["2023", "now"])
    async def test_a_success_stays_one(self, world: Any, era: str) -> None:
        async with world("ecotaxa", server={"era": era}) as it:
            job = it.client.job(it.birth().id)
            it.end(job.id)
            final = await job.wait()
            await asyncio.sleep(5.0)
            await it.client.jobs.erase_job(job.id)
            assert it.server.ledger.count("removed") == 1
            assert job.state is S.SUCCEEDED
            before = it.requests()
            assert await job.wait() is final
            assert await it.client.job(job.id).wait() is final
            assert [update.state async for update in job.updates()] == [S.SUCCEEDED]
            assert it.requests() == before
            assert job.state is S.SUCCEEDED
            assert job.data is final

    async def test_it_does_not_count_as_cancelled_later_either(self, world: Any) -> None:
        async with world("ecotaxa", server={"era": "2023"}) as it:
            job = it.client.job(it.birth().id)
            it.end(job.id)
            final = await job.wait()
            await asyncio.sleep(5.0)
            await it.client.jobs.erase_job(job.id)
            assert isinstance(await result(job.refresh()), NotFound)
            assert job.state is S.SUCCEEDED
            assert await job.wait() is final
            job_id = job.id
            del job
            gc.collect()
            assert isinstance(await result(it.client.job(job_id).wait()), JobLost)
