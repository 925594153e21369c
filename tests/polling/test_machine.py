"""A state machine drives tracker and embedded servers together and asks the ledger what is true.

Jobs begin, ask, end and are cancelled; waits begin, time out and are cancelled; requests fail for a
while; the client is closed and opened again. Each rule runs a piece of virtual time on a loop of
the machine's own, and whatever a wait came to is held against what really happened to its job.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import attrs
import hypothesis
import looptime
import pytest
from aiohttp import web
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobkit_async.errors import (
    ClientClosed,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobkitError,
    JobNeedsInput,
    WaitTimeout,
)
from jobkit_async.fakes.server import Refusal
from jobkit_async.fakes.timeline import Plan
from jobkit_async.states import JobState

S = JobState
T = TypeVar("T")

GAP = 10.0
BACKOFF = 60.0
"""The longest pause after failures."""
JITTER = 1e-3

ENDS: dict[str, dict[JobState, str]] = {
    "leia": {S.SUCCEEDED: "PROCESSED", S.FAILED: "FAILED"},
    "ecotaxa": {S.SUCCEEDED: "F", S.FAILED: "E"},
    "vidispine": {S.SUCCEEDED: "FINISHED_WARNING", S.FAILED: "FAILED_TOTAL"},
    "bsubio": {S.SUCCEEDED: "finished", S.FAILED: "failed"},
}
WAYS: dict[JobState, type[JobkitError]] = {S.FAILED: JobFailed, S.CANCELLED: JobCancelled}


@attrs.define(eq=False)
class Wait:
    """One wait under way."""

    job_id: Any
    client: Any
    began: float
    timeout: float | None
    keep: bool
    task: asyncio.Task[Any]
    cancelled: bool = False


class Machine(RuleBasedStateMachine):
    """One embedded service, its client, and all that can happen to them."""

    def __init__(self, name: str, world: Any, traffic: Any) -> None:
        super().__init__()
        self.name = name
        self.traffic = traffic
        self.runner = asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=100.0))
        self.complaints: list[str] = []
        self.runner.get_loop().set_exception_handler(
            lambda _, context: self.complaints.append(str(context))
        )
        self.stack = AsyncExitStack()
        self.world = self.do(self.stack.enter_async_context(world(name, server=self.options())))
        self.clients = [self.world.client]
        self.jobs: list[Any] = []
        self.waits: list[Wait] = []
        """All that ever began: what is drawn must not depend on what came out."""
        self.open: list[Wait] = []
        self.faults: list[tuple[float, float]] = []
        self.closed: dict[Any, float] = {}
        self.cancelled: set[tuple[Any, Any]] = set()
        """Who has cancelled which job, and knows it."""

    def options(self) -> dict[str, Any]:
        plan = Plan(queued=0.0, running=1e9)
        if self.name == "ecotaxa":
            plan = Plan(queued=0.0, running=30.0, outcome="question")
        return {"planner": lambda rng, job_type: plan}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the loop run for as long as this takes."""
        return self.runner.run(work)

    @property
    def now(self) -> float:
        return self.runner.get_loop().time()

    @property
    def client(self) -> Any:
        return self.clients[-1]

    def status_history(self, job_id: Any) -> list[tuple[float, JobState]]:
        history = self.world.server.jobs[job_id].timeline.history(self.now)
        return [(at, self.world.server.states[status]) for at, status in history]

    # -- rules

    @rule(
        seconds=st.sampled_from([0.0, 3.0, 25.0, 90.0]),
        end=st.sampled_from([*WAYS, S.SUCCEEDED]),
        count=st.sampled_from([1, 3]),
    )
    def jobs_begin(self, seconds: float, end: JobState, count: int) -> None:
        async def begin() -> None:
            for _ in range(count):
                job = self.world.birth()
                if end in ENDS[self.name]:
                    self.world.end(job.id, after=seconds, how=ENDS[self.name][end])
                self.jobs.append(job.id)  # one that is to be cancelled goes on until it is

        self.do(begin())

    @precondition(lambda self: self.name in ("ecotaxa", "bsubio"))
    @rule()
    def a_job_begins_that_asks(self) -> None:
        async def begin() -> None:
            if self.name == "ecotaxa":  # it asks after 15 seconds
                job = self.world.server.create_job(question={"missing_users": ["ada"]})
            else:
                job = self.world.birth(status="loaded")
                job.plan = Plan(queued=0.0, running=30.0)
            self.jobs.append(job.id)

        self.do(begin())

    @precondition(lambda self: self.jobs)
    @rule(
        data=st.data(),
        timeout=st.sampled_from([None, None, 0, 5.0, 20.0, 45.0]),
        keep=st.booleans(),
        count=st.sampled_from([1, 2, 6]),
    )
    def a_wait_begins(
        self, data: st.DataObject, timeout: float | None, keep: bool, count: int
    ) -> None:
        job_ids = data.draw(st.lists(st.sampled_from(self.jobs), min_size=count, max_size=count))
        client = self.client

        async def begin() -> None:
            for job_id in job_ids:
                wait = client.job(job_id).wait(
                    timeout=timeout, on_input="keep" if keep else "raise"
                )
                task = asyncio.create_task(self.timed(wait))
                self.waits.append(Wait(job_id, client, self.now, timeout, keep, task))
                self.open.append(self.waits[-1])

        self.do(begin())

    @staticmethod
    async def timed(wait: Any) -> tuple[Any, float]:
        loop = asyncio.get_running_loop()
        try:
            return await wait, loop.time()
        except JobkitError as error:
            return error, loop.time()

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def a_wait_is_cancelled(self, data: st.DataObject) -> None:
        wait = data.draw(st.sampled_from(self.waits))

        async def cancel() -> None:
            wait.cancelled = wait.task.cancel() or wait.cancelled

        self.do(cancel())

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def a_job_is_cancelled(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.jobs))

        async def cancel() -> None:
            before = self.world.server.ending(job_id)
            try:
                await self.client.job(job_id).cancel()
            except JobEnded:
                assert before is not None
                assert self.reads(job_id, self.client, before.state) - {S.CANCELLED}
            except JobkitError:
                loaded = self.name == "bsubio" and before is None  # it cannot be, nor can it end
                assert loaded or self.troubled(self.now, self.now)
            else:
                assert self.world.server.ledger.count("cancelled", job_id) == 1
                if before is None:
                    self.cancelled.add((self.client, job_id))

        self.do(cancel())

    @precondition(lambda self: self.jobs and self.name in ("ecotaxa", "bsubio"))
    @rule(data=st.data())
    def a_question_is_answered(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.jobs))

        async def answer() -> None:
            job = self.client.job(job_id)
            asked = self.status_history(job_id)[-1][1] is S.NEEDS_INPUT
            try:
                if self.name == "ecotaxa":
                    await job.answer({"users": {"ada": 1}})
                else:
                    await job.submit()
            except JobkitError:
                assert not asked or self.troubled(self.now, self.now)

        self.do(answer())

    @rule(seconds=st.sampled_from([0.3, 4.0, 11.0, 33.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @rule(
        seconds=st.sampled_from([1.0, 15.0, 120.0]),
        how=st.sampled_from(["500", "503", "cut", "slow", "some"]),
    )
    def requests_fail_for_a_while(self, seconds: float, how: str) -> None:
        count = 0

        def refuse(operation: str, request: web.Request) -> web.Response | None:
            nonlocal count
            count += 1
            if how == "cut":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            if how != "slow" and (how != "some" or count % 3 == 0):
                raise Refusal(int(how) if how.isdecimal() else 502, "out of order")
            return None

        begin = self.now
        self.traffic.refuse = refuse
        self.traffic.delay = 2.5 if how == "slow" else 0.0
        self.do(asyncio.sleep(seconds))
        self.traffic.refuse = None
        self.traffic.delay = 0.0
        self.faults.append((begin, self.now))

    @rule()
    def the_client_is_closed_and_another_opened(self) -> None:
        async def reopen() -> None:
            old = self.client
            self.closed[old] = self.now
            await old.aclose()
            self.clients.append(await self.stack.enter_async_context(self.another(old)))

        self.do(reopen())

    def another(self, old: Any) -> Any:
        keys: dict[str, dict[str, Any]] = {
            "leia": {"api_key": "leia-key"},
            "ecotaxa": {"token": "eco-token"},
            "vidispine": {"username": "user", "password": "secret"},
            "bsubio": {"api_key": "bsub-key"},
        }
        polling = old._tracker._polling
        return type(old)(base_url=old.base_url, polling=polling, **keys[self.name])

    # -- what must hold

    def troubled(self, begin: float, end: float) -> bool:
        """Whether requests failed at any time between the two, or did so shortly before."""
        return any(since <= end and begin <= until + BACKOFF for since, until in self.faults) or (
            self.traffic.refuse is not None
        )

    @invariant()
    def waits_tell_what_the_ledger_tells(self) -> None:
        async def look() -> None:
            for wait in self.open:
                (self.check if wait.task.done() else self.check_open)(wait)

        self.do(look())
        self.open = [wait for wait in self.open if not wait.task.done()]
        assert self.complaints == []

    def reads(self, job_id: Any, client: Any, state: JobState) -> set[JobState]:
        """What a client may take an end for: some services show no difference to a failure."""
        told = self.name in ("leia", "vidispine") or (client, job_id) in self.cancelled
        return {state} if told or state is not S.CANCELLED else {S.CANCELLED, S.FAILED}

    def check(self, wait: Wait) -> None:
        if wait.task.cancelled():
            assert wait.cancelled  # by ourselves
            return
        value, at = wait.task.result()
        ending = self.world.server.ending(wait.job_id)
        if isinstance(value, ClientClosed):
            assert (
                self.closed[wait.client] in (at, wait.began)
                or wait.began > self.closed[wait.client]
            )
        elif isinstance(value, WaitTimeout):
            assert wait.timeout is not None
            self.check_timeout(wait, at, ending)
        elif isinstance(value, JobNeedsInput):
            assert not wait.keep
            asked = [
                since
                for (since, state), (until, _) in self.spans(wait.job_id)
                if state is S.NEEDS_INPUT and since <= at and wait.began <= until + JITTER
            ]
            assert asked, (value, self.status_history(wait.job_id))
        else:
            assert ending is not None, value
            assert ending.at <= at
            if isinstance(value, JobkitError):
                states = self.reads(wait.job_id, wait.client, ending.state)
                assert type(value) in {WAYS[state] for state in states & WAYS.keys()}, value
                assert value.ref == wait.client.job(wait.job_id).ref
            else:
                assert ending.state is S.SUCCEEDED
                assert (getattr(value, "status", None) or value.state) == ending.status
            self.check_promptness(wait, ending, at)

    def spans(self, job_id: Any) -> Any:
        history = [*self.status_history(job_id), (float("inf"), S.UNKNOWN)]
        return itertools.pairwise(history)

    def due(self, wait: Wait, ending: Any) -> float:
        """When a waiter must have been told of an end at the latest, had all gone well."""
        return max(ending.at, wait.began) + GAP + JITTER

    def check_promptness(self, wait: Wait, ending: Any, at: float) -> None:
        assert at <= self.due(wait, ending) or self.troubled(wait.began, at), (at, ending)

    def check_timeout(self, wait: Wait, at: float, ending: Any) -> None:
        timeout = wait.timeout or 0.0
        deadline = wait.began + timeout
        troubled = self.troubled(wait.began, at)
        assert abs(at - deadline) < JITTER or (not wait.timeout and at > deadline and troubled)
        if ending is not None and not troubled:  # the last look leaves half a second before
            assert ending.at > max(deadline - 0.5, wait.began) - JITTER, (deadline, ending)

    def check_open(self, wait: Wait) -> None:
        if wait.client in self.closed:
            raise AssertionError("a wait outlived its client")
        if wait.timeout:
            assert self.now <= wait.began + wait.timeout + JITTER
        ending = self.world.server.ending(wait.job_id)
        if ending is not None and not self.troubled(wait.began, self.now):
            assert self.now <= self.due(wait, ending), (self.now, ending)
        since, state = self.status_history(wait.job_id)[-1]
        if state is S.NEEDS_INPUT and not wait.keep and not self.troubled(wait.began, self.now):
            assert self.now <= max(since, wait.began) + GAP + JITTER, "a need for input is missed"

    def teardown(self) -> None:
        try:
            self.do(self.end_all())
            self.do(self.stack.aclose())
            assert self.complaints == []
        finally:
            self.runner.close()
        gc.collect()

    async def end_all(self) -> None:
        """Every job ends; then so does every wait, and nothing is left at work."""
        for job_id in self.jobs:
            if self.world.server.ending(job_id) is None:
                self.world.end(job_id)
        if self.open:
            await asyncio.wait([wait.task for wait in self.open], timeout=BACKOFF + 3 * GAP)
        for wait in self.open:
            assert wait.task.done(), "a wait hangs"
            self.check(wait)
        await asyncio.sleep(1.0)
        tracker = self.client._tracker
        assert len(tracker) == len(tracker._deadlines) == 0
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert not [name for name in names if name.startswith("jobkit_async-")]


@pytest.mark.parametrize("name", ["leia", "ecotaxa", "vidispine", "bsubio"])
@pytest.mark.parametrize("examples", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_whatever_happens_waits_tell_what_the_ledger_tells(
    world: Callable[..., Any], traffic: Any, name: str, examples: int
) -> None:
    run_state_machine_as_test(
        lambda: Machine(name, world, traffic),
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=30,
            phases=[hypothesis.Phase.generate],  # to shrink a program takes minutes
        ),
    )
