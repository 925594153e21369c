"""A service at work: its client against its embedded server."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from urllib.parse import unquote

import attrs

from jobkit_async.errors import (
    ApiError,
    Forbidden,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobkitError,
    JobLost,
    NotFound,
    ServerError,
    Unauthorized,
)
from jobkit_async.fakes.server import FakeServer
from jobkit_async.fakes.timeline import Plan
from jobkit_async.job import Job
from jobkit_async.refs import Ref
from jobkit_async.service import ServiceClient
from jobkit_async.spec import ServiceSpec
from jobkit_async.states import JobState
from jobkit_async.testing.conformance.parts import credentials_of, job_class_of
from jobkit_async.testing.conformance.samples import arguments_of
from jobkit_async.transfer import Download
from jobkit_async.waiting import wait_all

__all__ = ["live_faults"]

Start = Callable[[Any, Any], Awaitable[Any]]

PATIENCE: Final = 86_400.0
"""Virtual seconds after which a wait is one that never ends."""
MANY: Final = 120
"""Jobs that are awaited together: more than fit in one request, on most services."""
REASON: Final = "out of memory, as planned"


@attrs.define
class Stage:
    """Where a service is tried.

    Attributes:
        spec: What it is made of.
        server: Its embedded server.
        start: Has a job on its way.
        shown: What the library has shown to people meanwhile.
        secrets: What must not be in it.
        credentials: What must be neither in it nor in URLs.
    """

    spec: ServiceSpec
    server: FakeServer[Any]
    start: Start
    shown: list[str] = attrs.field(factory=list)
    secrets: set[str] = attrs.field(factory=set)
    credentials: set[str] = attrs.field(factory=set)

    @asynccontextmanager
    async def client(self, **changed: Any) -> AsyncGenerator[ServiceClient[Any, Any]]:
        """A client of the embedded server, with other credentials if need be."""
        credentials = {**credentials_of(self.spec), **changed}
        client = self.spec.client(**credentials, base_url=self.server.base_url)
        async with client:
            yield client
            auth = client._caller.auth
            if auth is not None:
                self.credentials.update(auth.secrets())
            self.show(client, auth, client._caller)
        self.show(client)

    def show(self, *things: object) -> None:
        """What people may see of some things is to be looked at."""
        for thing in things:
            self.shown += [repr(thing), str(thing)]
            if isinstance(thing, JobkitError):
                self.shown += traceback.format_exception(thing)
            if isinstance(thing, Job):
                self.shown += [thing.ref, repr(thing.data)]

    async def job(self, client: ServiceClient[Any, Any], *plans: Plan) -> Job[Any]:
        """A job that is on its way."""
        self.server.next_jobs(*plans)
        job = await self.start(client, self.server)
        if type(job) is not job_class_of(self.spec):
            raise TypeError(f"start() gave a {type(job).__name__} and not its handle")
        model: Any = type(job.data)
        if attrs.has(model):  # what a model does not show is a secret
            hidden = [field.name for field in attrs.fields(model) if not field.repr]
            values = (getattr(job.data, name) for name in hidden)
            self.secrets.update(value for value in values if isinstance(value, str))
        return job


async def live_faults(spec: ServiceSpec, start: Start) -> list[str]:
    """What goes wrong between client and embedded server."""
    faults: list[str] = []
    for look in (_operations, _strangers, _refs, _ends, _cancelling, _many, _listing, _forgotten):
        server = spec.fake(**credentials_of(spec), seed=1, record=True)
        async with server:
            stage = Stage(spec, server, start)
            stage.credentials.update(
                value for name, value in credentials_of(spec).items() if name != "username"
            )
            with _listening(stage.shown):
                try:
                    faults += [fault async for fault in look(stage)]
                except Exception as error:  # noqa: BLE001 - a service from elsewhere may raise anything
                    told = "".join(traceback.format_exception(error)[-3:])
                    faults.append(f"{(look.__doc__ or '').rstrip('.')}: {told}")
            faults += _leaks(stage)
    return list(dict.fromkeys(faults))


@contextmanager
def _listening(shown: list[str]) -> Generator[None]:
    """Takes down all that is logged."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(record.getMessage())

    logger, listener = logging.getLogger("jobkit_async"), Listener()
    level, propagates = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagates


def _leaks(stage: Stage) -> Iterator[str]:
    for secret in sorted(filter(None, stage.secrets | stage.credentials)):
        for text in stage.shown:
            if secret in text:
                yield f"a credential is shown: {text.replace(secret, '***').strip()[-200:]}"
    for request in stage.server.seen:
        if any(secret in unquote(request.raw_path) for secret in stage.credentials if secret):
            yield f"{request.operation}: a credential travels in the URL"


async def _operations(stage: Stage) -> AsyncIterator[str]:
    """Each operation, once with what it needs and once with all that it takes."""
    for api in stage.spec.table.apis:
        for row in api.rows:
            for every in (False, True):
                async with stage.client() as client:
                    before = stage.server.requests[row.name]
                    method = getattr(getattr(client, api.name), row.name)
                    named = {
                        param.name: value
                        for param, value in zip(
                            row.params, arguments_of(row, every=every), strict=True
                        )
                        if value is not None
                    }
                    fault = await _called(stage, method, named)
                    if stage.server.requests[row.name] == before:
                        fault = fault or "its request is taken for that of another operation"
                if fault:
                    yield f"{row.name}: {fault}"
                    break


