"""EcoTaxa's listing fails, perhaps for its size: few jobs are read one by one, many are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import attrs
import pytest

from jobkit_async.errors import PollingFailed, RequestTimeout, ServerError, WaitTimeout
from jobkit_async.fakes.server import Refusal
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.services.ecotaxa.fake import FakeEcotaxa
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=20_000)  # what would hang fails

FEW, MANY = 20, 21
PATIENCE = 2.0
SILENCE = 0
TROUBLES: dict[str, tuple[int, type[Exception]]] = {
    "no answer": (SILENCE, RequestTimeout),
    "500": (500, ServerError),
    "502": (502, ServerError),
    "503": (503, ServerError),
    "504": (504, ServerError),
}


@attrs.define
class Faults:
    """The status by which requests are refused from now on; None is no fault."""

    listing: int | None = None
    read: int | None = None
    headers: dict[str, str] = attrs.field(factory=dict)

    async def strike(self, status: int | None) -> None:
        if status == SILENCE:
            await asyncio.sleep(1e6)
        if status is not None:
            raise Refusal(status, "too much", headers=self.headers)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """What is wrong with the server."""
    it = Faults()
    listing, read = FakeEcotaxa._list, FakeEcotaxa._get

    async def faulty_listing(self: Any, request: Any) -> Any:
        await it.strike(it.listing)
        return await listing(self, request)

    async def faulty_read(self: Any, request: Any) -> Any:
        await it.strike(it.read)
        return await read(self, request)

    monkeypatch.setattr(FakeEcotaxa, "_list", faulty_listing)
    monkeypatch.setattr(FakeEcotaxa, "_get", faulty_read)
    return it


@pytest.fixture(params=TROUBLES.values(), ids=TROUBLES.keys())
def trouble(request: pytest.FixtureRequest, faults: Faults) -> type[Exception]:
    """A listing that fails, and by which error."""
    faults.listing, error = request.param
    return error  # type: ignore[no-any-return]


@pytest.fixture
def ecotaxa(world: Any, faults: Faults) -> Any:
    """Opens an EcoTaxa whose answers are waited for two seconds."""

    def opened(**polling: Any) -> Any:
        every_10 = Polling(policy=FixedInterval(10.0), **polling)
        return world("ecotaxa", client={"timeout": PATIENCE}, polling=every_10)

    return opened


def now() -> float:
    return asyncio.get_running_loop().time()


async def result(awaitable: Awaitable[Any]) -> Any:
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error


def start(jobs: list[Any], **options: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(result(job.wait(**options))) for job in jobs]


@pytest.mark.usefixtures("trouble")
@pytest.mark.parametrize("count", [2, FEW])
async def test_few_jobs_are_read_one_by_one_in_the_same_look(ecotaxa: Any, count: int) -> None:
    async with ecotaxa() as it:
        jobs = it.births(count)
        for job in jobs:
            it.end(job.id)
        await asyncio.sleep(1.0)
        finals = await asyncio.gather(*start(jobs, timeout=0))
        assert {getattr(final, "state", final) for final in finals} == {"F"}
        assert it.requests() == {"list_jobs": 1, "get_job": count}
        assert now() <= START + 1.0 + PATIENCE


async def test_the_listing_is_tried_again_by_each_look(
    ecotaxa: Any, faults: Faults, trouble: type[Exception]
) -> None:
    async with ecotaxa() as it:
        jobs = it.births(FEW)
        waits = start(jobs)
        for look in range(1, 4):
            await asyncio.sleep(5.0)
            assert it.requests() == {"list_jobs": look, "get_job": FEW * look}
            await asyncio.sleep(5.0 + (PATIENCE if trouble is RequestTimeout else 0.0))
        assert {job.state for job in jobs} == {JobState.RUNNING}
        faults.listing = None
        before = it.requests()["get_job"]
        await asyncio.sleep(15.0)
        for job in jobs:
            it.end(job.id)
        assert {final.state for final in await asyncio.gather(*waits)} == {"F"}
        assert it.requests()["get_job"] <= before + FEW  # of a look that was under way


async def test_many_jobs_are_not(ecotaxa: Any, trouble: type[Exception]) -> None:
    async with ecotaxa() as it:
        jobs = it.births(MANY)
        errors = await asyncio.gather(*start(jobs, timeout=0))
        assert {type(error) for error in errors} == {WaitTimeout}
        assert {type(error.__cause__) for error in errors} == {trouble}
        assert it.requests() == {"list_jobs": 1}


async def test_many_jobs_endure_some_failures_and_no_more(
    ecotaxa: Any, trouble: type[Exception]
) -> None:
    async with ecotaxa(give_up_after=120.0) as it:
        waits = start(it.births(MANY))
        await asyncio.sleep(115.0)
        assert not any(wait.done() for wait in waits)
        async with asyncio.timeout(500.0):
            errors = await asyncio.gather(*waits)
        assert {type(error) for error in errors} == {PollingFailed}
        assert {type(error.__cause__) for error in errors} == {trouble}
        assert it.requests().keys() == {"list_jobs"}
        assert START + 120.0 <= now() <= START + 200.0


async def test_many_jobs_go_on_once_the_listing_is_back(ecotaxa: Any, faults: Faults) -> None:
    async with ecotaxa(give_up_after=120.0) as it:
        jobs = it.births(MANY)
        waits = start(jobs)
        for _ in range(3):  # longer than the budget in all, and never in a row
            faults.listing = 500
            await asyncio.sleep(90.0)
            faults.listing = None
            await asyncio.sleep(90.0)
        assert not any(wait.done() for wait in waits)
        for job in jobs:
            it.end(job.id)
        assert {final.state for final in await asyncio.gather(*waits)} == {"F"}
        assert it.requests().keys() == {"list_jobs"}


async def test_few_jobs_whose_reads_fail_as_well_end_by_the_budget(
    ecotaxa: Any, faults: Faults
) -> None:
    faults.listing = faults.read = 500
    async with ecotaxa(give_up_after=120.0) as it:
        errors = await asyncio.gather(*start(it.births(3)))
        assert {type(error) for error in errors} == {PollingFailed}
        assert {type(error.__cause__) for error in errors} == {ServerError}
        assert START + 120.0 <= now() <= START + 200.0


@pytest.mark.parametrize("status", [400, 401, 403, 429])
async def test_an_answer_that_blames_the_caller_is_no_ground_to_ask_more(
    ecotaxa: Any, faults: Faults, status: int
) -> None:
    faults.listing = status
    async with ecotaxa() as it:
        errors = await asyncio.gather(*start(it.births(3), timeout=0))
        assert {type(error) for error in errors} == {WaitTimeout}
        assert {error.__cause__.status for error in errors} == {status}
        assert it.requests() == {"list_jobs": 1}


async def test_a_service_that_asks_for_a_pause_gets_it(ecotaxa: Any, faults: Faults) -> None:
    """Retry-After holds back every request, also those that would stand in for the listing."""
    faults.listing, faults.headers = 503, {"Retry-After": "60"}
    async with ecotaxa() as it:
        jobs = it.births(3)
        waits = start(jobs)
        await asyncio.sleep(59.0)
        assert it.requests() == {"list_jobs": 1}
        faults.listing = None
        for job in jobs:
            it.end(job.id)
        assert {final.state for final in await asyncio.gather(*waits)} == {"F"}
        assert START + 60.0 <= now() <= START + 71.0
