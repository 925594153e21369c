"""The demo: hundreds of jobs on four embedded servers, awaited together, checked against the truth.

All that a client learns comes over HTTP through the public clients. What really happened is known
from the servers' ledgers, so the demo can tell whether every outcome is right, how long after the
end it was noticed, and what that cost in requests.
"""

from __future__ import annotations

import asyncio
import math
import random
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Protocol, TypeAlias, TypeVar

import attrs

from jobkit_async import (
    BsubioClient,
    BsubioJob,
    EcotaxaClient,
    EcotaxaJob,
    InvalidArgument,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobNeedsInput,
    JobState,
    LeiaClient,
    LeiaJob,
    Outcome,
    Polling,
    VidispineClient,
    VidispineJob,
    as_completed,
)
from jobkit_async.registry import find_service
from jobkit_async.services.bsubio.models import CreateJobRequest
from jobkit_async.services.leia.models import ConditionalBody
from jobkit_async.services.vidispine.models import SimpleMetadataType
from jobkit_async.testing import (
    FakeBsubio,
    FakeEcotaxa,
    FakeLeia,
    FakeServer,
    FakeVidispine,
    Plan,
)
from jobkit_async.waiting import AsCompleted

__all__ = ["SERVICES", "DemoResult", "Reporter", "ServiceResult", "planned", "run_demo"]

Handle: TypeAlias = BsubioJob | EcotaxaJob | LeiaJob | VidispineJob

ServerT = TypeVar("ServerT", bound=FakeServer[Any])

OWN: Final = {"X-Demo": "own"}
"""A header of the calls that the demo makes itself. What lacks it was sent in order to wait."""
LIMIT: Final = 120.0
"""Seconds after which what has not come by then counts as missing; no job is planned that long."""
LONGEST: Final = 8.0
"""The most seconds that a job runs."""
ASKING: Final = 8
"""One EcoTaxa job in so many asks a question."""
CONDITIONAL: Final = 5
"""One Leia job in so many is a conditional one."""
CONTENT: Final = b"What the demo's jobs work on.\n" * 64

_ERRORS: Final[Mapping[JobState, type]] = {
    JobState.SUCCEEDED: type(None),
    JobState.FAILED: JobFailed,
    JobState.CANCELLED: JobCancelled,
}


class Reporter(Protocol):
    """Who is told how the demo goes."""

    def began(self, service: str, base_url: str, jobs: int) -> None:
        """A service's server runs, and so many jobs are about to be submitted to it."""

    def moved(self, service: str, submitted: int, ended: Mapping[JobState, int]) -> None:
        """One more job was submitted, or its end noticed; the numbers are those so far."""

    def said(self, line: str) -> None:
        """Something else worth telling."""


@attrs.frozen(kw_only=True)
class ServiceResult:
    """What came of one service's jobs.

    Attributes:
        service: Name of the service.
        jobs: Number of jobs.
        outcomes: Number of jobs by the state in which they came.
        requests: Number of requests that the server received in all.
        status_requests: Number of those that were sent in order to wait.
        mean_delay: Seconds from a job's real end to its detection, on average.
        p95_delay: The same for the 95th percentile; both are NaN where no job ended.
    """

    service: str
    jobs: int
    outcomes: Mapping[JobState, int]
    requests: int
    status_requests: int
    mean_delay: float
    p95_delay: float


@attrs.frozen
class DemoResult:
    """What came of the demo.

    Attributes:
        services: Service by service.
        mismatches: Where the clients' view differs from the servers' ledgers; empty if all is well.
        seconds: How long it took, from the first submission to the last outcome.
    """

    services: list[ServiceResult]
    mismatches: list[str]
    seconds: float


def planned(rng: random.Random, job_type: str) -> Plan:
    """What becomes of a job: about three seconds, log-normal; one in eight fails."""
    # A conditional job of Leia only begins to run when another one has ended.
    longest = 2.0 if job_type == "conditional" else LONGEST
    return Plan(
        queued=min(1.5, rng.lognormvariate(-0.7, 0.5)),
        running=min(longest, rng.lognormvariate(1.0, 0.5)),
        outcome="failure" if rng.random() < 0.125 else "success",
    )


