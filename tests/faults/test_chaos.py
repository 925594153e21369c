"""Thousands of jobs on four services in bad weather, in virtual time.

One request in five is hit by a fault, every server is restarted twice, and all are away for ten
minutes. The users of the calls that must not be repeated do what the errors tell them: look, then
decide. In the end every outcome equals the ledger, and nothing was done twice.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, ClassVar, TypeVar

import aiohttp
import attrs
import pytest

from jobkit_async import (
    BsubioClient,
    ConnectFailed,
    ConnectionLost,
    DecodeError,
    EcotaxaClient,
    JobNeedsInput,
    JobState,
    LeiaClient,
    OutcomeUnknown,
    Polling,
    RateLimited,
    RequestTimeout,
    ServerError,
    VidispineClient,
)
from jobkit_async.services.bsubio.models import CreateJobRequest, JobStatus
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.testing import (
    COMMON_FAULTS,
    FakeBsubio,
    FakeEcotaxa,
    FakeLeia,
    FakeServer,
    FakeVidispine,
    Fault,
    Faults,
    Plan,
)

pytestmark = pytest.mark.looptime(start=100, resolution=1e-3)

ValueT = TypeVar("ValueT")

USERS = 10
"""Users of each service that submit jobs at the same time."""
SPAN = 1000.0
"""Seconds over which jobs are submitted, as long as all is well."""
PAUSE = 60.0
"""Seconds after which a user tries again what failed."""
BREAKS = ((300.0, 0.0), (900.0, 600.0), (1800.0, 0.0))
"""When all servers go, and for how many seconds: two restarts, and an outage between them."""
OWN = {"X-Chaos": "own"}
"""A header of the users' own calls; what lacks it was sent in order to wait."""
WEATHER = (
    *COMMON_FAULTS,
    Fault.delay(45.0),
    Fault.delay(45.0, after_effect=True),
)
"""What may happen to a request: the common faults, and answers that come too late."""
PASSING = (ConnectFailed, ConnectionLost, RequestTimeout, RateLimited, ServerError, DecodeError)
UNCLEAR = (OutcomeUnknown, ServerError, DecodeError)


def planned(rng: random.Random, job_type: str) -> Plan:
    """About five minutes, log-normal; one job in eight fails."""
    return Plan(
        queued=rng.lognormvariate(3.0, 0.5),
        running=rng.lognormvariate(5.7, 0.6),
        outcome="failure" if rng.random() < 0.125 else "success",
    )


async def surely(call: Callable[[], Awaitable[ValueT]]) -> ValueT:
    """Make a call that only reads, until it succeeds."""
    while True:
        try:
            return await call()
        except PASSING:
            await asyncio.sleep(PAUSE)


async def once(
    call: Callable[[], Awaitable[ValueT]], look: Callable[[], Awaitable[ValueT | None]]
) -> ValueT:
    """Make a call that must take effect once: where its answer was lost, look, then decide."""
    while True:
        try:
            return await call()
        except (ConnectFailed, RateLimited):
            pass  # it has not been carried out
        except UNCLEAR:
            found = await surely(look)
            if found is not None:
                return found
        await asyncio.sleep(PAUSE)


