"""Failure 16 of the list that ``test_known_failures`` begins: contexts leak; other loops differ.

What runs on uvloop runs in real time, and so with short intervals; the rest is in virtual time.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp
import looptime
import pytest

from jobkit_async import as_completed
from jobkit_async.errors import ClientClosed, PollingFailed, WaitTimeout
from jobkit_async.fakes.server import Refusal
from jobkit_async.polling.schedule import FixedInterval, Polling
from jobkit_async.states import JobState

START = 100.0

S = JobState
GAP = 0.02
LOOPS = ["virtual, eager", "uvloop", "uvloop, eager"]
BATCHES = pytest.mark.parametrize("batch", [None, 100], ids=["one-for-all", "by-name"])
EACH = pytest.mark.parametrize("name", ["leia", "ecotaxa", "vidispine", "bsubio"])

span: contextvars.ContextVar[str] = contextvars.ContextVar("span")


def now() -> float:
    return asyncio.get_running_loop().time()


async def result(awaitable: Awaitable[Any]) -> Any:
    """What came out, value or exception."""
    try:
        return await awaitable
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error


def start(awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(result(awaitable))


def idle(service: Any) -> bool:
    """Whether nothing of a tracker is left at work."""
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("jobkit_async-")]
    return len(service._tracker) == 0 and not tasks


@pytest.mark.looptime(start=START, end=20_000)
class TestContexts:
    """16. Polls run under the request or span of who happened to wait first."""

    @EACH
    @pytest.mark.parametrize("count", [1, 12])
    async def test_16_no_poll_runs_in_a_waiters_context(
        self, world: Any, name: str, count: int
    ) -> None:
        spans: list[tuple[str, str | None]] = []

        async def sent(_: Any, context: Any, params: aiohttp.TraceRequestStartParams) -> None:
            spans.append((params.method, span.get(None)))

        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(sent)  # type: ignore[arg-type]
        async with (
            aiohttp.ClientSession(trace_configs=[trace]) as session,
            world(name, client={"session": session}) as it,
        ):
            jobs = it.births(count)
            await jobs[0].refresh()  # a log-in belongs to who causes it
            spans.clear()

            async def wait(job: Any, who: str) -> str:
                span.set(who)
                await job.wait()
                return span.get()

            waits = [asyncio.create_task(wait(job, "first")) for job in jobs]
            waits += [asyncio.create_task(wait(job, "second")) for job in jobs]
            await asyncio.sleep(15.0)
            token = span.set("who ends them")
            for job in jobs:
                it.end(job.id)
            await jobs[0].refresh()
            span.reset(token)
            assert await asyncio.gather(*waits) == ["first"] * count + ["second"] * count
            own = [told for _, told in spans if told is not None]
            assert own == ["who ends them"]  # of the one call that is no poll
            assert len(spans) >= 2

    @BATCHES
    async def test_16_nor_does_one_that_starts_anew(self, memory: Any, batch: int | None) -> None:
        spans: list[str | None] = []
        service = memory(batch=batch)
        service.on_look = lambda: spans.append(span.get(None))
        for who in ("first", "second"):
            span.set(who)
            await service.runs(who, 15.0).wait()
        span.set("third")
        service.faults = [KeyboardInterrupted("the loop breaks, and another begins")]
        waits = [start(service.runs(who, 15.0).wait()) for who in "ab"]
        errors = await asyncio.gather(*waits)
        assert [type(error) for error in errors] == [PollingFailed] * 2
        assert await service.handle("a").wait() == "a succeeded"
        assert spans == [None] * len(service.looks)
        assert len(spans) >= 9


class KeyboardInterrupted(BaseException):
    """What no source should raise."""


@pytest.fixture(params=LOOPS)
def run(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a scenario on a loop of its own; nothing may be left of it, and no complaint made."""
    kind, _, eager = request.param.partition(", ")
    if eager and not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("eager tasks came with Python 3.12")
    if kind == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
        knows = inspect.signature(asyncio.eager_task_factory).parameters if eager else ()
        if eager and sys.version_info >= (3, 13) and "eager_start" not in knows:
            pytest.skip("uvloop tells eager tasks what they do not know before Python 3.13.3")
    else:
        factory = looptime.new_event_loop
    complaints: list[str] = []

    async def whole(scenario: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
        if eager:
            loop.set_task_factory(asyncio.eager_task_factory)
        async with asyncio.timeout(20.0):
            await scenario
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def go(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(whole(scenario))
        gc.collect()
        assert complaints == []
        logged = [one for one in caplog.records if one.levelno >= logging.WARNING]
        assert [one.getMessage() for one in logged if "breaks" not in one.getMessage()] == []

    return go


@pytest.fixture
def often() -> Polling:
    """Looks every fiftieth of a second."""
    return Polling(policy=FixedInterval(GAP), min_interval=GAP / 2)


class TestLoops:
    """16. All of it on uvloop, and with an eager task factory."""

    @BATCHES
    def test_16_a_cancelled_opener(
        self, run: Any, memory: Any, often: Polling, batch: int | None
    ) -> None:
        async def scenario() -> None:
            service = memory(polling=often, batch=batch, delay=GAP)
            job = service.runs("a", 5 * GAP)
            opener, *followers = (asyncio.create_task(job.wait()) for _ in range(3))
            short = start(job.wait(timeout=2 * GAP))
            await asyncio.sleep(GAP / 2)
            opener.cancel()
            assert await asyncio.gather(*followers) == ["a succeeded"] * 2
            assert opener.cancelled()
            assert isinstance(await short, WaitTimeout)
            assert idle(service)
            assert await job.wait() == "a succeeded"
            looks = len(service.looks)
            other = service.runs("b", 3 * GAP)
            assert await asyncio.gather(other.wait(), other.wait()) == ["b succeeded"] * 2
            assert 2 <= len(service.looks) - looks <= 6

        run(scenario())

    @BATCHES
    def test_16_a_loop_that_breaks(
        self, run: Any, memory: Any, often: Polling, batch: int | None
    ) -> None:
        async def scenario() -> None:
            service = memory(polling=often, batch=batch)
            service.faults = [None, KeyboardInterrupted("it breaks")]
            waits = [start(service.runs(str(index), 5 * GAP).wait()) for index in range(20)]
            errors = await asyncio.gather(*waits)
            assert {type(error) for error in errors} == {PollingFailed}
            assert [len(look.keys) for look in service.looks] == [20, 20]  # begun together
            assert idle(service)
            assert await service.handle("7").wait() == "7 succeeded"

        run(scenario())

    @pytest.mark.parametrize("name", ["leia", "bsubio"])
    def test_16_closing_with_open_waits(
        self, run: Any, world: Any, traffic: Any, often: Polling, name: str
    ) -> None:
        async def scenario() -> None:
            traffic.delay = GAP
            async with world(name, polling=often) as it:
                jobs = it.births(200)
                waits = [start(job.wait()) for job in jobs]
                waits += [start(job.wait(timeout=10.0)) for job in jobs]
                await asyncio.sleep(2.5 * GAP)
                await it.client.aclose()
                errors = await asyncio.gather(*waits)
                assert {type(error) for error in errors} == {ClientClosed}
                assert idle(it.client)
                assert isinstance(await result(jobs[0].wait()), ClientClosed)

        run(scenario())

    @pytest.mark.parametrize("name", ["leia", "bsubio"])
    def test_16_an_as_completed_that_is_left_early(
        self, run: Any, world: Any, often: Polling, name: str
    ) -> None:
        async def scenario() -> None:
            async with world(name, polling=often) as it:
                jobs = it.births(20)
                it.end(jobs[3].id, after=3 * GAP)
                async with as_completed(jobs) as outcomes:
                    async for outcome in outcomes:
                        assert outcome.job is jobs[3]
                        assert outcome.state is S.SUCCEEDED
                        break
                await asyncio.sleep(3 * GAP)
                assert idle(it.client)
                asked = it.requests()
                await asyncio.sleep(5 * GAP)
                assert it.requests() == asked
                it.end(jobs[0].id)
                assert await jobs[0].wait() is jobs[0].data

        run(scenario())

    @pytest.mark.parametrize("status", [404, 500])
    def test_16_a_batch_with_one_bad_id(
        self, run: Any, world: Any, traffic: Any, often: Polling, status: int
    ) -> None:
        async def scenario() -> None:
            async with world("leia", polling=often) as it:
                jobs = it.births(100)
                waits = [start(job.wait()) for job in jobs]
                await asyncio.sleep(5 * GAP)
                bad, bad_wait = jobs.pop(61), waits.pop(61)

                def refuse(operation: str, request: Any) -> None:
                    if bad.id in request.match_info.get("job_id", "").split(","):
                        raise Refusal(status, "cannot deal with this id")

                traffic.refuse = refuse
                for job in jobs:
                    it.end(job.id, after=GAP)
                assert await asyncio.gather(*waits) == [job.data for job in jobs]
                assert not bad_wait.done()
                await it.client.aclose()
                assert isinstance(await bad_wait, ClientClosed)

        run(scenario())