async def _called(stage: Stage, method: Callable[..., Awaitable[Any]], named: Any) -> str | None:
    """Call an operation with arguments that need not make sense to the service."""
    try:
        value = await method(**named)
        if isinstance(value, Download):
            async with value:
                await value.read()
    except ServerError as error:
        return f"its embedded server fails: {error}"
    except ApiError as error:
        stage.show(error)  # such as: there is no such job
    except JobkitError as error:
        return f"it does not work with its embedded server: {type(error).__name__}: {error}"
    return None


async def _strangers(stage: Stage) -> AsyncIterator[str]:
    """A call with wrong credentials."""
    wrong = {name: f"wrong-{name}" for name in credentials_of(stage.spec)}
    async with stage.client(**wrong) as client:
        try:
            job = await stage.job(client)
            await job.refresh()
        except (Unauthorized, Forbidden) as error:
            stage.show(error)
        else:
            yield "its embedded server lets everybody in"


async def _refs(stage: Stage) -> AsyncIterator[str]:
    """References."""
    async with stage.client() as client:
        job = await stage.job(client, Plan.succeeds(after=5.0))
        stage.show(job)
        ref = job.ref
        if Ref.parse(ref).service != stage.spec.name:
            yield f"{ref} is a reference to a job of another service"
        if client.job(job.id) != job:
            yield f"job({job.id!r}) of its client is another job than the one with this id"
        if client.job_from_ref(ref) != job:
            yield f"{ref} does not lead back to its job"
    async with stage.client() as client:
        again = client.job_from_ref(ref)
        if again != job or again.id != job.id or type(again.id) is not type(job.id):
            yield f"{ref} does not lead another client to its job"
        await again.wait(timeout=PATIENCE)
        if again.state is not JobState.SUCCEEDED:
            yield f"a job that was taken up by its reference and succeeds is {again.state.value}"
        stage.show(again)


async def _ends(stage: Stage) -> AsyncIterator[str]:
    """Waits for a job that succeeds and one that fails."""
    async with stage.client() as client:
        job = await stage.job(client, Plan.succeeds(after=60.0, queued=10.0))
        data = await job.wait(timeout=PATIENCE)
        ending = stage.server.ending(job.id)
        if ending is None or ending.state is not job.state or ending.status != job.raw_status:
            yield f"a job that its embedded server ended as {ending} is {job.state.value}"
        if client._source.sight(data).state is not JobState.SUCCEEDED:
            yield "wait() gives a snapshot that does not show the end"
        job = await stage.job(client, Plan.fails(REASON, after=60.0, queued=10.0))
        try:
            await job.wait(timeout=PATIENCE)
        except JobFailed as error:
            stage.show(error, job)
            if REASON not in (error.reason or ""):
                yield f"a job fails with {REASON!r}, and the reason is {error.reason!r}"
        else:
            yield "a job that fails is not found to fail"


async def _cancelling(stage: Stage) -> AsyncIterator[str]:
    """Cancelling a job, twice, and one that has ended."""
    async with stage.client() as client:
        job = await stage.job(client, Plan.never_ends())
        await job.cancel()
        try:
            await job.wait(timeout=PATIENCE)
        except JobCancelled as error:
            stage.show(error, job)
        except JobFailed:
            yield "a job that was cancelled is found to have failed"
        else:
            yield "a job that was cancelled is not found to be"
        try:
            await job.cancel()
        except JobkitError as error:
            yield f"a job that was cancelled cannot be cancelled again: {error}"
        ended = await stage.job(client, Plan.succeeds(after=5.0))
        await ended.wait(timeout=PATIENCE)
        try:
            await ended.cancel()
        except JobEnded as error:
            stage.show(error)
        except JobkitError as error:
            yield f"cancelling a job that has ended is no JobEnded, but {type(error).__name__}"
        else:
            yield "cancelling a job that has ended is no JobEnded"


async def _many(stage: Stage) -> AsyncIterator[str]:
    """Waits for many jobs together."""
    async with stage.client() as client:
        jobs = [await stage.job(client) for _ in range(MANY)]
        before = stage.server.requests.total()
        outcomes = await wait_all(jobs, timeout=PATIENCE)
        cost = stage.server.requests.total() - before
        for outcome in outcomes:
            ending = stage.server.ending(outcome.job.id)
            if ending is None or ending.state is not outcome.state:
                yield f"of many jobs, one that ended as {ending} is {outcome.state.value}"
                break
        if cost > 10 * MANY:
            yield f"waiting for {MANY} jobs of a few seconds takes {cost} requests"


async def _listing(stage: Stage) -> AsyncIterator[str]:
    """All jobs, from a client that lists them."""
    async with stage.client() as client:
        iterate = getattr(client, "iter_jobs", None)
        if iterate is None:
            return  # not every service has a listing
        jobs = [await stage.job(client, Plan.never_ends()) for _ in range(3)]
        found = [job async for job in iterate()]
        if len(found) != len({*found}) or not {*jobs} <= {*found}:
            yield f"of {len(jobs)} jobs iter_jobs() of its client gives {found}"


async def _forgotten(stage: Stage) -> AsyncIterator[str]:
    """A job that the service does not know any more."""
    async with stage.client() as client:
        job = await stage.job(client, Plan.never_ends())
        ref = job.ref
        del stage.server.jobs[job.id]
        again = client.job_from_ref(ref)
        try:
            await again.refresh()
        except NotFound as error:
            stage.show(error)
        else:
            yield "reading a job that the service does not know is no NotFound"
        try:
            await again.wait(timeout=PATIENCE)
        except JobLost as error:
            stage.show(error)
        else:
            yield "waiting for a job that the service does not know is no JobLost"
