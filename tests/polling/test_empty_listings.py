"""bsub.io's listings of nothing: its schema requires no member, and null stands for none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from jobkit_async.services.bsubio.fake import FakeBsubio
from jobkit_async.states import JobState

pytestmark = pytest.mark.looptime(start=100.0, end=20_000)  # what would hang fails

NOTHING: list[dict[str, Any]] = [
    {"jobs": None, "total": 0},
    {"jobs": None, "total": None},
    {"jobs": None},
    {"total": 0},
    {},
]


@pytest.fixture(params=NOTHING, ids=str)
def nothing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the embedded server tell of empty listings in an odd way."""
    original = FakeBsubio._list

    async def listing(self: Any, asked: Any) -> Any:
        answer = await original(self, asked)
        if b'"jobs": []' not in answer.body:
            return answer
        return web.json_response({"success": True, "data": request.param})

    monkeypatch.setattr(FakeBsubio, "_list", listing)


@pytest.mark.usefixtures("nothing")
async def test_the_operation_finds_nothing(world: Any) -> None:
    async with world("bsubio") as it:
        found = await it.client.jobs.list_jobs(status="failed")
        assert list(found) == []
        assert not found.total


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("count", [3, 30])
async def test_waits_go_on_and_end(world: Any, count: int) -> None:
    async with world("bsubio") as it:
        jobs = it.births(count)
        waits = [asyncio.create_task(job.wait(timeout=120.0)) for job in jobs]
        await asyncio.sleep(5.0)
        assert {job.state for job in jobs} == {JobState.RUNNING}
        for job in jobs:
            it.end(job.id, after=15.0)
        finals = await asyncio.gather(*waits)
        assert {final.status for final in finals} == {"finished"}
        assert it.requests()["list_jobs"] >= 6