class Users(ABC):
    """The users of one service.

    Args:
        jobs: How many jobs they want.
        seed: Seeds the server, the pace of polling and of the users.
        faults: What happens to requests; None for nothing.
    """

    server: Any
    client: Any
    unsafe: ClassVar[tuple[str, ...]] = ("created",)
    """What the ledger calls the effects that must not come twice."""

    def __init__(self, jobs: int, seed: int, faults: Faults | None) -> None:
        self.jobs = jobs
        self.rng = random.Random(f"{seed} {type(self).__name__}")
        self.made: list[Any] = []
        self.ends: dict[Any, JobState] = {}
        self.status_requests = 0
        self.options: dict[str, Any] = {
            "seed": seed,
            "planner": planned,
            "faults": faults,
        }
        self.polling = Polling(rng=self.rng)

    async def run(self) -> None:
        """Submit all jobs, and wait for each to end."""
        share = self.jobs // USERS
        async with asyncio.TaskGroup() as group:
            for user in range(USERS):
                group.create_task(self._use(group, user, share))

    async def _use(self, group: asyncio.TaskGroup, user: int, share: int) -> None:
        for number in range(share):
            await asyncio.sleep(self.rng.uniform(0.0, 2.0 * SPAN / share))
            job = await self.submit(f"{user}", f"{user}-{number}")
            self.made.append(job)
            group.create_task(self._wait(job))

    async def _wait(self, job: Any) -> None:
        while True:
            try:
                await job.wait(check=False)
            except JobNeedsInput as needs:
                await self.provide(job, needs)
            else:
                assert job.id not in self.ends
                self.ends[job.id] = job.state
                return

    def given(self, session: aiohttp.ClientSession) -> dict[str, Any]:
        """What every client is given."""
        return {"base_url": self.server.base_url, "session": session, "polling": self.polling}

    @abstractmethod
    def connect(self, session: aiohttp.ClientSession) -> None:
        """Make the client."""

    @abstractmethod
    async def submit(self, user: str, mark: str) -> Any:
        """One more job, of this user, told apart by this mark; on its way."""

    async def provide(self, job: Any, needs: JobNeedsInput) -> None:
        """Give a job what it needs."""
        raise needs

    def check(self) -> None:
        """Compare what the users saw with what happened."""
        server = self.server
        assert len(server.jobs) == len(self.made) == self.jobs
        assert self.ends == {key: ending.state for key, ending in server.endings().items()}
        effects = Counter(
            (event.kind, event.job) for event in server.ledger.events if event.kind in self.unsafe
        )
        assert set(effects.values()) == {1}
        for kind in self.unsafe:
            wanted = self.answered if kind == "answered" else self.jobs
            assert server.ledger.count(kind) == wanted

    answered = 0

    def session(self) -> aiohttp.ClientSession:
        """A session that counts the requests that are sent in order to wait, refused ones too."""
        log_ins = ("/login", "/whoami")

        async def count(session: Any, context: Any, params: Any) -> None:
            own = OWN.items() <= params.headers.items()
            self.status_requests += not own and not params.url.path.endswith(log_ins)

        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(count)
        return aiohttp.ClientSession(trace_configs=[trace])


class BsubioUsers(Users):
    """Create, upload, submit."""

    unsafe = ("created", "uploaded", "submitted")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.server = FakeBsubio(**self.options)

    def connect(self, session: aiohttp.ClientSession) -> None:
        self.client = BsubioClient(api_key=self.server.api_key, **self.given(session))

    async def submit(self, user: str, mark: str) -> Any:
        own = self.client.with_options(headers=OWN)
        kind = f"pdf/extract-{user}"  # of which each user has one at a time that is not loaded

        async def created() -> Any:
            found = await own.jobs.list_jobs(status="created", limit=100)
            return next((job for job in found if job.data.type == kind), None)

        async def beyond(*statuses: str) -> Any:
            return (await job.refresh()).status not in statuses or None

        job = await once(lambda: own.jobs.create_job(CreateJobRequest(type=kind)), created)
        await once(lambda: upload(job), lambda: beyond(JobStatus.CREATED))
        await once(lambda: queue(job), lambda: beyond(JobStatus.CREATED, JobStatus.LOADED))
        return job


async def upload(job: Any) -> bool:
    await job.upload(b"data")
    return True


async def queue(job: Any) -> bool:
    await job.submit()
    return True


class EcotaxaUsers(Users):
    """Jobs come from the web front-end; every eighth asks a question, which takes one answer."""

    unsafe = ("created", "answered")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.server = FakeEcotaxa(username="me@example.org", password="pw", **self.options)

    def connect(self, session: aiohttp.ClientSession) -> None:
        self.client = EcotaxaClient(
            username="me@example.org",
            password="pw",
            **self.given(session),
        )

    async def submit(self, user: str, mark: str) -> Any:
        asks = len(self.server.jobs) % 8 == 0
        self.answered += asks
        question = {"missing_users": ["Jane Doe"]} if asks else {}
        own = self.client.with_options(headers=OWN)
        return own.job(self.server.create_job(question=question).id)

    async def provide(self, job: Any, needs: JobNeedsInput) -> None:
        assert needs.needs == "answer"

        async def act() -> bool:
            await job.answer({"users": {"Jane Doe": 1}})
            return True

        async def look() -> bool | None:
            return bool((await job.refresh()).reply) or None

        await once(act, look)


