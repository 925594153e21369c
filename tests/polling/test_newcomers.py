"""Those who begin to wait while others do: they are seen to soon, and start no storm."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any

import pytest

from jobkit_async.errors import ServerError, Unauthorized, WaitTimeout
from jobkit_async.polling import durations as durations_module
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=200_000)  # what would hang fails

BATCHES = pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])


def now() -> float:
    return asyncio.get_running_loop().time()


def begun(awaitable: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(awaitable)


async def crowd(service: Any, count: int = 100) -> list[asyncio.Task[Any]]:
    """Jobs of many ages that are awaited, whose looks wait for each other."""
    tasks = []
    for index in range(count):
        tasks.append(begun(service.runs(f"crowd {index}", 1e6).wait()))
        await asyncio.sleep(3.0)
    return tasks


async def cleared(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_no_look_is_at_nothing(memory: Any) -> None:
    service = memory(batch=100, polling=Polling(rng=random.Random(1)))
    tasks = await crowd(service)
    await asyncio.sleep(600.0)
    assert len(service.looks) > 50
    assert all(look.keys for look in service.looks)
    await cleared(tasks)


async def put_off(service: Any) -> Any:
    """A job that is due, and waits for others to be asked for with it."""
    tracker = service._tracker
    while True:
        await asyncio.sleep(0.05)
        due = [key for key, entry in tracker._entries.items() if entry.due[0] <= now()]
        if due and tracker._schedule._not_before > now() + 0.5:
            return service.handle(due[0])


async def test_one_look_is_at_once_though_its_request_waits_for_others(memory: Any) -> None:
    service = memory(batch=100, polling=Polling(rng=random.Random(2)))
    tasks = await crowd(service, 60)
    for _ in range(10):
        job = await put_off(service)
        began = now()
        with pytest.raises(WaitTimeout):
            await job.wait(timeout=0)
        assert now() == began
    await cleared(tasks)


async def test_a_last_look_does_not_wait_for_others(memory: Any) -> None:
    service = memory(batch=100, polling=Polling(rng=random.Random(2)))
    tasks = await crowd(service, 60)
    for _ in range(10):
        job = await put_off(service)
        service.runs(job.id, 0.0)  # ends now
        assert await job.wait(timeout=0.4)
    await cleared(tasks)


@BATCHES
@pytest.mark.parametrize("known", [True, False], ids=["one-job", "new-jobs"])
async def test_who_comes_while_looks_fail_is_in_no_greater_hurry(
    memory: Any, batch: int | None, known: bool
) -> None:
    service = memory(batch=batch, polling=Polling(policy=FixedInterval(1.0)))
    service.outage = ServerError("busy", operation="o", status=503)
    tasks = []
    for index in range(600):
        job = service.runs("job" if known else f"job {index}", 1e6)
        tasks.append(begun(job.wait()))
        await asyncio.sleep(0.1)
    assert len(service.looks) < 12
    gaps = [after - before for before, after in itertools.pairwise(service.times)]
    assert all(after > before for before, after in itertools.pairwise(gaps[:5]))
    service.outage = None
    await asyncio.sleep(61.0)
    assert service.looks[-1].keys >= set(service.records)
    await cleared(tasks)


async def test_many_newcomers_have_as_many_looks_as_the_shortest_gap_allows(memory: Any) -> None:
    service = memory(polling=Polling())
    tasks = []
    for index in range(300):
        tasks.append(begun(service.runs(f"job {index}", 1e6).wait()))
        await asyncio.sleep(0.1)
    assert len(service.looks) <= 30.0 / 0.5 + 1
    await cleared(tasks)


@BATCHES
async def test_a_refusal_of_a_moment_ends_no_wait(memory: Any, batch: int | None) -> None:
    service = memory(batch=batch, polling=Polling(policy=FixedInterval(4.0)))
    old = [begun(service.runs(f"old {index}", 60.0).wait()) for index in range(20)]
    await asyncio.sleep(10.0)
    service.outage = Unauthorized("no", operation="o", status=401)
    new = []
    for index in range(30):
        new.append(begun(service.runs(f"new {index}", 60.0).wait()))
        if index >= 10:
            service.outage = None
        await asyncio.sleep(0.1)
    assert [await task for task in old + new]


async def test_reads_that_are_not_made_cost_nothing(memory: Any) -> None:
    count = 1000
    service = memory(polling=Polling(max_rps=5.0, policy=FixedInterval(1.0)))
    jobs = [service.runs(f"job {index}", 0.0) for index in range(count)]
    service.hidden = {job.id for job in jobs}
    await asyncio.gather(*(job.wait() for job in jobs))
    assert now() - START == pytest.approx(count / 5.0, abs=2.0)


@BATCHES
async def test_laws_are_fitted_one_at_a_time(
    memory: Any, see: Any, monkeypatch: pytest.MonkeyPatch, batch: int | None
) -> None:
    kinds = 8
    service = memory(batch=batch, polling=Polling(rng=random.Random(1)))
    loop, fit = asyncio.get_running_loop(), durations_module.fit
    once: Any = loop._run_once
    turns, fits = [0], []

    def turn() -> None:
        turns[0] += 1
        once()

    def told(*arguments: Any, **options: Any) -> Any:
        fits.append(turns[0])
        return fit(*arguments, **options)

    monkeypatch.setattr(loop, "_run_once", turn)
    monkeypatch.setattr(durations_module, "fit", told)
    rng = random.Random(4)

    def begin(index: int) -> Any:
        kind = f"kind {index % kinds}"
        job = service.script(
            f"job {index}",
            (0.0, see(JobState.RUNNING, kind=kind)),
            (rng.uniform(20, 90), see(JobState.SUCCEEDED, kind=kind, data="done", final=True)),
        )
        record = job._record
        record.observe(see(JobState.RUNNING, kind=kind), asked_at=now(), now=now())
        record.born, record.dated = now(), True
        return job

    for first in range(0, 480, 160):
        jobs = [begin(first + index) for index in range(160)]
        assert all(await asyncio.gather(*(job.wait() for job in jobs)))
    assert len(fits) > 3 * kinds
    assert len(set(fits)) == len(fits)


async def test_laws_are_fitted_seldom_where_the_shortest_gap_decides_anyway(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, fit = [], durations_module.fit

    def told(*arguments: Any, **options: Any) -> Any:
        fits.append(now())
        return fit(*arguments, **options)

    monkeypatch.setattr(durations_module, "fit", told)
    service = memory(batch=None, polling=Polling(rng=random.Random(1)))
    rng = random.Random(4)

    def begin(index: int) -> Any:
        job = service.runs(f"job {index}", rng.uniform(10.0, 40.0))
        job._record.born, job._record.dated = now(), True
        return job

    jobs = [begin(index) for index in range(2000)]
    assert all(await asyncio.gather(*(job.wait() for job in jobs)))
    looks = [at for at in service.times if at - START > 11.0]
    assert len(looks) >= 40
    assert 2 * len(fits) < len(looks)


async def test_the_shortest_gap_of_a_patient_user_keeps_no_newcomer_waiting(memory: Any) -> None:
    service = memory(polling=Polling(min_interval=3600.0, max_interval=7200.0))
    for index in range(3):
        assert await service.runs(f"job {index}", 0.0).wait()
    assert now() - START <= 1.0
