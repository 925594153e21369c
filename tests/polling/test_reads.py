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
        object.__setattr__(odd, "started_at", "yesterday")  # no source should do this
        wait = begun(timed(service.script("a", (0.0, odd)).wait()))
        error = (await wait)[0]
        assert isinstance(error, PollingFailed)
        assert isinstance(error.__cause__, AttributeError)
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


class TestPlans:
    """One look answers for all jobs: it must always be clear when the next one is."""

    async def test_somebody_leaves_while_the_last_read_waits_for_its_turn(
        self, memory: Any
    ) -> None:
        service = memory(polling=Polling(max_rps=0.1, policy=FixedInterval(GAP)))
        service.hidden = {"a", "b"}
        staying = begun(timed(service.runs("a", 50.0).wait()))
        leaving = begun(service.runs("b", 1e6).wait())
        await asyncio.sleep(5.0)
        leaving.cancel()
        assert (await staying)[1] <= START + 50.0 + 2 * GAP

    async def test_a_missing_job_does_not_set_the_pace_of_all(self, memory: Any) -> None:
        polling = Polling(policy=FixedInterval(1.0), lost_after=3600.0)
        service = memory(delay=0.1, polling=polling)
        lost = begun(service.script("lost", (0.0, None)).wait())
        waits = [begun(timed(service.runs(f"{n}", 3.0).wait())) for n in range(19)]
        service.hidden = {"lost", *(f"{n}" for n in range(19))}
        assert max([(await wait)[1] for wait in waits]) < START + 6.0
        lost.cancel()

    async def test_a_read_that_comes_back_during_a_look_plans_no_other(self, memory: Any) -> None:
        service = memory(delay=30.0, polling=Polling(policy=FixedInterval(20.0)))
        service.hidden, service.slow = {"read"}, {"read": 25.0}
        waits = [begun(service.runs(key, 1e6).wait()) for key in ("read", "a", "b")]
        await asyncio.sleep(600.0)
        gaps = [after - before for before, after in itertools.pairwise(service.times)]
        assert min(gaps) >= 50.0
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


class TestRefusals:
    """What a service that throttles has asked for is kept to by all that is under way."""

    async def test_nothing_is_finished_after_a_refusal(
        self, memory: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = memory(batch=100, full=False)
        asked: list[float] = []

        async def finish(keys: Any) -> Any:
            asked.append(now())
            await asyncio.sleep(20.0)
            raise api_error(429, operation="o", reason="no", retry_after=60.0)

        monkeypatch.setattr(service, "finish", finish)
        waits = [begun(service.runs(key, end).wait()) for key, end in (("a", 5.0), ("b", 15.0))]
        await asyncio.sleep(60.0)
        assert asked == [START + GAP]  # b was seen to have ended while this was under way
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)

    async def test_nor_read_after_a_look_that_was_under_way(self, memory: Any) -> None:
        service = memory(batch=100, delay=10.0)
        service.hidden, service.slow = {"a", "b", "c"}, {"a": 14.0}
        refusal = api_error(429, operation="o", reason="no", retry_after=60.0)
        waits = [begun(timed(service.script("a", (0.0, refusal)).wait()))]
        await asyncio.sleep(18.0)
        waits += [begun(timed(service.runs(key, 1e6).wait())) for key in "bc"]
        await asyncio.sleep(600.0)
        assert [at for at, _ in service.reads if START + 24.0 < at < START + 84.0] == []
        assert {"b", "c"} <= {key for _, key in service.reads}
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)

    @BATCHES
    async def test_those_that_were_passed_over_come_first_the_next_time(
        self, memory: Any, monkeypatch: pytest.MonkeyPatch, batch: int | None
    ) -> None:
        service = memory(batch=batch, delay=0.1)
        read, asked = service.read, []

        async def limited(key: str) -> Any:  # twenty reads a minute
            recent = [at for at in asked if at > now() - 60.0]
            if len(recent) >= 20:
                left = 60.0 - (now() - recent[0])
                raise api_error(429, operation="o", reason="no", retry_after=left)
            asked.append(now())
            return await read(key)

        monkeypatch.setattr(service, "read", limited)
        waits = [begun(timed(service.runs(f"{n}", 1e6).wait())) for n in range(100)]
        service.hidden = {f"{n}" for n in range(100)}
        await asyncio.sleep(3000.0)
        assert {key for _, key in service.reads} == service.hidden
        assert not any(wait.done() for wait in waits)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


class TestOldAnswers:
    """A look may tell more than a read that left before it, and came after it."""

    async def test_an_end_that_was_seen_meanwhile_is_not_forgotten(self, memory: Any) -> None:
        service = memory(full=False, polling=Polling(policy=FixedInterval(100.0)))
        service.hidden, service.slow = {"a"}, {"a": 50.0}
        wait = begun(timed(service.runs("a", 20.0).wait()))
        others = [begun(service.runs("b", 1e6).wait())]
        await asyncio.sleep(30.0)
        service.hidden = set()
        others.append(begun(service.runs("c", 1e6).wait()))  # whose look shows a's end
        assert (await wait)[1] == START + 50.0
        for other in others:
            other.cancel()
        await asyncio.wait(others)

    async def test_one_that_is_missing_in_an_old_answer_only_is_not(self, memory: Any) -> None:
        service = memory(batch=100)
        service.hidden, service.slow = {"a"}, {"a": 25.0}
        wait = begun(service.script("a", (0.0, None)).wait())
        await asyncio.sleep(1.0)
        service.hidden = set()
        service.runs("a", 1e6)
        service._tracker.look_soon("a")
        await asyncio.sleep(25.0)
        entry = service._tracker._entries["a"]
        assert (entry.misses, entry.alive_at) == (0, START + 1.5)
        wait.cancel()
        await asyncio.wait([wait])


class TestHaste:
    """Whoever cannot wait for long is not kept waiting by those who can."""

    @BATCHES
    async def test_one_look_does_not_wait_for_a_queue(self, memory: Any, batch: int | None) -> None:
        service = memory(batch=batch)
        service.hidden = {f"{n}" for n in range(400)}
        service.slow = dict.fromkeys(service.hidden, 2.0)
        waits = [begun(service.runs(f"{n}", 1e6).wait()) for n in range(400)]
        await asyncio.sleep(1.0)
        error, at = await timed(service.handle("399").wait(timeout=0))
        assert isinstance(error, WaitTimeout)
        assert at <= START + 5.0
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)

    @BATCHES
    async def test_nor_does_a_last_look(self, memory: Any, batch: int | None) -> None:
        service = memory(batch=batch)
        service.hidden = {f"{n}" for n in range(100)}
        service.slow = dict.fromkeys(service.hidden, 4.0)
        service.slow["99"] = 0.1
        waits = [begun(service.runs(f"{n}", 1e6).wait()) for n in range(99)]
        assert await service.runs("99", 5.0).wait(timeout=20.0)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
