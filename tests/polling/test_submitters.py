"""Leia's submitters: what becomes of jobs for which there is no guess, or a wrong one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from jobkit_async.fakes.server import Refusal
from jobkit_async.services.leia.fake import FakeLeia
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=20_000)  # what would hang fails

BY_TOKEN = {"api_key": None, "token": "leia-token"}


async def result(awaitable: Awaitable[Any]) -> Any:
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error


def start(jobs: list[Any]) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(result(job.wait())) for job in jobs]


async def outcomes(waits: list[asyncio.Task[Any]]) -> set[Any]:
    """The statuses that waits ended with, and the errors."""
    return {getattr(final, "status", final) for final in await asyncio.gather(*waits)}


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that does not tell anybody who they are."""

    async def refuse(self: Any, request: Any) -> Any:
        raise Refusal(403, "not for you")

    monkeypatch.setattr(FakeLeia, "_whoami", refuse)


@pytest.fixture
def jealous(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that refuses statuses if any of the jobs is somebody else's."""
    original = FakeLeia._get_statuses

    async def refuse(self: Any, request: Any) -> Any:
        for job_id in request.match_info["job_id"].split(","):
            job = self.jobs.get(job_id)
            if job is not None and job.submitter_id != request.match_info["submitter_id"]:
                raise Refusal(403, "not the owner of the job")
        return await original(self, request)

    monkeypatch.setattr(FakeLeia, "_get_statuses", refuse)


@pytest.mark.usefixtures("nobody")
class TestNoGuess:
    """``whoami`` answers 403."""

    @pytest.mark.parametrize("told", ["by the caller", "by an answer"])
    async def test_it_harms_no_job_whose_submitter_is_known(self, world: Any, told: str) -> None:
        async with world("leia", client=BY_TOKEN, server={"submitter_id": "other"}) as it:
            if told == "by the caller":
                born = [it.birth() for _ in range(3)]
                known = [it.client.job(job.id, submitter_id="other") for job in born]
            else:
                known = it.births(3)
                await asyncio.gather(*(job.refresh() for job in known))
            jobs = [*known, *it.births(3)]
            waits = start(jobs)
            for job in jobs:
                it.end(job.id, after=45.0)
            assert await outcomes(waits) == {"PROCESSED"}
            assert it.requests()["admin_get_job_statuses"] >= 5

    @pytest.mark.parametrize("tells_submitter", [True, False])
    async def test_jobs_whose_submitter_is_not_known_are_read_through_the_listing(
        self, world: Any, tells_submitter: bool
    ) -> None:
        server = {"submitter_id": "other", "tells_submitter": tells_submitter}
        async with world("leia", client=BY_TOKEN, server=server) as it:
            jobs = it.births(3)
            for job in jobs:
                it.end(job.id, after=45.0)
            assert await outcomes(start(jobs)) == {"PROCESSED"}

    async def test_the_guess_is_tried_once_for_each_look(self, world: Any) -> None:
        server = {"submitter_id": "other", "tells_submitter": False}
        async with world("leia", client=BY_TOKEN, server=server) as it:
            jobs = it.births(30)
            waits = start(jobs)
            for look in range(1, 4):
                await asyncio.sleep(5.0)
                assert it.server.requests["whoami"] == look
                assert it.requests() == {"admin_get_jobs": 30 * look}
                await asyncio.sleep(5.0)
            assert {job.state for job in jobs} == {JobState.RUNNING}
            assert not any(wait.done() for wait in waits)
            for job in jobs:
                it.end(job.id)
            assert await outcomes(waits) == {"PROCESSED"}

    async def test_nobody_asks_where_all_submitters_are_known(self, world: Any) -> None:
        async with world("leia", client=BY_TOKEN, server={"submitter_id": "other"}) as it:
            jobs = [it.client.job(it.birth().id, submitter_id="other") for _ in range(3)]
            for job in jobs:
                it.end(job.id, after=15.0)
            assert await outcomes(start(jobs)) == {"PROCESSED"}
            assert it.server.requests["whoami"] == 0


@pytest.mark.usefixtures("jealous")
class TestAWrongGuess:
    """The service answers 403, and not 404, to whoever guesses wrong."""

    @pytest.mark.parametrize("tells_submitter", [True, False])
    @pytest.mark.parametrize("count", [1, 3, 30])
    async def test_the_jobs_are_read_through_the_listing(
        self, world: Any, tells_submitter: bool, count: int
    ) -> None:
        server = {"submitter_id": "other", "tells_submitter": tells_submitter}
        async with world("leia", server=server) as it:
            jobs = it.births(count)
            waits = start(jobs)
            for job in jobs:
                it.end(job.id, after=95.0)
            await asyncio.sleep(5.0)
            assert it.requests() == {"admin_get_job_statuses": 1, "admin_get_jobs": count}
            assert {job.state for job in jobs} == {JobState.RUNNING}
            assert await outcomes(waits) == {"PROCESSED"}

    async def test_a_submitter_given_wrong_is_a_guess_too(self, world: Any) -> None:
        async with world("leia", server={"submitter_id": "other"}) as it:
            job = it.client.job(it.birth().id, submitter_id="wrong")
            it.end(job.id, after=45.0)
            assert await outcomes(start([job])) == {"PROCESSED"}
            assert job.submitter_id == "other"

    @pytest.mark.parametrize("tells_submitter", [True, False])
    async def test_it_harms_no_job_whose_submitter_is_confirmed(
        self, world: Any, tells_submitter: bool
    ) -> None:
        async with world("leia", server={"tells_submitter": tells_submitter}) as it:
            own = it.births(3)
            waits = start(own)
            await asyncio.sleep(5.0)
            it.server._submitter_id = "other"
            others = it.births(3)
            waits += start(others)
            for job in [*own, *others]:
                it.end(job.id, after=95.0)
            assert await outcomes(waits) == {"PROCESSED"}
