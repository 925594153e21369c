"""Reads of single jobs go on beside the looks at many: a slow one holds up nobody else."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from jobkit_async.errors import ClientClosed, PollingFailed, WaitTimeout, api_error
from jobkit_async.polling.reads import PARALLEL
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.polling.turns import SLICE
from jobkit_async.states import JobState

START = 100.0
pytestmark = pytest.mark.looptime(start=START, end=200_000)  # what would hang fails

S = JobState
GAP = 10.0
HANGS = 90.0
BATCHES = pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])


def now() -> float:
    return asyncio.get_running_loop().time()


def begun(awaitable: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(awaitable)


async def timed(awaitable: Any) -> tuple[Any, float]:
    try:
        return await awaitable, now()
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error, now()


def tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("jobkit_async-")]


class TestSlow:
    @BATCHES
    async def test_a_read_that_hangs_holds_up_no_other_job(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        service.hidden, service.slow = {"slow"}, {"slow": HANGS}
        slow = begun(timed(service.runs("slow", 5.0).wait()))
        others = [begun(timed(service.runs(f"{n}", 3.0 + n * GAP).wait())) for n in range(20)]
        assert [(await other)[1] for other in others] == [START + GAP * (n + 1) for n in range(20)]
        # It was running when the first read left, and had ended when the second did.
        assert (await slow)[1] >= START + 2 * HANGS
        assert [key for _, key in service.reads].count("slow") == 2

    @BATCHES
    @pytest.mark.parametrize("hanging", [1, 3, PARALLEL - 1])
    async def test_other_reads_go_on_as_well(
        self, memory: Any, batch: int | None, hanging: int
    ) -> None:
        service = memory(batch=batch)
        service.slow = {f"slow {n}": HANGS for n in range(hanging)}
        slow = [begun(service.runs(key, 1e6).wait()) for key in service.slow]
        others = [begun(timed(service.runs(f"{n}", 25.0).wait())) for n in range(50)]
        service.hidden = {*service.slow, *(f"{n}" for n in range(50))}
        assert {(await other)[1] for other in others} == {START + 30.0}
        for task in slow:
            task.cancel()
        await asyncio.wait(slow)

    @BATCHES
    async def test_final_snapshots_that_hang_hold_up_nobody(
        self, memory: Any, monkeypatch: pytest.MonkeyPatch, batch: int | None
    ) -> None:
        service = memory(batch=batch, full=False)
        finish = service.finish

        async def slowly(keys: Any) -> Any:
            found = await finish(keys)
            if "slow" in found:
                await asyncio.sleep(HANGS)
            return found

        monkeypatch.setattr(service, "finish", slowly)
        first = begun(timed(service.runs("slow", 5.0).wait()))
        running = begun(service.runs("other", 200.0).wait())
        await asyncio.sleep(50.0)
        assert service.times == [START + GAP * n for n in range(5)]
        # What ends in the meantime is asked for together, after it.
        together = [begun(timed(service.runs(f"{n}", n * GAP).wait())) for n in range(3)]
        assert (await first)[1] == START + GAP + HANGS
        assert {(await one)[1] for one in together} == {START + GAP + HANGS}
        assert [len(keys) for _, keys in service.finishes] == [1, 3]
        running.cancel()

    @BATCHES
    async def test_one_look_waits_for_a_read_that_left_after_it_came(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        service.hidden, service.slow = {"slow"}, {"slow": 20.0}
        job = service.runs("slow", 5.0)
        waiting = begun(timed(job.wait()))
        await asyncio.sleep(10.0)
        # The read under way has left at a time when the job was still running.
        looked = begun(timed(service.handle("slow").wait(timeout=0)))
        assert (await waiting)[1] == (await looked)[1] == START + 40.0

    @BATCHES
    async def test_no_job_is_read_twice_at_a_time(self, memory: Any, batch: int | None) -> None:
        service = memory(batch=batch)
        service.hidden, service.slow = {"slow"}, {"slow": HANGS}
        job = service.runs("slow", 1e6)
        for n in range(60):
            with pytest.raises(WaitTimeout):
                await service.handle(job.id).wait(timeout=0.0 if n % 2 else 1.0)
        times = [at for at, _ in service.reads]
        assert all(after - before >= HANGS for before, after in itertools.pairwise(times))


class TestOrder:
    @BATCHES
    async def test_ends_come_before_all_others(self, memory: Any, batch: int | None) -> None:
        service = memory(batch=batch, delay=1.0, full=False)

        async def finish(keys: Any) -> dict[str, Any]:
            return {}  # nothing is had by fewer requests

        service.finish = finish
        missing = [service.runs(f"missing {n}", 1e6) for n in range(200)]
        service.hidden = {job.id for job in missing}
        waits = [begun(job.wait()) for job in missing]
        ended = await asyncio.gather(
            *(timed(service.runs(f"ended {n}", 0.0).wait()) for n in range(20))
        )
        # Ahead of them are those that were sent with the first of them.
        assert max(at for _, at in ended) <= START + 1.0 + (20 + PARALLEL) / PARALLEL + 1.0
        assert len(service.reads) < 50
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)

    @BATCHES
    async def test_so_many_are_under_way_at_once(self, memory: Any, batch: int | None) -> None:
        service = memory(batch=batch, delay=1.0)
        jobs = [service.runs(f"{n}", 0.0) for n in range(100)]
        service.hidden = {job.id for job in jobs}
        await asyncio.gather(*(job.wait() for job in jobs))
        times = [at for at, _ in service.reads]
        assert {times.count(at) for at in set(times)} == {PARALLEL, 100 % PARALLEL}

    async def test_the_most_requests_a_second_holds_for_them_but_not_for_ends(
        self, memory: Any
    ) -> None:
        service = memory(polling=Polling(max_rps=2.0, policy=FixedInterval(GAP)))
        jobs = [service.runs(f"{n}", 5.0) for n in range(10)]
        service.hidden = {job.id for job in jobs}
        await asyncio.gather(*(job.wait() for job in jobs))
        times = [at for at, _ in service.reads]
        assert times == [START + 0.5 * n for n in range(10)] + [
            times[10] + 0.5 * n for n in range(10)
        ]


class TestThrottled:
    @BATCHES
    async def test_nothing_is_read_after_a_look_that_was_refused(
        self, memory: Any, batch: int | None
    ) -> None:
        """A part of the look was; the rest has shown that some jobs should be read."""
        service = memory(batch=batch, full=False)
        jobs = [service.runs(f"{n}", 0.0) for n in range(10)]
        service.hidden = {"0", "1", "2"}
        refusal = api_error(429, operation="o", reason="no", retry_after=30.0)
        service.failing = {"9": refusal}
        waits = [begun(timed(job.wait())) for job in jobs]
        await asyncio.sleep(29.0)
        assert not service.reads
        assert not service.finishes
        assert len(service.looks) == 1
        service.failing = {}
        assert all(isinstance(result, str) for result, _ in await asyncio.gather(*waits))


class TestEnds:
    @BATCHES
    async def test_closing_ends_reads(self, memory: Any, batch: int | None) -> None:
        service = memory(batch=batch, full=False)
        service.hidden = {f"{n}" for n in range(30)}
        service.slow = dict.fromkeys(service.hidden, HANGS)
        waits = [begun(timed(service.runs(key, 1.0).wait())) for key in sorted(service.hidden)]
        await asyncio.sleep(5.0)
        assert len(tasks()) == 1 + PARALLEL
        await service.aclose()
        assert not tasks()
        assert {(type(error), at) for error, at in await asyncio.gather(*waits)} == {
            (ClientClosed, START + 5.0)
        }

    @BATCHES
    async def test_nobody_hangs_if_somebody_cancels_a_read(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        service.hidden, service.slow = {"a"}, {"a": HANGS}
        waits = [begun(timed(service.runs(key, 1e6).wait())) for key in "ab"]
        await asyncio.sleep(1.0)
        (read,) = (task for task in tasks() if task.get_name().endswith("-reads"))
        read.cancel()
        assert {type(error) for error, _ in await asyncio.gather(*waits)} == {PollingFailed}
        service.slow.clear()
        assert await service.runs("a", 15.0).wait()

    @BATCHES
    async def test_nobody_hangs_if_what_was_read_cannot_be_taken(
        self, memory: Any, see: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch)
        service.hidden = {"a"}
        odd = see(S.RUNNING, progress=0.5)
        object.__setattr__(odd, "created_at", "yesterday")  # no source should do this
        wait = begun(timed(service.script("a", (0.0, odd)).wait()))
        assert isinstance((await wait)[0], AttributeError)
        assert await service.runs("a", 15.0).wait()

    @BATCHES
    async def test_very_many_are_handed_over_in_slices(
        self, memory: Any, batch: int | None
    ) -> None:
        service = memory(batch=batch, full=False)
        service.faults = [None, api_error(500, operation="o", reason="no")]
        jobs = [service.runs(f"{n}", 0.0) for n in range(2000)]
        took, sizes = service._tracker._reads._took, []

        def sized(results: Any) -> None:
            sizes.append(len(results))
            took(results)

        service._tracker._reads._took = sized
        await asyncio.gather(*(job.wait() for job in jobs))
        assert sum(sizes) == 4000
        assert max(sizes) == SLICE