class _Part(ABC, Generic[ServerT]):
    """One service's part in the demo.

    Args:
        jobs: Number of jobs.
        seed: Seeds the server, the pace of polling and the contents of files.
        folder: Where files may be put; it is made.
    """

    service: ClassVar[str]
    cancels: ClassVar[int] = 0
    """The most jobs that are cancelled."""
    server: ServerT

    def __init__(self, jobs: int, seed: int, folder: Path) -> None:
        self.count = jobs
        self.folder = folder
        folder.mkdir()
        self.jobs: dict[str | int, Handle] = {}
        self.outcomes: dict[str | int, list[Outcome[Handle]]] = {}
        self.found_at: dict[str | int, float] = {}
        self.ended: Counter[JobState] = Counter()
        self.calls: Counter[tuple[str, str | int]] = Counter()
        """The unsafe calls that were made, by what they do and to which job."""
        self.mismatches: list[str] = []
        # Of its own, so that it does not depend on which other services take part.
        self.rng = random.Random(f"{seed} {self.service}")
        self.options: dict[str, Any] = {
            "seed": self.rng.getrandbits(32),
            "planner": planned,
            "record": True,
        }
        self.polling = Polling(rng=self.rng)

    @abstractmethod
    async def connect(self, stack: AsyncExitStack) -> None:
        """Open the service's client."""

    @abstractmethod
    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        """Submit all jobs."""

    async def provide(self, job: Handle, needs: JobNeedsInput) -> bool:
        """Give a job the input that it needs; False if that was not to be expected."""
        return False

    async def download(self) -> str | None:
        """Download a result; a line about it, or None where there is none."""
        return None

    def made(self, kind: str, job_id: str | int) -> None:
        """Note an unsafe call that returned."""
        self.calls[kind, job_id] += 1

    def mismatch(self, job_id: str | int, problem: str) -> None:
        """Note where client and server disagree."""
        self.mismatches.append(f"{self.service} job {job_id}: {problem}")

    async def cancel(self) -> None:
        """Cancel the newest jobs, one after the other; one that has just ended is left alone."""
        few = min(self.cancels, (len(self.jobs) + 15) // 20)
        for job in list(self.jobs.values())[len(self.jobs) - few :]:
            await asyncio.sleep(0.1)
            try:
                await job.cancel()
            except JobEnded:
                continue
            self.made("cancelled", job.id)

    def same(self, what: str, path: Path, wanted: bytes) -> str:
        """Compare a file that was downloaded with what the server holds; a line about it."""
        got = path.read_bytes()
        if got != wanted:
            self.mismatches.append(
                f"{self.service}: {what} came as {len(got)} bytes that are not the server's "
                f"{len(wanted)}"
            )
        return f"{self.service}: downloaded {what}, {path.name}, {len(got)} bytes"

    # -- the truth

    def take(self, outcome: Outcome[Handle], now: float) -> None:
        """Take a final outcome in, noticed at the loop time ``now``."""
        job_id = outcome.job.id
        self.outcomes.setdefault(job_id, []).append(outcome)
        self.found_at[job_id] = now
        self.ended[outcome.state] += 1

    def compare(self) -> None:
        """Compare every outcome, and every unsafe call, with the server's ledger."""
        # A server's job that the client never heard of must show as well.
        for job_id in dict.fromkeys([*self.jobs, *self.server.jobs, *self.outcomes]):
            self._compare_outcome(job_id, self.outcomes.get(job_id, []))
        if len(self.server.jobs) != self.count:
            self.mismatches.append(
                f"{self.service}: the server has {len(self.server.jobs)} jobs instead of "
                f"{self.count}"
            )
        effects = Counter((event.kind, event.job) for event in self.server.ledger.events)
        for kind, job_id in dict.fromkeys([*self.calls, *effects]):
            calls, took_effect = self.calls[kind, job_id], effects[kind, job_id]
            # A job may end by itself between the look that cancelling takes and the request.
            if took_effect > calls or (took_effect < calls and kind != "cancelled"):
                self.mismatch(job_id, f"{kind} {took_effect} times by {calls} calls")

    def _compare_outcome(self, job_id: str | int, outcomes: Sequence[Outcome[Handle]]) -> None:
        ending = self.server.ending(job_id) if job_id in self.server.jobs else None
        truth = "still going" if ending is None else ending.state
        if len(outcomes) != 1:
            states = ", ".join(outcome.state for outcome in outcomes) or "none"
            self.mismatch(job_id, f"one outcome was due, but there came {states}")
            return
        (outcome,) = outcomes
        if ending is None or outcome.state is not ending.state:
            why = "" if outcome.error is None else f" ({outcome.error})"
            self.mismatch(job_id, f"came as {outcome.state}{why}; the ledger says {truth}")
        elif not isinstance(outcome.error, _ERRORS[outcome.state]) or outcome.data is None:
            self.mismatch(job_id, f"came as {truth} with {outcome.error!r} and {outcome.data!r}")
        elif self.found_at[job_id] < ending.at:
            self.mismatch(job_id, f"came as {truth} before it was so")

    def result(self) -> ServiceResult:
        """The numbers."""
        delays = sorted(
            found_at - ending.at
            for job_id, found_at in self.found_at.items()
            if (ending := self.server.ending(job_id)) is not None
        )
        # Log-ins are no operations of the table, and serve all calls alike.
        table = {row.name for api in find_service(self.service).table.apis for row in api.rows}
        return ServiceResult(
            service=self.service,
            jobs=len(self.jobs),
            outcomes=dict(self.ended),
            requests=self.server.requests.total(),
            status_requests=sum(
                not OWN.items() <= seen.headers.items() and seen.operation in table
                for seen in self.server.seen
            ),
            mean_delay=math.fsum(delays) / len(delays) if delays else math.nan,
            p95_delay=delays[math.ceil(0.95 * len(delays)) - 1] if delays else math.nan,
        )


class _Bsubio(_Part[FakeBsubio]):
    """Create, upload a file, submit; a few are cancelled."""

    service = "bsubio"
    cancels = 5

    def __init__(self, jobs: int, seed: int, folder: Path) -> None:
        super().__init__(jobs, seed, folder)
        self.server = FakeBsubio(**self.options)
        self.file = folder / "paper.txt"
        self.file.write_bytes(CONTENT)

    async def connect(self, stack: AsyncExitStack) -> None:
        client = BsubioClient(
            api_key=self.server.api_key, base_url=self.server.base_url, polling=self.polling
        )
        self.own = (await stack.enter_async_context(client)).with_options(headers=OWN)

    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        for _ in range(self.count):
            job = await self.own.jobs.create_job(CreateJobRequest(type="pdf/extract"))
            self.made("created", job.id)
            await job.upload(self.file)
            self.made("uploaded", job.id)
            await job.submit()
            self.made("submitted", job.id)
            submitted(job)

    def compare(self) -> None:
        super().compare()
        for job in self.server.jobs.values():
            if job.data != CONTENT:
                self.mismatch(job.id, f"{len(job.data)} bytes arrived instead of {len(CONTENT)}")


class _Ecotaxa(_Part[FakeEcotaxa]):
    """Jobs come from the web front-end, for which the server stands; some ask a question."""

    service = "ecotaxa"

    def __init__(self, jobs: int, seed: int, folder: Path) -> None:
        super().__init__(jobs, seed, folder)
        self.server = FakeEcotaxa(
            username="demo@example.org",
            password="demo",  # noqa: S106 - opens nothing but this server
            **self.options,
        )

    async def connect(self, stack: AsyncExitStack) -> None:
        client = EcotaxaClient(
            username="demo@example.org",
            password="demo",  # noqa: S106 - opens nothing but the demo's server
            base_url=self.server.base_url,
            polling=self.polling,
        )
        self.own = (await stack.enter_async_context(client)).with_options(headers=OWN)

    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        for index in range(self.count):
            question: dict[str, list[str]] = {}
            if index % ASKING == 0:
                question = {"missing_users": ["Jane Doe"], "missing_taxa": ["Calanoida"]}
            self.made("created", self.server.create_job(question=question).id)
        for job in await self.own.jobs.list_jobs(False):
            submitted(job)

    async def provide(self, job: Handle, needs: JobNeedsInput) -> bool:
        if not isinstance(job, EcotaxaJob) or needs.needs != "answer":
            return False
        # The names that the server could not find, each with the id of what is meant.
        reply = {
            asked.removeprefix("missing_"): {name: number for number, name in enumerate(names, 1)}
            for asked, names in needs.question.items()
        }
        await job.answer(reply)
        self.made("answered", job.id)
        return True

    async def download(self) -> str | None:
        for job in self.jobs.values():
            if isinstance(job, EcotaxaJob) and job.state is JobState.SUCCEEDED:
                wanted = self.server.jobs[job.id].file = self.rng.randbytes(1 << 18)
                async with await job.file() as download:
                    path = await download.save(self.folder)
                return self.same(f"the result of job {job.id}", path, wanted)
        return None


class _Leia(_Part[FakeLeia]):
    """Most apply a model to a document; some are conditional on the one before."""

    service = "leia"

    def __init__(self, jobs: int, seed: int, folder: Path) -> None:
        super().__init__(jobs, seed, folder)
        self.server = FakeLeia(**self.options)

    async def connect(self, stack: AsyncExitStack) -> None:
        client = LeiaClient(
            api_key=self.server.api_key, base_url=self.server.base_url, polling=self.polling
        )
        self.own = (await stack.enter_async_context(client)).with_options(headers=OWN)

    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        self.model = self.server.add_model("invoices", self.rng.randbytes(1 << 16))
        self.made("model_created", self.model.id)
        owner, before = self.model.application_id, ""
        for index in range(self.count):
            document = f"doc-{index}"
            if index % CONDITIONAL == CONDITIONAL - 1:
                step = {"job_type": "apply_model", "model_id": self.model.id}
                rule = {"conditions": {"document": f"doc-{index - 1}"}, "jobs": [step]}
                body = ConditionalBody(rules={"as-expected": rule})
                job = await self.own.jobs.admin_create_conditional_job(owner, before, body=body)
            else:
                job = await self.own.models.admin_apply_model_async(
                    owner, self.model.id, [document]
                )
            before = job.id
            self.made("created", job.id)
            submitted(job)

    async def download(self) -> str | None:
        model = self.model
        download = await self.own.models.admin_get_model_contents(model.application_id, model.id)
        async with download:
            path = await download.save(self.folder / "model.zip")
        return self.same(f"model {model.name!r}", path, model.contents)


class _Vidispine(_Part[FakeVidispine]):
    """Custom jobs; a few are aborted."""

    service = "vidispine"
    cancels = 5

    def __init__(self, jobs: int, seed: int, folder: Path) -> None:
        super().__init__(jobs, seed, folder)
        self.server = FakeVidispine(**self.options)

    async def connect(self, stack: AsyncExitStack) -> None:
        client = VidispineClient(
            username=self.server.username,
            password=self.server.password,
            base_url=self.server.base_url,
            polling=self.polling,
        )
        self.own = (await stack.enter_async_context(client)).with_options(headers=OWN)

    async def submit(self, submitted: Callable[[Handle], None]) -> None:
        for _ in range(self.count):
            job = await self.own.jobs.create_custom_job("TRANSCODE", SimpleMetadataType())
            self.made("created", job.id)
            submitted(job)


_PARTS: Final[Mapping[str, type[_Part[Any]]]] = {
    part.service: part for part in (_Bsubio, _Ecotaxa, _Leia, _Vidispine)
}
SERVICES: Final = tuple(_PARTS)
"""The services that the demo shows."""


async def run_demo(
    reporter: Reporter, *, services: Sequence[str] = SERVICES, jobs: int = 100, seed: int = 0
) -> DemoResult:
    """Start the servers, submit jobs to all, await them together, and compare.

    Args:
        reporter: Is told how it goes.
        services: Which services; out of :data:`SERVICES`.
        jobs: Number of jobs per service, at least 1.
        seed: Seeds durations, outcomes and the pace of polling.

    Raises:
        InvalidArgument: An argument is out of bounds.
        JobkitError: A call failed that should not have.
    """
    if jobs < 1:
        raise InvalidArgument("jobs", f"{jobs} is too small: at least 1")
    for name in services:
        if name not in _PARTS:
            raise InvalidArgument(
                "service", f"the demo does not show {name!r}; it shows {', '.join(SERVICES)}"
            )
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jobkit-")))
        parts: dict[str, _Part[Any]] = {}
        for name in dict.fromkeys(services):
            part = parts[name] = _PARTS[name](jobs, seed, folder / name)
            await stack.enter_async_context(part.server)
            await part.connect(stack)
            reporter.began(name, part.server.base_url, jobs)
        began = loop.time()
        await _await_all(parts, reporter)
        seconds = loop.time() - began
        for part in parts.values():
            part.compare()
            line = await part.download()
            if line is not None:
                reporter.said(line)
        return DemoResult(
            services=[part.result() for part in parts.values()],
            mismatches=[line for part in parts.values() for line in part.mismatches],
            seconds=seconds,
        )


async def _await_all(parts: Mapping[str, _Part[Any]], reporter: Reporter) -> None:
    """Submit the jobs of all services, and take the outcomes of all of them as they come."""
    outcomes: AsCompleted[Handle] = as_completed()

    async def submit(part: _Part[Any]) -> None:
        def submitted(job: Handle) -> None:
            part.jobs[job.id] = job
            outcomes.add(job)
            reporter.moved(part.service, len(part.jobs), part.ended)

        await part.submit(submitted)
        await part.cancel()

    try:
        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as group, outcomes:
            submitting = [group.create_task(submit(part)) for part in parts.values()]
            # The jobs submitted so far may all have ended while there are more to come.
            while len(outcomes) or not all(task.done() for task in submitting):
                async for outcome in outcomes:
                    await _settle(parts[outcome.job.service], outcome, outcomes, reporter)
                await asyncio.sleep(0.05)
    except ExceptionGroup as errors:
        # No group crosses the surface; the first error is what made the rest stop.
        raise errors.exceptions[0] from None
    except TimeoutError:
        reporter.said(f"gave up after {LIMIT:g} s")


async def _settle(
    part: _Part[Any], outcome: Outcome[Handle], outcomes: AsCompleted[Handle], reporter: Reporter
) -> None:
    """Give a job that asks its answer and go on waiting for it; any other outcome is final."""
    now = asyncio.get_running_loop().time()
    needs = outcome.error
    if isinstance(needs, JobNeedsInput) and await part.provide(outcome.job, needs):
        outcomes.add(outcome.job)
        return
    part.take(outcome, now)
    reporter.moved(part.service, len(part.jobs), part.ended)