class LeiaUsers(Users):
    """Apply one model to many documents."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.server = FakeLeia(**self.options)

    def connect(self, session: aiohttp.ClientSession) -> None:
        self.model = self.server.add_model("invoices", b"model")
        self.client = LeiaClient(api_key=self.server.api_key, **self.given(session))

    async def submit(self, user: str, mark: str) -> Any:
        own = self.client.with_options(headers=OWN)

        async def created() -> Any:
            found = await own.jobs.admin_get_jobs(document_id=mark, sort="-creation_time")
            return next(iter(found), None)

        owner, model = self.model.application_id, self.model.id
        return await once(lambda: own.models.admin_apply_model_async(owner, model, [mark]), created)


class VidispineUsers(Users):
    """Custom jobs."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.server = FakeVidispine(**self.options)

    def connect(self, session: aiohttp.ClientSession) -> None:
        self.client = VidispineClient(
            username=self.server.username,
            password=self.server.password,
            **self.given(session),
        )

    async def submit(self, user: str, mark: str) -> Any:
        own = self.client.with_options(headers=OWN)
        marked = [f"mark={mark}"]

        async def created() -> Any:
            found = await own.jobs.get_jobs(
                type=["TRANSCODE"], jobmetadata=marked, sort="jobId desc"
            )
            return next(iter(found), None)

        return await once(
            lambda: own.jobs.create_custom_job(
                "TRANSCODE", SimpleMetadataType(), jobmetadata=marked
            ),
            created,
        )


SERVICES = (BsubioUsers, EcotaxaUsers, LeiaUsers, VidispineUsers)


@attrs.frozen
class Run:
    """What a run came to, by service."""

    status_requests: dict[str, int]
    requests: int
    struck: int
    seconds: float


async def season(jobs: int, seed: int, *, chaos: bool) -> Run:
    """Run so many jobs on each service, in calm or in bad weather, and check what came of it."""
    loop = asyncio.get_running_loop()
    everyone = [
        users(jobs, seed, Faults(*WEATHER, share=0.2, seed=seed) if chaos else None)
        for users in SERVICES
    ]
    async with AsyncExitStack() as stack:
        for users in everyone:
            await stack.enter_async_context(users.server)
            users.connect(await stack.enter_async_context(users.session()))
            await stack.enter_async_context(users.client)
        began = loop.time()
        async with asyncio.timeout(24 * 3600), asyncio.TaskGroup() as group:
            for users in everyone:
                group.create_task(users.run())
                for at, lasts in BREAKS if chaos else ():
                    group.create_task(_break(users.server, at, lasts))
        seconds = loop.time() - began
    for users in everyone:
        users.check()
    return Run(
        {users.server.service: users.status_requests for users in everyone},
        sum(users.server.requests.total() for users in everyone),
        sum(users.server.struck.total() for users in everyone),
        seconds,
    )


async def _break(server: FakeServer[Any], at: float, seconds: float) -> None:
    await asyncio.sleep(at)
    await server.outage(seconds)


async def compare(jobs: int, seed: int) -> None:
    calm = await season(jobs, seed, chaos=False)
    chaos = await season(jobs, seed, chaos=True)
    assert chaos.seconds > BREAKS[-1][0]
    assert chaos.struck == pytest.approx(0.2 * chaos.requests, rel=0.25)
    for service, count in calm.status_requests.items():
        assert 0 < chaos.status_requests[service] <= 2 * count, service


async def test_a_few_jobs_in_bad_weather() -> None:
    await compare(10, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_two_thousand_jobs_in_bad_weather() -> None:
    await compare(500, seed=1)
