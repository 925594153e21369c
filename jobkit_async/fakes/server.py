"""An embedded server: one service's HTTP interface over loopback, in the test's own loop."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import attrs
from aiohttp import web

from jobkit_async.checks import check_seconds
from jobkit_async.errors import InvalidArgument, JobkitError
from jobkit_async.fakes.callbacks import Calls
from jobkit_async.fakes.clock import Clock
from jobkit_async.fakes.faults import Faults, check_faults
from jobkit_async.fakes.ledger import Ending, Ledger
from jobkit_async.fakes.strike import strike
from jobkit_async.fakes.timeline import Plan, Planner, Timeline, drawn
from jobkit_async.states import ENDED, JobState

__all__ = ["FakeJob", "FakeServer", "Handler", "Refusal", "Seen"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeJob(Protocol):
    """What the base needs to know of a service's job."""

    @property
    def timeline(self) -> Timeline:
        """Its path through its states."""
        ...


JobT = TypeVar("JobT", bound=FakeJob)


class Refusal(Exception):
    """Raised by a handler to answer with an error; the service gives it its own body.

    Args:
        status: The HTTP status.
        reason: What the service says.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, reason: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


@attrs.frozen
class Seen:
    """One request that arrived.

    Attributes:
        at: Loop time.
        operation: Name of the operation, or ``""`` where no route fits.
        method: The HTTP method.
        raw_path: Path and query as they came.
        headers: Its headers.
        body: Its body.
    """

    at: float
    operation: str
    method: str
    raw_path: str
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)


class FakeServer(ABC, Generic[JobT]):
    """The base of the embedded servers.

    Use it with ``async with``; it listens on loopback as long as the block runs.

    Args:
        seed: Seeds durations and outcomes, so that a run can be repeated.
        planner: Draws the plan of each new job; see :class:`~jobkit_async.fakes.timeline.Plan`.
        port: Port to listen on; 0 picks a free one.
        epoch: The server's date when it starts; the present one by default.
        record: Whether to keep every request with its body in :attr:`seen`.
        faults: What goes wrong, and how often; see :attr:`faults`.

    Attributes:
        ledger: What really happened, and when.
        requests: Number of requests that arrived, by operation.
        struck: Number of those that a fault struck, by operation.
        seen: The requests themselves, where ``record`` asked for them.
        jobs: The jobs by id, those that were removed included.
        planner: Draws the plan of each new job; can be set at any time.
        calls: The callbacks that it makes, where its service does; what goes wrong with them is
            set by ``calls.faults``.
    """

    service: ClassVar[str]
    prefix: ClassVar[str] = ""
    """Path before all routes, part of :attr:`base_url`."""
    states: ClassVar[Mapping[str, JobState]]
    """What each status means; how the ledger tells endings."""
    first_steps: ClassVar[str] = ""
    """How a client comes to a first job, where operations on jobs are not enough for it."""

    def __init__(
        self,
        *,
        seed: int = 0,
        planner: Planner = drawn,
        port: int = 0,
        epoch: datetime | None = None,
        record: bool = False,
        faults: Faults | Sequence[Faults] | None = None,
    ) -> None:
        self.ledger = Ledger()
        self.requests: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self.seen: list[Seen] = []
        self.jobs: dict[Any, JobT] = {}
        self.calls = Calls()
        self._rng = random.Random(seed)
        self.planner = planner
        self._next: deque[Plan] = deque()
        self._port = port
        self._epoch = epoch
        self._record = record
        self._clock: Clock | None = None
        self._runner: web.AppRunner | None = None
        self._wanted = False
        self.faults = faults

    def __repr__(self) -> str:
        where = self.base_url if self._runner else "not running"
        return f"<{type(self).__name__} {where}, {len(self.jobs)} jobs>"

    # -- what a service says about itself

    @abstractmethod
    def routes(self) -> list[tuple[str, str, str, Handler]]:
        """The routes: operation, method, path below :attr:`prefix`, handler."""

    @abstractmethod
    def refuse(self, refusal: Refusal) -> web.Response:
        """The answer to a refused request, in the service's own form."""

    @abstractmethod
    def authorize(self, request: web.Request, operation: str) -> None:
        """Check the credentials of a request.

        Raises:
            Refusal: They are missing or wrong.
        """

    # -- life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Begin to listen."""
        self._wanted = True
        await self._listen()

    async def aclose(self) -> None:
        """Stop listening. Jobs and ledger stay, and :meth:`start` resumes on the same port."""
        self._wanted = False
        await self._hang_up()

    async def outage(self, seconds: float = 0.0) -> None:
        """Be down for a while: open connections are cut, new ones refused, jobs go on.

        Args:
            seconds: How long, by the running loop; 0 is a mere restart.
        """
        seconds = check_seconds("seconds", seconds, zero=True)
        await self._hang_up()
        await asyncio.sleep(seconds)
        if self._wanted:  # unless it was closed meanwhile
            await self._listen()

    async def _listen(self) -> None:
        if self._clock is None:
            self._clock = Clock(self._epoch)
        app = web.Application(client_max_size=1 << 30, middlewares=[self._answer_refusals])
        for operation, method, path, handler in self.routes():
            app.router.add_route(method, self.prefix + path, self._entry(operation, handler))
        app.on_response_prepare.append(self._date)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, max_line_size=1 << 16)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = runner.addresses[0][1]
        self._runner = runner
        self.calls.start()

    async def _hang_up(self) -> None:
        runner, self._runner = self._runner, None
        await self.calls.aclose()
        if runner is not None:
            await runner.cleanup()

    @property
    def base_url(self) -> str:
        """What to give to a client as ``base_url``.

        Raises:
            JobkitError: The server has never been started.
        """
        if not self._port:
            raise JobkitError(f"{type(self).__name__} is not running: use it with 'async with'")
        return f"http://127.0.0.1:{self._port}{self.prefix}"

    @property
    def clock(self) -> Clock:
        """The server's clock.

        Raises:
            JobkitError: The server has never been started.
        """
        if self._clock is None:
            raise JobkitError(f"{type(self).__name__} is not running: use it with 'async with'")
        return self._clock

    @property
    def faults(self) -> tuple[Faults, ...]:
        """What goes wrong on purpose; it can be set at any time.

        Of several, the first that has something for a request strikes it.
        """
        return self._faults

    @faults.setter
    def faults(self, faults: Faults | Sequence[Faults] | None) -> None:
        self._faults = check_faults(faults, lambda: [operation for operation, *_ in self.routes()])

    # -- jobs

    def plan(self, job_type: str) -> Plan:
        """Draw what is to become of a new job."""
        return self._next.popleft() if self._next else self.planner(self._rng, job_type)

    def next_jobs(self, *plans: Plan) -> None:
        """Say what is to become of the next jobs, in the order in which they are created.

        The jobs after them are the planner's again. Called again, it adds to what was said before.

        Args:
            *plans: One for each job, such as ``Plan.fails("out of memory", after=5)``.

        Raises:
            InvalidArgument: One of them is no plan.
        """
        for plan in plans:
            if not isinstance(plan, Plan):
                raise InvalidArgument("plans", f"a Plan is due, not {type(plan).__name__}")
        self._next.extend(plans)

    def note(self, kind: str, job: str | int, **detail: Any) -> None:
        """Enter an effect into the ledger, now."""
        self.ledger.note(self.clock.time(), kind, job, **detail)

    def ending(self, job_id: Any) -> Ending | None:
        """How and when a job ended, or None while it has not."""
        at, status = self.jobs[job_id].timeline.at(self.clock.time())
        state = self.states[status]
        return Ending(at, state, status) if state in ENDED else None

    def endings(self) -> dict[Any, Ending]:
        """All endings so far, by job id."""
        found = ((job_id, self.ending(job_id)) for job_id in self.jobs)
        return {job_id: ending for job_id, ending in found if ending is not None}

    # -- HTTP

    def _entry(self, operation: str, handler: Handler) -> Handler:
        async def entry(request: web.Request) -> web.StreamResponse:
            self.requests[operation] += 1
            if self._record:
                self.seen.append(
                    Seen(
                        self.clock.time(),
                        operation,
                        request.method,
                        request.raw_path,
                        dict(request.headers),
                        await request.read(),
                    )
                )

            async def act() -> web.StreamResponse:
                self.authorize(request, operation)
                return await handler(request)

            for faults in self._faults:
                fault = faults.draw(operation)
                if fault is not None:
                    self.struck[operation] += 1
                    return await strike(
                        fault,
                        request,
                        lambda: self._answer(request, lambda _: act()),
                        lambda status, reason: self.refuse(Refusal(status, reason)),
                        self.clock.http_date,
                    )
            return await act()

        return entry

    @web.middleware
    async def _answer_refusals(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return await self._answer(request, handler)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A handler's answer, or what stands for its refusal."""
        try:
            return await handler(request)
        except Refusal as refusal:
            return self.refuse(refusal)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return self.refuse(Refusal(error.status, error.reason, headers=allow))

    async def _date(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = self.clock.http_date()
